//! Deserialization of a config from a YAML tree, with the path of the key in every error.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::nearest;
use super::tree::{Entry, Node, Value, shorten};

/// A key or value that a config cannot have.
#[derive(Debug)]
pub(super) struct Problem {
    /// Keys and list indices that lead to the value, innermost first.
    reversed_path: Vec<String>,
    pub(super) line: Option<u64>,
    pub(super) kind: ProblemKind,
}

#[derive(Debug)]
pub(super) enum ProblemKind {
    UnknownKey {
        nearest: Option<String>,
        allowed: &'static [&'static str],
    },
    MissingKey,
    Value {
        found: Option<String>,
        allowed: String,
    },
}

impl Problem {
    fn new(kind: ProblemKind) -> Self {
        Self {
            reversed_path: Vec::new(),
            line: None,
            kind,
        }
    }

    fn value(node: &Node, allowed: impl Into<String>) -> Self {
        Self::new(ProblemKind::Value {
            found: None,
            allowed: allowed.into(),
        })
        .at(node)
    }

    /// Adds the line and the value, unless an inner node has added them.
    fn at(mut self, node: &Node) -> Self {
        self.line.get_or_insert(node.line);
        if let ProblemKind::Value { found, .. } = &mut self.kind {
            found.get_or_insert_with(|| node.to_string());
        }
        self
    }

    fn within(mut self, key: impl Into<String>) -> Self {
        self.reversed_path.push(key.into());
        self
    }

    /// Returns the keys and indices that lead to the value.
    pub(super) fn path(&self) -> Vec<String> {
        self.reversed_path.iter().rev().cloned().collect()
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(ProblemKind::Value {
            found: None,
            allowed: message.to_string(),
        })
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(expected)
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(expected)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(one_of(expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(ProblemKind::MissingKey).within(field)
    }
}

/// Lists names as in `a, b or c`.
fn one_of(names: &[&str]) -> String {
    match names {
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        names => names.concat(),
    }
}

/// Deserializes a node. The methods check the type themselves, so that errors describe the allowed
/// values in terms of the YAML file.
impl<'de> de::Deserializer<'de> for &'de Node {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::String(value) => visitor.visit_borrowed_str(value),
            Value::Sequence(_) => return self.deserialize_seq(visitor),
            Value::Mapping(_) => return self.deserialize_map(visitor),
        }
        .map_err(|error: Problem| error.at(self))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.value {
            Value::Bool(_) => self.deserialize_any(visitor),
            _ => Err(Problem::value(self, "true or false")),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.value {
            Value::Unsigned(_) => self.deserialize_any(visitor),
            _ => Err(Problem::value(self, "a whole number, such as 512")),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.value {
            Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) => {
                self.deserialize_any(visitor)
            }
            _ => Err(Problem::value(self, "a number, such as 12.5")),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.value {
            Value::String(_) => self.deserialize_any(visitor),
            _ => Err(Problem::value(
                self,
                "a string; quote it if it looks like a number",
            )),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let Value::Sequence(items) = &self.value else {
            return Err(Problem::value(self, "a list, such as [6, 5, 4]"));
        };
        visitor.visit_seq(Items(items.iter().enumerate()))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.value {
            Value::Mapping(entries) => visitor.visit_map(Entries {
                entries: entries.iter(),
                current: None,
            }),
            _ => Err(Problem::value(self, "a section with keys and values")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let Value::Mapping(entries) = &self.value else {
            let allowed = format!("a section with the keys {}", fields.join(", "));
            return Err(Problem::value(self, allowed));
        };
        // Before any value is read: a misspelled key should not be reported as missing.
        let unknown = entries
            .iter()
            .find(|entry| !fields.contains(&entry.key.as_str()));
        if let Some(entry) = unknown {
            let mut problem = Problem::new(ProblemKind::UnknownKey {
                nearest: nearest(&entry.key, fields.iter().copied()),
                allowed: fields,
            });
            problem.line = Some(entry.line);
            return Err(problem.within(shorten(&entry.key)));
        }
        self.deserialize_map(visitor)
            .map_err(|error| error.at(self))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match &self.value {
            Value::String(name) => visitor
                .visit_enum(name.as_str().into_deserializer())
                .map_err(|error: Problem| error.at(self)),
            _ => Err(Problem::value(self, one_of(variants))),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 char str bytes byte_buf unit unit_struct newtype_struct
        tuple tuple_struct identifier ignored_any
    }
}

/// The items of a list.
struct Items<'de>(std::iter::Enumerate<std::slice::Iter<'de, Node>>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Problem;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Problem> {
        let Some((index, node)) = self.0.next() else {
            return Ok(None);
        };
        seed.deserialize(node)
            .map(Some)
            .map_err(|error: Problem| error.within(index.to_string()))
    }
}

/// The entries of a mapping.
struct Entries<'de> {
    entries: std::slice::Iter<'de, Entry>,
    current: Option<&'de Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Problem> {
        self.current = self.entries.next();
        let Some(entry) = self.current else {
            return Ok(None);
        };
        let key = BorrowedStrDeserializer::new(&entry.key);
        seed.deserialize(key)
            .map(Some)
            .map_err(|mut error: Problem| {
                error.line.get_or_insert(entry.line);
                // Only characters are restricted: the keys of sections are checked before.
                error.kind = ProblemKind::Value {
                    found: Some(format!("the key \"{}\"", shorten(&entry.key))),
                    allowed: "a single character in quotes, as in `'“': ''`".to_owned(),
                };
                error.within(shorten(&entry.key))
            })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Problem> {
        let entry = self.current.ok_or_else(|| de::Error::custom("a key"))?;
        seed.deserialize(&entry.value)
            .map_err(|error: Problem| error.within(shorten(&entry.key)))
    }
}
