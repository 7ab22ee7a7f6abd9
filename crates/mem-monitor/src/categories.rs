//! A breakdown of the resident set by category.

use std::fmt;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::{Metric, Reading};

/// The kind of memory behind a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Backing {
    /// The heap. Included in the live bytes of a heap counter, if there is one.
    Heap,
    /// A mapped file.
    File,
    /// Device memory, which is not in the resident set.
    Device,
}

/// A category of memory whose size the program reports: buffers, caches, a table.
pub struct Category {
    name: String,
    backing: Backing,
    bytes: Box<dyn Fn() -> Option<u64> + Send + Sync>,
}

impl Category {
    /// Creates a category from a closure that returns its current size in bytes, or `None` if
    /// unknown.
    pub fn new(
        name: impl Into<String>,
        backing: Backing,
        bytes: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            backing,
            bytes: Box::new(bytes),
        }
    }
}

impl fmt::Debug for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Category")
            .field("name", &self.name)
            .field("backing", &self.backing)
            .finish_non_exhaustive()
    }
}

/// The meaning of a [`Breakdown`] row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RowKind {
    /// A registered category.
    Category(Backing),
    /// Live heap bytes outside every category.
    OtherHeap,
    /// Bytes held by the allocator beyond the live bytes.
    AllocatorSlack,
    /// Resident pages of mapped files outside every category: program code, libraries.
    OtherFiles,
    /// The resident set minus all of the above: thread stacks and uncounted memory. Negative if
    /// counted memory is not resident (never touched, or swapped out).
    Unexplained,
}

/// A row of a [`Breakdown`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The category's name, or a fixed name for the other rows.
    pub name: String,
    /// The row's meaning.
    pub kind: RowKind,
    /// Size in bytes. Only [`RowKind::Unexplained`] can be negative.
    pub bytes: Option<i64>,
}

/// The registered categories and the rest of the resident set.
///
/// The rows add up to the resident set, except for device memory. Unknown rows are part of the
/// unexplained rest. `Display` prints a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakdown {
    /// The resident set.
    pub rss_bytes: Option<u64>,
    /// The categories in order of registration, then the rest of the heap, the allocator slack,
    /// other files and the unexplained rest.
    pub rows: Vec<Row>,
}

impl Breakdown {
    pub(crate) fn new(reading: &Reading, categories: &[Category]) -> Self {
        let signed = |bytes: Option<u64>| bytes.map(|b| i64::try_from(b).unwrap_or(i64::MAX));
        let mut rows: Vec<Row> = categories
            .iter()
            .map(|category| Row {
                name: category.name.clone(),
                kind: RowKind::Category(category.backing),
                bytes: signed((category.bytes)()),
            })
            .collect();
        let claimed = |backing| {
            rows.iter()
                .filter(|row| row.kind == RowKind::Category(backing))
                .filter_map(|row| row.bytes)
                .fold(0i64, i64::saturating_add)
        };
        // Categories and totals are read at different moments, so the rest could fall below zero.
        let rest = |metric, claimed: i64| {
            signed(reading.bytes(metric)).map(|whole| whole.saturating_sub(claimed).max(0))
        };
        let others = [
            (
                "other heap",
                RowKind::OtherHeap,
                rest(Metric::Heap, claimed(Backing::Heap)),
            ),
            (
                "allocator slack",
                RowKind::AllocatorSlack,
                signed(reading.bytes(Metric::AllocatorSlack)),
            ),
            (
                "other files, code",
                RowKind::OtherFiles,
                rest(Metric::RssFile, claimed(Backing::File)),
            ),
        ];
        rows.extend(others.into_iter().map(|(name, kind, bytes)| Row {
            name: name.to_owned(),
            kind,
            bytes,
        }));
        let explained = rows
            .iter()
            .filter(|row| row.kind != RowKind::Category(Backing::Device))
            .filter_map(|row| row.bytes)
            .fold(0i64, i64::saturating_add);
        let rss = reading.bytes(Metric::Rss);
        rows.push(Row {
            name: "unexplained".to_owned(),
            kind: RowKind::Unexplained,
            bytes: signed(rss).map(|rss| rss.saturating_sub(explained)),
        });
        Self {
            rss_bytes: rss,
            rows,
        }
    }

    /// Returns the unexplained rest; see [`RowKind::Unexplained`].
    pub fn unexplained_bytes(&self) -> Option<i64> {
        self.rows
            .iter()
            .find(|row| row.kind == RowKind::Unexplained)?
            .bytes
    }
}

/// Formats a signed size.
pub(crate) fn format_signed(bytes: i64) -> String {
    let size = ByteSize::b(bytes.unsigned_abs());
    if bytes < 0 {
        format!("-{size}")
    } else {
        size.to_string()
    }
}

impl Row {
    /// Formats the size and its share of the resident set.
    pub(crate) fn cells(&self, rss: Option<u64>) -> [String; 2] {
        let bytes = self
            .bytes
            .map_or_else(|| "unknown".to_owned(), format_signed);
        let share = match (self.kind, self.bytes, rss) {
            (RowKind::Category(Backing::Device), ..) => "on device".to_owned(),
            (_, Some(bytes), Some(rss)) if rss > 0 => {
                format!("{:.1} %", bytes as f64 / rss as f64 * 100.0)
            }
            _ => String::new(),
        };
        [bytes, share]
    }
}

impl fmt::Display for Breakdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self
            .rss_bytes
            .map_or_else(|| "unknown".to_owned(), |rss| ByteSize::b(rss).to_string());
        let width = self
            .rows
            .iter()
            .map(|row| row.name.chars().count())
            .max()
            .unwrap_or(0)
            .max("resident set".len());
        for row in &self.rows {
            let [bytes, share] = row.cells(self.rss_bytes);
            writeln!(f, "{:width$}  {bytes:>12}  {share:>9}", row.name)?;
        }
        write!(f, "{:width$}  {total:>12}", "resident set")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn category(name: &str, backing: Backing, bytes: Option<u64>) -> Category {
        Category::new(name, backing, move || bytes)
    }

    fn reading(values: &[(Metric, u64)]) -> Reading {
        let mut reading = Reading::default();
        for &(metric, bytes) in values {
            reading.set_bytes(metric, bytes);
        }
        reading
    }

    #[test]
    fn rows_add_up_to_the_resident_set() {
        let reading = reading(&[
            (Metric::Rss, 1000 << 20),
            (Metric::Heap, 300 << 20),
            (Metric::AllocatorSlack, 50 << 20),
            (Metric::RssFile, 520 << 20),
        ]);
        let categories = [
            category("weights", Backing::File, Some(500 << 20)),
            category("KV", Backing::Heap, Some(200 << 20)),
            category("GPU buffers", Backing::Device, Some(900 << 20)),
        ];
        let table = Breakdown::new(&reading, &categories);
        assert_eq!(
            table.to_string(),
            "weights               500.0 MiB     50.0 %\n\
             KV                    200.0 MiB     20.0 %\n\
             GPU buffers           900.0 MiB  on device\n\
             other heap            100.0 MiB     10.0 %\n\
             allocator slack        50.0 MiB      5.0 %\n\
             other files, code      20.0 MiB      2.0 %\n\
             unexplained           130.0 MiB     13.0 %\n\
             resident set         1000.0 MiB"
        );
        assert_eq!(table.unexplained_bytes(), Some(130 << 20));
    }

    #[test]
    fn unknown_sizes_are_shown_and_belong_to_the_rest() {
        let table = Breakdown::new(
            &reading(&[(Metric::Rss, 10 << 20)]),
            &[category("cache", Backing::Heap, None)],
        );
        assert!(
            table
                .to_string()
                .contains("cache                   unknown"),
            "{table}"
        );
        assert_eq!(table.unexplained_bytes(), Some(10 << 20));
        assert_eq!(
            Breakdown::new(&Reading::default(), &[]).unexplained_bytes(),
            None
        );
    }

    #[test]
    fn rest_is_negative_if_more_is_counted_than_resident() {
        let table = Breakdown::new(
            &reading(&[(Metric::Rss, 1 << 20)]),
            &[category("reserved", Backing::Heap, Some(3 << 20))],
        );
        assert!(table.to_string().contains("-2.0 MiB"), "{table}");
    }

    proptest! {
        #[test]
        fn any_sizes_add_up_without_overflow(
            rss in prop::option::of(any::<u64>()),
            heap in prop::option::of(any::<u64>()),
            sizes in prop::collection::vec(prop::option::of(any::<u64>()), 0..6),
        ) {
            let mut reading = Reading::default();
            reading.set_if_known(Metric::Rss, rss);
            reading.set_if_known(Metric::Heap, heap);
            let categories: Vec<_> = sizes.iter().map(|&b| category("p", Backing::Heap, b)).collect();
            let table = Breakdown::new(&reading, &categories);
            prop_assert_eq!(table.rows.len(), sizes.len() + 4);
            if rss.is_some_and(|r| r < 1 << 50) && sizes.iter().flatten().all(|&b| b < 1 << 50)
                && heap.is_none_or(|b| b < 1 << 50)
            {
                let sum: i64 = table.rows.iter().filter_map(|row| row.bytes).sum();
                prop_assert_eq!(Some(sum as u64), rss);
            }
            table.to_string();
        }
    }
}
