//! A case in a fresh process.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Case, Figures, Setup};
use crate::process::{Process, own_task, send};
use crate::{BenchModel, Result};

/// The role of a process that measures one case.
const ROLE: &str = "measure-memory";

/// The work of one process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// The case.
    pub case: Case,
    /// The model.
    pub model: BenchModel,
    /// The optimisations.
    pub setup: Setup,
    /// The folder of files that are not part of the repository.
    pub folder: PathBuf,
    /// The text to generate.
    pub text: String,
    /// The token limit of a segment.
    pub max_tokens: usize,
}

impl Task {
    /// Runs the task in a new process.
    ///
    /// # Errors
    ///
    /// The process cannot be started or fails.
    pub fn run(&self) -> Result<Figures> {
        Process::start(ROLE, self, |command| self.setup.set_environment(command))?
            .answer()
            .map_err(|error| {
                let (case, model) = (self.case.name(), self.model.name());
                format!("{case} of {model}: {error}").into()
            })
    }
}

/// Runs the task of this process, if it was started for one. Returns whether it was.
///
/// # Errors
///
/// The task fails.
pub fn serve_task() -> Result<bool> {
    let Some(task) = own_task::<Task>(ROLE)? else {
        return Ok(false);
    };
    send(&task.case.measure(&task)?)?;
    Ok(true)
}
