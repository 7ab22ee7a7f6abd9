//! Files that appear under their name when they are complete.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Where output goes.
pub(crate) enum OutputFile {
    /// A temporary file in the target's folder, and the name that it gets at the end. It is removed
    /// unless it is renamed.
    Regular { file: NamedTempFile, path: PathBuf },
    /// A device or a named pipe: nothing may ever be renamed over it.
    Special(PathBuf),
}

impl OutputFile {
    /// Prepares to write to `path`; symbolic links are followed.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = match path.canonicalize() {
            Ok(existing) => {
                let kind = existing.metadata()?;
                if kind.is_dir() {
                    return Err(io::Error::new(
                        io::ErrorKind::IsADirectory,
                        "it is a folder; give the name of a file in it",
                    ));
                }
                if !kind.is_file() {
                    return Ok(Self::Special(existing));
                }
                existing
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if path.file_name().is_none() {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        format!("{path:?} names no file"),
                    ));
                }
                path.to_owned()
            }
            Err(error) => return Err(error),
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("there is no folder {}; create it first", folder.display()),
            ));
        }
        let file = temporary_file(folder)?;
        Ok(Self::Regular { file, path })
    }
}

fn temporary_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".speech-").suffix(".part");
    // By default a temporary file is its owner's alone; this one becomes an ordinary file, whose
    // permissions the umask decides.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}
