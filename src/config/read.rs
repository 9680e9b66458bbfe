//! Typed readers over the tree: each says what it wants, notes what it does not get, and goes on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::near;
use super::sink::{Note, Place, Sink};
use super::yaml::{Entry, Kind, Map, Node};
use crate::domain::id::Name;
use crate::domain::target::SecretRef;
use crate::domain::time::Spelled;

/// Words that people try, and what they are called here.
const SYNONYMS: [(&str, &[&str]); 8] = [
    ("threshold", &["critical", "warning"]),
    ("interval", &["every"]),
    ("period", &["every", "over"]),
    ("window", &["over"]),
    ("severity", &["critical", "warning", "info"]),
    ("namespace", &["namespaces"]),
    ("inherits", &["extends"]),
    ("query", &["prometheus"]),
];

/// A mapping being read: it remembers which keys were asked for, and so which are unknown.
pub(super) struct Fields<'t> {
    /// The place of the name it belongs to.
    pub place: Place,
    what: String,
    map: &'t Map,
    known: RefCell<Vec<&'static str>>,
    missing: RefCell<Vec<Note>>,
    sink: &'t Sink,
}

// === impl Fields ===

impl<'t> Fields<'t> {
    /// Opens a mapping. `what` names it in messages: "objective `error-rate`".
    pub(super) fn open(
        node: &'t Node,
        place: Place,
        what: impl Into<String>,
        sink: &'t Sink,
    ) -> Option<Self> {
        let what = what.into();
        match &node.kind {
            Kind::Map(map) => Some(Self {
                place,
                what,
                map,
                known: RefCell::new(Vec::new()),
                missing: RefCell::new(Vec::new()),
                sink,
            }),
            Kind::Unknown => None,
            _ => {
                let place = if matches!(node.kind, Kind::Null) {
                    place
                } else {
                    node.place
                };
                let message = format!("{what} is a mapping, not {}", node.describe());
                sink.note(Note::fault("wrong-type", place, message));
                None
            }
        }
    }

    /// Opens the mapping under a key.
    pub(super) fn inner(&self, key: &'static str, what: impl Into<String>) -> Option<Self> {
        let entry = self.entry(key)?;
        Self::open(&entry.value, entry.place, what, self.sink)
    }

    /// The entry of a key; `null` counts as absent.
    pub(super) fn entry(&self, key: &'static str) -> Option<&'t Entry> {
        self.known.borrow_mut().push(key);
        self.map
            .get(key)
            .filter(|entry| !matches!(entry.value.kind, Kind::Null))
    }

    /// Whether a key is there; it is known from now on.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    /// The entry of a key that must be there.
    pub(super) fn required(&self, key: &'static str, hint: &str) -> Option<&'t Entry> {
        let entry = self.entry(key);
        if entry.is_none() {
            self.missing(key, hint);
        }
        entry
    }

    /// Notes that a key is missing; said at the end, unless it is there misspelled.
    pub(super) fn missing(&self, key: &str, hint: &str) {
        let message = format!("{} needs `{key}`", self.what);
        let note = Note::fault("missing-key", self.place, message).hint(hint);
        self.missing.borrow_mut().push(note);
    }

    /// Refuses keys that are named but not built; says whether one was there.
    pub(super) fn later(&self, keys: &[&'static str]) -> bool {
        let mut found = false;
        for key in keys {
            if let Some(entry) = self.entry(key) {
                self.sink.note(Note::later(key, entry.place));
                found = true;
            }
        }
        found
    }

    /// Text under a key.
    pub(super) fn text(&self, key: &'static str) -> Option<&'t str> {
        let entry = self.entry(key)?;
        text(&entry.value, key, self.sink)
    }

    /// A boolean under a key.
    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        let entry = self.entry(key)?;
        match entry.value.kind {
            Kind::Bool(value) => Some(value),
            Kind::Unknown => None,
            _ => {
                wrong(&entry.value, key, "true or false", self.sink);
                None
            }
        }
    }

    /// A whole number, not negative, under a key.
    pub(super) fn count(&self, key: &'static str) -> Option<u64> {
        let entry = self.entry(key)?;
        match entry.value.kind {
            Kind::Int(number) if number >= 0 => u64::try_from(number).ok(),
            Kind::Unknown => None,
            _ => {
                wrong(&entry.value, key, "a whole number, 0 or more", self.sink);
                None
            }
        }
    }

    /// A whole number that fits 32 bits.
    pub(super) fn small(&self, key: &'static str) -> Option<u32> {
        let number = self.count(key)?;
        match u32::try_from(number) {
            Ok(number) => Some(number),
            Err(_) => {
                let place = self
                    .entry(key)
                    .map_or(self.place, |entry| entry.value.place);
                let message = format!("`{key}` is too large");
                self.sink.note(Note::fault("bad-value", place, message));
                None
            }
        }
    }

    /// A duration under a key.
    pub(super) fn duration(&self, key: &'static str) -> Option<Duration> {
        let entry = self.entry(key)?;
        duration(&entry.value, key, self.sink)
    }

    /// A duration that is not zero.
    pub(super) fn positive(&self, key: &'static str) -> Option<Duration> {
        let read = self.duration(key)?;
        if read.is_zero() {
            let place = self
                .entry(key)
                .map_or(self.place, |entry| entry.value.place);
            let message = format!("`{key}` cannot be zero");
            self.sink.note(Note::fault("bad-value", place, message));
            return None;
        }
        Some(read)
    }

    /// A path under a key, absolute.
    pub(super) fn path(&self, key: &'static str) -> Option<PathBuf> {
        let entry = self.entry(key)?;
        path(&entry.value, key, self.sink)
    }

    /// Text by name, such as labels.
    pub(super) fn texts(&self, key: &'static str) -> BTreeMap<String, String> {
        let Some(entry) = self.entry(key) else {
            return BTreeMap::new();
        };
        let Some(map) = entry.value.map() else {
            if entry.value.kind != Kind::Unknown {
                wrong(&entry.value, key, "a mapping", self.sink);
            }
            return BTreeMap::new();
        };
        map.entries
            .iter()
            .filter_map(|entry| {
                let value = text(&entry.value, &entry.key, self.sink)?;
                Some((entry.key.clone(), value.to_owned()))
            })
            .collect()
    }

    /// One text or a list of texts, with places.
    pub(super) fn list(&self, key: &'static str) -> Option<Vec<(&'t str, Place)>> {
        let entry = self.entry(key)?;
        let one = |node: &'t Node| text(node, key, self.sink).map(|text| (text, node.place));
        match &entry.value.kind {
            Kind::Seq(items) => Some(items.iter().filter_map(one).collect()),
            Kind::Text(_) => Some(one(&entry.value).into_iter().collect()),
            Kind::Unknown => None,
            _ => {
                wrong(&entry.value, key, "a list", self.sink);
                None
            }
        }
    }

    /// A secret by reference: `key_file` or `key_env`. The key itself is refused.
    pub(super) fn secret(&self, keys: &SecretKeys) -> Option<SecretRef> {
        if let Some(entry) = self.entry(keys.plain) {
            self.sink.note(inline(entry.place, keys.plain));
        }
        self.reference(keys)
    }

    /// The reference to a secret whose plain key is allowed too.
    pub(super) fn reference(&self, keys: &SecretKeys) -> Option<SecretRef> {
        let (file, env) = (self.entry(keys.file), self.entry(keys.env));
        if let (Some(file), Some(env)) = (file, env) {
            let message = format!("`{}` and `{}` exclude each other", keys.file, keys.env);
            let note = Note::fault("bad-value", env.place, message);
            self.sink.note(note.also(file.place, "the other"));
            return None;
        }
        if let Some(file) = file {
            return path(&file.value, keys.file, self.sink).map(SecretRef::File);
        }
        variable(env?, self.sink).map(SecretRef::Env)
    }

    /// All entries, for maps whose keys are names; none of them is unknown then.
    pub(super) fn entries(&self) -> &'t [Entry] {
        &self.map.entries
    }

    /// The whole mapping.
    pub(super) fn map(&self) -> &'t Map {
        self.map
    }

    /// Notes a fault at a key's value.
    pub(super) fn refuse(&self, key: &'static str, code: &'static str, message: String) {
        let place = self
            .entry(key)
            .map_or(self.place, |entry| entry.value.place);
        self.sink.note(Note::fault(code, place, message));
    }

    /// The sink, for readers of their own.
    pub(super) fn sink(&self) -> &'t Sink {
        self.sink
    }

    /// What is read, for messages.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// Ends the reading: what nobody asked for is unknown.
    pub(super) fn done(self) {
        let known = self.known.borrow();
        let mut misspelled = false;
        for entry in &self.map.entries {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            let message = format!("unknown field `{}` in {}", entry.key, self.what);
            let hint = near::hint(&entry.key, known.iter().copied())
                .or_else(|| synonym(&entry.key, &known));
            misspelled |= hint.is_some();
            self.sink
                .note(Note::fault("unknown-key", entry.place, message).hint_if(hint));
        }
        if !misspelled {
            self.missing
                .take()
                .into_iter()
                .for_each(|note| self.sink.note(note));
        }
    }
}

fn synonym(word: &str, known: &[&'static str]) -> Option<String> {
    let (_, names) = SYNONYMS
        .iter()
        .find(|(tried, _)| near::distance(word, tried) <= 2)?;
    let names: Vec<String> = names
        .iter()
        .filter(|name| known.contains(name))
        .take(2)
        .map(|name| format!("`{name}`"))
        .collect();
    (!names.is_empty()).then(|| format!("did you mean {}?", names.join(" or ")))
}

/// The three spellings of a secret's key.
pub(super) struct SecretKeys {
    /// The key itself, refused.
    pub plain: &'static str,
    /// A path.
    pub file: &'static str,
    /// A variable.
    pub env: &'static str,
}

/// The fault of a secret that stands in a file.
pub(super) fn inline(place: Place, key: &str) -> Note {
    Note::fault(
        "secret-inline",
        place,
        format!("the secret `{key}` stands in the file"),
    )
    .hint(format!("write `{key}_file: PATH` or `{key}_env: NAME`"))
}

/// Notes that a value has the wrong type.
pub(super) fn wrong(node: &Node, key: &str, wanted: &str, sink: &Sink) {
    let message = format!("`{key}` is {wanted}, not {}", node.describe());
    sink.note(Note::fault("wrong-type", node.place, message));
}

/// Text.
pub(super) fn text<'t>(node: &'t Node, key: &str, sink: &Sink) -> Option<&'t str> {
    match &node.kind {
        Kind::Text(text) => Some(text),
        Kind::Unknown => None,
        Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) => {
            let message = format!("`{key}` is text, not {}", node.describe());
            sink.note(Note::fault("wrong-type", node.place, message).hint("put it in quotes"));
            None
        }
        Kind::Null | Kind::Seq(_) | Kind::Map(_) => {
            wrong(node, key, "text", sink);
            None
        }
    }
}

/// A duration.
pub(super) fn duration(node: &Node, key: &str, sink: &Sink) -> Option<Duration> {
    let hint = match &node.kind {
        Kind::Text(text) => match text.parse::<Spelled>() {
            Ok(Spelled(duration)) => return Some(duration),
            Err(_) => None,
        },
        Kind::Int(0) => return Some(Duration::ZERO),
        Kind::Int(number) => Some(format!("did you mean `{number}s`?")),
        Kind::Unknown => return None,
        _ => None,
    };
    let message = format!("`{key}` is a duration, written like 500ms, 30s, 5m, 1h30m or 30d");
    sink.note(Note::fault("bad-duration", node.place, message).hint_if(hint));
    None
}

/// An absolute path.
pub(super) fn path(node: &Node, key: &str, sink: &Sink) -> Option<PathBuf> {
    let text = text(node, key, sink)?;
    let path = PathBuf::from(text);
    if path.is_absolute() {
        return Some(path);
    }
    let message = format!("`{key}` is an absolute path");
    sink.note(Note::fault("bad-value", node.place, message));
    None
}

/// The name of a variable of the environment.
pub(super) fn variable(entry: &Entry, sink: &Sink) -> Option<String> {
    let text = text(&entry.value, &entry.key, sink)?;
    let mut letters = text.chars();
    let first = letters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if first && letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Some(text.to_owned());
    }
    let message = format!("`{}` names a variable of the environment", entry.key);
    sink.note(Note::fault("bad-value", entry.value.place, message));
    None
}

/// A name: a DNS label.
pub(super) fn name(text: &str, place: Place, sink: &Sink) -> Option<Name> {
    match Name::try_new(text) {
        Ok(name) => Some(name),
        Err(error) => {
            sink.note(Note::fault("bad-name", place, error.to_string()));
            None
        }
    }
}
