//! What the memory optimisations buy: the same work with all of them, without any, and with all but
//! one, each time in a process of its own.
//!
//! A [`Setup`] says which optimisations a process has, a [`Case`] what it does, a [`Task`] is both
//! together, and a [`Comparison`] runs several tasks in turn. [`run`] goes through all of them.

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
