//! Locks between threads and programs that download the same file.

use std::fs::{File, create_dir_all};
use std::io;
use std::path::Path;

/// Waits for the lock file at `path`, which is made if need be; it is locked until the file is dropped.
pub(super) fn lock(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        create_dir_all(folder)?;
    }
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    match file.lock() {
        // Some network file systems have no locks; the check of the whole file remains.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        result => result.map(|()| file),
    }
}
