//! Finding the process's control group from `/proc/self/cgroup` and `/proc/self/mountinfo`.

use std::{
    ffi::OsString,
    path::{Component, Path, PathBuf},
};

use super::super::{text, under};

/// Where a group lies, as a path of the running system.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The hierarchy's mount point.
    pub(super) mount: PathBuf,
    /// The group's folder, at or below the mount point.
    pub(super) group: PathBuf,
}

/// The group that memory is charged to.
pub(super) struct Group {
    pub(super) v1: bool,
    pub(super) place: Place,
}

/// The group that memory is charged to. A controller lives in one hierarchy only, so where version
/// 1 has the memory controller, version 2 has not.
pub(super) fn memory_group(root: &Path) -> Option<Group> {
    let (groups, mounts) = read(root)?;
    let v1 = groups
        .lines()
        .filter_map(Entry::parse)
        .find(|entry| entry.controllers.split(',').any(|c| c == "memory"))
        .and_then(|entry| place(root, &mounts, Hierarchy::V1Memory, entry.path));
    match v1 {
        Some(place) => Some(Group { v1: true, place }),
        None => unified(root, &groups, &mounts).map(|place| Group { v1: false, place }),
    }
}

/// The process's group in the version 2 hierarchy.
pub(super) fn unified_group(root: &Path) -> Option<Place> {
    let (groups, mounts) = read(root)?;
    unified(root, &groups, &mounts)
}

fn read(root: &Path) -> Option<(String, String)> {
    Some((
        text(under(root, "/proc/self/cgroup"))?,
        text(under(root, "/proc/self/mountinfo"))?,
    ))
}

fn unified(root: &Path, groups: &str, mounts: &str) -> Option<Place> {
    let entry = groups
        .lines()
        .filter_map(Entry::parse)
        .find(|entry| entry.id == "0" && entry.controllers.is_empty())?;
    place(root, mounts, Hierarchy::V2, entry.path)
}

/// A line `id:controllers:path` of `/proc/self/cgroup`.
struct Entry<'a> {
    id: &'a str,
    controllers: &'a str,
    path: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (id, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        Some(Self {
            id,
            controllers,
            path,
        })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Hierarchy {
    V1Memory,
    V2,
}

/// A line of `/proc/self/mountinfo`, as far as it matters here: the part of the hierarchy that is
/// mounted and where. See proc_pid_mountinfo(5).
struct Mount {
    subtree: PathBuf,
    point: PathBuf,
}

impl Mount {
    fn parse(line: &str, hierarchy: Hierarchy) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        let (fs_type, super_options) = (kind.next()?, kind.nth(1)?);
        let wanted = match hierarchy {
            Hierarchy::V1Memory => {
                fs_type == "cgroup" && super_options.split(',').any(|o| o == "memory")
            }
            Hierarchy::V2 => fs_type == "cgroup2",
        };
        let mut place = place.split(' ').skip(3);
        wanted.then_some(Self {
            subtree: unescape(place.next()?),
            point: unescape(place.next()?),
        })
    }
}

/// The folder in which the group called `path` is found.
fn place(root: &Path, mounts: &str, hierarchy: Hierarchy, path: &str) -> Option<Place> {
    let path = Path::new(path);
    // A process whose group lies outside its own group namespace sees a path with `..`; then, and
    // where only another part of the hierarchy is mounted, the mount point is the nearest thing
    // that can be seen.
    let outside = path.components().any(|c| c == Component::ParentDir);
    mounts
        .lines()
        .filter_map(|line| Mount::parse(line, hierarchy))
        .map(|mount| {
            let inner = path
                .strip_prefix(&mount.subtree)
                .ok()
                .filter(|_| !outside)
                .map(|inner| mount.point.join(inner))
                .filter(|group| under(root, group).is_dir());
            let exact = inner.is_some();
            let place = Place {
                group: inner.unwrap_or_else(|| mount.point.clone()),
                mount: mount.point,
            };
            (exact, place)
        })
        // Of several mounts, one that shows the group itself.
        .max_by_key(|(exact, _)| *exact)
        .map(|(_, place)| place)
}

/// mountinfo writes blanks, tabs, newlines and backslashes as `\` and three octal digits.
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
    PathBuf::from(OsString::from(String::from_utf8_lossy(&out).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escaped_blanks_are_blanks() {
        assert_eq!(unescape(r"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescape(r"/a\04"), Path::new(r"/a\04"));
        assert_eq!(unescape(r"/a\999"), Path::new(r"/a\999"));
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parsers_panic(line in "(/|:|-| |\\\\|[0-7]{1,3}|cgroup2?|memory|,|\\PC){0,30}") {
            Entry::parse(&line);
            Mount::parse(&line, Hierarchy::V1Memory);
            Mount::parse(&line, Hierarchy::V2);
            unescape(&line);
        }
    }
}
