//! One random run: a model, a voice, a text and a limit.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use super::process::{Ended, Patience, run as execute};
use super::refusal::{Suggestion, suggestion};
use super::texts::{Kind, text};

/// A model to speak with.
pub(super) struct Model {
    /// The folder with `config.yaml`; `None` for the built-in model.
    pub(super) folder: Option<PathBuf>,
    /// Voice files and, if it can clone voices, recordings.
    pub(super) voices: Vec<PathBuf>,
    /// The limits in MB to try. Some are too low for a short text.
    pub(super) limits_mb: std::ops::Range<u64>,
}

/// A command without its limit.
pub(super) struct Case<'a> {
    model: &'a Model,
    voice: Option<&'a Path>,
    truncate: bool,
    batch_size: Option<u32>,
    kind: Kind,
    /// Speech is interrupted this long after its start.
    interrupt: Duration,
    text: PathBuf,
    folder: &'a Path,
}

/// What a run came to.
pub(super) enum Outcome {
    /// Spoken to the end or until it was interrupted, with the peak in bytes; `None` if the run ended
    /// before it printed one.
    Spoken(Option<u64>),
    /// Refused, with the suggested limit in MB.
    Refused(u64),
    /// The text or the recording is not valid.
    Rejected,
    /// Anything else.
    Failed,
}

impl<'a> Case<'a> {
    /// Chooses a case and writes its text into the folder.
    pub(super) fn random(
        models: &'a [Model],
        folder: &'a Path,
        random: &mut impl Rng,
    ) -> Result<Self> {
        let model = models.choose(random).unwrap_or(&models[0]);
        let voice = match random.random_bool(0.4) {
            true => model.voices.choose(random),
            false => model.voices.first().filter(|_| model.folder.is_some()),
        };
        let kind = *Kind::ALL.choose(random).unwrap_or(&Kind::English);
        let path = folder.join("text.txt");
        std::fs::write(&path, text(kind, random))?;
        Ok(Self {
            model,
            voice: voice.map(PathBuf::as_path),
            truncate: random.random_bool(0.5),
            batch_size: random.random_bool(0.3).then(|| random.random_range(1..=8)),
            kind,
            interrupt: Duration::from_millis(random.random_range(500..3_000)),
            text: path,
            folder,
        })
    }

    pub(super) fn limit_mb(&self, random: &mut impl Rng) -> u64 {
        random.random_range(self.model.limits_mb.clone())
    }

    /// Speaks within a limit.
    pub(super) fn run(&self, program: &Path, limit_mb: u64, kill: Duration) -> Result<Ended> {
        let mut command = Command::new(program);
        command.args(["generate", "--json", "--quiet", "--file"]);
        command.arg(&self.text);
        // The program creates a file here when it starts to speak.
        let output = self.folder.join("output");
        let _ = std::fs::remove_dir_all(&output);
        std::fs::create_dir(&output)?;
        command.arg("--output-path").arg(output.join("speech.wav"));
        command.arg("--memory-limit").arg(limit_mb.to_string());
        if let Some(folder) = &self.model.folder {
            command.arg("--config").arg(folder.join("config.yaml"));
        }
        if let Some(voice) = self.voice {
            command.arg("--voice").arg(voice);
        }
        if self.truncate {
            command.arg("--truncate");
        }
        if let Some(size) = self.batch_size {
            command.arg("--batch-size").arg(size.to_string());
        }
        let patience = Patience {
            interrupt: Some((&output, self.interrupt)),
            kill,
        };
        execute(command, self.folder, patience)
    }

    /// The text in words.
    pub(super) fn text(&self) -> String {
        let bytes = std::fs::metadata(&self.text).map_or(0, |file| file.len());
        format!("{:?}, {bytes} bytes", self.kind)
    }
}

pub(super) fn outcome(ended: &Ended) -> Outcome {
    /// The exit code after an interrupt.
    const INTERRUPTED: i32 = 130;
    /// What a message has if memory, and not the input, is the reason.
    const MEMORY: [&str; 4] = [
        "out of memory",
        "memory are in use",
        "ended early",
        "internal error",
    ];
    match ended.code() {
        Some(0 | INTERRUPTED) => {
            let figures: Option<serde_json::Value> = serde_json::from_str(&ended.stdout).ok();
            Outcome::Spoken(figures.and_then(|figures| figures["counted_peak_bytes"].as_u64()))
        }
        Some(1) => match suggestion(&ended.stderr) {
            Some(Suggestion::MemoryLimit(mb)) => Outcome::Refused(mb),
            _ if MEMORY.iter().any(|words| ended.stderr.contains(words)) => Outcome::Failed,
            _ if ended.stderr.starts_with("error: ") => Outcome::Rejected,
            _ => Outcome::Failed,
        },
        _ => Outcome::Failed,
    }
}
