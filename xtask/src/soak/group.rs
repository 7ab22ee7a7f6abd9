//! A control group with a memory limit.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A group below that of this process, which is removed when it is dropped.
pub(super) struct Group {
    folder: PathBuf,
    limit: &'static str,
}

impl Group {
    /// Creates a group without swap. Returns the reason if that is not possible here.
    pub(super) fn create() -> Result<Self, String> {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let mount = |is_wanted: &dyn Fn(&str, &str) -> bool| {
            mounts.lines().find_map(|line| {
                let fields: Vec<_> = line.split(' ').collect();
                let [_, point, kind, options, ..] = fields[..] else {
                    return None;
                };
                is_wanted(kind, options).then(|| PathBuf::from(point))
            })
        };
        let v1 = own.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let has_memory = controllers.split(',').any(|name| name == "memory");
            has_memory.then(|| path.trim_start_matches('/').to_owned())
        });
        let (parent, limit, swap) = match v1 {
            Some(path) => {
                let is_memory = |kind: &str, options: &str| {
                    kind == "cgroup" && options.split(',').any(|name| name == "memory")
                };
                let point = mount(&is_memory).ok_or("the memory controller is not mounted")?;
                (point.join(path), "memory.limit_in_bytes", None)
            }
            None => {
                let point =
                    mount(&|kind, _| kind == "cgroup2").ok_or("no control groups are mounted")?;
                let path = own.lines().find_map(|line| line.strip_prefix("0::/"));
                let swap = Some("memory.swap.max");
                (point.join(path.unwrap_or("")), "memory.max", swap)
            }
        };
        let folder = parent.join(format!("pocket-tts-soak-{}", std::process::id()));
        fs::create_dir(&folder)
            .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        let group = Self { folder, limit };
        if !group.folder.join(limit).exists() {
            return Err(format!(
                "groups in {} have no memory limit",
                parent.display()
            ));
        }
        if let Some(file) = swap
            .map(|file| group.folder.join(file))
            .filter(|file| file.exists())
        {
            fs::write(&file, "0").map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(group)
    }

    /// Sets the limit.
    pub(super) fn set_limit(&self, bytes: u64) -> Result<()> {
        let file = self.folder.join(self.limit);
        fs::write(&file, bytes.to_string())
            .with_context(|| format!("cannot write {}", file.display()))
    }

    /// The file that a process joins the group with.
    pub(super) fn processes(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            eprintln!("cannot remove {}: {error}", self.folder.display());
        }
    }
}
