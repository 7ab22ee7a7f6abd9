//! The resident set, from a file that stays open.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use super::under;

/// `/proc/self/statm`, kept open.
pub(super) struct Statm {
    file: File,
    page_bytes: u64,
}

impl Statm {
    pub(super) fn open(root: &Path) -> Option<Self> {
        Some(Self {
            file: File::open(under(root, "/proc/self/statm")).ok()?,
            page_bytes: rustix::param::page_size() as u64,
        })
    }

    /// Resident set and address space.
    pub(super) fn sizes(&self) -> (Option<u64>, Option<u64>) {
        // Seven numbers of at most 20 digits.
        let mut buffer = [0; 160];
        let read = self.file.read_at(&mut buffer, 0).unwrap_or(0);
        let mut pages = buffer[..read]
            .split(|byte| byte.is_ascii_whitespace())
            .map(|field| {
                std::str::from_utf8(field)
                    .ok()?
                    .parse::<u64>()
                    .ok()?
                    .checked_mul(self.page_bytes)
            });
        let virtual_size = pages.next().flatten();
        let rss = pages.next().flatten();
        (rss, virtual_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statm_counts_pages() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/self")).unwrap();
        std::fs::write(
            root.path().join("proc/self/statm"),
            "300 200 100 1 0 50 0\n",
        )
        .unwrap();
        let statm = Statm::open(root.path()).unwrap();
        let page = rustix::param::page_size() as u64;
        assert_eq!(statm.sizes(), (Some(200 * page), Some(300 * page)));
    }
}
