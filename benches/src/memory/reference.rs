//! The Python package's figures, of a process of its own too.

use bench_report::memory::{PEAK_RSS, TIME, TIMES_REAL_TIME, Unit};
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::generation::LOADING_AND_SPEAKING;
use super::{Figures, Task};
use crate::Result;

/// What its figures are called.
pub(super) const NAME: &str = "Python";

/// What `reference.py` prints.
#[derive(Debug, Deserialize)]
struct Printed {
    time_ms: f64,
    loading_and_speaking_ms: f64,
    times_real_time: f64,
    peak_rss_bytes: Option<u64>,
}

/// Has the Python package load the task's model and speak its text, once.
pub(super) fn measure(python: &Path, task: &Task) -> Result<Figures> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference.py");
    let (config, voice) = task.model.files(&task.folder);
    let output = Command::new(python)
        .arg(script)
        .arg("memory")
        .args([config, voice])
        .arg(&task.text)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start {}: {error}", python.display()))?;
    if !output.status.success() {
        let status = output.status;
        return Err(format!("reference.py: {status}; its message is above").into());
    }
    figures(&output.stdout)
}

fn figures(printed: &[u8]) -> Result<Figures> {
    let printed: Printed = serde_json::from_slice(printed)
        .map_err(|error| format!("reference.py printed other figures: {error}"))?;
    let mut figures = Figures::default();
    figures.put(TIME, Unit::Milliseconds, printed.time_ms);
    figures.put(
        TIMES_REAL_TIME,
        Unit::TimesRealTime,
        printed.times_real_time,
    );
    figures.put(
        LOADING_AND_SPEAKING,
        Unit::Milliseconds,
        printed.loading_and_speaking_ms,
    );
    figures.bytes(PEAK_RSS, printed.peak_rss_bytes);
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_script_prints_has_the_names_of_our_figures() {
        let printed = br#"{"time_ms": 7000.5, "loading_and_speaking_ms": 9000,
            "times_real_time": 2.25, "peak_rss_bytes": null}"#;
        let figures = figures(printed).unwrap();
        assert_eq!(figures.get(TIME), Some(7000.5));
        assert_eq!(figures.get(LOADING_AND_SPEAKING), Some(9000.0));
        assert_eq!(figures.get(PEAK_RSS), None);
        let error = super::figures(b"{}").unwrap_err().to_string();
        assert!(
            error.starts_with("reference.py printed other figures"),
            "{error}"
        );
    }
}
