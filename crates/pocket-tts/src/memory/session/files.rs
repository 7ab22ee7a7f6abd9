//! The files of a recording.

use std::io;
use std::path::{Path, PathBuf};

use tts_core::OutputFile;

use crate::memory::error::SessionError;

/// The files of a recording, which differ only in their extension.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProfileFiles {
    /// Samples and phases in the format of Python's `mprof` (`mprofile_YYYYMMDDhhmmss.dat`). The file
    /// grows during the recording, so a killed process leaves it too.
    pub recording: PathBuf,
    /// A page with the timeline, phases, categories and alerts.
    pub html: PathBuf,
    /// The timeline.
    pub svg: PathBuf,
    /// A [`ProfileReport`](crate::memory::ProfileReport) as JSON.
    pub report: PathBuf,
}

/// Writes a file that appears under its name only when it is complete.
pub(super) fn write_whole(path: &Path, contents: &[u8]) -> Result<(), SessionError> {
    OutputFile::write(path, contents).map_err(|source| failed(path, source))
}

/// Creates the error for a file that cannot be written.
pub(super) fn failed(path: &Path, source: io::Error) -> SessionError {
    SessionError::Recording {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn writes_one_complete_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_whole(&path, b"{}").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"{}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn removes_the_temporary_file_after_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::create_dir_all(path.join("in the way")).unwrap();
        let error = write_whole(&path, b"{}").unwrap_err();
        assert!(error.to_string().contains("a.json"), "{error}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }
}
