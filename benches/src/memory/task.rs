//! A case in a process of its own: this program starts itself again, with the task as its argument,
//! and reads the figures that it prints.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::{Case, Figures, Setup};
use crate::{BenchModel, Result};

/// First argument of the program when it is to do a task.
const SERVE: &str = "measure-memory";

/// What one process does, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// What it does.
    pub case: Case,
    /// The model with which it does that.
    pub model: BenchModel,
    /// Its optimisations.
    pub setup: Setup,
    /// Where files lie that are not part of the repository.
    pub folder: PathBuf,
    /// What is spoken.
    pub text: String,
    /// Most tokens of its parts.
    pub max_tokens: usize,
}

impl Task {
    /// Does it in a new process.
    ///
    /// # Errors
    ///
    /// The process cannot be started or breaks off.
    pub fn run(&self) -> Result<Figures> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(SERVE)
            .arg(serde_json::to_string(self)?)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        self.setup.set_environment(&mut command);
        let output = command.output()?;
        if !output.status.success() {
            let (case, model) = (self.case.name(), self.model.name());
            let status = output.status;
            return Err(format!("{case} of {model}: {status}; its message is above").into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// Does a task, if this process was started to do one; whether it was.
///
/// # Errors
///
/// The task is none, or cannot be done.
pub fn serve_task() -> Result<bool> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(SERVE) {
        return Ok(false);
    }
    let task = arguments.next().ok_or("no task is given")?;
    let task: Task = serde_json::from_str(&task)?;
    let figures = task.case.measure(&task)?;
    serde_json::to_writer(std::io::stdout().lock(), &figures)?;
    Ok(true)
}
