//! A YAML document as a tree of values with line numbers.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error, MergeKeyPolicy, NonFiniteFloatPolicy, Spanned, UserMessageFormatter};
use serde_saphyr::{MessageFormatter, from_str_with_options};

/// Deepest allowed nesting. Sections of a config nest three deep, and lists one deeper.
const MAX_DEPTH: usize = 16;
/// Maximum number of YAML events that aliases may repeat. The configs of the fixtures repeat five.
const MAX_REPEATED_EVENTS: usize = 10_000;

/// A value and the line on which it starts.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    String(String),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A key, the line on which it stands, and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) line: u64,
    pub(super) key: String,
    pub(super) value: Node,
}

/// A syntax error and the line on which it occurred.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) line: Option<u64>,
    pub(super) message: String,
}

/// Parses a text with one document.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPEATED_EVENTS,
            max_replay_stack_depth: MAX_DEPTH,
        },
        merge_keys: MergeKeyPolicy::AsOrdinary,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        null_as_string: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    from_str_with_options::<Node>(text, options).map_err(|error| SyntaxError {
        line: error.location().map(|location| location.line()),
        message: message(&error),
    })
}

/// Longer than every key and number, and short enough for two lines of a terminal.
const LONGEST: usize = 120;

/// Returns an error's message without its location.
fn message(error: &Error) -> String {
    let error = match error {
        Error::AliasError { error, .. } => error,
        error => error,
    };
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key `{}` occurs twice", shorten(key))
        }
        Error::MultipleDocuments { .. } => {
            "a second document starts here; a config file contains one".to_owned()
        }
        Error::UnsupportedTag { tag, .. } => {
            format!("a config cannot contain the YAML tag `{}`", shorten(tag))
        }
        error => {
            // The library escapes what it quotes; only control characters could remain.
            let message = UserMessageFormatter.format_message(error);
            let printable = message.chars().filter(|c| !c.is_control());
            format!(
                "invalid YAML: {}",
                printable.take(LONGEST).collect::<String>()
            )
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::<Value>::deserialize(deserializer).map(Self::from)
    }
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        Self {
            line: spanned.referenced.line(),
            value: spanned.value,
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = items.next_element()? {
            nodes.push(node);
        }
        Ok(Value::Sequence(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = items.next_key::<Spanned<String>>()? {
            entries.push(Entry {
                line: key.referenced.line(),
                key: key.value,
                value: items.next_value()?,
            });
        }
        Ok(Value::Mapping(entries))
    }
}

impl Node {
    /// Returns the node at a path of keys and indices, or its closest parent.
    pub(super) fn find(&self, path: &[String]) -> &Self {
        let Some((first, rest)) = path.split_first() else {
            return self;
        };
        let child = match &self.value {
            Value::Mapping(entries) => entries
                .iter()
                .find(|entry| entry.key == *first)
                .map(|entry| &entry.value),
            Value::Sequence(items) => first.parse().ok().and_then(|i: usize| items.get(i)),
            _ => None,
        };
        child.map_or(self, |child| child.find(rest))
    }

    /// Adds an empty value to the section at a path of keys, if there is one.
    pub(super) fn add_empty(&mut self, section: &[String], key: &str) {
        let Value::Mapping(entries) = &mut self.value else {
            return;
        };
        if let Some((first, rest)) = section.split_first() {
            if let Some(entry) = entries.iter_mut().find(|entry| entry.key == *first) {
                entry.value.add_empty(rest, key);
            }
            return;
        }
        entries.push(Entry {
            line: self.line,
            key: key.to_owned(),
            value: Self {
                line: self.line,
                value: Value::Null,
            },
        });
    }
}

/// The value, for error messages.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Longest list that is shown in full, and maximum number of keys shown for a section.
        const SHOWN: usize = 8;
        match &self.value {
            Value::Null => f.write_str("empty"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Unsigned(value) => write!(f, "{value}"),
            Value::Signed(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value:?}"),
            Value::String(text) => write!(f, "the string \"{}\"", shorten(text)),
            Value::Sequence(items) if items.len() <= SHOWN => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
            Value::Sequence(items) => write!(f, "a list of {} values", items.len()),
            Value::Mapping(entries) => {
                let keys = entries.iter().take(SHOWN).map(|entry| entry.key.as_str());
                let keys = keys.collect::<Vec<_>>().join(", ");
                write!(f, "a section with the keys {}", shorten(&keys))
            }
        }
    }
}

/// Returns the text escaped, and cut to a length that fits an error message.
pub(super) fn shorten(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars
        .by_ref()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    match chars.next() {
        Some(_) => start + "…",
        None => start,
    }
}
