//! The kernel's pressure stall information.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Source, cgroup, text, under};
use crate::{Pressure, Reading, Stall};

/// The kernel updates its averages every two seconds.
const PRESSURE_INTERVAL: Duration = Duration::from_secs(2);

/// Pressure stall information on memory: of the machine from `/proc/pressure/memory`, of the control
/// group from its `memory.pressure`.
#[derive(Debug)]
pub struct PressureSource {
    machine: PathBuf,
    cgroup: Option<PathBuf>,
}

impl PressureSource {
    /// Reads under `root` (`/` outside tests).
    pub fn new(root: impl AsRef<Path>) -> Self {
        let root = root.as_ref();
        Self {
            machine: under(root, "/proc/pressure/memory"),
            cgroup: cgroup::unified_folder(root).map(|folder| folder.join("memory.pressure")),
        }
    }
}

impl Source for PressureSource {
    fn read(&self, reading: &mut Reading) {
        reading.pressure = read(&self.machine);
        reading.cgroup_pressure = self.cgroup.as_deref().and_then(read);
    }

    fn min_interval(&self) -> Duration {
        PRESSURE_INTERVAL
    }
}

fn read(path: &Path) -> Option<Pressure> {
    // If PSI is supported but disabled, reading fails.
    parse(&text(path)?)
}

/// Parses both lines. The parser of `procfs` 0.18 panics on a truncated line and reads single-precision
/// averages.
fn parse(text: &str) -> Option<Pressure> {
    let line = |kind: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(kind))
            .and_then(stall)
    };
    let pressure = Pressure {
        some: line("some "),
        full: line("full "),
    };
    (pressure != Pressure::default()).then_some(pressure)
}

/// Parses `avg10=0.00 avg60=0.00 avg300=0.00 total=0`, where the total is in microseconds.
fn stall(line: &str) -> Option<Stall> {
    let field = |name: &str| {
        line.split_whitespace()
            .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    let percent = |name| field(name)?.parse::<f64>().ok().filter(|p| p.is_finite());
    Some(Stall {
        avg10_percent: percent("avg10")?,
        avg60_percent: percent("avg60")?,
        avg300_percent: percent("avg300")?,
        total: Duration::from_micros(field("total")?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_both_lines_with_their_units() {
        let pressure = parse(
            "some avg10=1.50 avg60=0.25 avg300=0.05 total=2500000\n\
             full avg10=0.50 avg60=0.10 avg300=0.01 total=1000000\n",
        )
        .unwrap();
        let some = pressure.some.unwrap();
        assert_eq!(some.avg10_percent, 1.5);
        assert_eq!(some.total, Duration::from_millis(2500));
        assert_eq!(pressure.full.unwrap().avg300_percent, 0.01);
    }

    #[test]
    fn invalid_text_is_unknown() {
        for text in [
            "",
            "some",
            "some avg10=x avg60=0 avg300=0 total=0",
            "some avg10=1",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
