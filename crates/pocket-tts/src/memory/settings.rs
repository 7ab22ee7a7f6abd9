//! What the environment says about memory.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tensor_pool::{Bytes, DEFAULT_MAX_POOL_SIZE};

use super::error::MemoryError;
use crate::error::Result;

/// The default limit in MB.
const MEMORY_LIMIT_MB: &str = "POCKET_TTS_MEMORY_LIMIT_MB";
/// Whether every session records.
const ENABLE_MEMORY_PROFILING: &str = "POCKET_TTS_ENABLE_MEMORY_PROFILING";
/// Idle tensors per shape, type and device.
const MEMORY_POOL_SIZE: &str = "POCKET_TTS_MEMORY_POOL_SIZE";

/// What [`init`](super::init) puts in force. The default changes nothing.
///
/// ```
/// use pocket_tts::memory::{Bytes, Settings};
///
/// let settings = Settings {
///     memory_limit: Some(Bytes::mib(500)),
///     ..Settings::default()
/// };
/// assert_eq!(settings.pool_size, 100);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The limit of counted bytes outside of any context; contexts can only lower it.
    #[serde(rename = "memory_limit_bytes", with = "super::bytes::optional")]
    pub memory_limit: Option<Bytes>,
    /// Whether to record what memory is used, and to write it to files at the end.
    pub profiling: bool,
    /// Most idle tensors that the process's pool keeps per shape, type and device; 0 turns pooling off.
    pub pool_size: usize,
    /// The folder of the recordings. It must exist.
    #[serde(with = "super::bytes::path")]
    pub profile_dir: PathBuf,
}

impl Default for Settings {
    /// No limit, no profiling, a pool of 100 idle tensors a key, the current folder.
    fn default() -> Self {
        Self {
            memory_limit: None,
            profiling: false,
            pool_size: DEFAULT_MAX_POOL_SIZE,
            profile_dir: PathBuf::from("."),
        }
    }
}

impl Settings {
    /// The default, with what these variables say:
    ///
    /// | variable | what it may hold |
    /// |---|---|
    /// | `POCKET_TTS_MEMORY_LIMIT_MB` | the limit in MB (of 1,048,576 bytes), a whole number from 1 |
    /// | `POCKET_TTS_ENABLE_MEMORY_PROFILING` | `1` or `0` |
    /// | `POCKET_TTS_MEMORY_POOL_SIZE` | idle tensors per shape, type and device, a whole number from 0 |
    ///
    /// An empty variable is as good as none.
    ///
    /// ```
    /// let settings = pocket_tts::memory::Settings::from_env()?;
    /// println!("{} idle tensors at most", settings.pool_size);
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MemoryError::Variable`] for a variable that holds something else.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// As [`Self::from_env`], with variables from somewhere else: for programs whose own options take
    /// the place of some.
    ///
    /// ```
    /// use pocket_tts::memory::Settings;
    ///
    /// let settings = Settings::from_variables(|name| match name {
    ///     "POCKET_TTS_MEMORY_POOL_SIZE" => Some("10".into()),
    ///     _ => std::env::var_os(name),
    /// })?;
    /// assert_eq!(settings.pool_size, 10);
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::from_env`].
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let read = |name| variable(name).filter(|value| !value.is_empty());
        let mut settings = Self::default();
        if let Some(value) = read(MEMORY_LIMIT_MB) {
            let limit = number::<u64>(&value).filter(|&limit| limit > 0);
            let limit = limit
                .ok_or_else(|| bad(MEMORY_LIMIT_MB, &value, "a whole number of MB, from 1"))?;
            settings.memory_limit = Some(Bytes::mib(limit));
        }
        if let Some(value) = read(ENABLE_MEMORY_PROFILING) {
            settings.profiling = match value.to_str().map(str::trim) {
                Some("1") => true,
                Some("0") => false,
                _ => return Err(bad(ENABLE_MEMORY_PROFILING, &value, "1 or 0").into()),
            };
        }
        if let Some(value) = read(MEMORY_POOL_SIZE) {
            settings.pool_size = number(&value).ok_or_else(|| {
                bad(
                    MEMORY_POOL_SIZE,
                    &value,
                    "a whole number of tensors, from 0 (no pooling)",
                )
            })?;
        }
        Ok(settings)
    }
}

fn number<T: std::str::FromStr>(value: &OsStr) -> Option<T> {
    value.to_str()?.trim().parse().ok()
}

fn bad(variable: &'static str, value: &OsStr, allowed: &'static str) -> MemoryError {
    MemoryError::Variable {
        variable,
        value: value.to_string_lossy().into_owned(),
        allowed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings> {
        Settings::from_variables(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn without_variables_nothing_is_changed() {
        assert_eq!(settings(&[]).unwrap(), Settings::default());
        let empty = [(MEMORY_LIMIT_MB, ""), (MEMORY_POOL_SIZE, "")];
        assert_eq!(settings(&empty).unwrap(), Settings::default());
    }

    #[test]
    fn each_variable_sets_its_own() {
        let found = settings(&[
            (MEMORY_LIMIT_MB, "500"),
            (ENABLE_MEMORY_PROFILING, "1"),
            (MEMORY_POOL_SIZE, " 0 "),
        ]);
        let expected = Settings {
            memory_limit: Some(Bytes(500 << 20)),
            profiling: true,
            pool_size: 0,
            ..Settings::default()
        };
        assert_eq!(found.unwrap(), expected);
        let off = settings(&[(ENABLE_MEMORY_PROFILING, "0")]).unwrap();
        assert!(!off.profiling);
    }

    #[test]
    fn a_bad_value_is_told_with_its_variable_and_what_it_may_be() {
        for (variable, value, allowed) in [
            (MEMORY_LIMIT_MB, "0", "from 1"),
            (MEMORY_LIMIT_MB, "-3", "from 1"),
            (MEMORY_LIMIT_MB, "500MB", "from 1"),
            (ENABLE_MEMORY_PROFILING, "yes", "1 or 0"),
            (MEMORY_POOL_SIZE, "many", "from 0"),
        ] {
            let message = settings(&[(variable, value)]).unwrap_err().to_string();
            for part in [variable, &format!("{value:?}"), allowed] {
                assert!(message.contains(part), "{message}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_text_is_refused_too() {
        use std::os::unix::ffi::OsStringExt;
        let error = Settings::from_variables(|_| Some(OsString::from_vec(vec![0xff])));
        assert!(matches!(
            error,
            Err(Error::Memory(MemoryError::Variable { .. }))
        ));
    }

    #[test]
    fn they_are_written_and_read_again() {
        let settings = Settings {
            memory_limit: Some(Bytes(1)),
            ..Settings::default()
        };
        let json = serde_json::to_string(&settings).unwrap();
        assert!(json.contains("\"memory_limit_bytes\":1"), "{json}");
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
    }
}
