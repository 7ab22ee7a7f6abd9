//! The files of a recording.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::memory::error::MemoryError;

/// The files of a recording, all of one name but for the ending.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProfileFiles {
    /// Samples and phases for Python's `mprof` (`mprofile_YYYYMMDDhhmmss.dat`). It grows while it is
    /// recorded, so a killed process leaves it too.
    pub recording: PathBuf,
    /// A page with the timeline, phases, parts and alerts.
    pub html: PathBuf,
    /// The timeline.
    pub svg: PathBuf,
    /// A [`ProfileReport`](crate::memory::ProfileReport) as JSON.
    pub report: PathBuf,
}

/// Writes a file beside its place, then renames it: it is there as a whole or not at all.
pub(super) fn write_whole(path: &Path, contents: &[u8]) -> Result<(), MemoryError> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = write_new(&part, contents).and_then(|()| fs::rename(&part, path));
    written.map_err(|source| {
        // It may not even be there.
        let _ = fs::remove_file(&part);
        failed(path, source)
    })
}

fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(contents)
}

/// The error for a file that cannot be written.
pub(super) fn failed(path: &Path, source: io::Error) -> MemoryError {
    MemoryError::Recording {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_as_a_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_whole(&path, b"{}").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"{}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_put_in_its_place_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::create_dir_all(path.join("in the way")).unwrap();
        let error = write_whole(&path, b"{}").unwrap_err();
        assert!(error.to_string().contains("a.json"), "{error}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }
}
