//! Tables for a terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Row, Table};

/// Formats a table without borders. The first column is aligned to the left, the others to the right.
pub(crate) fn format<R: Into<Row>>(
    header: impl Into<Row>,
    rows: impl IntoIterator<Item = R>,
) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(header);
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        // Two spaces between columns, none at the end of a line.
        column.set_padding((if index == 0 { 0 } else { 2 }, 0));
        column.set_cell_alignment(match index {
            0 => CellAlignment::Left,
            _ => CellAlignment::Right,
        });
    }
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_columns() {
        let text = format(["a", "b"], [["longer", "22"]]);
        assert_eq!(text, "a        b\nlonger  22\n");
    }
}
