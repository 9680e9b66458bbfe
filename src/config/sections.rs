//! The sections of all files put together: names side by side, settings field by field, nothing twice.

use std::collections::BTreeMap;

use super::near;
use super::sink::{Note, Place, Sink};
use super::yaml::{Entry, Kind, Map, Node};

const NAMED: [&str; 3] = ["plans", "tenants", "receivers"];
const SETTINGS: [&str; 3] = ["defaults", "daemon", "rollback"];
const LATER: [&str; 2] = ["mute_times", "inhibit"];

/// Everything that stands in the files, by section.
#[derive(Default)]
pub(super) struct Sections {
    /// Plans by name.
    pub plans: Vec<Entry>,
    /// Tenants by name.
    pub tenants: Vec<Entry>,
    /// Receivers by name.
    pub receivers: Vec<Entry>,
    /// The route tree.
    pub route: Option<Entry>,
    settings: BTreeMap<&'static str, Node>,
    names: BTreeMap<(&'static str, String), Place>,
}

// === impl Sections ===

impl Sections {
    /// A section of settings.
    pub(super) fn setting(&self, key: &str) -> Option<&Node> {
        self.settings.get(key)
    }

    /// The sections of settings and telling, in which placeholders have no meaning.
    pub(super) fn outside_of_tenants(&mut self) -> impl Iterator<Item = &mut Node> {
        let receivers = self.receivers.iter_mut().map(|entry| &mut entry.value);
        let route = self.route.iter_mut().map(|entry| &mut entry.value);
        self.settings.values_mut().chain(receivers).chain(route)
    }

    /// Adds what one document says.
    pub(super) fn add(&mut self, document: Node, sink: &Sink) {
        let map = match document.kind {
            Kind::Map(map) => map,
            Kind::Null | Kind::Unknown => return,
            _ => {
                let message = format!(
                    "a file is a mapping of sections, not {}",
                    document.describe()
                );
                sink.note(Note::fault("wrong-type", document.place, message));
                return;
            }
        };
        for entry in map.entries {
            let key = entry.key.as_str();
            let found = |known: &[&'static str]| known.iter().find(|name| **name == key).copied();
            if let Some(section) = found(&NAMED) {
                self.named(section, entry, sink);
            } else if let Some(section) = found(&SETTINGS) {
                self.settings(section, entry, sink);
            } else if key == "route" {
                self.route(entry, sink);
            } else if LATER.contains(&key) {
                sink.note(Note::later(key, entry.place));
            } else {
                let known = NAMED.into_iter().chain(SETTINGS).chain(["route"]);
                let message = format!("unknown section `{key}`");
                let hint = near::hint(key, known);
                let note = Note::fault("unknown-key", entry.place, message);
                sink.note(
                    note.hint("plans, tenants, receivers, route, defaults, daemon or rollback")
                        .hint_if(hint),
                );
            }
        }
    }

    fn named(&mut self, section: &'static str, entry: Entry, sink: &Sink) {
        let map = match entry.value.kind {
            Kind::Map(map) => map,
            Kind::Null => return,
            _ => {
                let message = format!(
                    "`{section}` is a mapping of names, not {}",
                    entry.value.describe()
                );
                sink.note(Note::fault("wrong-type", entry.value.place, message));
                return;
            }
        };
        for entry in map.entries {
            let known = (section, entry.key.clone());
            if let Some(first) = self.names.get(&known) {
                let what = section.trim_end_matches('s');
                let message = format!("the {what} `{}` is defined twice", entry.key);
                sink.note(
                    Note::fault("duplicate-name", entry.place, message).also(*first, "first here"),
                );
                continue;
            }
            self.names.insert(known, entry.place);
            match section {
                "plans" => self.plans.push(entry),
                "tenants" => self.tenants.push(entry),
                _ => self.receivers.push(entry),
            }
        }
    }

    fn route(&mut self, entry: Entry, sink: &Sink) {
        match &self.route {
            Some(first) => {
                let note = Note::fault("duplicate-name", entry.place, "`route` is defined twice");
                sink.note(note.also(first.place, "first here"));
            }
            None => self.route = Some(entry),
        }
    }

    fn settings(&mut self, section: &'static str, entry: Entry, sink: &Sink) {
        if entry.value.kind == Kind::Null {
            return;
        }
        let Some(first) = self.settings.get_mut(section) else {
            let value = Node {
                place: entry.place,
                kind: entry.value.kind,
            };
            self.settings.insert(section, value);
            return;
        };
        match (&mut first.kind, entry.value.kind) {
            (Kind::Map(into), Kind::Map(from)) => join(into, from, section, sink),
            _ => {
                let message = format!("`{section}` is a mapping");
                sink.note(Note::fault("wrong-type", entry.value.place, message));
            }
        }
    }
}

/// Puts fields of one file to those of another; the same field twice is a fault.
fn join(into: &mut Map, from: Map, path: &str, sink: &Sink) {
    for entry in from.entries {
        let Some(known) = into.entries.iter_mut().find(|known| known.key == entry.key) else {
            into.entries.push(entry);
            continue;
        };
        let path = format!("{path}.{}", entry.key);
        let (place, value) = (entry.place, entry.value);
        match (&mut known.value.kind, value.kind) {
            (Kind::Map(into), Kind::Map(from)) => join(into, from, &path, sink),
            _ => {
                let note = Note::fault(
                    "duplicate-name",
                    place,
                    format!("`{path}` is defined twice"),
                );
                sink.note(note.also(known.place, "first here"));
            }
        }
    }
}
