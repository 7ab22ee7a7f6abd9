//! Limits of the operating system, as far as they leave room for counted bytes.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytesize::ByteSize;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Where a limit of the operating system comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitOrigin {
    /// A control group: the file that holds the limit on all of its processes.
    ControlGroup(PathBuf),
    /// The process's resource limit on its address space, `RLIMIT_AS`.
    AddressSpace,
    /// The process's resource limit on its data, `RLIMIT_DATA`: writable private memory.
    Data,
    /// The machine's available memory.
    Machine,
}

/// A limit of the operating system, in its own terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemLimit {
    /// Where the limit comes from.
    pub origin: LimitOrigin,
    /// The limit.
    pub limit_bytes: u64,
    /// What is charged against it now.
    pub used_bytes: u64,
    /// A reserve for memory that is not counted and not in use yet, such as the stacks of threads.
    pub reserve_bytes: u64,
}

impl SystemLimit {
    /// Returns the bytes that are not in use.
    #[must_use]
    pub fn left_bytes(&self) -> u64 {
        self.limit_bytes.saturating_sub(self.used_bytes)
    }

    /// Returns the bytes by which the counted bytes may grow.
    #[must_use]
    pub fn headroom_bytes(&self) -> u64 {
        self.left_bytes().saturating_sub(self.reserve_bytes)
    }

    /// Returns the bytes by which the use and the reserve exceed the limit.
    fn excess_bytes(&self) -> u64 {
        let charged_bytes = self.used_bytes.saturating_add(self.reserve_bytes);
        charged_bytes.saturating_sub(self.limit_bytes)
    }

    /// Describes how to get `bytes` more.
    fn remedy(&self, bytes: u64) -> String {
        let raised = self.limit_bytes.saturating_add(bytes);
        match &self.origin {
            LimitOrigin::ControlGroup(_) => format!(
                "raise the limit of the control group to {} MiB",
                raised.div_ceil(MIB)
            ),
            LimitOrigin::AddressSpace => {
                format!("raise it with `ulimit -v {}`", raised.div_ceil(KIB))
            }
            LimitOrigin::Data => format!("raise it with `ulimit -d {}`", raised.div_ceil(KIB)),
            LimitOrigin::Machine => {
                format!("free {} MiB of the machine's memory", bytes.div_ceil(MIB))
            }
        }
    }
}

impl fmt::Display for SystemLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = ByteSize::b(self.limit_bytes);
        match &self.origin {
            LimitOrigin::ControlGroup(file) => {
                write!(f, "control group limit {} of {limit}", file.display())
            }
            LimitOrigin::AddressSpace => write!(f, "RLIMIT_AS of {limit}"),
            LimitOrigin::Data => write!(f, "RLIMIT_DATA of {limit}"),
            LimitOrigin::Machine => write!(f, "{limit} of the machine's memory are available"),
        }
    }
}

/// The lowest limit on the counted bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The limit.
    pub limit_bytes: u64,
    /// The limit of the operating system that it was computed from; `None` for a limit that was set.
    pub system: Option<SystemLimit>,
}

impl Limit {
    /// A limit of the process or of a request.
    pub(super) fn set(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            system: None,
        }
    }

    /// Returns the bytes by which the limit is too low for `needed_bytes`.
    pub(super) fn shortfall_bytes(&self, needed_bytes: u64) -> u64 {
        let excess_bytes = self.system.as_ref().map_or(0, SystemLimit::excess_bytes);
        needed_bytes
            .saturating_sub(self.limit_bytes)
            .saturating_add(excess_bytes)
    }

    /// Describes what to do if this limit is too low for `needed_bytes`; `drift_bytes` may be needed beyond
    /// them when the caller tries again.
    pub(super) fn remedy(&self, needed_bytes: u64, drift_bytes: u64) -> String {
        let sufficient_bytes = needed_bytes.saturating_add(drift_bytes);
        match &self.system {
            None => format!(
                "a limit of {} MB is sufficient",
                sufficient_bytes.div_ceil(MIB)
            ),
            Some(system) => system.remedy(self.shortfall_bytes(sufficient_bytes)),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", ByteSize::b(self.limit_bytes))?;
        match &self.system {
            None => Ok(()),
            Some(system) => write!(f, " ({system})"),
        }
    }
}

/// Returns the tightest limit of the operating system when so many further threads start.
type Source = dyn Fn(usize) -> Option<SystemLimit> + Send + Sync;

/// The source of the system's limits, if there is one.
#[derive(Default)]
pub(super) struct SystemLimits(Mutex<Option<Arc<Source>>>);

impl SystemLimits {
    pub(super) fn set(&self, source: Arc<Source>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// Returns the limit on the counted bytes, of which there are `counted_bytes` now.
    pub(super) fn limit(&self, counted_bytes: u64, threads: usize) -> Option<Limit> {
        let source = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let system = source?(threads)?;
        Some(Limit {
            limit_bytes: counted_bytes.saturating_add(system.headroom_bytes()),
            system: Some(system),
        })
    }
}
