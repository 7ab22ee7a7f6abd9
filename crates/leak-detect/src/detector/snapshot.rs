//! The first pass: all reachable objects, their owners and the suspects.

use rustc_hash::FxHashMap;

use crate::trace::{Handle, Survey, Tracer};

/// The data of one object.
pub(super) struct Node {
    /// Strong count without the detection's own handle.
    pub(super) strong_count: usize,
    /// The number of owners in traced objects.
    pub(super) internal_owners: usize,
    pub(super) bytes: usize,
    /// Whether all fields could be traced.
    pub(super) known: bool,
    /// Whether it is reachable from an external owner, according to this pass.
    pub(super) live: bool,
}

impl Node {
    /// Returns the number of external owners; `None` if a concurrent change makes it negative.
    pub(super) fn external_owners(&self) -> Option<usize> {
        self.strong_count.checked_sub(self.internal_owners)
    }
}

/// The graph of one pass.
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

    /// Follows every edge from the objects in `handles` and adds a handle for each new object.
    /// O(objects + edges).
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
            tracer.object(handle.as_ref());
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
