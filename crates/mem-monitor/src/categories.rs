//! A breakdown of the resident set by category.

use std::fmt;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::{Metric, Reading, guard::Guard};

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
    guard: Guard,
}

impl Category {
    /// Creates a category from a closure that returns its current size in bytes, or `None` if
    /// unknown. If the closure panics, it is not called again and the category is reported as failed.
    pub fn new(
        name: impl Into<String>,
        backing: Backing,
        bytes: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            backing,
            bytes: Box::new(bytes),
            guard: Guard::default(),
        }
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Returns the row of the category. Its size is unknown if the closure has panicked.
    fn row(&self) -> Row {
        let name = || format!("category `{}`", self.name);
        let bytes = self.guard.call(name, &self.bytes).flatten();
        Row {
            name: self.name.clone(),
            kind: RowKind::Category(self.backing),
            bytes: signed(bytes),
            failed: self.guard.has_failed(),
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
    /// Minus the heap bytes above that are not resident: reserved but never touched, or swapped out. The
    /// categories, the rest of the heap and the allocator slack count requested bytes, and this row
    /// corrects their sum. At least as much is not resident, because thread stacks are resident too. At
    /// most 0.
    NotResident,
    /// The resident set minus all of the above: thread stacks and uncounted memory. Negative if more
    /// mapped file bytes are counted than are resident.
    Unexplained,
}

/// A row of a [`Breakdown`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The category's name, or a fixed name for the other rows.
    pub name: String,
    /// The row's meaning.
    pub kind: RowKind,
    /// Size in bytes. Only [`RowKind::NotResident`] and [`RowKind::Unexplained`] can be negative.
    pub bytes: Option<i64>,
    /// Whether the category's closure has panicked; see
    /// [`MemoryMonitor::failures`](crate::MemoryMonitor::failures).
    #[serde(default)]
    pub failed: bool,
}

/// The registered categories and the rest of the resident set.
///
/// The rows add up to the resident set, except for device memory. Unknown rows are part of the
/// unexplained rest. Heap rows count reserved bytes, touched or not; the row
/// [`NotResident`](RowKind::NotResident) subtracts those that are not resident. `Display` prints a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakdown {
    /// The resident set.
    pub rss_bytes: Option<u64>,
    /// The categories in order of registration, then the rest of the heap, the allocator slack, other
    /// files, the bytes that are not resident and the unexplained rest.
    pub rows: Vec<Row>,
}

impl Breakdown {
    pub(crate) fn new<'a>(
        reading: &Reading,
        categories: impl IntoIterator<Item = &'a Category>,
    ) -> Self {
        let mut rows: Vec<Row> = categories.into_iter().map(Category::row).collect();
        let claimed = |backing| {
            rows.iter()
                .filter(|row| row.kind == RowKind::Category(backing))
                .filter_map(|row| row.bytes)
                .fold(0i64, i64::saturating_add)
        };
        let (claimed_heap, claimed_files) = (claimed(Backing::Heap), claimed(Backing::File));
        let known = |metric| signed(reading.bytes(metric));
        // Categories and totals are read at different moments, so the rest could fall below zero.
        let rest = |metric, claimed: i64| {
            known(metric).map(|whole: i64| whole.saturating_sub(claimed).max(0))
        };
        let other_heap = rest(Metric::Heap, claimed_heap);
        let slack = known(Metric::AllocatorSlack);
        let heap = claimed_heap
            .saturating_add(other_heap.unwrap_or(0))
            .saturating_add(slack.unwrap_or(0));
        let not_resident =
            known(Metric::RssAnon).map(|anonymous| anonymous.saturating_sub(heap).min(0));
        for (name, kind, bytes) in [
            ("other heap", RowKind::OtherHeap, other_heap),
            ("allocator slack", RowKind::AllocatorSlack, slack),
            (
                "other files, code",
                RowKind::OtherFiles,
                rest(Metric::RssFile, claimed_files),
            ),
            ("heap not resident", RowKind::NotResident, not_resident),
        ] {
            rows.push(Row::rest(name, kind, bytes));
        }
        let explained = rows
            .iter()
            .filter(|row| row.kind != RowKind::Category(Backing::Device))
            .filter_map(|row| row.bytes)
            .fold(0i64, i64::saturating_add);
        let unexplained = known(Metric::Rss).map(|rss| rss.saturating_sub(explained));
        rows.push(Row::rest("unexplained", RowKind::Unexplained, unexplained));
        Self {
            rss_bytes: reading.bytes(Metric::Rss),
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

fn signed(bytes: Option<u64>) -> Option<i64> {
    bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX))
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
    /// Creates the row of memory outside of the categories.
    fn rest(name: &str, kind: RowKind, bytes: Option<i64>) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            bytes,
            failed: false,
        }
    }

    /// Formats the size and its share of the resident set.
    pub(crate) fn cells(&self, rss: Option<u64>) -> [String; 2] {
        let bytes = match self.bytes {
            Some(bytes) => format_signed(bytes),
            None if self.failed => "failed".to_owned(),
            None => "unknown".to_owned(),
        };
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
        write!(f, "{:width$}  {total:>12}", "resident set")?;
        let not_resident = self
            .rows
            .iter()
            .find(|row| row.kind == RowKind::NotResident);
        match not_resident.and_then(|row| row.bytes) {
            Some(bytes) if bytes < 0 => write!(
                f,
                "\n(heap rows count reserved bytes; {} of them were never touched or are swapped out)",
                ByteSize::b(bytes.unsigned_abs())
            ),
            _ => Ok(()),
        }
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
            (Metric::RssAnon, 400 << 20),
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
             heap not resident           0 B      0.0 %\n\
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
    fn reserved_bytes_are_counted_and_touched_bytes_are_shown_beside_them() {
        let reading = reading(&[
            (Metric::Rss, 8 << 20),
            (Metric::RssAnon, 3 << 20),
            (Metric::RssFile, 5 << 20),
            (Metric::Heap, 8 << 30),
        ]);
        let table = Breakdown::new(
            &reading,
            &[category("buffer", Backing::Heap, Some(1 << 20))],
        );
        let bytes = |kind| {
            table
                .rows
                .iter()
                .find(|row| row.kind == kind)
                .unwrap()
                .bytes
        };
        assert_eq!(bytes(RowKind::NotResident), Some((3 << 20) - (8 << 30)));
        assert_eq!(table.unexplained_bytes(), Some(0));
        let text = table.to_string();
        assert!(
            text.ends_with(
                "resident set            8.0 MiB\n\
                 (heap rows count reserved bytes; 8.0 GiB of them were never touched or are swapped out)"
            ),
            "{text}"
        );
    }

    #[test]
    fn panicking_category_is_reported_as_failed() {
        let failing = Category::new("cache", Backing::Heap, || panic!("this test panics"));
        let others = [failing, category("table", Backing::Heap, Some(1 << 20))];
        for _ in 0..2 {
            let table = Breakdown::new(&Reading::default(), &others);
            assert_eq!((table.rows[0].failed, table.rows[0].bytes), (true, None));
            assert_eq!(
                (table.rows[1].failed, table.rows[1].bytes),
                (false, Some(1 << 20))
            );
            let text = table.to_string();
            assert!(text.contains("cache                    failed"), "{text}");
        }
        let failure = others[0].guard().failure().unwrap();
        assert_eq!(
            (&*failure.name, &*failure.message),
            ("category `cache`", "this test panics")
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
            prop_assert_eq!(table.rows.len(), sizes.len() + 5);
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
