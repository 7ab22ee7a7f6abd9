//! The figures of the Python package, from a fresh process.

use bench_report::memory::{PEAK_RSS, TIME, TIMES_REAL_TIME, Unit};
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::generation::LOADING_AND_SPEAKING;
use super::{Figures, Task};
use crate::Result;

/// The name of its column.
pub(super) const NAME: &str = "Python";

/// The output of `reference.py`.
#[derive(Debug, Deserialize)]
struct Printed {
    time_ms: f64,
    loading_and_speaking_ms: f64,
    times_real_time: f64,
    peak_rss_bytes: Option<u64>,
}

/// Loads the task's model and generates its text once with the Python package.
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
        return Err(format!("reference.py failed ({status}); its error is printed above").into());
    }
    figures(&output.stdout)
}

fn figures(printed: &[u8]) -> Result<Figures> {
    let printed: Printed = serde_json::from_slice(printed)
        .map_err(|error| format!("unexpected output of reference.py: {error}"))?;
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
    fn parses_the_output_of_the_script() {
        let printed = br#"{"time_ms": 7000.5, "loading_and_speaking_ms": 9000,
            "times_real_time": 2.25, "peak_rss_bytes": null}"#;
        let figures = figures(printed).unwrap();
        assert_eq!(figures.get(TIME), Some(7000.5));
        assert_eq!(figures.get(LOADING_AND_SPEAKING), Some(9000.0));
        assert_eq!(figures.get(PEAK_RSS), None);
        let error = super::figures(b"{}").unwrap_err().to_string();
        assert!(
            error.starts_with("unexpected output of reference.py"),
            "{error}"
        );
    }
}
