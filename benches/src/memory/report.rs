//! All that was measured.

use serde::{Deserialize, Serialize};

use super::Comparison;

/// All that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Cores of the machine.
    pub cores: usize,
    /// Programs that ran or waited to run before it began; `None` where the system does not tell.
    pub load_average_before: Option<f64>,
    /// The same at its end.
    pub load_average_after: Option<f64>,
    /// Processes for each case and setup.
    pub repeats: usize,
    /// The work that was done with all optimisations and without any.
    pub comparisons: Vec<Comparison>,
    /// Speech in every setup.
    pub setups: Vec<Comparison>,
    /// Speech at several limits, with all optimisations and without any.
    pub limits: Vec<Comparison>,
}
