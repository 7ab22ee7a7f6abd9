//! Tables for people.

use std::fmt;

use tensor_pool::Bytes;

/// Writes rows below each other: the first column to the left, the others to the right. No line break
/// after the last row.
pub(super) fn write<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    head: [&str; N],
    rows: &[[String; N]],
) -> fmt::Result {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let head = head.map(str::to_owned);
    for (i, row) in std::iter::once(&head).chain(rows).enumerate() {
        if i > 0 {
            writeln!(f)?;
        }
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            match column {
                0 => write!(f, "{cell:width$}")?,
                _ => write!(f, "  {cell:>width$}")?,
            }
        }
    }
    Ok(())
}

/// An amount, or that it is unknown.
pub(super) fn shown(bytes: Option<Bytes>) -> String {
    bytes.map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string())
}
