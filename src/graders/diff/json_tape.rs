//! JSON text (RFC 8259), checked and indexed in one pass. Values stay where they are in the text, so that 50 MB of
//! small numbers need no tree of them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::escape::quoted;
use super::items::Place;
use super::json_parser::{Node, Parser, in_32_bits, string_end, unescaped};

/// What is wrong with a text that should be JSON.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Malformed {
    reason: String,
    place: Place,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.reason, self.place)
    }
}

/// A JSON document. A node is the number of a value or a key in the order of the text; an object's keys are each
/// followed by their value.
pub(super) struct Tape<'t> {
    text: &'t str,
    nodes: Vec<Node>,
    /// The keys of each object that has more than [`FEW`] of them.
    tables: HashMap<usize, KeyTable>,
}

/// The keys of one object, to be found by name.
struct KeyTable {
    hasher: RandomState,
    keys: HashTable<u32>,
}

/// An object with no more keys than this is searched rather than indexed.
const FEW: usize = 8;

/// What kind of value a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

impl<'t> Tape<'t> {
    /// Checks and indexes a document. Two equal keys in one object are refused: readers differ in which one they take.
    pub(super) fn parse(text: &'t [u8]) -> Result<Self, Malformed> {
        let malformed = |reason: String, at: usize| Malformed {
            reason,
            place: Place::of(text, at),
        };
        let valid = std::str::from_utf8(text)
            .map_err(|error| malformed("bytes that are not UTF-8".to_owned(), error.valid_up_to()))?;
        let mut parser = Parser::new(text);
        parser
            .document()
            .map_err(|wrong| malformed(wrong.to_owned(), parser.at.min(text.len())))?;
        let mut tape = Self {
            text: valid,
            nodes: parser.nodes,
            tables: HashMap::new(),
        };
        match tape.index_keys() {
            Ok(()) => Ok(tape),
            Err(key) => {
                let reason = format!(
                    "the key {} twice in one object",
                    quoted(tape.raw(key).as_bytes(), 60)
                );
                Err(malformed(reason, tape.start(key)))
            }
        }
    }

    /// How many values and keys there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// How many nodes there are in `node`, itself included.
    pub(super) fn size(&self, node: usize) -> usize {
        self.next(node) - node
    }

    pub(super) fn next(&self, node: usize) -> usize {
        self.nodes[node].next as usize
    }

    pub(super) fn start(&self, node: usize) -> usize {
        self.nodes[node].start as usize
    }

    pub(super) fn kind(&self, node: usize) -> Kind {
        match self.text.as_bytes()[self.start(node)] {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b't' | b'f' => Kind::Boolean,
            b'n' => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// The text of a scalar or a key.
    pub(super) fn raw(&self, node: usize) -> &'t str {
        let rest = &self.text[self.start(node)..];
        let bytes = rest.as_bytes();
        let end = match bytes[0] {
            b'"' => string_end(bytes),
            _ => bytes
                .iter()
                .position(|byte| !matches!(byte, b'+' | b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E'))
                .unwrap_or(bytes.len()),
        };
        &rest[..end]
    }

    /// The text of a value, or of a key with its value, as far as a person may want to see it.
    pub(super) fn source(&self, node: usize) -> Cow<'t, [u8]> {
        let is_key = self.kind(node) == Kind::String && self.size(node) > 1;
        if is_key {
            let key = self.raw(node).as_bytes();
            return Cow::Owned([key, b": ", &*self.source(node + 1)].concat());
        }
        match self.kind(node) {
            Kind::Array | Kind::Object => {
                let rest = &self.text.as_bytes()[self.start(node)..];
                Cow::Borrowed(&rest[..container_end(rest)])
            }
            Kind::Null | Kind::Boolean | Kind::Number | Kind::String => {
                Cow::Borrowed(self.raw(node).as_bytes())
            }
        }
    }

    /// The values in an array, or the keys of an object. The value of a key is the node after it, and belongs to it.
    pub(super) fn children(&self, parent: usize) -> impl Iterator<Item = usize> {
        let end = self.next(parent);
        let mut node = parent + 1;
        std::iter::from_fn(move || {
            let here = (node < end).then_some(node)?;
            node = self.next(here);
            Some(here)
        })
    }

    /// The characters that a string or key stands for.
    pub(super) fn string(&self, node: usize) -> Cow<'t, str> {
        let raw = self.raw(node);
        let inner = &raw[1..raw.len() - 1];
        if inner.contains('\\') {
            Cow::Owned(unescaped(inner))
        } else {
            Cow::Borrowed(inner)
        }
    }

    /// Whether two strings or keys stand for the same characters, however they are written.
    pub(super) fn same_string(&self, node: usize, other: &Tape<'_>, other_node: usize) -> bool {
        self.raw(node) == other.raw(other_node) || self.string(node) == other.string(other_node)
    }

    /// The key of an object that stands for `name`.
    pub(super) fn find_key(&self, object: usize, name: &str) -> Option<usize> {
        match self.tables.get(&object) {
            Some(table) => {
                let is_name = |key: &u32| self.string(*key as usize) == name;
                table
                    .keys
                    .find(table.hasher.hash_one(name), is_name)
                    .map(|key| *key as usize)
            }
            None => self.children(object).find(|key| self.string(*key) == name),
        }
    }

    /// Makes the tables of keys; an error is a key that its object has twice.
    fn index_keys(&mut self) -> Result<(), usize> {
        for object in 0..self.len() {
            if self.kind(object) != Kind::Object {
                continue;
            }
            if self.children(object).nth(FEW).is_some() {
                let table = self.table_of(object)?;
                self.tables.insert(object, table);
                continue;
            }
            for (index, key) in self.children(object).enumerate() {
                if self
                    .children(object)
                    .take(index)
                    .any(|before| self.same_string(key, self, before))
                {
                    return Err(key);
                }
            }
        }
        Ok(())
    }

    fn table_of(&self, object: usize) -> Result<KeyTable, usize> {
        let hasher = RandomState::new();
        let mut keys = HashTable::with_capacity(self.children(object).count());
        for key in self.children(object) {
            let name = self.string(key);
            let is_same = |other: &u32| self.string(*other as usize) == name;
            let rehash = |other: &u32| hasher.hash_one(&*self.string(*other as usize));
            match keys.entry(hasher.hash_one(&*name), is_same, rehash) {
                Entry::Occupied(_) => return Err(key),
                Entry::Vacant(place) => place.insert(in_32_bits(key)),
            };
        }
        Ok(KeyTable { hasher, keys })
    }
}

/// The length of the array or object that `text` starts with, if it is short; otherwise that of its beginning.
fn container_end(text: &[u8]) -> usize {
    const SHORT: usize = 2048;
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len().min(SHORT) {
        match text[at] {
            b'"' => at += string_end(&text[at..]) - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrong(text: &str) -> String {
        Tape::parse(text.as_bytes())
            .err()
            .map_or("fine".to_owned(), |wrong| wrong.to_string())
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        insta::assert_snapshot!(wrong("{\"a\": 1,\n \"b\": }"), @"no JSON value at line 2, column 7");
        insta::assert_snapshot!(wrong("[1 2]"), @"neither a comma nor the end of the array at line 1, column 4");
        insta::assert_snapshot!(wrong("[1"), @"neither a comma nor the end of the array at line 1, column 3");
        insta::assert_snapshot!(wrong("{} x"), @"text after the JSON value at line 1, column 4");
        insta::assert_snapshot!(wrong(""), @"no JSON value at line 1, column 1");
        insta::assert_snapshot!(wrong("\"\\ud800\""), @"half of a surrogate pair in a string at line 1, column 2");
        insta::assert_snapshot!(wrong(r#"{"a":1,"\u0061":2}"#), @r#"the key `"\\u0061"` twice in one object at line 1, column 8"#);
    }

    #[test]
    fn a_duplicate_is_found_among_many_keys_too() {
        let keys = (0..20).map(|key| format!("\"{key}\":0,")).collect::<String>();
        assert_eq!(wrong(&format!("{{{keys}\"x\":0}}")), "fine");
        assert!(wrong(&format!("{{{keys}\"7\":0}}")).contains("twice"));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(wrong(&nested(128)), "fine");
        assert!(wrong(&nested(129)).contains("nested"));
        assert!(wrong(&"[".repeat(1_000_000)).contains("nested"));
        assert!(wrong(&"{\"a\":".repeat(1_000_000)).contains("nested"));
    }

    #[test]
    fn strings_are_read_as_what_they_stand_for() {
        let text = br#"["\u00e9\ud83d\ude00\n\/\"\\", "plain"]"#;
        let tape = Tape::parse(text).unwrap();
        assert_eq!(tape.string(1), "é😀\n/\"\\");
        assert_eq!(tape.string(2), "plain");
        assert_eq!(tape.children(0).count(), 2);
    }

    proptest! {
        #[test]
        fn what_is_json_is_what_the_usual_reader_says(text in r#"[\[\]{},:"\\0-9.eE+\-truefalsn u]{0,12}"#) {
            let usual = serde_json::from_str::<serde_json::Value>(&text);
            let ours = Tape::parse(text.as_bytes());
            match (usual, ours) {
                (Ok(_), Err(wrong)) => prop_assert!(wrong.to_string().contains("twice"), "{text} {wrong}"),
                // Numbers beyond the floats are numbers to us.
                (Err(error), Ok(_)) => prop_assert!(error.to_string().contains("out of range"), "{text} {error}"),
                _ => {}
            }
        }

        #[test]
        fn any_bytes_get_an_answer(text: Vec<u8>) {
            let _ = Tape::parse(&text);
        }
    }
}
