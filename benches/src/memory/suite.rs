//! The sequence of all cases.

use bench_report::LoadAverage;
use bench_report::memory::{Comparison, Report};
use std::path::{Path, PathBuf};

use super::comparison::{Way, measure, of_setups};
use super::long_text::{MAX_TOKENS, SENTENCES};
use super::{Case, Setup, Task, cloning, limits, reference};
use crate::{BenchModel, Result, load_average, long_text, several_sentences};

/// Default number of processes for each case and setup: the smallest number for which two outliers do not
/// change the median.
pub const DEFAULT_REPEATS: usize = 5;

/// Tokens of the sentence that the large model generates in every setup. Its six seconds of audio keep the
/// nine setups at two minutes instead of five.
const SETUPS_TOKENS: usize = 12;

/// The settings of the suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Processes for each case and setup.
    pub repeats: usize,
    /// A Python with the package `pocket-tts`, to be measured too.
    pub reference: Option<PathBuf>,
}

impl Settings {
    /// Parses a command line without the program's name.
    ///
    /// # Errors
    ///
    /// An argument is not `--repeats NUMBER`, `--reference PYTHON` or cargo's `--bench`.
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
                // Cargo passes this flag to benchmarks.
                "--bench" => {}
                "--repeats" => {
                    let value = value()?;
                    let repeats = value.parse().ok().filter(|&repeats| repeats > 0);
                    settings.repeats = repeats.ok_or_else(|| {
                        format!("--repeats is {value:?}; it must be a number from 1 up")
                    })?;
                }
                "--reference" => settings.reference = Some(value()?.into()),
                _ => {
                    return Err(format!(
                        "unknown argument {argument:?}; valid are --repeats NUMBER and --reference PYTHON"
                    )
                    .into());
                }
            }
        }
        Ok(settings)
    }
}

/// Measures all cases. Files that are not part of the repository are created in `folder`.
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
            // The whole text is one segment.
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
        for batch_size in [1, 4, 8] {
            suite.compare(&several, Case::LongText { batch_size })?;
        }
        suite.compare(&task, Case::Cloning)?;
        let setups = match model {
            BenchModel::BuiltIn => {
                // The remaining cases do not depend on the size of the model.
                suite.compare(&task, Case::Leases)?;
                suite.compare(&task, Case::Cycles)?;
                suite.compare(&task, Case::CyclesInSpeech)?;
                suite.comparisons.push(limits::find(&several)?);
                task
            }
            BenchModel::English110M => {
                // With this model, larger batches are faster and need more memory, so limits matter.
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
    /// Measures a case with all optimisations and without any.
    fn compare(&mut self, task: &Task, case: Case) -> Result<()> {
        let task = task.with(case, Setup::ON);
        let setups = &Setup::ON_AND_OFF;
        let comparison = of_setups(&task, setups, self.settings.repeats)?;
        self.comparisons.push(comparison);
        Ok(())
    }

    /// Measures generation with all optimisations, without any, and with the Python package if requested. The
    /// package has no built-in model.
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
    fn parses_the_command_line() {
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
    fn rejects_invalid_arguments() {
        let error = |line| parsed(line).unwrap_err().to_string();
        assert_eq!(
            error("--repeats 0"),
            "--repeats is \"0\"; it must be a number from 1 up"
        );
        assert_eq!(error("--reference"), "--reference needs a value");
        assert!(error("--fast").starts_with("unknown argument \"--fast\""));
    }
}
