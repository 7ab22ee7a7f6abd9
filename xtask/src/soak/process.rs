//! Runs of the program, with a time limit.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::shell::words;

/// A run that ended or was ended.
pub(super) struct Ended {
    /// The command, as a shell command line.
    pub(super) command: String,
    /// `None` if it ran into the time limit and was killed.
    pub(super) status: Option<ExitStatus>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) time: Duration,
    /// Peak RSS as last seen.
    pub(super) peak_rss_bytes: u64,
}

impl Ended {
    pub(super) fn code(&self) -> Option<i32> {
        self.status?.code()
    }

    /// The outcome in words.
    pub(super) fn outcome(&self) -> String {
        match self.status {
            None => "killed: too slow".to_owned(),
            Some(status) => status.to_string(),
        }
    }

    /// The last line of standard error.
    pub(super) fn last_line(&self) -> &str {
        self.stderr
            .trim_end()
            .lines()
            .last()
            .unwrap_or("no message")
    }
}

/// When to end a run.
#[derive(Clone, Copy)]
pub(super) struct Patience<'a> {
    /// The run is interrupted as with Ctrl-C so long after the first file appeared in this folder. Speech
    /// that was generated until then is complete.
    pub(super) interrupt: Option<(&'a Path, Duration)>,
    /// The run is killed after this time.
    pub(super) kill: Duration,
}

/// A child process that is killed when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command to its end, with its output in files of a folder.
pub(super) fn run(mut command: Command, folder: &Path, patience: Patience<'_>) -> Result<Ended> {
    let (out, err) = (folder.join("stdout"), folder.join("stderr"));
    command
        .stdin(std::process::Stdio::null())
        .stdout(File::create(&out)?)
        .stderr(File::create(&err)?)
        .env("RUST_BACKTRACE", "0");
    let start = Instant::now();
    let child = command
        .spawn()
        .with_context(|| format!("cannot start `{}`", words(&command)))?;
    let mut child = Killed(child);
    let process = Path::new("/proc").join(child.0.id().to_string());
    let mut peak_rss_bytes = 0;
    let mut is_interrupted = false;
    let mut started: Option<Instant> = None;
    let status = loop {
        if let Some(status) = child.0.try_wait()? {
            break Some(status);
        }
        let time = start.elapsed();
        if time > patience.kill {
            break None;
        }
        if let Some((folder, after)) = patience.interrupt
            && !is_interrupted
        {
            if started.is_none() && fs::read_dir(folder)?.next().is_some() {
                started = Some(Instant::now());
            }
            if started.is_some_and(|started| started.elapsed() > after) {
                is_interrupted = true;
                interrupt(&child.0)?;
            }
        }
        peak_rss_bytes = peak_rss_bytes.max(high_water_bytes(&process).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    };
    let time = start.elapsed();
    drop(child);
    let text = |path| -> Result<String> { Ok(String::from_utf8_lossy(&fs::read(path)?).into()) };
    Ok(Ended {
        command: words(&command),
        status,
        stdout: text(&out)?,
        stderr: text(&err)?,
        time,
        peak_rss_bytes,
    })
}

fn interrupt(child: &Child) -> Result<()> {
    // The process cannot have been replaced: its end is only noticed by `try_wait`.
    let mut kill = Command::new("kill");
    kill.arg("-INT").arg(child.id().to_string());
    kill.status().context("cannot start `kill`")?;
    Ok(())
}

/// The high-water mark of the resident set.
fn high_water_bytes(process: &Path) -> Option<u64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, patience: Patience<'_>) -> Ended {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, folder.path(), patience).unwrap()
    }

    const PATIENT: Patience<'static> = Patience {
        interrupt: None,
        kill: Duration::from_secs(60),
    };

    #[test]
    fn reports_output_and_outcome() {
        let ended = shell("echo out; echo one >&2; echo two >&2; exit 3", PATIENT);
        assert_eq!((ended.code(), ended.stdout.as_str()), (Some(3), "out\n"));
        assert_eq!(ended.last_line(), "two");
        assert_eq!(ended.outcome(), "exit status: 3");
        assert_eq!(
            shell("kill -ABRT $$", PATIENT).outcome(),
            "signal: 6 (SIGABRT)"
        );
    }

    #[test]
    fn ends_runs_that_take_too_long() {
        let kill = Duration::from_millis(100);
        let ended = shell("exec sleep 60", Patience { kill, ..PATIENT });
        assert_eq!(ended.outcome(), "killed: too slow");
        let started = tempfile::tempdir().unwrap();
        let script = format!("touch {}/started; exec sleep 60", started.path().display());
        let interrupt = Some((started.path(), Duration::from_millis(100)));
        let patience = Patience {
            interrupt,
            ..PATIENT
        };
        let ended = shell(&script, patience);
        assert_eq!(ended.outcome(), "signal: 2 (SIGINT)");
    }
}
