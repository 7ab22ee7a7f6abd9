//! All cases, one after the other.

use bench_report::LoadAverage;
use bench_report::memory::{Comparison, Report};
use std::path::{Path, PathBuf};

use super::comparison::{Way, measure, of_setups};
use super::long_text::{MAX_TOKENS, SENTENCES};
use super::{Case, Setup, Task, cloning, limits, reference};
use crate::{BenchModel, Result, load_average, long_text, several_sentences};

/// Processes for each case and setup unless told otherwise: the fewest whose median two bad ones do
/// not move.
pub const DEFAULT_REPEATS: usize = 5;

/// Tokens of the sentence that the large model speaks in every setup: six seconds, so that all nine
/// take two minutes and not five.
const SETUPS_TOKENS: usize = 12;

/// How the suite is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Processes for each case and setup.
    pub repeats: usize,
    /// A Python that has the package `pocket-tts`, to be measured beside.
    pub reference: Option<PathBuf>,
}

impl Settings {
    /// Reads a command line, without the program's name.
    ///
    /// # Errors
    ///
    /// It holds something else than `--repeats NUMBER`, `--reference PYTHON` and cargo's `--bench`.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut settings = Self {
            repeats: DEFAULT_REPEATS,
            reference: None,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                // Cargo tells benchmarks so that they are none of its tests.
                "--bench" => {}
                "--repeats" => {
                    let value = value()?;
                    let repeats = value.parse().ok().filter(|&repeats| repeats > 0);
                    settings.repeats = repeats.ok_or_else(|| {
                        format!("--repeats is {value:?}; it may be a number from 1 up")
                    })?;
                }
                "--reference" => settings.reference = Some(value()?.into()),
                _ => {
                    let known = "--repeats NUMBER and --reference PYTHON";
                    return Err(format!("{argument:?} is not known; {known} are").into());
                }
            }
        }
        Ok(settings)
    }
}

/// Measures everything. Files that are not part of the repository are made in `folder`.
///
/// # Errors
///
/// A case fails.
pub fn run(settings: &Settings, folder: &Path) -> Result<Report> {
    let before = load_average();
    cloning::prepare(folder)?;
    let mut suite = Suite {
        settings,
        comparisons: Vec::new(),
        setups: Vec::new(),
    };
    let mut limits = Vec::new();
    for model in BenchModel::ALL {
        model.prepare(folder)?;
        let parts = model.open(folder)?;
        let task = Task {
            case: Case::Loading,
            model,
            setup: Setup::ON,
            folder: folder.to_owned(),
            text: long_text(&parts)?,
            // All of it is one part.
            max_tokens: pocket_tts::GenerateOptions::default().max_tokens,
        };
        let several = Task {
            text: several_sentences(&parts, &SENTENCES)?,
            max_tokens: MAX_TOKENS,
            ..task.clone()
        };
        suite.compare(&task, Case::Loading)?;
        suite.generation(&task)?;
        suite.compare(&task, Case::Streaming)?;
        for at_once in [1, 4, 8] {
            suite.compare(&several, Case::LongText { at_once })?;
        }
        suite.compare(&task, Case::Cloning)?;
        let setups = match model {
            BenchModel::BuiltIn => {
                // What is left does not depend on the size of the model.
                suite.compare(&task, Case::Leases)?;
                suite.compare(&task, Case::Cycles)?;
                suite.compare(&task, Case::CyclesInSpeech)?;
                suite.comparisons.push(limits::find(&several)?);
                task
            }
            BenchModel::English110M => {
                // Here a limit has a choice to make: more parts at once are faster, and take more.
                let found = limits::find(&several)?;
                limits = limits::sweep(&several, &found, settings.repeats)?;
                suite.comparisons.push(found);
                Task {
                    text: several_sentences(&parts, &[SETUPS_TOKENS])?,
                    ..task
                }
            }
        };
        let setups = setups.with(Case::Generation, Setup::ON);
        let setups = of_setups(&setups, &Setup::ALL, settings.repeats)?;
        suite.setups.push(setups);
    }
    Ok(Report {
        cores: std::thread::available_parallelism()?.get(),
        load_average: LoadAverage {
            before,
            after: load_average(),
        },
        repeats: settings.repeats,
        comparisons: suite.comparisons,
        setups: suite.setups,
        limits,
    })
}

struct Suite<'a> {
    settings: &'a Settings,
    comparisons: Vec<Comparison>,
    setups: Vec<Comparison>,
}

impl Suite<'_> {
    /// A case on and off.
    fn compare(&mut self, task: &Task, case: Case) -> Result<()> {
        let task = task.with(case, Setup::ON);
        let setups = &Setup::ON_AND_OFF;
        let comparison = of_setups(&task, setups, self.settings.repeats)?;
        self.comparisons.push(comparison);
        Ok(())
    }

    /// Generation on and off, and where it is asked for by the Python package, of which there is no
    /// built-in model.
    fn generation(&mut self, task: &Task) -> Result<()> {
        let python = match task.model {
            BenchModel::English110M => self.settings.reference.as_deref(),
            BenchModel::BuiltIn => None,
        };
        let mut ways: Vec<Way<'_>> = Setup::ON_AND_OFF
            .map(|(name, setup)| task.with(Case::Generation, setup).way(name))
            .into();
        if let Some(python) = python {
            let work = move || reference::measure(python, task);
            ways.push((reference::NAME.to_owned(), Box::new(work)));
        }
        let (case, model) = (Case::Generation.name(), task.model.name());
        let comparison = measure(&case, model, &ways, self.settings.repeats)?;
        self.comparisons.push(comparison);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Settings> {
        Settings::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_command_line_is_read() {
        assert_eq!(
            parsed("--bench").unwrap(),
            Settings {
                repeats: DEFAULT_REPEATS,
                reference: None,
            }
        );
        assert_eq!(
            parsed("--repeats 7 --reference venv/bin/python --bench").unwrap(),
            Settings {
                repeats: 7,
                reference: Some("venv/bin/python".into()),
            }
        );
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let refused = |line| parsed(line).unwrap_err().to_string();
        assert_eq!(
            refused("--repeats 0"),
            "--repeats is \"0\"; it may be a number from 1 up"
        );
        assert_eq!(refused("--reference"), "--reference needs a value");
        assert!(refused("--fast").starts_with("\"--fast\" is not known"));
    }
}
