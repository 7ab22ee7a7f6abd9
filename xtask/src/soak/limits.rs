//! `cargo xtask soak limits`: random speech within random limits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::limits_case::{Case, Model, Outcome, outcome};
use super::process::Ended;
use super::recordings;
use crate::shell::run as execute;
use crate::table;

const MIB: u64 = 1 << 20;

/// RSS of a refused command beyond its limit: the program's code and the built-in model's pages, which are
/// not counted.
const UNCOUNTED_BYTES: u64 = 48 * MIB;

/// The longest time until a refusal: work must not start before it.
const REFUSAL_TIME: Duration = Duration::from_secs(20);

/// The longest time of a run on a machine that is busy with other work: to read a recording of ten minutes,
/// to encode it and to speak for a few seconds.
const KILL: Duration = Duration::from_secs(1200);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of runs.
    #[arg(long, default_value_t = 1000)]
    runs: usize,
    /// Seed of the random choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A folder with the `config.yaml`, `model.safetensors` and `voice.safetensors` of a further model. Can be
    /// given more than once.
    #[arg(long, value_name = "FOLDER")]
    model: Vec<PathBuf>,
    /// Leave out the built-in model.
    #[arg(long, requires = "model")]
    only_given: bool,
}

impl Args {
    pub(super) fn short() -> Self {
        Self {
            runs: 25,
            seed: 7,
            model: Vec::new(),
            only_given: false,
        }
    }
}

#[derive(Default)]
struct Counts {
    finished: usize,
    interrupted_before_audio: usize,
    refused: usize,
    rejected: usize,
    failures: Vec<String>,
    largest_share: f64,
}

pub(super) fn run(program: &Path, args: &Args) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let mut random = ChaCha8Rng::seed_from_u64(args.seed);
    let recordings = recordings::write_all(folder, &mut random)?;
    let models = models(program, args, folder, &recordings)?;
    let mut counts = Counts::default();
    for number in 0..args.runs {
        let case = Case::random(&models, folder, &mut random)?;
        let limit_mb = case.limit_mb(&mut random);
        let ended = case.run(program, limit_mb, KILL)?;
        let shown = |ended: &Ended| {
            format!(
                "run {number}: {}; text {}: {} after {:.1} s, {}",
                ended.command,
                case.text(),
                ended.outcome(),
                ended.time.as_secs_f64(),
                ended.last_line()
            )
        };
        let failures = counts.failures.len();
        let mut fail = |ended: &Ended, reason: &str| {
            let failure = format!("{reason}: {}", shown(ended));
            println!("{failure}");
            counts.failures.push(failure);
        };
        match outcome(&ended) {
            Outcome::Rejected => counts.rejected += 1,
            Outcome::Failed => fail(&ended, "aborted or ended early"),
            Outcome::Spoken(None) => counts.interrupted_before_audio += 1,
            Outcome::Spoken(Some(peak)) => {
                counts.finished += 1;
                let share = peak as f64 / (limit_mb * MIB) as f64;
                if share > 1.0 {
                    fail(&ended, &format!("counted peak {peak} is over the limit"));
                }
                counts.largest_share = counts.largest_share.max(share);
            }
            Outcome::Refused(sufficient_mb) => {
                counts.refused += 1;
                if ended.time > REFUSAL_TIME {
                    fail(&ended, "refused after work had started");
                }
                if ended.peak_rss_bytes > limit_mb * MIB + UNCOUNTED_BYTES {
                    let rss = ended.peak_rss_bytes / MIB;
                    fail(&ended, &format!("refused with {rss} MiB resident"));
                }
                let again = case.run(program, sufficient_mb, KILL)?;
                match outcome(&again) {
                    Outcome::Spoken(Some(peak)) if peak > sufficient_mb * MIB => {
                        fail(
                            &again,
                            &format!("counted peak {peak} is over the suggestion"),
                        );
                    }
                    // What is wrong with the text is found only when there is room for it.
                    Outcome::Spoken(_) | Outcome::Rejected => {}
                    _ => fail(
                        &again,
                        &format!("suggested at {limit_mb} MB, but not spoken"),
                    ),
                }
            }
        }
        if counts.failures.len() == failures && number % 50 == 49 {
            println!("run {number}: {} failures so far", counts.failures.len());
        }
    }
    report(args, &counts);
    ensure!(counts.failures.is_empty(), "{}", counts.failures.join("\n"));
    Ok(())
}

fn report(args: &Args, counts: &Counts) {
    let rows = [
        ("runs", args.runs.to_string()),
        ("finished", counts.finished.to_string()),
        (
            "interrupted before the first audio",
            counts.interrupted_before_audio.to_string(),
        ),
        (
            "refused, and spoken with the suggestion",
            counts.refused.to_string(),
        ),
        ("input rejected", counts.rejected.to_string()),
        ("failures", counts.failures.len().to_string()),
        (
            "largest peak, % of its limit",
            format!("{:.1}", counts.largest_share * 100.0),
        ),
    ];
    let rows = rows.map(|(name, value)| [name.to_owned(), value]);
    print!("\n{}", table::format(["", ""], rows));
}

/// Returns the built-in model and the given ones, with their voices.
fn models(
    program: &Path,
    args: &Args,
    folder: &Path,
    recordings: &[PathBuf],
) -> Result<Vec<Model>> {
    let mut models = Vec::new();
    if !args.only_given {
        let exported = folder.join("exported.safetensors");
        let mut export = Command::new(program);
        export
            .arg("export-voice")
            .arg(&recordings[2])
            .arg(&exported);
        execute(export.arg("--quiet"))?;
        models.push(Model {
            folder: None,
            voices: recordings.iter().cloned().chain([exported]).collect(),
            limits_mb: 8..140,
        });
    }
    for model in &args.model {
        let model = model.canonicalize()?;
        let weights_mb = fs::metadata(model.join("model.safetensors"))?.len() / MIB;
        let voice = model.join("voice.safetensors");
        models.push(Model {
            folder: Some(model),
            voices: std::iter::once(voice)
                .chain(recordings.iter().cloned())
                .collect(),
            limits_mb: weights_mb / 2 + 8..weights_mb * 5 / 2 + 140,
        });
    }
    Ok(models)
}
