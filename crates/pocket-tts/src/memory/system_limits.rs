//! The operating system's limits on the memory of this process.

use std::path::PathBuf;

use mem_monitor::{CgroupSource, LimitOrigin as MonitoredOrigin, MachineSource, Metric};
use mem_monitor::{Reading, Source};
use tts_core::memory::{LimitOrigin, SystemLimit};

/// Memory that a limit applies to in addition to the counted bytes, and that is not in use yet when work is
/// admitted.
struct Reserve {
    fixed_bytes: u64,
    bytes_per_thread: u64,
}

/// The reserve of limits on resident memory. Speech with the built-in model and a counted peak of 36 MiB
/// needs a control group of 40 MiB: its code, page tables and stacks take 4 MiB, and less in a group
/// that has cached the program's file.
const RESIDENT: Reserve = Reserve {
    fixed_bytes: 6 << 20,
    // The touched pages of a stack, and the kernel's own stack.
    bytes_per_thread: 128 << 10,
};

/// The reserve of limits on address space and data. They include pages that were never touched. The data
/// of the built-in model exceed the counted peak by 2 MiB beside the stacks; blocks that the allocator
/// retains are freed before a request fails.
const VIRTUAL: Reserve = Reserve {
    fixed_bytes: 4 << 20,
    // The stack that Rust's standard library reserves, with its guard page and thread-local data.
    bytes_per_thread: (2 << 20) + (64 << 10),
};

impl Reserve {
    fn bytes(&self, threads: usize) -> u64 {
        let stacks = self.bytes_per_thread.saturating_mul(threads as u64);
        self.fixed_bytes.saturating_add(stacks)
    }
}

/// The limits of the control groups, of the process's resource limits and of the machine.
pub(super) struct SystemLimits {
    /// `/` outside tests.
    #[cfg(target_os = "linux")]
    root: PathBuf,
    groups: CgroupSource,
    machine: MachineSource,
}

impl SystemLimits {
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            groups: CgroupSource::new(&root),
            machine: MachineSource::new(&root),
            #[cfg(target_os = "linux")]
            root,
        }
    }

    /// Returns the limit with the least room for counted bytes beside so many further threads.
    pub(super) fn tightest(&self, threads: usize) -> Option<SystemLimit> {
        let [address_space, data] = self.resource_limits(threads);
        let limits = [
            self.group(threads),
            address_space,
            data,
            self.machine(threads),
        ];
        limits
            .into_iter()
            .flatten()
            .min_by_key(SystemLimit::headroom_bytes)
    }

    fn group(&self, threads: usize) -> Option<SystemLimit> {
        let limit = self.groups.tightest_limit()?;
        let (MonitoredOrigin::CgroupMax(file) | MonitoredOrigin::CgroupHigh(file)) = &limit.origin
        else {
            return None;
        };
        Some(SystemLimit {
            origin: LimitOrigin::ControlGroup(file.to_path_buf()),
            limit_bytes: limit.limit_bytes,
            used_bytes: limit.used_bytes?,
            reserve_bytes: RESIDENT.bytes(threads),
        })
    }

    fn machine(&self, threads: usize) -> Option<SystemLimit> {
        let mut reading = Reading::default();
        self.machine.read(&mut reading);
        Some(SystemLimit {
            origin: LimitOrigin::Machine,
            limit_bytes: reading.bytes(Metric::MachineAvailable)?,
            used_bytes: 0,
            reserve_bytes: RESIDENT.bytes(threads),
        })
    }

    #[cfg(target_os = "linux")]
    fn resource_limits(&self, threads: usize) -> [Option<SystemLimit>; 2] {
        use procfs::FromRead;
        use procfs::process::{LimitValue, Limits, StatM};

        let file = |name: &str| self.root.join("proc/self").join(name);
        let (Ok(limits), Ok(used)) = (
            Limits::from_file(file("limits")),
            StatM::from_file(file("statm")),
        ) else {
            return [None, None];
        };
        let limit = |value: LimitValue, used_pages: u64, origin: LimitOrigin| {
            let LimitValue::Value(limit_bytes) = value else {
                return None;
            };
            Some(SystemLimit {
                origin,
                limit_bytes,
                used_bytes: used_pages.saturating_mul(procfs::page_size()),
                reserve_bytes: VIRTUAL.bytes(threads),
            })
        };
        let address_space = limits.max_address_space.soft_limit;
        // The kernel does not apply the limit to the main stack, which is part of `used.data`.
        let data = limits.max_data_size.soft_limit;
        [
            limit(address_space, used.size, LimitOrigin::AddressSpace),
            limit(data, used.data, LimitOrigin::Data),
        ]
    }

    #[cfg(not(target_os = "linux"))]
    fn resource_limits(&self, _: usize) -> [Option<SystemLimit>; 2] {
        [None, None]
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A root with these resource limits and sizes, in which no other limit is found.
    fn root(limits: &[(&str, &str)], size_bytes: u64, data_bytes: u64) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("proc/self");
        std::fs::create_dir_all(&folder).unwrap();
        let own = std::fs::read_to_string("/proc/self/limits").unwrap();
        let lines = own.lines().map(|line| {
            let changed = limits.iter().find(|(name, _)| line.starts_with(name));
            changed.map_or(line.to_owned(), |(name, value)| {
                format!("{name:25} {value:20} {value:20} bytes     ")
            })
        });
        let lines: Vec<_> = lines.collect();
        std::fs::write(folder.join("limits"), lines.join("\n") + "\n").unwrap();
        let pages = |bytes: u64| bytes / procfs::page_size();
        let statm = format!("{} 9 9 9 0 {} 0\n", pages(size_bytes), pages(data_bytes));
        std::fs::write(folder.join("statm"), statm).unwrap();
        root
    }

    #[test]
    fn resource_limit_leaves_what_is_not_in_use_less_the_reserve() {
        let limits = [
            ("Max address space", "104857600"),
            ("Max data size", "62914560"),
        ];
        let root = root(&limits, 70 * MIB, 40 * MIB);
        let system = SystemLimits::new(root.path());
        // 20 MiB of data are left, and 30 MiB of address space.
        let limit = system.tightest(0).unwrap();
        assert_eq!(
            limit,
            SystemLimit {
                origin: LimitOrigin::Data,
                limit_bytes: 60 * MIB,
                used_bytes: 40 * MIB,
                reserve_bytes: 4 * MIB,
            }
        );
        let threads = system.tightest(3).unwrap();
        let stacks = limit.headroom_bytes() - threads.headroom_bytes();
        assert!((6 * MIB..7 * MIB).contains(&stacks), "{stacks}");
        assert_eq!(system.tightest(100).unwrap().headroom_bytes(), 0);
    }

    #[test]
    fn tightest_resource_limit_is_named() {
        let limits = [
            ("Max address space", "83886080"),
            ("Max data size", "unlimited"),
        ];
        let root = root(&limits, 70 * MIB, 40 * MIB);
        let limit = SystemLimits::new(root.path()).tightest(0).unwrap();
        assert_eq!(limit.origin, LimitOrigin::AddressSpace);
        assert_eq!(limit.headroom_bytes(), 6 * MIB);
    }

    #[test]
    fn machine_is_the_limit_without_any_other() {
        let unlimited = [
            ("Max address space", "unlimited"),
            ("Max data size", "unlimited"),
        ];
        let root = root(&unlimited, MIB, MIB);
        assert_eq!(SystemLimits::new(root.path()).tightest(0), None);
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
        std::fs::write(root.path().join("proc/meminfo"), meminfo).unwrap();
        let limit = SystemLimits::new(root.path()).tightest(0).unwrap();
        assert_eq!(limit.origin, LimitOrigin::Machine);
        assert_eq!(limit.reserve_bytes, RESIDENT.fixed_bytes);
        assert!(limit.left_bytes() > limit.reserve_bytes);
    }
}
