//! Cycles in a directed graph given by its successors.

use std::collections::VecDeque;

/// The total number of edges that searches for a shortest cycle may follow in a component. Within this
/// limit the result is the shortest cycle; it suffices for a thousand objects with three edges each.
const SEARCH_EDGES: usize = 1 << 22;

/// Returns the strongly connected components with a cycle: more than one node, or a node with an edge to
/// itself. Each is sorted, and they are ordered by their first node. Tarjan's algorithm (1972) with an
/// explicit stack, so long chains do not overflow the thread's. O(nodes + edges).
pub(super) fn cyclic_components(successors: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const UNSEEN: usize = usize::MAX;
    let count = successors.len();
    let (mut order, mut low) = (vec![UNSEEN; count], vec![0; count]);
    let mut on_stack = vec![false; count];
    let (mut stack, mut calls, mut next) = (Vec::new(), Vec::new(), 0);
    let mut components = Vec::new();
    for root in 0..count {
        if order[root] == UNSEEN {
            calls.push((root, 0));
        }
        while let Some((node, edge)) = calls.pop() {
            if edge == 0 {
                order[node] = next;
                low[node] = next;
                next += 1;
                stack.push(node);
                on_stack[node] = true;
            } else {
                let child = successors[node][edge - 1];
                low[node] = low[node].min(low[child]);
            }
            let mut descended = false;
            for (i, &child) in successors[node].iter().enumerate().skip(edge) {
                if order[child] == UNSEEN {
                    calls.push((node, i + 1));
                    calls.push((child, 0));
                    descended = true;
                    break;
                } else if on_stack[child] {
                    low[node] = low[node].min(order[child]);
                }
            }
            if descended || low[node] != order[node] {
                continue;
            }
            let mut component = Vec::new();
            while let Some(member) = stack.pop() {
                on_stack[member] = false;
                component.push(member);
                if member == node {
                    break;
                }
            }
            if component.len() > 1 || successors[node].contains(&node) {
                component.sort_unstable();
                components.push(component);
            }
        }
    }
    components.sort_unstable_by_key(|component| component[0]);
    components
}

/// Returns a shortest cycle within a strongly connected `component` (sorted), as pairs of a node and the
/// position of the edge among its successors. Searches breadth-first from each node up to the best length
/// so far; among cycles of equal length, the one through the earliest node.
pub(super) fn shortest_cycle(
    successors: &[Vec<usize>],
    component: &[usize],
) -> Vec<(usize, usize)> {
    let mut best: Vec<(usize, usize)> = Vec::new();
    let mut search = Search {
        from: vec![None; component.len()],
        depth: vec![0; component.len()],
        edges_left: SEARCH_EDGES,
    };
    for start in 0..component.len() {
        let shorter_than = if best.is_empty() {
            usize::MAX
        } else {
            best.len()
        };
        // The first search has no limit on edges, so that a cycle is always found.
        if shorter_than == 1 || (start > 0 && search.edges_left == 0) {
            break;
        }
        if let Some(cycle) = search.through(start, shorter_than, successors, component) {
            best = cycle;
        }
    }
    best
}

struct Search {
    /// By position in the component: the node and edge by which it was reached.
    from: Vec<Option<(usize, usize)>>,
    depth: Vec<usize>,
    edges_left: usize,
}

impl Search {
    fn through(
        &mut self,
        start: usize,
        shorter_than: usize,
        successors: &[Vec<usize>],
        component: &[usize],
    ) -> Option<Vec<(usize, usize)>> {
        let mut touched = vec![start];
        let mut queue = VecDeque::from([start]);
        self.depth[start] = 0;
        let mut found = None;
        'search: while let Some(position) = queue.pop_front() {
            if self.depth[position] + 1 >= shorter_than {
                break;
            }
            for (edge, target) in successors[component[position]].iter().enumerate() {
                self.edges_left = self.edges_left.saturating_sub(1);
                let Ok(target) = component.binary_search(target) else {
                    continue;
                };
                if target == start {
                    found = Some((position, edge));
                    break 'search;
                }
                if self.from[target].is_none() {
                    self.from[target] = Some((position, edge));
                    self.depth[target] = self.depth[position] + 1;
                    touched.push(target);
                    queue.push_back(target);
                }
            }
        }
        let mut cycle = Vec::new();
        let mut step = found;
        while let Some((position, edge)) = step {
            cycle.push((component[position], edge));
            step = self.from[position];
        }
        cycle.reverse();
        for position in touched {
            self.from[position] = None;
        }
        found.map(|_| cycle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_those_with_a_cycle() {
        // 0 <-> 1 -> 2 -> 2, 3 -> 0
        let successors = [vec![1], vec![0, 2], vec![2], vec![0]];
        assert_eq!(cyclic_components(&successors), [vec![0, 1], vec![2]]);
    }

    #[test]
    fn long_ring_needs_no_deep_stack() {
        let count = 1_000_000;
        let successors: Vec<Vec<usize>> = (0..count).map(|i| vec![(i + 1) % count]).collect();
        let components = cyclic_components(&successors);
        assert_eq!(components.len(), 1);
        assert_eq!(shortest_cycle(&successors, &components[0]).len(), count);
    }

    #[test]
    fn returns_the_shortest_cycle() {
        // A ring of five with a shortcut from 3 to 2.
        let successors = [vec![1], vec![2], vec![3], vec![4, 2], vec![0]];
        assert_eq!(
            shortest_cycle(&successors, &[0, 1, 2, 3, 4]),
            [(2, 0), (3, 1)]
        );
    }

    #[test]
    fn self_loop_is_the_shortest_cycle() {
        let successors = [vec![1], vec![0, 1]];
        assert_eq!(shortest_cycle(&successors, &[0, 1]), [(1, 1)]);
    }
}
