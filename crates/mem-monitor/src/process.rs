//! This process: its identity and its files under `/proc/self`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process,
};

/// The process that created a value.
///
/// A child after a fork without exec has a copy of the parent's memory, but only the thread that called
/// `fork`. In the child a join would never return, and a lock may be held by a thread that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(u32);

impl Owner {
    pub(crate) fn current() -> Self {
        Self(process::id())
    }

    /// Whether the calling process created the value.
    pub(crate) fn is_current(self) -> bool {
        self == Self::current()
    }
}

/// A file in `/proc/self` that stays open, because opening it costs as much as several reads.
///
/// In a forked child the open file still reports the parent, so the child opens it for every read.
#[derive(Debug)]
pub(crate) struct SelfFile {
    path: PathBuf,
    file: Option<File>,
    owner: Owner,
}

/// Larger than `/proc/self/status` (1.5 KB), unless the process has hundreds of groups.
const BUFFER_BYTES: usize = 4096;

impl SelfFile {
    /// Opens `proc/self/NAME` under `root` (`/` outside tests).
    pub(crate) fn open(root: &Path, name: &str) -> Self {
        let path = root.join("proc/self").join(name);
        Self {
            file: File::open(&path).ok(),
            path,
            owner: Owner::current(),
        }
    }

    /// Reads the file from its start and parses it.
    pub(crate) fn read<T>(&self, parse: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        let mut buffer = [0; BUFFER_BYTES];
        match self.read_open(&mut buffer) {
            Some(contents) => parse(contents),
            None => parse(&fs::read(&self.path).ok()?),
        }
    }

    /// Reads the open file. Returns `None` if it cannot be used or does not fit.
    #[cfg(unix)]
    fn read_open<'a>(&self, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        use std::os::unix::fs::FileExt;

        let file = self.file.as_ref().filter(|_| self.owner.is_current())?;
        let read = file.read_at(buffer, 0).ok()?;
        (read < buffer.len()).then(|| &buffer[..read])
    }

    #[cfg(not(unix))]
    fn read_open<'a>(&self, _: &'a mut [u8]) -> Option<&'a [u8]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_read_whole_whatever_its_size() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        let path = root.path().join("proc/self/status");
        fs::write(&path, "short").unwrap();
        let file = SelfFile::open(root.path(), "status");
        let length = || file.read(|contents| Some(contents.len()));
        assert_eq!(length(), Some(5));
        for bytes in [BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1] {
            fs::write(&path, vec![b'x'; bytes]).unwrap();
            assert_eq!(length(), Some(bytes));
        }
        let missing = SelfFile::open(root.path(), "missing");
        assert_eq!(missing.read(|contents| Some(contents.len())), None);
    }
}
