//! Measurements in fresh processes: the program starts itself again with a role and a task, and the two
//! processes exchange lines of JSON.
//!
//! The arguments of the new process are the role's name and the task. It writes one line per answer to
//! its standard output. If it serves more than one answer, it reads one request per line from its
//! standard input.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Result;

/// A started process. Dropping it closes its input and waits for its end.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Process {
    /// Starts this program with a role and a task, in an environment that `set_environment` changes.
    ///
    /// # Errors
    ///
    /// The process cannot be started.
    pub(crate) fn start(
        role: &str,
        task: &impl Serialize,
        set_environment: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(role)
            .arg(serde_json::to_string(task)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        set_environment(&mut command);
        let mut child = command.spawn()?;
        let requests = child.stdin.take();
        let output = child.stdout.take().ok_or("the process has no output")?;
        Ok(Self {
            child,
            requests,
            answers: BufReader::new(output),
        })
    }

    /// Sends a request and returns the answer.
    ///
    /// # Errors
    ///
    /// The process ended, or its answer has another type.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, request: &impl Serialize) -> Result<T> {
        let requests = self.requests.as_mut().ok_or("the process has no input")?;
        writeln!(requests, "{}", serde_json::to_string(request)?)?;
        self.answer()
    }

    /// Returns the next answer.
    ///
    /// # Errors
    ///
    /// The process ended, or its answer has another type.
    pub(crate) fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            let status = self.child.wait()?;
            return Err(
                format!("the process failed ({status}); its error is printed above").into(),
            );
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A serving process ends at the end of its input.
        self.requests = None;
        let _ = self.child.wait();
    }
}

/// Returns the task of this process if it was started in this role.
///
/// # Errors
///
/// The task is missing or has another type.
pub(crate) fn own_task<T: DeserializeOwned>(role: &str) -> Result<Option<T>> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(role) {
        return Ok(None);
    }
    let task = arguments.next().ok_or("the task argument is missing")?;
    Ok(Some(serde_json::from_str(&task)?))
}

/// Returns the requests to this process, until its input ends.
pub(crate) fn requests<T: DeserializeOwned>() -> impl Iterator<Item = Result<T>> {
    std::io::stdin()
        .lines()
        .map(|line| Ok(serde_json::from_str(&line?)?))
}

/// Sends an answer to the parent process.
///
/// # Errors
///
/// The output is closed.
pub(crate) fn send(answer: &impl Serialize) -> Result<()> {
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, answer)?;
    writeln!(output)?;
    Ok(())
}
