//! Atomic writing of files: a file appears under its name only when it is complete.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file that appears under its name only when it is complete.
///
/// The contents go to a temporary file in the same folder, which [`persist`](Self::persist) renames. An
/// existing file stays unchanged until then, and a dropped writer leaves no file behind. Symbolic links
/// are followed.
///
/// ```
/// use std::io::Write;
/// use tts_core::OutputFile;
///
/// # fn main() -> std::io::Result<()> {
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("report.json");
/// let mut file = OutputFile::create(&path)?;
/// file.write_all(b"{}")?;
/// assert!(!path.exists());
/// file.persist()?;
/// assert_eq!(std::fs::read(&path)?, b"{}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OutputFile {
    file: NamedTempFile,
    path: PathBuf,
}

/// The kind of file at a path.
pub(crate) enum Target {
    /// A regular file, or no file yet.
    Regular(OutputFile),
    /// A device or a named pipe, which must not be replaced.
    Special(PathBuf),
}

impl OutputFile {
    /// Creates the temporary file.
    ///
    /// # Errors
    ///
    /// The folder does not exist or is not writable, or the path is that of a folder or a device.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        match Target::open(path.as_ref())? {
            Target::Regular(file) => Ok(file),
            Target::Special(_) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            )),
        }
    }

    /// Writes a whole file.
    ///
    /// # Errors
    ///
    /// As [`Self::create`]; or the contents cannot be written.
    pub fn write(path: impl AsRef<Path>, contents: &[u8]) -> io::Result<()> {
        let mut file = Self::create(path)?;
        file.write_all(contents)?;
        file.persist()
    }

    /// Returns the temporary file.
    pub fn as_file(&self) -> &File {
        self.file.as_file()
    }

    /// Renames the temporary file to its final name.
    ///
    /// # Errors
    ///
    /// The file cannot be renamed.
    pub fn persist(self) -> io::Result<()> {
        self.file.persist(self.path).map_err(|error| error.error)?;
        Ok(())
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

impl Seek for OutputFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.as_file_mut().seek(position)
    }
}

impl Target {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = match path.canonicalize() {
            Ok(existing) => {
                let kind = existing.metadata()?;
                if kind.is_dir() {
                    return Err(io::Error::new(
                        io::ErrorKind::IsADirectory,
                        "it is a folder; use the name of a file in it",
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
                        format!("{path:?} has no file name"),
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
                format!("the folder {} does not exist", folder.display()),
            ));
        }
        let file = temporary_file(folder)?;
        Ok(Self::Regular(OutputFile { file, path }))
    }
}

fn temporary_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tts-").suffix(".part");
    // By default only the owner may read a temporary file. This one becomes a regular file, so its
    // permissions follow the umask.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}
