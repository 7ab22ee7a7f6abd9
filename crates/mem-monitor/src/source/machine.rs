//! Figures of this process and this machine.

use std::{
    fmt, fs,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sysinfo::{
    MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System, get_current_pid,
};

use super::{Source, under};
use crate::{Metric, Reading};

/// Reading the machine's memory through sysinfo takes about 13 µs if cached.
const MACHINE_INTERVAL: Duration = Duration::from_secs(1);

/// Resident set and address space of this process.
///
/// On Linux it reads `/proc/self/statm` through a file that stays open (about 3 µs, against 34 µs with
/// sysinfo); elsewhere it uses sysinfo. Linux counts pages per CPU and sums them occasionally, so the
/// figure may be off by some dozen pages per CPU. After a fork without exec the open file still
/// reports the parent.
pub struct ProcessSource {
    #[cfg(target_os = "linux")]
    statm: Option<super::statm::Statm>,
    own: Option<OwnProcess>,
}

struct OwnProcess {
    system: Mutex<System>,
    pid: Pid,
}

impl ProcessSource {
    /// Reads under `root` (`/` outside tests). Under another root, only files in it are read.
    pub fn new(root: impl AsRef<Path>) -> Self {
        let root = root.as_ref();
        #[cfg(target_os = "linux")]
        let statm = super::statm::Statm::open(root);
        #[cfg(target_os = "linux")]
        let use_sysinfo = statm.is_none() && root == Path::new("/");
        #[cfg(not(target_os = "linux"))]
        let use_sysinfo = root == Path::new("/");
        Self {
            #[cfg(target_os = "linux")]
            statm,
            own: use_sysinfo.then(OwnProcess::new).flatten(),
        }
    }

    /// Returns the resident set and the address space in bytes.
    fn sizes(&self) -> (Option<u64>, Option<u64>) {
        #[cfg(target_os = "linux")]
        if let Some(statm) = &self.statm {
            return statm.sizes().unzip();
        }
        self.own.as_ref().map_or((None, None), |own| own.sizes())
    }

    pub(crate) fn rss_bytes(&self) -> Option<u64> {
        self.sizes().0
    }
}

impl OwnProcess {
    fn new() -> Option<Self> {
        Some(Self {
            system: Mutex::new(System::new().ok()?),
            pid: get_current_pid().ok()?,
        })
    }

    fn sizes(&self) -> (Option<u64>, Option<u64>) {
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[self.pid]),
            false,
            ProcessRefreshKind::nothing().with_memory().without_tasks(),
        );
        match system.process(self.pid) {
            // sysinfo returns 0 for values it cannot read.
            Some(process) => (
                Some(process.memory()).filter(|b| *b > 0),
                Some(process.virtual_memory()).filter(|b| *b > 0),
            ),
            None => (None, None),
        }
    }
}

impl Source for ProcessSource {
    fn read(&self, reading: &mut Reading) {
        let (rss, virtual_size) = self.sizes();
        reading.set_if_known(Metric::Rss, rss);
        reading.set_if_known(Metric::Virtual, virtual_size);
    }
}

impl fmt::Debug for ProcessSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessSource").finish_non_exhaustive()
    }
}

/// Total and available memory of the machine, through sysinfo.
pub struct MachineSource {
    system: Option<Mutex<System>>,
}

impl MachineSource {
    /// Creates the source.
    pub fn new() -> Self {
        Self {
            system: System::new().ok().map(Mutex::new),
        }
    }
}

impl Default for MachineSource {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for MachineSource {
    fn read(&self, reading: &mut Reading) {
        let Some(system) = &self.system else { return };
        let mut system = system.lock().unwrap_or_else(PoisonError::into_inner);
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        // sysinfo returns 0 for values it cannot read.
        if system.total_memory() > 0 {
            reading.set_bytes(Metric::MachineTotal, system.total_memory());
            reading.set_bytes(Metric::MachineAvailable, system.available_memory());
        }
    }

    fn min_interval(&self) -> Duration {
        MACHINE_INTERVAL
    }
}

impl fmt::Debug for MachineSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineSource").finish_non_exhaustive()
    }
}

/// Resets the kernel's high-water mark to the current resident set. Does nothing where that is not
/// possible (another operating system, a hardened kernel).
pub(crate) fn reset_high_water(root: &Path) {
    // The value 5 resets only the high-water mark: see proc_pid_clear_refs(5).
    let file = under(root, "/proc/self/clear_refs");
    if file.exists() {
        drop(fs::write(file, "5"));
    }
}
