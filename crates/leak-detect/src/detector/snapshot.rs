//! The first pass: every object that can be reached, its owners, and what may be leaked.

use rustc_hash::FxHashMap;

use crate::trace::{Handle, Survey, Tracer};

/// What was seen of one object.
pub(super) struct Node {
    /// `Arc`s that own it, without the detection's own handle.
    pub(super) strong_count: usize,
    /// Of these, how many lie in objects that were looked into.
    pub(super) internal_owners: usize,
    pub(super) bytes: usize,
    /// All of it could be looked at.
    pub(super) known: bool,
    /// It can be reached from an external owner, as far as one pass can tell.
    pub(super) live: bool,
}

impl Node {
    /// `None` when more owners were found than there are: something moved meanwhile.
    pub(super) fn external_owners(&self) -> Option<usize> {
        self.strong_count.checked_sub(self.internal_owners)
    }
}

/// The graph as one pass saw it.
pub(super) struct Snapshot {
    pub(super) nodes: Vec<Node>,
    /// The targets of node `i` are `targets[starts[i]..starts[i + 1]]`.
    starts: Vec<usize>,
    targets: Vec<usize>,
    pub(super) index: FxHashMap<usize, usize>,
}

impl Snapshot {
    pub(super) fn targets(&self, node: usize) -> &[usize] {
        &self.targets[self.starts[node]..self.starts[node + 1]]
    }

    /// Follows every edge from the objects in `handles`, to which a handle is added for each object
    /// met on the way. O(objects + edges).
    pub(super) fn take(handles: &mut Vec<Box<dyn Handle>>) -> Snapshot {
        let mut survey = Survey {
            index: handles
                .iter()
                .enumerate()
                .map(|(i, handle)| (handle.address(), i))
                .collect(),
            discover: true,
            ..Survey::default()
        };
        let (mut nodes, mut starts, mut targets) = (Vec::new(), vec![0], Vec::new());
        while let Some(handle) = handles.get(nodes.len()) {
            survey.unknown = false;
            survey.heap_bytes = 0;
            let mut tracer = Tracer::new(survey);
            handle.trace_object(&mut tracer);
            survey = tracer.finish();
            nodes.push(Node {
                strong_count: 0,
                internal_owners: 0,
                bytes: handle.size().saturating_add(survey.heap_bytes),
                known: !survey.unknown,
                live: false,
            });
            targets.extend(survey.edges.drain(..).filter_map(|edge| edge.to));
            starts.push(targets.len());
            handles.append(&mut survey.found);
        }

        for &target in &targets {
            nodes[target].internal_owners += 1;
        }
        for (node, handle) in nodes.iter_mut().zip(handles.iter()) {
            node.strong_count = handle.strong_count().saturating_sub(1);
        }
        let mut snapshot = Snapshot {
            nodes,
            starts,
            targets,
            index: survey.index,
        };
        snapshot.mark_live();
        snapshot
    }

    fn mark_live(&mut self) {
        let mut reached: Vec<usize> = (0..self.nodes.len())
            .filter(|&i| self.nodes[i].external_owners() != Some(0))
            .collect();
        for &node in &reached {
            self.nodes[node].live = true;
        }
        while let Some(node) = reached.pop() {
            for &target in &self.targets[self.starts[node]..self.starts[node + 1]] {
                if !std::mem::replace(&mut self.nodes[target].live, true) {
                    reached.push(target);
                }
            }
        }
    }
}
