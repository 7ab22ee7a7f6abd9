//! Locates the process's control group through `/proc/self/cgroup` and `/proc/self/mountinfo`.

use std::{
    ffi::OsString,
    fs::File,
    io::{BufRead, BufReader},
    os::unix::ffi::OsStringExt,
    path::{Component, Path, PathBuf},
};

use procfs::{FromRead, ProcessCGroup, ProcessCGroups, process::MountInfo};

use super::super::under;

/// The location of a group in the running system.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Mount point of the hierarchy.
    pub(super) mount: PathBuf,
    /// Folder of the group, at or below the mount point.
    pub(super) group: PathBuf,
}

/// The control group that memory is charged to.
pub(super) struct Group {
    pub(super) v1: bool,
    pub(super) place: Place,
}

/// Returns the group that memory is charged to. A controller is in one hierarchy only: if version 1 has
/// the memory controller, version 2 does not.
pub(super) fn memory_group(root: &Path) -> Option<Group> {
    let groups = groups(root)?;
    let v1 = groups
        .iter()
        .find(|group| group.controllers.iter().any(|c| c == "memory"))
        .and_then(|group| place(root, Hierarchy::V1Memory, &group.pathname));
    match v1 {
        Some(place) => Some(Group { v1: true, place }),
        None => unified(root, &groups).map(|place| Group { v1: false, place }),
    }
}

/// Returns the process's group in the version 2 hierarchy.
pub(super) fn unified_group(root: &Path) -> Option<Place> {
    unified(root, &groups(root)?)
}

fn groups(root: &Path) -> Option<Vec<ProcessCGroup>> {
    let file = under(root, "/proc/self/cgroup");
    Some(ProcessCGroups::from_file(file).ok()?.0)
}

fn unified(root: &Path, groups: &[ProcessCGroup]) -> Option<Place> {
    let group = groups
        .iter()
        .find(|group| group.hierarchy == 0 && group.controllers.is_empty())?;
    place(root, Hierarchy::V2, &group.pathname)
}

#[derive(Clone, Copy, PartialEq)]
enum Hierarchy {
    V1Memory,
    V2,
}

impl Hierarchy {
    fn is_mounted_by(self, mount: &MountInfo) -> bool {
        match self {
            Self::V1Memory => {
                mount.fs_type == "cgroup" && mount.super_options.contains_key("memory")
            }
            Self::V2 => mount.fs_type == "cgroup2",
        }
    }
}

/// Returns the folder of the group `path`.
fn place(root: &Path, hierarchy: Hierarchy, path: &str) -> Option<Place> {
    let path = Path::new(path);
    // A group outside the process's cgroup namespace has a path with `..`. In that case, and if only
    // another subtree is mounted, the mount point is the nearest visible folder.
    let outside = path.components().any(|c| c == Component::ParentDir);
    let mounts = File::open(under(root, "/proc/self/mountinfo")).ok()?;
    BufReader::new(mounts)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| MountInfo::from_line(&line).ok())
        .filter(|mount| hierarchy.is_mounted_by(mount))
        .map(|mount| {
            let (subtree, point) = (unescape(&mount.root), unescape_path(mount.mount_point));
            let inner = path
                .strip_prefix(&subtree)
                .ok()
                .filter(|_| !outside)
                .map(|inner| point.join(inner))
                .filter(|group| under(root, group).is_dir());
            let exact = inner.is_some();
            let place = Place {
                group: inner.unwrap_or_else(|| point.clone()),
                mount: point,
            };
            (exact, place)
        })
        // Prefer a mount that contains the group itself.
        .max_by_key(|(exact, _)| *exact)
        .map(|(_, place)| place)
}

fn unescape_path(path: PathBuf) -> PathBuf {
    unescape(&path.to_string_lossy())
}

/// Replaces `\` and three octal digits, which stand for blanks and backslashes. `procfs` leaves them.
fn unescape(field: &str) -> PathBuf {
    let bytes = field.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let octal = bytes
            .get(i + 1..i + 4)
            .filter(|_| bytes[i] == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(byte) => {
                out.push(byte);
                i += 4;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    PathBuf::from(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unescapes_octal_digits() {
        assert_eq!(unescape(r"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescape(r"/a\04"), Path::new(r"/a\04"));
        assert_eq!(unescape(r"/a\999"), Path::new(r"/a\999"));
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parsers_panic(line in "(/|:|-| |\\\\|[0-7]{1,3}|cgroup2?|memory|,|\\PC){0,30}") {
            let _ = ProcessCGroups::from_read(line.as_bytes());
            let _ = MountInfo::from_line(&line);
            unescape(&line);
        }
    }
}
