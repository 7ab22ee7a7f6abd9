//! Tables on a terminal.

use comfy_table::{CellAlignment, Row, Table};

/// Formats a table without borders, one line per row. All columns are aligned to the left, except those
/// whose indices are in `right`.
pub(crate) fn format<R: Into<Row>>(rows: impl IntoIterator<Item = R>, right: &[usize]) -> String {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        // Two spaces between columns.
        column.set_padding((if index == 0 { 0 } else { 2 }, 0));
        if right.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{}\n", table.trim_fmt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_columns_and_trims_lines() {
        let rows = [["a", "1", ""], ["longer", "22", "x"]];
        assert_eq!(format(rows, &[1]), "a        1\nlonger  22  x\n");
        assert_eq!(format(rows, &[]), "a       1\nlonger  22  x\n");
    }
}
