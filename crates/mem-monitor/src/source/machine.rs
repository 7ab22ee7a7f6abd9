//! This process and this machine, by sysinfo where the kernel has nothing faster.

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

/// The machine's memory is looked at once a second: a look costs sysinfo about 13 us, several times
/// that when it is cold, and what a whole machine has left does not matter at a finer grain.
const MACHINE_INTERVAL: Duration = Duration::from_secs(1);

/// Resident set and address space of this process.
///
/// On Linux it reads `/proc/self/statm` through a file that stays open (about 3 us where sysinfo
/// takes 34 us, which would be most of what a monitor at 10 ms may cost), elsewhere it asks
/// sysinfo. Linux counts pages per CPU and adds them up now and then, so the figure may be off by
/// some dozen pages for each CPU. After a fork without exec the open file still tells of the parent.
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
    /// Under a root folder other than `/`, nothing but that folder's files is read.
    pub fn new(root: &Path) -> Self {
        #[cfg(target_os = "linux")]
        let statm = super::statm::Statm::open(root);
        #[cfg(target_os = "linux")]
        let wanted = statm.is_none() && root == Path::new("/");
        #[cfg(not(target_os = "linux"))]
        let wanted = root == Path::new("/");
        Self {
            #[cfg(target_os = "linux")]
            statm,
            own: wanted.then(OwnProcess::new).flatten(),
        }
    }

    /// Resident set and address space now.
    fn sizes(&self) -> (Option<u64>, Option<u64>) {
        #[cfg(target_os = "linux")]
        if let Some(statm) = &self.statm {
            return statm.sizes();
        }
        self.own.as_ref().map_or((None, None), |own| own.sizes())
    }

    pub(crate) fn rss(&self) -> Option<u64> {
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
            // sysinfo says 0 for what it could not read.
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
        reading.set_bytes(Metric::Rss, rss);
        reading.set_bytes(Metric::Virtual, virtual_size);
    }
}

impl fmt::Debug for ProcessSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessSource").finish_non_exhaustive()
    }
}

/// The machine's total and available memory, by sysinfo.
pub struct MachineSource {
    system: Option<Mutex<System>>,
}

impl MachineSource {
    /// Asks sysinfo, which is given only the machine's memory to look at.
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
        // sysinfo says 0 for what it could not read.
        if system.total_memory() > 0 {
            reading.set_bytes(Metric::MachineTotal, Some(system.total_memory()));
            reading.set_bytes(Metric::MachineAvailable, Some(system.available_memory()));
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

/// Asks the kernel to set the high-water mark back to the present resident set. Where that is not
/// possible (another system, a hardened kernel) nothing happens and the mark stays where it was.
pub(crate) fn reset_high_water(root: &Path) {
    // 5 resets the high-water mark and nothing else: see proc_pid_clear_refs(5).
    let file = under(root, "/proc/self/clear_refs");
    if file.exists() {
        drop(fs::write(file, "5"));
    }
}
