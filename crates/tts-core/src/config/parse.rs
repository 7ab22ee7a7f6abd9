//! Parsing of configs.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::error::Position;
use super::read::{Problem, ProblemKind};
use super::tree::{Node, Value};
use super::{Config, ConfigError, tree};

/// Largest accepted config, thirty times the size of the largest released one.
const MAX_BYTES: usize = 64 << 10;

impl Config {
    /// Reads a config file.
    ///
    /// ```no_run
    /// use tts_core::config::Config;
    /// let config = Config::read("models/mine/config.yaml")?;
    /// println!("{} samples per second", config.mimi.sample_rate);
    /// # Ok::<(), tts_core::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::Read`] if the file cannot be opened or read, and the errors of [`Self::parse`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let read_error = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(read_error)?;
        // One byte over the limit distinguishes a file that is too large from one that just fits.
        file.take(MAX_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(read_error)?;
        if bytes.len() > MAX_BYTES {
            return Err(too_large(path));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let byte = error.utf8_error().valid_up_to() + 1;
            syntax(
                path,
                None,
                format!("byte {byte} is not valid UTF-8; a config file is YAML text in UTF-8"),
            )
        })?;
        Self::parse(&text, path)
    }

    /// Parses a config from YAML. Error messages use `name` as the file's name.
    ///
    /// # Errors
    ///
    /// The text is not a YAML mapping, has unknown or missing keys, or its values are not those of a
    /// valid model (see [`Self::validate`]).
    pub fn parse(yaml: &str, name: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let name = name.as_ref();
        if yaml.len() > MAX_BYTES {
            return Err(too_large(name));
        }
        let mut root =
            tree::parse(yaml).map_err(|error| syntax(name, error.line, error.message))?;
        match &root.value {
            Value::Mapping(_) => {}
            Value::Null => {
                let problem = "is empty; a config starts with `flow_lm:` and `mimi:`";
                return Err(syntax(name, None, problem));
            }
            _ => {
                let problem =
                    format!("found {root} where a config has `flow_lm:` and `mimi:` sections");
                return Err(syntax(name, Some(root.line), problem));
            }
        }
        let config = match Self::deserialize(&root) {
            Ok(config) => config,
            Err(problem) => return Err(explain(problem, name, &mut root)),
        };
        config.check().map_err(|error| ConfigError::Value {
            at: Position {
                file: name.to_owned(),
                line: Some(root.find(&error.path()).line),
            },
            key: error.key,
            found: error.found,
            allowed: error.allowed,
        })?;
        Ok(config)
    }
}

/// Converts a problem into an error with its position.
fn explain(problem: Problem, file: &Path, root: &mut Node) -> ConfigError {
    let path = problem.path();
    let at = Position {
        file: file.to_owned(),
        line: problem.line,
    };
    let key = path.join(".");
    match problem.kind {
        ProblemKind::UnknownKey { nearest, allowed } => ConfigError::UnknownKey {
            at,
            key,
            nearest,
            allowed: allowed.to_vec(),
        },
        ProblemKind::Value { found, allowed } => ConfigError::Value {
            at,
            key,
            found: found.unwrap_or_default(),
            allowed,
        },
        ProblemKind::MissingKey => ConfigError::MissingKey {
            at,
            key,
            allowed: allowed_at(&path, root),
        },
    }
}

/// Returns the values that a missing key allows: those that the error names when the key is empty.
fn allowed_at(path: &[String], root: &mut Node) -> String {
    let Some((key, section)) = path.split_last() else {
        return String::new();
    };
    root.add_empty(section, key);
    match Config::deserialize(&*root).map_err(|problem| problem.kind) {
        Err(ProblemKind::Value { allowed, .. }) => allowed,
        _ => "present".to_owned(),
    }
}

fn syntax(file: &Path, line: Option<u64>, problem: impl Into<String>) -> ConfigError {
    ConfigError::Syntax {
        at: Position {
            file: file.to_owned(),
            line,
        },
        problem: problem.into(),
    }
}

fn too_large(file: &Path) -> ConfigError {
    let problem = format!(
        "is larger than {} KiB; a config file is YAML text of a few hundred lines",
        MAX_BYTES >> 10
    );
    syntax(file, None, problem)
}
