//! Reading the keys of one section of a config, each as the kind of value it must be.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::yaml::{Entry, Node, Value, shorten};
use crate::config::{Dtype, FlowType, PadMode, nearest};
use crate::error::{Error, Result};
use crate::text::TokenizerFormat;

/// A kind of value: how it is read, and what to say when something else is found.
#[derive(Clone, Copy)]
pub(super) struct Kind<T> {
    allowed: &'static str,
    read: fn(&Node) -> Option<T>,
}

/// A count or size; what is too small or too large is found when the config is validated.
pub(super) const WHOLE: Kind<usize> = Kind {
    allowed: "a whole number, such as 512",
    read: whole,
};
/// A list of counts or sizes.
pub(super) const WHOLES: Kind<Vec<usize>> = Kind {
    allowed: "a list of whole numbers, such as [6, 5, 4]",
    read: |node| match &node.value {
        Value::Sequence(items) => items.iter().map(|item| whole(item)).collect(),
        _ => None,
    },
};
/// A number with or without a fraction.
pub(super) const NUMBER: Kind<f64> = Kind {
    allowed: "a number, such as 12.5",
    read: |node| number(plain(node)?),
};
/// Yes or no, with the words that YAML 1.1 has for it.
pub(super) const FLAG: Kind<bool> = Kind {
    allowed: "true or false",
    read: |node| flag(plain(node)?),
};
/// What each of some characters is written as.
pub(super) const CHARACTERS: Kind<BTreeMap<char, String>> = Kind {
    allowed: "a section whose keys are single characters and whose values are texts; quote both, as in `'“': ''`",
    read: characters,
};
/// The number format.
pub(super) const DTYPE: Kind<Dtype> = Kind {
    allowed: "float32, the only one the reference can speak with (the weights may be f32, f16 or bf16 all the same)",
    read: |node| (text(node)? == "float32").then_some(Dtype::Float32),
};
/// The flow head's way of making a latent.
pub(super) const TYPE: Kind<FlowType> = Kind {
    allowed: "lsd, flow_matching, drifting or pointwise",
    read: |node| match text(node)? {
        "lsd" => Some(FlowType::Lsd),
        "flow_matching" => Some(FlowType::FlowMatching),
        "drifting" => Some(FlowType::Drifting),
        "pointwise" => Some(FlowType::Pointwise),
        _ => None,
    },
};
/// The tokenizer's file format.
pub(super) const TOKENIZER: Kind<TokenizerFormat> = Kind {
    allowed: "sentencepiece, or tokenizers (json is the same)",
    read: |node| match text(node)? {
        "sentencepiece" => Some(TokenizerFormat::SentencePiece),
        "tokenizers" | "json" => Some(TokenizerFormat::Tokenizers),
        _ => None,
    },
};
/// The padding of convolutions.
pub(super) const PAD_MODE: Kind<PadMode> = Kind {
    allowed: "constant or replicate",
    read: |node| match text(node)? {
        "constant" => Some(PadMode::Constant),
        "replicate" => Some(PadMode::Replicate),
        _ => None,
    },
};

fn plain(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, plain: true } => Some(text),
        _ => None,
    }
}

fn whole(node: &Node) -> Option<usize> {
    let text = plain(node)?;
    // `parse` would also take `+5`, which YAML has as a number too; both mean the same.
    text.parse().ok()
}

fn number(text: &str) -> Option<f64> {
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" => Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        // Rust also reads `inf`, `nan` and `infinity`, which are texts in YAML.
        _ if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
            && text.contains(|c: char| c.is_ascii_digit()) =>
        {
            text.parse().ok()
        }
        _ => None,
    }
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn is_null(node: &Node) -> bool {
    plain(node).is_some_and(|text| matches!(text, "" | "~" | "null" | "Null" | "NULL"))
}

/// A quoted scalar, or a plain one that is nothing else.
fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, plain } => (!plain
            || (!is_null(node) && number(text).is_none() && flag(text).is_none()))
        .then_some(text),
        _ => None,
    }
}

fn characters(node: &Node) -> Option<BTreeMap<char, String>> {
    let Value::Mapping(entries) = &node.value else {
        return None;
    };
    entries
        .iter()
        .map(|Entry { key, value }| {
            let mut chars = key.chars();
            let (character, None) = (chars.next()?, chars.next()) else {
                return None;
            };
            Some((character, text(value)?.to_owned()))
        })
        .collect()
}

/// What a node holds, for an error message.
fn describe(node: &Node) -> String {
    match &node.value {
        _ if is_null(node) => "empty".to_owned(),
        Value::Scalar { text, plain: true } => shorten(text),
        Value::Scalar { text, plain: false } => format!("the text \"{}\"", shorten(text)),
        Value::Sequence(items) if items.len() <= 8 => {
            let items: Vec<_> = items.iter().map(|item| describe(item)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Sequence(items) => format!("a list of {}", items.len()),
        Value::Mapping(entries) => {
            let keys: Vec<_> = entries
                .iter()
                .take(8)
                .map(|entry| entry.key.as_str())
                .collect();
            format!("a section with the keys {}", shorten(&keys.join(", ")))
        }
    }
}

/// A section of which every key is known.
pub(super) struct Section<'a> {
    file: &'a Path,
    /// Keys that lead here, with a dot after each.
    path: String,
    entries: &'a [Entry],
    known: &'static [&'static str],
}

impl<'a> Section<'a> {
    /// The file as a whole; paths in it are relative to `base`.
    pub(super) fn root(
        file: &'a Path,
        node: &'a Node,
        known: &'static [&'static str],
    ) -> Result<Self> {
        let Value::Mapping(entries) = &node.value else {
            return Err(Error::ConfigSyntax {
                file: file.to_owned(),
                line: Some(node.line),
                problem: format!(
                    "{} stands where a config starts with `flow_lm:` and `mimi:`",
                    describe(node)
                ),
            });
        };
        Self {
            file,
            path: String::new(),
            entries,
            known,
        }
        .checked()
    }

    /// Refuses unknown keys, before any is read: a misspelled key should not be reported as missing.
    fn checked(self) -> Result<Self> {
        match self
            .entries
            .iter()
            .find(|entry| !self.known.contains(&entry.key.as_str()))
        {
            None => Ok(self),
            Some(unknown) => Err(Error::ConfigUnknownKey {
                file: self.file.to_owned(),
                key: format!("{}{}", self.path, shorten(&unknown.key)),
                nearest: nearest(&unknown.key, self.known.iter().copied()),
                allowed: self.known.iter().map(|&key| key.to_owned()).collect(),
            }),
        }
    }

    fn find(&self, key: &str) -> Option<&'a Node> {
        debug_assert!(
            self.known.contains(&key),
            "`{key}` is read but not among the known keys"
        );
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &*entry.value)
    }

    fn find_not_null(&self, key: &str) -> Option<&'a Node> {
        self.find(key).filter(|node| !is_null(node))
    }

    fn missing(&self, key: &str, allowed: &str) -> Error {
        Error::ConfigMissingKey {
            file: self.file.to_owned(),
            key: format!("{}{key}", self.path),
            allowed: allowed.to_owned(),
        }
    }

    fn wrong(&self, key: &str, found: String, allowed: &str) -> Error {
        Error::ConfigValue {
            file: self.file.to_owned(),
            key: format!("{}{key}", self.path),
            found,
            allowed: allowed.to_owned(),
        }
    }

    fn read<T>(&self, key: &str, node: &Node, kind: Kind<T>) -> Result<T> {
        (kind.read)(node).ok_or_else(|| self.wrong(key, describe(node), kind.allowed))
    }

    /// A key that must be there.
    pub(super) fn required<T>(&self, key: &str, kind: Kind<T>) -> Result<T> {
        self.read(
            key,
            self.find(key)
                .ok_or_else(|| self.missing(key, kind.allowed))?,
            kind,
        )
    }

    /// A key that may be absent or empty.
    pub(super) fn optional<T>(&self, key: &str, kind: Kind<T>) -> Result<Option<T>> {
        self.find_not_null(key)
            .map(|node| self.read(key, node, kind))
            .transpose()
    }

    /// A key with a default.
    pub(super) fn default<T>(&self, key: &str, kind: Kind<T>, default: T) -> Result<T> {
        self.find(key)
            .map_or(Ok(default), |node| self.read(key, node, kind))
    }

    /// A section that must be there.
    pub(super) fn section(&self, key: &str, known: &'static [&'static str]) -> Result<Self> {
        let node = self
            .find(key)
            .ok_or_else(|| self.missing(key, &expected(known)))?;
        self.enter(key, node, known)
    }

    /// A section that may be absent or empty.
    pub(super) fn optional_section(
        &self,
        key: &str,
        known: &'static [&'static str],
    ) -> Result<Option<Self>> {
        self.find_not_null(key)
            .map(|node| self.enter(key, node, known))
            .transpose()
    }

    fn enter(&self, key: &str, node: &'a Node, known: &'static [&'static str]) -> Result<Self> {
        let Value::Mapping(entries) = &node.value else {
            return Err(self.wrong(key, describe(node), &expected(known)));
        };
        Self {
            file: self.file,
            path: format!("{}{key}.", self.path),
            entries,
            known,
        }
        .checked()
    }

    /// A string that must be there.
    pub(super) fn text(&self, key: &str) -> Result<String> {
        self.required(key, TEXT)
    }

    /// A string that may be absent or empty.
    pub(super) fn optional_text(&self, key: &str) -> Result<Option<String>> {
        self.optional(key, TEXT)
    }
}

const TEXT: Kind<String> = Kind {
    allowed: "the location of a file",
    read: |node| text(node).map(str::to_owned),
};

fn expected(known: &[&str]) -> String {
    format!("a section with the keys {}", known.join(", "))
}
