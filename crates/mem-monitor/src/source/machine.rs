//! Figures of this process and this machine.

use std::{fmt, fs, path::Path, time::Duration};

use super::{Source, under};
use crate::{Metric, Reading};

/// Reading the machine's memory takes 10 µs.
const MACHINE_INTERVAL: Duration = Duration::from_secs(1);

/// Resident set and address space of this process.
///
/// On Linux it reads `/proc/self/statm` through a file that stays open (about 1 µs); elsewhere it uses
/// sysinfo, with the feature `sysinfo`. Some kernels count pages per CPU and sum them occasionally, so the
/// figure may be off by some dozen pages per CPU.
pub struct ProcessSource {
    #[cfg(target_os = "linux")]
    statm: super::proc_fs::Statm,
    #[cfg(all(not(target_os = "linux"), feature = "sysinfo"))]
    own: Option<portable::OwnProcess>,
}

impl ProcessSource {
    /// Reads under `root` (`/` outside tests). Under another root, only files in it are read.
    pub fn new(root: impl AsRef<Path>) -> Self {
        let root = root.as_ref();
        #[cfg(not(any(target_os = "linux", feature = "sysinfo")))]
        let _ = root;
        Self {
            #[cfg(target_os = "linux")]
            statm: super::proc_fs::Statm::open(root),
            #[cfg(all(not(target_os = "linux"), feature = "sysinfo"))]
            own: (root == Path::new("/"))
                .then(portable::OwnProcess::new)
                .flatten(),
        }
    }

    /// Returns the resident set and the address space in bytes.
    fn sizes(&self) -> (Option<u64>, Option<u64>) {
        #[cfg(target_os = "linux")]
        return self.statm.sizes().unzip();
        #[cfg(all(not(target_os = "linux"), feature = "sysinfo"))]
        return self.own.as_ref().map_or((None, None), |own| own.sizes());
        #[cfg(not(any(target_os = "linux", feature = "sysinfo")))]
        return (None, None);
    }

    pub(crate) fn rss_bytes(&self) -> Option<u64> {
        self.sizes().0
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

/// Total and available memory of the machine: from `/proc/meminfo` on Linux, elsewhere through sysinfo,
/// with the feature `sysinfo`.
pub struct MachineSource {
    #[cfg(target_os = "linux")]
    meminfo: std::path::PathBuf,
    #[cfg(all(not(target_os = "linux"), feature = "sysinfo"))]
    memory: Option<portable::Memory>,
}

impl MachineSource {
    /// Reads under `root` (`/` outside tests). Under another root, only files in it are read.
    pub fn new(root: impl AsRef<Path>) -> Self {
        let root = root.as_ref();
        #[cfg(not(any(target_os = "linux", feature = "sysinfo")))]
        let _ = root;
        Self {
            #[cfg(target_os = "linux")]
            meminfo: under(root, "/proc/meminfo"),
            #[cfg(all(not(target_os = "linux"), feature = "sysinfo"))]
            memory: (root == Path::new("/"))
                .then(portable::Memory::new)
                .flatten(),
        }
    }

    /// Returns the total and the available memory in bytes.
    fn sizes(&self) -> Option<(u64, u64)> {
        #[cfg(target_os = "linux")]
        {
            use procfs::{FromRead, Meminfo};

            let memory = Meminfo::from_file(&self.meminfo).ok()?;
            // `MemAvailable` exists since Linux 3.14.
            Some((memory.mem_total, memory.mem_available?))
        }
        #[cfg(all(not(target_os = "linux"), feature = "sysinfo"))]
        return self.memory.as_ref()?.sizes();
        #[cfg(not(any(target_os = "linux", feature = "sysinfo")))]
        return None;
    }
}

impl Source for MachineSource {
    fn read(&self, reading: &mut Reading) {
        if let Some((total, available)) = self.sizes() {
            reading.set_bytes(Metric::MachineTotal, total);
            reading.set_bytes(Metric::MachineAvailable, available);
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

/// The same figures on systems other than Linux.
#[cfg(all(not(target_os = "linux"), feature = "sysinfo"))]
mod portable {
    use std::sync::Mutex;

    use sysinfo::{
        MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System, get_current_pid,
    };

    use crate::lock;

    pub(super) struct OwnProcess {
        system: Mutex<System>,
        pid: Pid,
    }

    impl OwnProcess {
        pub(super) fn new() -> Option<Self> {
            Some(Self {
                system: Mutex::new(System::new().ok()?),
                pid: get_current_pid().ok()?,
            })
        }

        /// Returns the resident set and the address space in bytes.
        pub(super) fn sizes(&self) -> (Option<u64>, Option<u64>) {
            let mut system = lock(&self.system);
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

    pub(super) struct Memory(Mutex<System>);

    impl Memory {
        pub(super) fn new() -> Option<Self> {
            System::new().ok().map(|system| Self(Mutex::new(system)))
        }

        /// Returns the total and the available memory in bytes.
        pub(super) fn sizes(&self) -> Option<(u64, u64)> {
            let mut system = lock(&self.0);
            system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
            // sysinfo returns 0 for values it cannot read.
            (system.total_memory() > 0).then(|| (system.total_memory(), system.available_memory()))
        }
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
