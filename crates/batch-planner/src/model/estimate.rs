use std::fmt;

use serde::{Deserialize, Serialize};

use bytesize::ByteSize;

/// The memory of a batch, term by term. Displays as a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// The number of items in the batch.
    pub batch_size: u64,
    /// The length of each item, in positions.
    pub sequence_length: u64,
    /// The memory of each term, in the model's order.
    pub items: Vec<Item>,
    /// The sum of all terms, in bytes.
    pub total_bytes: u64,
}

/// The memory of one term.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The term's name.
    pub name: String,
    /// The memory of the term, in bytes.
    pub bytes: u64,
}

impl Estimate {
    /// Writes the table, with `more` rows below the total.
    pub(crate) fn write_table(
        &self,
        formatter: &mut fmt::Formatter<'_>,
        more: &[(&str, u64)],
    ) -> fmt::Result {
        let mut rows: Vec<(&str, u64)> = self
            .items
            .iter()
            .map(|item| (item.name.as_str(), item.bytes))
            .collect();
        rows.push(("total", self.total_bytes));
        rows.extend_from_slice(more);
        let width = rows.iter().map(|(name, _)| name.chars().count()).max();
        let width = width.unwrap_or(0);

        write!(
            formatter,
            "batch size {} at length {}",
            self.batch_size, self.sequence_length
        )?;
        for (name, bytes) in rows {
            write!(formatter, "\n  {name:<width$}  {:>10}", ByteSize::b(bytes))?;
        }
        Ok(())
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_table(formatter, &[])
    }
}
