//! The results of a detection.

mod dot;

use std::borrow::Cow;
use std::fmt;

/// Edges of a path that `Display` prints; the others are counted.
const MAX_EDGES: usize = 12;

/// Cycles that `Display` prints; the others are counted.
const MAX_CYCLES: usize = 20;

/// The results of a detection, without handles to objects.
///
/// `Display` prints a summary with one line per cycle.
#[derive(Debug, Clone)]
pub struct CycleReport {
    pub(crate) objects: Vec<Object>,
    pub(crate) cycles: Vec<Cycle>,
    pub(crate) ownerships: Vec<Ownership>,
}

/// A visited object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Object {
    /// Type name with its module path.
    pub type_name: &'static str,
    /// Address of the value, as printed by `{:p}` for its `Arc`. It may be reused later.
    pub address: usize,
    /// Size of the value and of its collections' heap, in bytes. Excludes heap data of skipped fields
    /// and other objects that it owns.
    pub bytes: usize,
    /// The number of `Arc`s that own it.
    pub strong_count: usize,
    /// The number of owners in objects of this report.
    pub internal_owners: usize,
    /// The number of other owners. `None` if it would be negative: an `Arc` moved during the detection,
    /// or a manual `Trace` reports `Arc`s that it does not own.
    pub external_owners: Option<usize>,
    /// Whether all fields could be traced: no lock was locked elsewhere.
    pub fully_traced: bool,
    /// The result for this object.
    pub status: ObjectStatus,
}

/// The result for one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectStatus {
    /// Reachable from an external owner.
    Live,
    /// Leaked, in a cycle of `Arc`s.
    InLeakedCycle,
    /// Leaked, but not in a cycle: dropped when the cycles that lead to it are broken.
    OwnedByLeakedCycle,
    /// Not leaked: its last owner was dropped during the detection, whose handle then drops it.
    Expiring,
    /// It looked leaked, but the second pass differs. Run another detection.
    Unsettled,
}

impl ObjectStatus {
    pub(crate) fn is_leaked(self) -> bool {
        matches!(self, Self::InLeakedCycle | Self::OwnedByLeakedCycle)
    }
}

/// A strongly connected component of leaked objects.
///
/// `Display` prints the path, such as `Session.decoder -> Decoder.owner -> Session`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cycle {
    /// Indices into [`CycleReport::objects`].
    pub members: Vec<usize>,
    /// A shortest cycle; in components with very many edges, the shortest one of a bounded search.
    pub path: Vec<PathEdge>,
    /// Total size of the members in bytes.
    pub bytes: usize,
}

/// An edge of a path: from this object through this field to the object of the next edge. The last edge
/// leads to the first object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathEdge {
    /// Index into [`CycleReport::objects`].
    pub object: usize,
    /// Type name of the object, with its module path.
    pub type_name: &'static str,
    /// The field, including nested fields: `inner.decoder`. Empty if the object itself is a collection
    /// or lock.
    pub field: Cow<'static, str>,
}

/// An `Arc` in a leaked object that owns another leaked object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ownership {
    /// Index into [`CycleReport::objects`].
    pub owner: usize,
    /// Index into [`CycleReport::objects`].
    pub owned: usize,
    /// The field of the owner.
    pub field: Cow<'static, str>,
}

/// The result of [`break_cycles`](crate::ReferenceCycleDetector::break_cycles).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokenCycles {
    /// The number of unlinked objects.
    pub objects_unlinked: usize,
    /// The number of objects that were leaked, in cycles or owned by them, and no longer are.
    pub objects_freed: usize,
    /// The number of cycles that are still leaked, because no member implements `Unlink` or unlinking
    /// does not drop the `Arc`s. Later detections report them.
    pub cycles_left: usize,
}

impl CycleReport {
    /// Returns the number of objects in leaked cycles.
    pub fn objects_in_cycles(&self) -> usize {
        self.cycles.iter().map(|cycle| cycle.members.len()).sum()
    }

    /// Returns the leaked cycles, in the order in which their first members were tracked.
    pub fn cycles(&self) -> &[Cycle] {
        &self.cycles
    }

    /// Returns all visited objects: the tracked ones in order of tracking, then those reachable from
    /// them.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Returns the `Arc`s between leaked objects.
    pub fn ownerships(&self) -> &[Ownership] {
        &self.ownerships
    }

    /// Returns the number of objects with this status. O(objects).
    pub fn count(&self, status: ObjectStatus) -> usize {
        self.objects
            .iter()
            .filter(|object| object.status == status)
            .count()
    }

    /// Returns the size of all leaked objects, in cycles or owned by them. O(objects).
    pub fn leaked_bytes(&self) -> usize {
        let leaked = self
            .objects
            .iter()
            .filter(|object| object.status.is_leaked());
        leaked.map(|object| object.bytes).sum()
    }

    /// Returns the leaked objects and the `Arc`s between them as a graph in the DOT language, for
    /// Graphviz (`dot -Tsvg`). Each cycle is a box.
    pub fn to_dot(&self) -> String {
        dot::write(self)
    }
}

impl fmt::Display for CycleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in {}, {} more owned by them, {} bytes in total; \
             {} visited, {} unsettled, {} partly traced",
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
        for edge in self.path.iter().take(MAX_EDGES) {
            write!(f, "{edge} -> ")?;
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

/// Removes module paths from a type name: `a::b::Node<c::D>` becomes `Node<D>`.
fn short(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut segment = String::new();
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            segment.push(c);
        } else if c == ':' && chars.peek() == Some(&':') && !segment.is_empty() {
            chars.next();
            segment.clear();
        } else {
            out.push_str(&segment);
            segment.clear();
            out.push(c);
        }
    }
    out + &segment
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn module_paths_are_removed_everywhere() {
        assert_eq!(short("u8"), "u8");
        assert_eq!(short("a::b::Node<c::D, [e::F; 3]>"), "Node<D, [F; 3]>");
        assert_eq!(short("(a::B, &str)"), "(B, &str)");
        assert_eq!(
            short("dyn a::Plugin + core::marker::Send"),
            "dyn Plugin + Send"
        );
        assert_eq!(short("<a::B as c::D>::E"), "<B as D>::E");
    }
}
