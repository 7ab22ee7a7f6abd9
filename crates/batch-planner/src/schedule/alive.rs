use super::Stream;
use crate::{MemoryModel, Term};

/// The streams that run in an interval of time, and their memory at any time in it.
///
/// A stream with length `h` now has, rounded up to pages of `P` positions, at time `t` the length
///
/// ```text
/// h + t + (u - v) mod P,   u = -h mod P,   v = t mod P
/// ```
///
/// `(u - v) mod P` is `u - v`, or `u - v + P` if `u < v`. So the sum over all streams needs only
/// their number, the sums of `h` and `u`, and the number of streams with `u < v`. Terms with a window are
/// summed stream by stream instead.
pub(super) struct Alive<'a> {
    /// The fixed memory, in bytes.
    base_bytes: u128,
    /// The memory of each stream that does not depend on its length, in bytes.
    bytes_per_stream: u128,
    count: u128,
    held_positions: u128,
    own_bytes: u128,
    pages: Vec<Page>,
    windowed: Vec<&'a Term>,
    /// The lengths of the streams now, if there are terms with a window.
    lengths: Vec<u64>,
}

/// The terms with the same page length.
struct Page {
    positions: u64,
    /// The sum of the terms' bytes per position.
    bytes_per_position: u128,
    /// All possible `u`, ascending.
    offsets: Vec<u64>,
    /// The number of running streams with each `u`, as a tree of partial sums (Fenwick, "A new data
    /// structure for cumulative frequency tables", 1994). The first index is 1.
    tree: Vec<u64>,
    /// The sum of `u` over the running streams.
    padding: u128,
}

impl<'a> Alive<'a> {
    /// Returns an empty set to which any of `streams` can be added.
    pub(super) fn none_of(model: &'a MemoryModel, streams: &[Stream]) -> Self {
        let terms = model.terms();
        let (windowed, unlimited): (Vec<_>, Vec<_>) = terms
            .iter()
            .partition(|term| term.window_positions.is_some());
        let mut lengths: Vec<u64> = unlimited.iter().map(|t| t.page_positions.get()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let page = |positions: u64| {
            let mut offsets: Vec<u64> = streams.iter().map(|s| offset(s, positions)).collect();
            offsets.sort_unstable();
            offsets.dedup();
            Page {
                positions,
                bytes_per_position: unlimited
                    .iter()
                    .filter(|term| term.page_positions.get() == positions)
                    .map(|term| u128::from(term.bytes_per_item_position))
                    .sum(),
                tree: vec![0; offsets.len() + 1],
                offsets,
                padding: 0,
            }
        };
        Self {
            base_bytes: model.fixed_bytes(),
            bytes_per_stream: terms.iter().map(|t| u128::from(t.bytes_per_item)).sum(),
            count: 0,
            held_positions: 0,
            own_bytes: 0,
            pages: lengths.into_iter().map(page).collect(),
            windowed,
            lengths: Vec::new(),
        }
    }

    /// Adds a stream. O(log n) per page length.
    pub(super) fn add(&mut self, stream: &Stream) {
        self.count += 1;
        self.held_positions += u128::from(stream.held_positions);
        self.own_bytes += u128::from(stream.own_bytes);
        for page in &mut self.pages {
            page.add(offset(stream, page.positions));
        }
        if !self.windowed.is_empty() {
            self.lengths.push(stream.held_positions);
        }
    }

    /// Returns the memory of all added streams at `time`, in bytes. O(log n) per page length, and O(n) per
    /// term with a window.
    ///
    /// Nothing overflows if each stream runs at `time` and needs less than 2^64 bytes: every
    /// intermediate value is at most the number of streams times 2^64.
    pub(super) fn bytes_at(&self, time: u64) -> u128 {
        let unrounded = self.held_positions + u128::from(time) * self.count;
        let growing: u128 = self
            .pages
            .iter()
            .filter(|page| page.bytes_per_position > 0)
            .map(|page| page.bytes_per_position * (unrounded + page.padding_at(time, self.count)))
            .sum();
        let windowed: u128 = self
            .windowed
            .iter()
            .map(|term| self.bytes_of_windowed(term, time))
            .sum();
        let independent = self.base_bytes + self.own_bytes + self.bytes_per_stream * self.count;
        independent + growing + windowed
    }

    fn bytes_of_windowed(&self, term: &Term, time: u64) -> u128 {
        let bytes = |held: &u64| term.growing_bytes(held.saturating_add(time));
        // Nothing overflows while the stream runs, as above.
        self.lengths
            .iter()
            .map(|held| u128::from(bytes(held).unwrap_or(u64::MAX)))
            .sum()
    }
}

impl Page {
    fn add(&mut self, offset: u64) {
        self.padding += u128::from(offset);
        let mut index = self.offsets.partition_point(|other| *other < offset) + 1;
        while index < self.tree.len() {
            self.tree[index] += 1;
            index += index & index.wrapping_neg();
        }
    }

    /// Returns the positions that rounding up to whole pages adds to all streams at `time`.
    fn padding_at(&self, time: u64, count: u128) -> u128 {
        let into_page = time % self.positions;
        let mut index = self.offsets.partition_point(|offset| *offset < into_page);
        let mut below = 0;
        while index > 0 {
            below += u128::from(self.tree[index]);
            index &= index - 1;
        }
        self.padding + u128::from(self.positions) * below - u128::from(into_page) * count
    }
}

/// Returns the number of free positions in the last page of a stream.
fn offset(stream: &Stream, page_positions: u64) -> u64 {
    match stream.held_positions % page_positions {
        0 => 0,
        used => page_positions - used,
    }
}
