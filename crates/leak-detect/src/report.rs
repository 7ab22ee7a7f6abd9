//! What a detection found.

mod dot;
mod names;

use std::borrow::Cow;
use std::fmt;

use names::short;

/// Steps of a path that are written out before the rest is only counted.
const MAX_EDGES: usize = 12;

/// Cycles that the summary writes out before the rest is only counted.
const MAX_CYCLES: usize = 20;

/// All that one detection found. Holds numbers and names, no handle to any object.
///
/// `Display` writes a summary with one line per cycle.
#[derive(Debug, Clone)]
pub struct CycleReport {
    pub(crate) objects: Vec<Object>,
    pub(crate) cycles: Vec<Cycle>,
    pub(crate) ownerships: Vec<Ownership>,
}

/// One object that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Object {
    /// With its module path.
    pub type_name: &'static str,
    /// Where its value lies, as in the output of `{:p}` for its `Arc`. Another object may be there
    /// later.
    pub address: usize,
    /// The value and what its collections own on the heap, in bytes, as far as it could be looked
    /// at: skipped fields' heaps and the other objects it owns are not in it.
    pub bytes: usize,
    /// The `Arc`s that own it.
    pub strong_count: usize,
    /// Those of them that lie in objects of this report.
    pub internal_owners: usize,
    /// The other ones. `None` if more were found inside than there are in all: something moved
    /// meanwhile, or a `Trace` written by hand passes on what it does not own.
    pub external_owners: Option<usize>,
    /// No lock in it was taken.
    pub fully_traced: bool,
    /// What became of it.
    pub status: ObjectStatus,
}

/// What a detection says about one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectStatus {
    /// It may still be dropped: an external owner leads to it.
    Live,
    /// Leaked, and on a cycle of `Arc`s.
    InLeakedCycle,
    /// Leaked, but not on a cycle: it goes when the cycles that lead to it are broken.
    OwnedByLeakedCycle,
    /// Not leaked: its last owner went while the detection held a handle, and it is dropped with
    /// that.
    Expiring,
    /// It looked leaked, but the second pass saw something else. Try again.
    Unsettled,
}

impl ObjectStatus {
    pub(crate) fn is_leaked(self) -> bool {
        matches!(self, Self::InLeakedCycle | Self::OwnedByLeakedCycle)
    }
}

/// A strongly connected component of leaked objects: all lie on cycles through each other.
///
/// `Display` writes the path, such as `Session.decoder -> Decoder.owner -> Session`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cycle {
    /// Indices into [`CycleReport::objects`].
    pub members: Vec<usize>,
    /// A shortest way around; in components with very many edges, the shortest found in a bounded
    /// search.
    pub path: Vec<PathEdge>,
    /// The members' bytes.
    pub bytes: usize,
}

/// One step of a path: from this object through this field to the next step's object, from the last
/// to the first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathEdge {
    /// Index into [`CycleReport::objects`].
    pub object: usize,
    /// The object's type, with its module path.
    pub type_name: &'static str,
    /// The field, with those of nested values: `inner.decoder`. Empty if the object is itself a
    /// collection or lock.
    pub field: Cow<'static, str>,
}

/// An `Arc` in one leaked object that owns another.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ownership {
    /// Index into [`CycleReport::objects`].
    pub owner: usize,
    /// Index into [`CycleReport::objects`].
    pub owned: usize,
    /// The owner's field.
    pub field: Cow<'static, str>,
}

/// What [`break_cycles`](crate::ReferenceCycleDetector::break_cycles) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokenCycles {
    /// Members of leaked cycles that were unlinked.
    pub objects_unlinked: usize,
    /// Leaked cycles in which no member implements `Unlink`.
    pub cycles_left: usize,
}

impl CycleReport {
    /// How many objects are in leaked cycles.
    pub fn objects_in_cycles(&self) -> usize {
        self.cycles.iter().map(|cycle| cycle.members.len()).sum()
    }

    /// The leaked cycles, in the order in which their first members were tracked.
    pub fn cycles(&self) -> &[Cycle] {
        &self.cycles
    }

    /// All objects that were looked at: the tracked ones in the order of tracking, then those they
    /// lead to.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The `Arc`s between leaked objects.
    pub fn ownerships(&self) -> &[Ownership] {
        &self.ownerships
    }

    /// How many objects have the status. O(objects).
    pub fn count(&self, status: ObjectStatus) -> usize {
        self.objects
            .iter()
            .filter(|object| object.status == status)
            .count()
    }

    /// Bytes of all leaked objects, on cycles or owned by them. O(objects).
    pub fn leaked_bytes(&self) -> usize {
        let leaked = self
            .objects
            .iter()
            .filter(|object| object.status.is_leaked());
        leaked.map(|object| object.bytes).sum()
    }

    /// The leaked objects and the `Arc`s between them as a graph in the DOT language, for Graphviz:
    /// `dot -Tsvg`. Each cycle is a box.
    pub fn to_dot(&self) -> String {
        dot::write(self)
    }
}

impl fmt::Display for CycleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in {}, {} more owned by them, {} bytes in all; \
             {} looked at, {} unsettled, {} seen in part",
            counted(self.objects_in_cycles(), "object"),
            counted(self.cycles.len(), "leaked cycle"),
            self.count(ObjectStatus::OwnedByLeakedCycle),
            self.leaked_bytes(),
            self.objects.len(),
            self.count(ObjectStatus::Unsettled),
            self.objects
                .iter()
                .filter(|object| !object.fully_traced)
                .count(),
        )?;
        for cycle in self.cycles.iter().take(MAX_CYCLES) {
            let objects = counted(cycle.members.len(), "object");
            write!(f, "\n  {cycle} ({objects}, {} bytes)", cycle.bytes)?;
        }
        match self.cycles.len().checked_sub(MAX_CYCLES) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\n  and {}", counted(more, "more cycle")),
        }
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in self.path.iter().take(MAX_EDGES) {
            write!(f, "{step} -> ")?;
        }
        if let Some(more) = self
            .path
            .len()
            .checked_sub(MAX_EDGES)
            .filter(|&more| more > 0)
        {
            write!(f, "({more} more) -> ")?;
        }
        match self.path.first() {
            Some(first) => write!(f, "{}", short(first.type_name)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for PathEdge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", short(self.type_name))?;
        if self.field.is_empty() {
            Ok(())
        } else {
            write!(f, ".{}", self.field)
        }
    }
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
