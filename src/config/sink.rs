//! Where the readers put what they find, and how a place becomes a line people can read.
//!
//! A place is four numbers, because every node of every file has one; the line's text is looked up only
//! for what is reported. The same finding at the same place (a plan is read once for each tenant on it)
//! is kept once.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use super::finding::{Finding, Level, Spot};

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
    files: Vec<(String, String)>,
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

/// Collects findings.
#[derive(Debug, Default)]
pub(super) struct Sink {
    notes: RefCell<Vec<Note>>,
    seen: RefCell<BTreeSet<(Place, &'static str, String, Option<Place>)>>,
    faults: Cell<usize>,
    incomplete: Cell<bool>,
}

// === impl Sources ===

impl Sources {
    /// Adds a file and gives its index.
    pub(super) fn add(&mut self, name: String, text: String) -> u32 {
        let index = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        self.files.push((name, text));
        index
    }

    /// All files as `(index, name, text)`.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str, &str)> {
        (0..)
            .zip(&self.files)
            .map(|(index, (name, text))| (index, name.as_str(), text.as_str()))
    }

    fn line(&self, place: Place) -> &str {
        let Some(index) = (place.line as usize).checked_sub(1) else {
            return "";
        };
        self.files
            .get(place.file as usize)
            .and_then(|(_, text)| text.lines().nth(index))
            .unwrap_or("")
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
            .map_or("", |(name, _)| name);
        Spot {
            file: file.to_owned(),
            line: place.line as usize,
            column: place.column as usize,
            length: place.length as usize,
            source: self.line(place).to_owned(),
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

    /// How many faults so far.
    pub(super) fn faults(&self) -> usize {
        self.faults.get()
    }

    /// Everything found, faults and lints, each ordered by place.
    pub(super) fn into_findings(self, sources: &Sources) -> (Vec<Finding>, Vec<Finding>) {
        let mut notes = self.notes.into_inner();
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
