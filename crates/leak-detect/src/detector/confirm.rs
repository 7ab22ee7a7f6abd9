//! The second pass, which confirms suspects while it holds their locks.
//!
//! A pass over the graph takes time. An `Arc` that moves from a counted object to an untraced one is
//! missed or counted twice, so a live cycle can look leaked, even in two passes. The second pass
//! therefore holds each lock it takes: from then on the suspects' edges are fixed, and a single atomic
//! read shows whether *one* object has an external owner. A cycle is leaked if at one moment no member
//! has an external owner. The counts cannot be read at one moment. But a thread that uses a live cycle
//! owns some member at every moment, so a read of a random member detects it with a probability of one
//! in the number of suspects, independently of earlier moves. [`ROUNDS`] times as many reads as suspects
//! all miss it with a probability below e^-ROUNDS. This holds unless the moves depend on the detector's
//! random choices, which are not observable.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::trace::{Handle, Survey, Tracer};

use super::snapshot::Snapshot;

/// Random reads per suspect. The probability of a false report is below e^-20, one in 4 * 10^8, per live
/// cycle that both passes mistook for a leaked one. Each read is one load.
const ROUNDS: usize = 20;

/// An `Arc` in a suspect that owns another suspect.
pub(super) struct LabelledEdge {
    pub(super) to: usize,
    pub(super) label: Cow<'static, str>,
}

/// The suspects after the second pass. Positions are indices into `members`.
pub(super) struct Confirmed {
    /// The suspects' indices in the snapshot.
    pub(super) members: Vec<usize>,
    /// Whether each suspect is the same in both passes and unreachable from one that is not.
    pub(super) settled: Vec<bool>,
    /// Edges to other suspects.
    pub(super) edges: Vec<Vec<LabelledEdge>>,
}

impl Confirmed {
    /// Traces every object of `snapshot` that is not live again. No lock is held on return.
    pub(super) fn of(snapshot: &mut Snapshot, handles: &[Box<dyn Handle>]) -> Confirmed {
        let members: Vec<usize> = (0..snapshot.nodes.len())
            .filter(|&i| !snapshot.nodes[i].live)
            .collect();
        let mut tracer = Tracer::new(Survey {
            index: std::mem::take(&mut snapshot.index),
            labels: true,
            ..Survey::default()
        });
        let mut settled = Vec::with_capacity(members.len());
        let mut edges = Vec::with_capacity(members.len());
        for &member in &members {
            tracer.object(handles[member].as_ref());
            let survey = tracer.survey();
            let known = !std::mem::take(&mut survey.unknown);
            let seen = std::mem::take(&mut survey.edges);
            settled.push(
                known == snapshot.nodes[member].known
                    && same_targets(&seen, snapshot.targets(member)),
            );
            edges.push(
                seen.into_iter()
                    .filter_map(|edge| {
                        let to = members.binary_search(&edge.to?).ok()?;
                        Some(LabelledEdge {
                            to,
                            label: edge.label,
                        })
                    })
                    .collect(),
            );
        }
        let mut confirmed = Confirmed {
            members,
            settled,
            edges,
        };
        confirmed.read_counts(snapshot, handles);
        confirmed.spread(snapshot);
        // Releases the guards after the counts were read.
        snapshot.index = tracer.finish().index;
        confirmed
    }

    fn read_counts(&mut self, snapshot: &Snapshot, handles: &[Box<dyn Handle>]) {
        let count = self.members.len();
        let mut random = Random::new();
        let random_reads = count.saturating_mul(ROUNDS);
        for position in (0..count).chain((0..random_reads).map(|_| random.below(count))) {
            let member = self.members[position];
            // All owners of a suspect are suspects, so an unchanged count matches their edges.
            if handles[member].strong_count() != snapshot.nodes[member].strong_count + 1 {
                self.settled[position] = false;
            }
        }
    }

    /// Marks everything that an unsettled object owns, or owned in the first pass, as unsettled: its
    /// owner may be live.
    fn spread(&mut self, snapshot: &Snapshot) {
        let mut reached: Vec<usize> = (0..self.members.len())
            .filter(|&i| !self.settled[i])
            .collect();
        while let Some(position) = reached.pop() {
            let now = self.edges[position].iter().map(|edge| edge.to);
            let before = snapshot.targets(self.members[position]);
            let before = before
                .iter()
                .filter_map(|target| self.members.binary_search(target).ok());
            for owned in now.chain(before) {
                if std::mem::replace(&mut self.settled[owned], false) {
                    reached.push(owned);
                }
            }
        }
    }
}

/// Whether both lists have the same targets, in any order.
fn same_targets(seen: &[crate::trace::Edge], before: &[usize]) -> bool {
    let mut before: Vec<Option<usize>> = before.iter().copied().map(Some).collect();
    let mut seen: Vec<Option<usize>> = seen.iter().map(|edge| edge.to).collect();
    before.sort_unstable();
    seen.sort_unstable();
    before == seen
}

/// xorshift64* (Vigna 2016), seeded from the standard library's random hash keys.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Random(RandomState::new().build_hasher().finish() | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let random = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        // The high word of the product is uniform over 0..bound (Lemire 2019), with a bias of
        // bound / 2^64.
        ((u128::from(random) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::trace::{Entry, Unlink};

    /// Objects with one external owner that moves with each read of a count. Reads in order never
    /// detect it.
    struct Moving {
        position: usize,
        of: usize,
        reads: Rc<Cell<usize>>,
    }

    impl Handle for Moving {
        fn trace_object<'a>(&'a self, _: &mut Tracer<'a>) {}

        fn strong_count(&self) -> usize {
            let read = self.reads.get();
            self.reads.set(read + 1);
            1 + usize::from((read + 1) % self.of == self.position)
        }

        fn address(&self) -> usize {
            self.position
        }

        fn size(&self) -> usize {
            0
        }

        fn object_type(&self) -> &'static str {
            "Moving"
        }

        fn unlinkable(&self) -> Option<&dyn Unlink> {
            None
        }

        fn downgrade(&self) -> Box<dyn Entry> {
            unreachable!("nothing is tracked here")
        }
    }

    #[test]
    fn owner_that_moves_ahead_of_the_reads_is_detected() {
        let of = 20;
        let reads = Rc::new(Cell::new(0));
        let mut handles: Vec<Box<dyn Handle>> = Vec::new();
        for position in 0..of {
            let reads = Rc::clone(&reads);
            handles.push(Box::new(Moving {
                position,
                of,
                reads,
            }));
        }
        let mut snapshot = Snapshot::take(&mut handles);
        assert!(
            snapshot.nodes.iter().all(|node| !node.live),
            "the first pass misses the owner"
        );
        let confirmed = Confirmed::of(&mut snapshot, &handles);
        assert!(!confirmed.settled.iter().all(|&settled| settled));
        assert!(reads.get() >= of * (1 + ROUNDS));
    }
}
