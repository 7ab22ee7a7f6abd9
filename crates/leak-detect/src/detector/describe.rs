//! The report of a detection.

use crate::report::{Cycle, CycleReport, Object, ObjectStatus, Ownership, PathEdge};
use crate::trace::Handle;

use super::components::{cyclic_components, shortest_cycle};
use super::confirm::Confirmed;
use super::snapshot::Snapshot;

pub(super) fn describe(
    snapshot: &Snapshot,
    confirmed: Confirmed,
    handles: &[Box<dyn Handle>],
) -> CycleReport {
    let nodes = snapshot.nodes.iter().zip(handles);
    let mut objects: Vec<Object> = nodes
        .map(|(node, handle)| Object {
            type_name: handle.object_type(),
            address: handle.address(),
            bytes: node.bytes,
            strong_count: node.strong_count,
            internal_owners: node.internal_owners,
            external_owners: node.external_owners(),
            fully_traced: node.known,
            status: ObjectStatus::Live,
        })
        .collect();

    let Confirmed {
        members,
        settled,
        edges,
    } = confirmed;
    // All owners of a settled object are settled, so edges of unsettled objects are in no cycle.
    let successors: Vec<Vec<usize>> = edges
        .iter()
        .zip(&settled)
        .map(|(edges, &settled)| match settled {
            true => edges.iter().map(|edge| edge.to).collect(),
            false => Vec::new(),
        })
        .collect();
    let components = cyclic_components(&successors);
    for (position, status) in statuses(&settled, &successors, &components)
        .into_iter()
        .enumerate()
    {
        objects[members[position]].status = status;
    }

    let cycles = components
        .iter()
        .map(|component| {
            let path = shortest_cycle(&successors, component).into_iter();
            Cycle {
                members: component
                    .iter()
                    .map(|&position| members[position])
                    .collect(),
                path: path
                    .map(|(position, edge)| PathEdge {
                        object: members[position],
                        type_name: objects[members[position]].type_name,
                        field: edges[position][edge].label.clone(),
                    })
                    .collect(),
                bytes: component
                    .iter()
                    .map(|&position| objects[members[position]].bytes)
                    .sum(),
            }
        })
        .collect();
    let mut ownerships = Vec::new();
    for (&owner, edges) in members.iter().zip(edges) {
        for edge in edges {
            let owned = members[edge.to];
            if objects[owner].status.is_leaked() && objects[owned].status.is_leaked() {
                ownerships.push(Ownership {
                    owner,
                    owned,
                    field: edge.label,
                });
            }
        }
    }
    CycleReport {
        objects,
        cycles,
        ownerships,
    }
}

/// Returns the status of each suspect.
fn statuses(
    settled: &[bool],
    successors: &[Vec<usize>],
    components: &[Vec<usize>],
) -> Vec<ObjectStatus> {
    // A settled object that is neither in a cycle nor owned by one is owned only by the detection.
    let mut statuses: Vec<ObjectStatus> = settled
        .iter()
        .map(|&settled| match settled {
            true => ObjectStatus::Expiring,
            false => ObjectStatus::Unsettled,
        })
        .collect();
    let mut reached: Vec<usize> = components.concat();
    for &position in &reached {
        statuses[position] = ObjectStatus::InLeakedCycle;
    }
    while let Some(position) = reached.pop() {
        for &owned in &successors[position] {
            if statuses[owned] == ObjectStatus::Expiring {
                statuses[owned] = ObjectStatus::OwnedByLeakedCycle;
                reached.push(owned);
            }
        }
    }
    statuses
}
