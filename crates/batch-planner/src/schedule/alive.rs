use super::Stream;
use crate::MemoryModel;

/// The streams that live in some stretch of time, and what they take at any step of it.
///
/// Rounded up to pages of `P` steps, a stream that holds `h` steps now holds at step `t`
///
/// ```text
/// h + t + (u - v) mod P,   u = -h mod P,   v = t mod P
/// ```
///
/// and `(u - v) mod P` is `u - v`, or `u - v + P` where `u < v`. So the sum over streams needs only
/// their number, the sums of `h` and `u`, and how many have `u` below `v`.
pub(super) struct Alive {
    /// What is there without any stream, in bytes.
    base_bytes: u128,
    /// What each stream takes whatever it holds, in bytes.
    bytes_per_stream: u128,
    count: u128,
    held_steps: u128,
    own_bytes: u128,
    pages: Vec<Page>,
}

/// The terms of one page length.
struct Page {
    steps: u64,
    /// What they take together for each step, in bytes.
    bytes_per_step: u128,
    /// All `u` that there may be, ascending.
    offsets: Vec<u64>,
    /// How many living streams have each, as a tree of partial sums (Fenwick, "A new data
    /// structure for cumulative frequency tables", 1994), from index 1 on.
    tree: Vec<u64>,
    /// The sum of the living streams' `u`.
    padding: u128,
}

impl Alive {
    /// None of `streams` yet, but any of them may be added.
    pub(super) fn none_of(model: &MemoryModel, streams: &[Stream]) -> Self {
        let terms = model.terms();
        let mut lengths: Vec<u64> = terms.iter().map(|term| term.page_steps.get()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let page = |steps: u64| {
            let mut offsets: Vec<u64> = streams.iter().map(|s| offset(s, steps)).collect();
            offsets.sort_unstable();
            offsets.dedup();
            Page {
                steps,
                bytes_per_step: terms
                    .iter()
                    .filter(|term| term.page_steps.get() == steps)
                    .map(|term| u128::from(term.bytes_per_item_step))
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
            held_steps: 0,
            own_bytes: 0,
            pages: lengths.into_iter().map(page).collect(),
        }
    }

    /// Adds one of the streams. O(log n) for each page length.
    pub(super) fn add(&mut self, stream: &Stream) {
        self.count += 1;
        self.held_steps += u128::from(stream.held_steps);
        self.own_bytes += u128::from(stream.own_bytes);
        for page in &mut self.pages {
            page.add(offset(stream, page.steps));
        }
    }

    /// What all that were added take at `step`, in bytes. O(log n) for each page length.
    ///
    /// Nothing overflows while each stream lives and takes less than 2^64 bytes then: no part is
    /// more than there are streams times that.
    pub(super) fn bytes_at(&self, step: u64) -> u128 {
        let unrounded = self.held_steps + u128::from(step) * self.count;
        let growing: u128 = self
            .pages
            .iter()
            .filter(|page| page.bytes_per_step > 0)
            .map(|page| page.bytes_per_step * (unrounded + page.padding_at(step, self.count)))
            .sum();
        self.base_bytes + self.own_bytes + self.bytes_per_stream * self.count + growing
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

    /// What rounding up to whole pages adds to all streams at `step`, in steps.
    fn padding_at(&self, step: u64, count: u128) -> u128 {
        let into_page = step % self.steps;
        let mut index = self.offsets.partition_point(|offset| *offset < into_page);
        let mut below = 0;
        while index > 0 {
            below += u128::from(self.tree[index]);
            index &= index - 1;
        }
        self.padding + u128::from(self.steps) * below - u128::from(into_page) * count
    }
}

/// How many steps a stream may still grow in the last page that it has now.
fn offset(stream: &Stream, page_steps: u64) -> u64 {
    match stream.held_steps % page_steps {
        0 => 0,
        used => page_steps - used,
    }
}
