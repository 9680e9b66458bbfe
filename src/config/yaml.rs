//! YAML 1.2 to a tree in which every node knows its place. The one file that knows the parser.
//!
//! The tree is small and our own, so that readers can go on after a fault and report all of them.
//! Refused: duplicate keys, merge keys (`<<`), keys that are not scalars, tags other than `!!str`, and
//! aliases or sizes beyond a budget (a few lines of aliases can stand for billions of nodes).

use std::collections::{BTreeMap, HashMap};

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StructureStyle};

use super::sink::{Note, Place, Sink};

/// Nodes in all files together: some 10 000 tenants with overrides of their own.
pub(super) const NODES_MAX: usize = 1_000_000;
/// Aliases in one file: anchors are for people, not for compression.
const ALIASES_MAX: usize = 1_000;
/// Depth of nesting; the deepest key this program knows is at ten.
const DEPTH_MAX: usize = 32;

/// A node and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// The scalar, or the begin of the collection.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// `null`, `~`, or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping.
    Map(Map),
    /// Something whose fault is already reported: readers take it for right.
    Unknown,
}

/// A mapping in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Map {
    /// Its entries; no key twice.
    pub entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// The key as written.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// The value.
    pub value: Node,
}

// === impl Node ===

impl Node {
    /// An empty mapping that stands somewhere.
    pub(super) fn empty(place: Place) -> Self {
        Self {
            place,
            kind: Kind::Map(Map::default()),
        }
    }

    /// The mapping, if it is one.
    pub(super) fn map(&self) -> Option<&Map> {
        match &self.kind {
            Kind::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The value of a key, if this is a mapping with it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.map()?.get(key).map(|entry| &entry.value)
    }

    /// What it is, for people.
    pub(super) fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Int(_) | Kind::Float(_) => "a number",
            Kind::Text(_) => "text",
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a mapping",
            Kind::Unknown => "something unknown",
        }
    }

    fn depth(&self) -> usize {
        let below = match &self.kind {
            Kind::Seq(items) => items.iter().map(Self::depth).max(),
            Kind::Map(map) => map.entries.iter().map(|entry| entry.value.depth()).max(),
            _ => None,
        };
        1 + below.unwrap_or(0)
    }

    fn count(&self) -> usize {
        match &self.kind {
            Kind::Seq(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            Kind::Map(map) => 1 + map.entries.iter().map(|e| e.value.count()).sum::<usize>(),
            _ => 1,
        }
    }
}

// === impl Map ===

impl Map {
    /// The entry of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, key: &str) {
        self.entries.retain(|entry| entry.key != key);
    }

    /// Puts an entry in, in place of the one with the same key.
    pub(super) fn put(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|old| old.key == entry.key) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }
}

/// Reads the documents of one file. A fault of syntax is noted and gives no document at all.
pub(super) fn parse(text: &str, file: u32, nodes: &mut usize, sink: &Sink) -> Vec<Node> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.block_nesting_limit = DEPTH_MAX;
    options.flow_nesting_limit = DEPTH_MAX;
    let mut builder = Builder {
        file,
        sink,
        nodes,
        aliases: 0,
        anchors: HashMap::new(),
        stack: Vec::new(),
        documents: Vec::new(),
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                let mark = error.marker();
                let place = builder.place(mark.line(), mark.col(), 1);
                Err(refused(
                    "yaml",
                    place,
                    format!("not YAML: {}", error.info()),
                ))
            }
        };
        if let Err(note) = step {
            sink.note(*note);
            sink.incomplete();
            return Vec::new();
        }
    }
    builder.documents
}

/// A collection that is still open.
enum Frame {
    Seq {
        place: Place,
        anchor: usize,
        items: Vec<Node>,
    },
    Map {
        place: Place,
        anchor: usize,
        map: Map,
        seen: BTreeMap<String, Place>,
        key: Option<Key>,
    },
}

enum Key {
    Take(String, Place),
    /// The key is refused; its value is read and forgotten.
    Forget,
}

struct Builder<'a> {
    file: u32,
    sink: &'a Sink,
    nodes: &'a mut usize,
    aliases: usize,
    anchors: HashMap<usize, Node>,
    stack: Vec<Frame>,
    documents: Vec<Node>,
}

// === impl Builder ===

impl Builder<'_> {
    fn place(&self, line: usize, column: usize, length: usize) -> Place {
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Place {
            file: self.file,
            line: narrow(line),
            column: narrow(column + 1),
            length: narrow(length.max(1)),
        }
    }

    fn spanned(&self, span: &Span) -> Place {
        let length = if span.start.line() == span.end.line() {
            span.end.col().saturating_sub(span.start.col())
        } else {
            1
        };
        self.place(span.start.line(), span.start.col(), length)
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Note>> {
        let place = self.spanned(&span);
        if let Some(tag) = event.tag()
            && !tag.is_yaml_core_schema_tag("str")
        {
            return Err(refused(
                "yaml",
                place,
                "tags other than !!str have no meaning here",
            ));
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if self.awaits_key() {
                    self.key(text.into_owned(), style, place);
                    return Ok(());
                }
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let kind = if plain {
                    scalar(&text)
                } else {
                    Kind::Text(text.into_owned())
                };
                self.finish(Node { place, kind }, anchor)
            }
            Event::SequenceStart(style, anchor, _) => {
                self.begin(place);
                let place = opening(place, style);
                self.stack.push(Frame::Seq {
                    place,
                    anchor,
                    items: Vec::new(),
                });
                Ok(())
            }
            Event::MappingStart(style, anchor, _) => {
                self.begin(place);
                let place = opening(place, style);
                let (map, seen) = (Map::default(), BTreeMap::new());
                self.stack.push(Frame::Map {
                    place,
                    anchor,
                    map,
                    seen,
                    key: None,
                });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(id) => self.alias(id, place),
            _ => Ok(()),
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame::Map { key: None, .. }))
    }

    fn key(&mut self, text: String, style: ScalarStyle, place: Place) {
        let Some(Frame::Map { seen, key, .. }) = self.stack.last_mut() else {
            return;
        };
        if text == "<<" && style == ScalarStyle::Plain {
            let note = Note::fault("merge-key", place, "merge keys (`<<`) are not taken");
            self.sink.note(note.hint("use a plan and `extends`"));
            *key = Some(Key::Forget);
        } else if let Some(first) = seen.get(&text) {
            let note = Note::fault(
                "duplicate-key",
                place,
                format!("the key `{text}` stands twice"),
            );
            self.sink.note(note.also(*first, "first here"));
            *key = Some(Key::Forget);
        } else {
            seen.insert(text.clone(), place);
            *key = Some(Key::Take(text, place));
        }
    }

    /// A collection or an alias where a key should stand is refused, and its value with it.
    fn begin(&mut self, place: Place) {
        if self.awaits_key() {
            self.sink.note(Note::fault(
                "yaml",
                place,
                "a key is a word, not a collection or an alias",
            ));
        }
    }

    fn end(&mut self) -> Result<(), Box<Note>> {
        match self.stack.pop() {
            Some(Frame::Seq {
                place,
                anchor,
                items,
            }) => {
                let kind = Kind::Seq(items);
                self.finish(Node { place, kind }, anchor)
            }
            Some(Frame::Map {
                place, anchor, map, ..
            }) => {
                let kind = Kind::Map(map);
                self.finish(Node { place, kind }, anchor)
            }
            None => Ok(()),
        }
    }

    fn alias(&mut self, id: usize, place: Place) -> Result<(), Box<Note>> {
        self.begin(place);
        self.aliases += 1;
        if self.aliases > ALIASES_MAX {
            let message = format!("more than {ALIASES_MAX} aliases in one file");
            return Err(refused("too-large", place, message));
        }
        let Some(target) = self.anchors.get(&id) else {
            return Err(refused(
                "yaml",
                place,
                "an alias cannot stand inside its own anchor",
            ));
        };
        // The parser limits the depth that is written; aliases in aliases would go around that.
        if self.stack.len() + target.depth() > DEPTH_MAX {
            let message = format!("aliases nest deeper than {DEPTH_MAX}");
            return Err(refused("too-large", place, message));
        }
        let count = target.count();
        *self.nodes += count - 1;
        self.afford(place)?;
        let node = Node {
            place,
            kind: target.kind.clone(),
        };
        self.finish(node, 0)
    }

    fn afford(&self, place: Place) -> Result<(), Box<Note>> {
        if *self.nodes <= NODES_MAX {
            return Ok(());
        }
        let message = format!("the configuration has more than {NODES_MAX} values");
        Err(refused("too-large", place, message))
    }

    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Box<Note>> {
        *self.nodes += 1;
        self.afford(node.place)?;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.documents.push(node),
            Some(Frame::Seq { items, .. }) => items.push(node),
            Some(Frame::Map { map, key, .. }) => match key.take() {
                Some(Key::Take(name, place)) => {
                    map.entries.push(Entry {
                        key: name,
                        place,
                        value: node,
                    });
                }
                Some(Key::Forget) => {}
                None => *key = Some(Key::Forget),
            },
        }
        Ok(())
    }
}

fn refused(code: &'static str, place: Place, message: impl Into<String>) -> Box<Note> {
    Box::new(Note::fault(code, place, message))
}

fn opening(place: Place, style: StructureStyle) -> Place {
    match style {
        StructureStyle::Flow => Place { length: 1, ..place },
        StructureStyle::Block => place,
    }
}

/// The core schema of YAML 1.2: `no` is text, `0o17` is fifteen.
fn scalar(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        _ => {}
    }
    let whole = if let Some(octal) = text.strip_prefix("0o") {
        i64::from_str_radix(octal, 8).ok()
    } else if let Some(hexadecimal) = text.strip_prefix("0x") {
        i64::from_str_radix(hexadecimal, 16).ok()
    } else {
        text.parse().ok()
    };
    if let Some(whole) = whole {
        return Kind::Int(whole);
    }
    let digits = text.trim_start_matches(['-', '+']);
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit())
        && digits
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'));
    match text.parse::<f64>() {
        Ok(number) if numeric && number.is_finite() => Kind::Float(number),
        _ => Kind::Text(text.to_owned()),
    }
}
