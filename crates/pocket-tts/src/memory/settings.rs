//! Settings of the process's memory.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tensor_pool::DEFAULT_MAX_POOL_SIZE;

use super::error::SessionError;
use crate::error::Result;

const MEMORY_LIMIT_MB: &str = "POCKET_TTS_MEMORY_LIMIT_MB";
const ENABLE_MEMORY_PROFILING: &str = "POCKET_TTS_ENABLE_MEMORY_PROFILING";
const MEMORY_POOL_SIZE: &str = "POCKET_TTS_MEMORY_POOL_SIZE";

/// Settings that [`init`](super::init) applies.
///
/// The default has no limit, no recording and a pool of 100 idle tensors per key.
///
/// ```
/// use pocket_tts::memory::Settings;
///
/// let settings = Settings::default().with_memory_limit_bytes(500 << 20);
/// assert_eq!(settings.memory_limit_bytes, Some(500 << 20));
/// assert_eq!(settings.pool_size, 100);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Settings {
    /// Limit of counted bytes outside of any context. Contexts can only lower it.
    pub memory_limit_bytes: Option<u64>,
    /// Whether to record memory and write the recording's files at the end.
    pub profiling: bool,
    /// Idle tensors that the process's pool retains per shape, type and device; 0 disables pooling.
    pub pool_size: usize,
    /// Folder of the recordings. It must exist.
    #[serde(with = "super::format::path")]
    pub profile_dir: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory_limit_bytes: None,
            profiling: false,
            pool_size: DEFAULT_MAX_POOL_SIZE,
            profile_dir: PathBuf::from("."),
        }
    }
}

impl Settings {
    /// Sets the limit of counted bytes outside of any context.
    #[must_use]
    pub fn with_memory_limit_bytes(mut self, bytes: u64) -> Self {
        self.memory_limit_bytes = Some(bytes);
        self
    }

    /// Sets the number of idle tensors that the pool retains per shape, type and device.
    #[must_use]
    pub fn with_pool_size(mut self, tensors: usize) -> Self {
        self.pool_size = tensors;
        self
    }

    /// Enables a recording to files in an existing folder.
    #[must_use]
    pub fn with_profiling_to(mut self, folder: impl AsRef<Path>) -> Self {
        self.profiling = true;
        self.profile_dir = folder.as_ref().to_owned();
        self
    }

    /// Reads the settings from the environment:
    ///
    /// | variable | value |
    /// |---|---|
    /// | `POCKET_TTS_MEMORY_LIMIT_MB` | limit in whole MB (of 1,048,576 bytes) from 1 |
    /// | `POCKET_TTS_ENABLE_MEMORY_PROFILING` | `1` or `0` |
    /// | `POCKET_TTS_MEMORY_POOL_SIZE` | idle tensors per shape, type and device, a whole number from 0 |
    ///
    /// A missing or empty variable leaves the default.
    ///
    /// ```
    /// let settings = pocket_tts::memory::Settings::from_env()?;
    /// println!("up to {} idle tensors per key", settings.pool_size);
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SessionError::Variable`] for an invalid value.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// Reads the settings like [`Self::from_env`], but takes the values from `variable`. For programs
    /// with flags that override variables.
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
    /// [`SessionError::Variable`] for an invalid value.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let read = |name| variable(name).filter(|value| !value.is_empty());
        let mut settings = Self::default();
        if let Some(value) = read(MEMORY_LIMIT_MB) {
            let limit_mb = number::<u64>(&value)
                .filter(|&limit| limit > 0)
                .ok_or_else(|| invalid(MEMORY_LIMIT_MB, &value, "a whole number of MB, from 1"))?;
            settings.memory_limit_bytes = Some(limit_mb.saturating_mul(1 << 20));
        }
        if let Some(value) = read(ENABLE_MEMORY_PROFILING) {
            settings.profiling = match value.to_str().map(str::trim) {
                Some("1") => true,
                Some("0") => false,
                _ => return Err(invalid(ENABLE_MEMORY_PROFILING, &value, "1 or 0").into()),
            };
        }
        if let Some(value) = read(MEMORY_POOL_SIZE) {
            settings.pool_size = number(&value).ok_or_else(|| {
                invalid(
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

fn invalid(variable: &'static str, value: &OsStr, allowed: &'static str) -> SessionError {
    SessionError::Variable {
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
    fn missing_and_empty_variables_leave_the_defaults() {
        assert_eq!(settings(&[]).unwrap(), Settings::default());
        let empty = [(MEMORY_LIMIT_MB, ""), (MEMORY_POOL_SIZE, "")];
        assert_eq!(settings(&empty).unwrap(), Settings::default());
    }

    #[test]
    fn each_variable_sets_one_setting() {
        let found = settings(&[
            (MEMORY_LIMIT_MB, "500"),
            (ENABLE_MEMORY_PROFILING, "1"),
            (MEMORY_POOL_SIZE, " 0 "),
        ]);
        let expected = Settings::default()
            .with_memory_limit_bytes(500 << 20)
            .with_profiling_to(".")
            .with_pool_size(0);
        assert_eq!(found.unwrap(), expected);
        let disabled = settings(&[(ENABLE_MEMORY_PROFILING, "0")]).unwrap();
        assert!(!disabled.profiling);
    }

    #[test]
    fn invalid_values_are_rejected_with_the_valid_ones() {
        for (variable, value, allowed) in [
            (MEMORY_LIMIT_MB, "0", "from 1"),
            (MEMORY_LIMIT_MB, "-3", "from 1"),
            (MEMORY_LIMIT_MB, "500MB", "from 1"),
            (ENABLE_MEMORY_PROFILING, "yes", "1 or 0"),
            (MEMORY_POOL_SIZE, "many", "from 0"),
        ] {
            let message = settings(&[(variable, value)]).unwrap_err().to_string();
            for expected in [variable, &format!("{value:?}"), allowed] {
                assert!(message.contains(expected), "{message}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn values_that_are_not_unicode_are_rejected() {
        use std::os::unix::ffi::OsStringExt;
        let error = Settings::from_variables(|_| Some(OsString::from_vec(vec![0xff])));
        assert!(matches!(
            error,
            Err(Error::Session(SessionError::Variable { .. }))
        ));
    }

    #[test]
    fn settings_survive_a_round_trip_through_json() {
        let settings = Settings::default().with_memory_limit_bytes(1);
        let json = serde_json::to_string(&settings).unwrap();
        assert!(json.contains("\"memory_limit_bytes\":1"), "{json}");
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
        assert_eq!(
            serde_json::from_str::<Settings>("{}").unwrap(),
            Settings::default()
        );
    }
}
