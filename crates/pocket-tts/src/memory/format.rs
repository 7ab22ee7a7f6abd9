//! How reports are written: tables, amounts and JSON.

use std::fmt;

use bytesize::ByteSize;
use comfy_table::{CellAlignment, Table};

/// Writes rows as a table without borders: the first column aligned to the left, the others to the
/// right. There is no line break after the last row.
pub(super) fn write_table<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    head: [&str; N],
    rows: Vec<[String; N]>,
) -> fmt::Result {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(head)
        .add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((if index == 0 { 0 } else { 2 }, 0));
        if index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    f.write_str(&table.trim_fmt())
}

/// Formats an amount in IEC units, or as unknown.
pub(super) fn amount(bytes: Option<u64>) -> String {
    bytes.map_or_else(
        || "unknown".to_owned(),
        |bytes| ByteSize::b(bytes).to_string(),
    )
}

/// Serializes a duration as seconds.
pub(super) mod seconds {
    use std::time::Duration;

    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::{Serialize, Serializer};

    pub(in crate::memory) fn serialize<S: Serializer>(
        time: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.as_secs_f64().serialize(serializer)
    }

    pub(in crate::memory) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)
    }
}

/// Serializes a path as text, with replacement characters where the path is not Unicode.
pub(super) mod path {
    use std::path::{Path, PathBuf};

    use serde::de::{Deserialize, Deserializer};
    use serde::ser::{Serialize, Serializer};

    pub(in crate::memory) fn serialize<S: Serializer>(
        path: &Path,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        path.to_string_lossy().serialize(serializer)
    }

    pub(in crate::memory) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PathBuf, D::Error> {
        String::deserialize(deserializer).map(PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Shown;

    impl fmt::Display for Shown {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let rows = [["load", "1"], ["decode", "200"]].map(|row| row.map(str::to_owned));
            write_table(f, ["phase", "calls"], rows.into())
        }
    }

    #[test]
    fn aligns_names_to_the_left_and_figures_to_the_right() {
        let lines = ["phase   calls", "load        1", "decode    200"];
        assert_eq!(Shown.to_string(), lines.join("\n"));
    }

    #[test]
    fn formats_amounts_in_iec_units() {
        assert_eq!(amount(Some((64 << 20) + (1 << 19))), "64.5 MiB");
        assert_eq!(amount(None), "unknown");
    }
}
