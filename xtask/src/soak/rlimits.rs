//! `cargo xtask soak rlimits`: every limit either lets the program speak or makes it refuse.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tempfile::TempDir;

use super::group::Group;
use super::process::{Ended, Patience, run as execute};
use super::refusal::{Suggestion, is_last_resort, suggestion};
use crate::table;

const MIB: u64 = 1 << 20;

const TEXT: &str = "The birch canoe slid on the smooth planks.";

/// A limit at which everything works; a sweep that gets there is stuck.
const MOST_BYTES: u64 = 1 << 30;

/// A run takes a few seconds on an idle machine.
const PATIENCE: Patience<'static> = Patience {
    interrupt: None,
    kill: Duration::from_secs(120),
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Distance between two limits in MiB.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    step: u64,
    /// Limits in a row at which the program must speak before a sweep ends.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    beyond: u32,
}

impl Args {
    pub(super) fn short() -> Self {
        Self {
            step: 16,
            beyond: 2,
        }
    }
}

/// A limit that is swept.
#[derive(Clone, Copy)]
enum Swept<'a> {
    AddressSpace,
    Data,
    ControlGroup(&'a Group),
    MemoryLimit,
}

impl Swept<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::AddressSpace => "RLIMIT_AS",
            Self::Data => "RLIMIT_DATA",
            Self::ControlGroup(_) => "control group",
            Self::MemoryLimit => "--memory-limit",
        }
    }

    /// The words by which a refusal names the limit.
    fn origin(self) -> &'static str {
        match self {
            Self::AddressSpace => "RLIMIT_AS of",
            Self::Data => "RLIMIT_DATA of",
            Self::ControlGroup(_) => "control group limit /",
            Self::MemoryLimit => "the limit is",
        }
    }

    /// A command under the limit.
    fn command(self, program: &Path, bytes: u64) -> Result<Command> {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            // `$0` is the first argument after the script.
            command.args(["-c", &format!("{script} && exec \"$0\" \"$@\"")]);
            command.arg(program);
            command
        };
        Ok(match self {
            Self::AddressSpace => shell(&format!("ulimit -v {}", bytes >> 10)),
            Self::Data => shell(&format!("ulimit -d {}", bytes >> 10)),
            Self::ControlGroup(group) => {
                group.set_limit(bytes)?;
                shell(&format!("echo $$ > '{}'", group.processes().display()))
            }
            Self::MemoryLimit => Command::new(program),
        })
    }

    /// The bytes of a suggestion, if it is one for this limit.
    fn suggested(self, suggestion: &Suggestion) -> Option<u64> {
        match (self, suggestion) {
            (Self::AddressSpace, Suggestion::AddressSpace(kib))
            | (Self::Data, Suggestion::Data(kib)) => Some(kib << 10),
            (Self::ControlGroup(_), Suggestion::ControlGroup(mib))
            | (Self::MemoryLimit, Suggestion::MemoryLimit(mib)) => Some(mib << 20),
            _ => None,
        }
    }
}

/// What a run came to.
enum Outcome {
    Spoken,
    /// Refused, with the limit that is suggested.
    Refused(u64),
    /// Ended with a message, but not by an admission.
    LastResort,
    /// A signal, an abort, or a message that names no limit.
    Failed,
}

#[derive(Default)]
struct Counts {
    first_bytes: u64,
    spoken: u32,
    refused: u32,
    last_resort: u32,
    failures: Vec<String>,
    least_spoken_bytes: Option<u64>,
    last_bytes: u64,
}

pub(super) fn run(program: &Path, args: &Args) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sweep = Sweep {
        program,
        folder,
        step_bytes: args.step * MIB,
        beyond: args.beyond,
    };
    let group = Group::create();
    let mut all = vec![Swept::AddressSpace, Swept::Data];
    match &group {
        Ok(group) => {
            println!("control group: {}", group.folder().display());
            all.push(Swept::ControlGroup(group));
        }
        Err(reason) => println!("control groups are skipped: {reason}"),
    }
    all.push(Swept::MemoryLimit);
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for swept in all {
        let counts = sweep.run(swept)?;
        let mib = |bytes: u64| format!("{}", bytes / MIB);
        rows.push([
            swept.name().to_owned(),
            mib(counts.first_bytes),
            mib(counts.last_bytes),
            counts.spoken.to_string(),
            counts.refused.to_string(),
            counts.last_resort.to_string(),
            counts.failures.len().to_string(),
            counts.least_spoken_bytes.map_or("-".to_owned(), mib),
        ]);
        failures.extend(counts.failures);
    }
    let header = [
        "limit",
        "from MiB",
        "to MiB",
        "spoken",
        "refused",
        "last resort",
        "other",
        "least spoken MiB",
    ];
    print!("\n{}", table::format(header, rows));
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

struct Sweep<'a> {
    program: &'a Path,
    folder: TempDir,
    step_bytes: u64,
    beyond: u32,
}

impl Sweep<'_> {
    fn run(&self, swept: Swept) -> Result<Counts> {
        let mut bytes = self.smallest(swept)?;
        let mut counts = Counts {
            first_bytes: bytes,
            ..Counts::default()
        };
        let mut in_a_row = 0;
        while in_a_row < self.beyond {
            if bytes > MOST_BYTES {
                bail!(
                    "{}: the program does not speak at {bytes} bytes",
                    swept.name()
                );
            }
            let ended = self.speak(swept, bytes)?;
            let outcome = self.outcome(swept, &ended);
            let shown = match &outcome {
                Outcome::Spoken => "spoken".to_owned(),
                _ => format!("{}, {}", ended.outcome(), ended.last_line()),
            };
            println!("{} {} MiB: {shown}", swept.name(), bytes / MIB);
            counts.last_bytes = bytes;
            in_a_row = match outcome {
                Outcome::Spoken => in_a_row + 1,
                _ => 0,
            };
            match outcome {
                Outcome::Spoken => {
                    counts.spoken += 1;
                    counts.least_spoken_bytes.get_or_insert(bytes);
                }
                Outcome::LastResort => counts.last_resort += 1,
                Outcome::Refused(sufficient) => {
                    counts.refused += 1;
                    let again = self.speak(swept, sufficient)?;
                    if !matches!(self.outcome(swept, &again), Outcome::Spoken) {
                        counts.failures.push(format!(
                            "{} {} KiB, suggested at {} MiB: {}, {}",
                            swept.name(),
                            sufficient >> 10,
                            bytes / MIB,
                            again.outcome(),
                            again.last_line()
                        ));
                    }
                }
                Outcome::Failed => {
                    counts
                        .failures
                        .push(format!("{} {} MiB: {shown}", swept.name(), bytes / MIB))
                }
            }
            bytes += self.step_bytes;
        }
        Ok(counts)
    }

    /// The smallest limit under which the program can print its version. Below it, the system's loader
    /// fails.
    fn smallest(&self, swept: Swept) -> Result<u64> {
        if let Swept::MemoryLimit = swept {
            return Ok(MIB);
        }
        let mut bytes = 2 * MIB;
        while bytes < MOST_BYTES {
            let mut command = swept.command(self.program, bytes)?;
            command.arg("--version");
            if execute(command, self.folder.path(), PATIENCE)?.code() == Some(0) {
                return Ok(bytes);
            }
            bytes += 2 * MIB;
        }
        bail!(
            "{}: the program does not start at {bytes} bytes",
            swept.name()
        )
    }

    fn speak(&self, swept: Swept, bytes: u64) -> Result<Ended> {
        let output = self.folder.path().join("speech.wav");
        let _ = std::fs::remove_file(&output);
        let mut command = swept.command(self.program, bytes)?;
        command.args(["generate", "--quiet", "--text", TEXT, "--output-path"]);
        command.arg(&output);
        if let Swept::MemoryLimit = swept {
            command.arg("--memory-limit");
            command.arg((bytes / MIB).to_string());
        }
        execute(command, self.folder.path(), PATIENCE)
    }

    fn outcome(&self, swept: Swept, ended: &Ended) -> Outcome {
        let audio = std::fs::metadata(self.folder.path().join("speech.wav"));
        let message = &ended.stderr;
        match ended.code() {
            Some(0) if audio.is_ok_and(|audio| audio.len() > 10_000) => Outcome::Spoken,
            Some(1) => match suggestion(message).and_then(|found| swept.suggested(&found)) {
                Some(bytes) if message.contains(swept.origin()) => Outcome::Refused(bytes),
                _ if is_last_resort(message) => Outcome::LastResort,
                _ => Outcome::Failed,
            },
            _ => Outcome::Failed,
        }
    }
}
