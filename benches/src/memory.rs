//! The effect of the memory optimisations: the same work with all of them, without any, and with all but
//! one, each in a fresh process.
//!
//! A [`Setup`] is the set of optimisations of a process, a [`Case`] is its work, and a [`Task`] combines
//! both. [`run`] runs all tasks; the processes of a comparison take turns.

mod case;
mod cloning;
mod comparison;
mod cycles;
mod figures;
mod generation;
mod leases;
mod limits;
mod loading;
mod long_text;
mod page;
mod palette;
mod plot;
mod reference;
mod setup;
mod streaming;
mod suite;
mod task;
mod watch;

pub use case::Case;
pub use figures::{Figure, Figures};
pub use page::page;
pub use setup::Setup;
pub use suite::{DEFAULT_REPEATS, Settings, run};
pub use task::{Task, serve_task};
