//! `${tenant}`, `${namespace}`, `${vars.x}`, `${labels.x}`, `${contacts.x}`, put into strings after parsing,
//! so that a value cannot change the structure. `$$` is a dollar.

use std::collections::BTreeMap;

use super::near;
use super::quantity::Quantity;
use super::sink::{Note, Place, Sink, Sources};
use super::yaml::{Kind, Node};

/// What the placeholders of one tenant stand for.
pub(super) struct Words<'a> {
    /// Where the tenant stands, for the second place of a fault.
    pub tenant_place: Place,
    /// What `${…}` means, by the whole text between the braces.
    pub values: BTreeMap<String, Node>,
    /// Unknown names are what a tenant may bring: no fault, but no value either.
    pub tolerant: bool,
    /// Collects faults.
    pub sink: &'a Sink,
    /// To find the place of a placeholder in its line.
    pub sources: &'a Sources,
}

/// Where a string stands: it decides how a quantity is put in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    /// Plain numbers: bytes, seconds.
    Plain,
    /// A query: durations within brackets are `300s`, text within quotes is escaped.
    Query,
    /// A condition: quantities keep their unit, so that it can be checked.
    Condition,
}

// === impl Context ===

impl Context {
    fn below(self, key: &str) -> Self {
        match key {
            "prometheus" => Self::Query,
            "critical" | "warning" | "info" | "recover" if self == Self::Plain => Self::Condition,
            _ => self,
        }
    }
}

/// Replaces the placeholders in all strings below a node.
pub(super) fn fill(node: &mut Node, words: &Words<'_>) {
    fill_in(node, words, Context::Plain);
}

fn fill_in(node: &mut Node, words: &Words<'_>, context: Context) {
    match &mut node.kind {
        Kind::Seq(items) => items
            .iter_mut()
            .for_each(|item| fill_in(item, words, context)),
        Kind::Map(map) => {
            for entry in &mut map.entries {
                fill_in(&mut entry.value, words, context.below(&entry.key));
            }
        }
        Kind::Text(text) if text.contains('$') => {
            let text = std::mem::take(text);
            node.kind = words.replace(&text, node.place, context);
        }
        _ => {}
    }
}

/// `$$` and a lone `$` outside of tenants; `${…}` has no meaning there.
pub(super) fn refuse(node: &mut Node, sink: &Sink, sources: &Sources) {
    match &mut node.kind {
        Kind::Seq(items) => items
            .iter_mut()
            .for_each(|item| refuse(item, sink, sources)),
        Kind::Map(map) => map
            .entries
            .iter_mut()
            .for_each(|entry| refuse(&mut entry.value, sink, sources)),
        Kind::Text(text) if text.contains("${") && !text.contains("$${") => {
            let part = text.find("${").map_or("", |at| &text[at..]);
            let part = part.find('}').map_or(part, |end| &part[..=end]);
            let place = sources.narrow(node.place, part);
            sink.note(if part.starts_with("${contacts.") {
                Note::later("contacts as receivers", place)
            } else {
                let note = Note::fault(
                    "unknown-placeholder",
                    place,
                    format!("`{part}` has no meaning here"),
                );
                note.hint("placeholders speak of a tenant; a dollar is `$$`")
            });
            node.kind = Kind::Unknown;
        }
        Kind::Text(text) => *text = text.replace("$$", "$"),
        _ => {}
    }
}

// === impl Words ===

impl Words<'_> {
    fn replace(&self, text: &str, place: Place, context: Context) -> Kind {
        if let Some(name) = whole(text) {
            return self
                .value(name, text, place)
                .map_or(Kind::Unknown, |node| node.kind.clone());
        }
        let mut out = String::with_capacity(text.len());
        let mut position = Position::default();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            if context == Context::Query {
                position.pass(&rest[..at]);
            }
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("$$") {
                out.push('$');
                rest = after;
            } else if rest.starts_with("${") {
                let Some(end) = rest.find('}') else {
                    let message = "a placeholder is not closed";
                    let note = Note::fault("unknown-placeholder", place, message);
                    self.sink.note(note.hint("a dollar is `$$`"));
                    return Kind::Unknown;
                };
                let (part, after) = rest.split_at(end + 1);
                let Some(node) = self.value(&part[2..end], part, place) else {
                    return Kind::Unknown;
                };
                let Some(spelled) = self.spell(node, part, place, context, &position) else {
                    return Kind::Unknown;
                };
                out.push_str(&spelled);
                rest = after;
            } else {
                out.push('$');
                rest = &rest[1..];
            }
        }
        out.push_str(rest);
        Kind::Text(out)
    }

    fn value(&self, name: &str, part: &str, place: Place) -> Option<&Node> {
        if let Some(node) = self.values.get(name) {
            return Some(node).filter(|node| node.kind != Kind::Unknown);
        }
        let known = ["tenant", "namespace"].contains(&name)
            || ["vars.", "labels.", "contacts."]
                .iter()
                .any(|begin| name.starts_with(begin));
        if self.tolerant && known {
            return None;
        }
        let place = self.sources.narrow(place, part);
        let message = format!("unknown placeholder `{part}`");
        let hint = near::hint(name, self.values.keys().map(String::as_str));
        // A slip in a plan is one fault; what only this tenant lacks is one for each tenant.
        let slip = hint.is_some() || !known;
        let note = Note::fault("unknown-placeholder", place, message).hint_if(hint);
        self.sink.note(if slip {
            note
        } else {
            note.also(self.tenant_place, "for this tenant")
        });
        None
    }

    fn spell(
        &self,
        node: &Node,
        part: &str,
        place: Place,
        context: Context,
        position: &Position,
    ) -> Option<String> {
        match &node.kind {
            Kind::Bool(value) => Some(value.to_string()),
            Kind::Int(number) => Some(number.to_string()),
            Kind::Float(number) => Some(number.to_string()),
            Kind::Text(text) if part.starts_with("${vars.") => {
                Some(quantity(text, context, position).unwrap_or_else(|| escaped(text, position)))
            }
            Kind::Text(text) => Some(escaped(text, position)),
            Kind::Unknown => None,
            Kind::Null | Kind::Seq(_) | Kind::Map(_) => {
                let message = format!(
                    "`{part}` is {} and cannot stand inside text",
                    node.describe()
                );
                let place = self.sources.narrow(place, part);
                self.sink.note(Note::fault("wrong-type", place, message));
                None
            }
        }
    }
}

/// The name, if the text is exactly one placeholder.
fn whole(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    (!name.contains(['}', '$'])).then_some(name)
}

/// A variable that is a size or a duration, as its place wants it.
fn quantity(text: &str, context: Context, position: &Position) -> Option<String> {
    match Quantity::parse(text)? {
        Quantity::Number(_) | Quantity::Ratio(_) => None,
        Quantity::Duration(_) | Quantity::Size(_) if context == Context::Condition => None,
        Quantity::Duration(duration) if context == Context::Query && position.brackets > 0 => {
            Some(match duration.subsec_millis() {
                0 => format!("{}s", duration.as_secs()),
                _ => format!("{}ms", duration.as_millis()),
            })
        }
        quantity => Some(quantity.plain().to_string()),
    }
}

/// Text within the quotes of a query cannot end them.
fn escaped(text: &str, position: &Position) -> String {
    match position.quote {
        Some('"' | '\'') => text
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\'', "\\'"),
        _ => text.to_owned(),
    }
}

/// Where in a query we are: within quotes, within the brackets of a range.
#[derive(Default)]
struct Position {
    quote: Option<char>,
    escaped: bool,
    brackets: u32,
}

// === impl Position ===

impl Position {
    fn pass(&mut self, text: &str) {
        for c in text.chars() {
            match self.quote {
                Some(_) if self.escaped => self.escaped = false,
                Some(quote) if c == '\\' && quote != '`' => self.escaped = true,
                Some(quote) if c == quote => self.quote = None,
                Some(_) => {}
                None => match c {
                    '"' | '\'' | '`' => self.quote = Some(c),
                    '[' => self.brackets += 1,
                    ']' => self.brackets = self.brackets.saturating_sub(1),
                    _ => {}
                },
            }
        }
    }
}
