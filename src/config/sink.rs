//! Where the readers put what they find, and how a place becomes a line people can read.
//!
//! A place is four numbers, because every node of every file has one; the line's text is looked up only
//! for what is reported. The same finding at the same place (a plan is read once for each tenant on it)
//! is kept once.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use super::finding::{Finding, Level, Spot};
use super::mask::mask;

/// A span within one line of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// Index into [`Sources`].
    pub file: u32,
    /// From 1; 0 is the whole file.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// In characters.
    pub length: u32,
}

/// The files that were read, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    files: Vec<Source>,
}

/// A file with the offsets at which its lines begin.
#[derive(Clone, Debug)]
struct Source {
    name: String,
    text: String,
    lines: Vec<usize>,
}

/// One finding in the making.
#[derive(Clone, Debug)]
pub(super) struct Note {
    level: Level,
    code: &'static str,
    place: Place,
    message: String,
    also: Option<(Place, String)>,
    hint: Option<String>,
    reference: bool,
}

/// What cannot be said of a plan without a tenant, or of a tenant without its plan.
const HALF: [&str; 3] = ["missing-key", "nothing-to-remove", "unknown-reference"];

/// What makes two findings the same: place, code, message and second place.
type Identity = (Place, &'static str, String, Option<Place>);

/// Collects findings.
#[derive(Debug, Default)]
pub(super) struct Sink {
    notes: RefCell<Vec<Note>>,
    seen: RefCell<BTreeSet<Identity>>,
    faults: Cell<usize>,
    incomplete: Cell<bool>,
    imagined: Cell<bool>,
}

// === impl Sources ===

impl Sources {
    /// Adds a file and gives its index.
    pub(super) fn add(&mut self, name: String, text: String) -> u32 {
        let index = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(breaks).collect();
        self.files.push(Source { name, text, lines });
        index
    }

    /// The text of every file with its index.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        (0..).zip(self.files.iter().map(|source| source.text.as_str()))
    }

    fn line(&self, place: Place) -> &str {
        let Some(index) = (place.line as usize).checked_sub(1) else {
            return "";
        };
        let line = self.files.get(place.file as usize).and_then(|source| {
            let from = *source.lines.get(index)?;
            let to = source
                .lines
                .get(index + 1)
                .copied()
                .unwrap_or(source.text.len());
            source.text.get(from..to)
        });
        line.unwrap_or("").trim_end_matches(['\n', '\r'])
    }

    /// Narrows a place to a part of it that stands literally in its line.
    pub(super) fn narrow(&self, place: Place, part: &str) -> Place {
        let line = self.line(place);
        let before = (place.column as usize).saturating_sub(1);
        let start = line
            .char_indices()
            .nth(before)
            .map_or(line.len(), |(at, _)| at);
        let Some(found) = line[start..].find(part) else {
            return place;
        };
        let offset = line[start..start + found].chars().count();
        Place {
            column: place.column + u32::try_from(offset).unwrap_or(0),
            length: u32::try_from(part.chars().count()).unwrap_or(1),
            ..place
        }
    }

    fn spot(&self, place: Place) -> Spot {
        let file = self
            .files
            .get(place.file as usize)
            .map_or("", |source| &source.name);
        Spot {
            file: file.to_owned(),
            line: place.line as usize,
            column: place.column as usize,
            length: place.length as usize,
            source: mask(self.line(place)),
        }
    }
}

// === impl Note ===

impl Note {
    /// Something that makes the configuration unusable.
    pub(super) fn fault(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self {
            level: Level::Fault,
            code,
            place,
            message: message.into(),
            also: None,
            hint: None,
            reference: false,
        }
    }

    /// Something that is probably not what was meant.
    pub(super) fn lint(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        let mut note = Self::fault(code, place, message);
        note.level = Level::Lint;
        note
    }

    /// A name that leads nowhere. Not reported while a file could not be read: the name may stand there.
    pub(super) fn dangling(place: Place, message: impl Into<String>) -> Self {
        Self::fault("unknown-reference", place, message).needs_all_files()
    }

    /// Something `interface` names that this version cannot do: refused, never ignored.
    pub(super) fn later(key: &str, place: Place) -> Self {
        Self::fault(
            "not-supported-yet",
            place,
            format!("not supported yet: {key}"),
        )
    }

    /// Says what to do.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what to do, if that is known.
    pub(super) fn hint_if(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// Shows a second place.
    pub(super) fn also(mut self, place: Place, what: impl Into<String>) -> Self {
        self.also = Some((place, what.into()));
        self
    }

    /// True only if all files were read.
    pub(super) fn needs_all_files(mut self) -> Self {
        self.reference = true;
        self
    }
}

// === impl Sink ===

impl Sink {
    /// Keeps a finding.
    pub(super) fn note(&self, note: Note) {
        if self.imagined.get() && HALF.contains(&note.code) {
            return;
        }
        let unsure = note.reference || note.level == Level::Lint;
        if self.incomplete.get() && unsure {
            return;
        }
        let also = note.also.as_ref().map(|(place, _)| *place);
        let key = (note.place, note.code, note.message.clone(), also);
        if self.seen.borrow_mut().insert(key) {
            if note.level == Level::Fault {
                self.faults.set(self.faults.get() + 1);
            }
            self.notes.borrow_mut().push(note);
        }
    }

    /// A file could not be read as a whole: what refers to other places is not judged any more.
    pub(super) fn incomplete(&self) {
        self.incomplete.set(true);
    }

    /// What is read from now on is one half of a plan and a tenant: what the other brings is not missing.
    pub(super) fn imagine(&self, imagined: bool) {
        self.imagined.set(imagined);
    }

    /// How many faults so far.
    pub(super) fn faults(&self) -> usize {
        self.faults.get()
    }

    /// Everything found, faults and lints, each ordered by place; where there is a fault, a lint is noise.
    pub(super) fn into_findings(self, sources: &Sources) -> (Vec<Finding>, Vec<Finding>) {
        let mut notes = self.notes.into_inner();
        let faulty: BTreeSet<Place> = notes
            .iter()
            .filter(|note| note.level == Level::Fault)
            .map(|note| note.place)
            .collect();
        notes.retain(|note| note.level == Level::Fault || !faulty.contains(&note.place));
        notes.sort_by(|a, b| (a.place, a.code, &a.message).cmp(&(b.place, b.code, &b.message)));
        notes
            .into_iter()
            .map(|note| Finding {
                level: note.level,
                code: note.code,
                message: note.message,
                spot: sources.spot(note.place),
                also: note.also.map(|(place, what)| (sources.spot(place), what)),
                hint: note.hint,
            })
            .partition(|finding| finding.level == Level::Fault)
    }
}
