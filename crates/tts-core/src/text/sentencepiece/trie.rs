//! Finds all pieces that begin at a position of a text.

/// A prefix tree over byte strings.
///
/// The children of each node are consecutive, in the order of their bytes.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<TrieNode>,
}

#[derive(Debug)]
struct TrieNode {
    /// The byte on the edge from the parent.
    byte: u8,
    first_child: u32,
    child_count: u16,
    /// The value of the string that ends at this node.
    value: Option<u32>,
}

impl Trie {
    /// Builds the tree of `entries`, none of which is empty. Two equal strings are an error with both
    /// values.
    pub(super) fn new(mut entries: Vec<(&[u8], u32)>) -> Result<Self, (u32, u32)> {
        entries.sort_unstable();
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err((pair[0].1, pair[1].1));
        }
        let mut nodes = vec![TrieNode::new(0)];
        // The levels of the tree in turn: nodes with the entries below them.
        let mut level = vec![(0_usize, entries.as_slice())];
        let mut depth = 0;
        while !level.is_empty() {
            let mut next_level = Vec::new();
            for (node, mut below) in level {
                if let Some((first, rest)) = below.split_first()
                    && first.0.len() == depth
                {
                    nodes[node].value = Some(first.1);
                    below = rest;
                }
                nodes[node].first_child = nodes.len() as u32;
                for group in below.chunk_by(|a, b| a.0[depth] == b.0[depth]) {
                    next_level.push((nodes.len(), group));
                    nodes.push(TrieNode::new(group[0].0[depth]));
                    nodes[node].child_count += 1;
                }
            }
            level = next_level;
            depth += 1;
        }
        Ok(Self { nodes })
    }

    /// Returns the length and value of each entry that `text` begins with, shortest first.
    pub(super) fn prefixes(&self, text: &[u8]) -> impl Iterator<Item = (usize, u32)> {
        let mut node = &self.nodes[0];
        let mut length = 0;
        std::iter::from_fn(move || {
            loop {
                node = self.child(node, *text.get(length)?)?;
                length += 1;
                if let Some(value) = node.value {
                    return Some((length, value));
                }
            }
        })
    }

    fn child(&self, node: &TrieNode, byte: u8) -> Option<&TrieNode> {
        let first = node.first_child as usize;
        let children = &self.nodes[first..first + usize::from(node.child_count)];
        let index = children.binary_search_by_key(&byte, |child| child.byte);
        index.ok().map(|index| &children[index])
    }
}

impl TrieNode {
    fn new(byte: u8) -> Self {
        Self {
            byte,
            first_child: 0,
            child_count: 0,
            value: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_prefixes_of_any_bytes_shortest_first() {
        let trie = Trie::new(vec![(b"ab", 7), (b"a", 3), (b"a\0\xff", 5), (b"b", 1)]).unwrap();
        let found = |text: &[u8]| trie.prefixes(text).collect::<Vec<_>>();
        assert_eq!(found(b"abc"), [(1, 3), (2, 7)]);
        assert_eq!(found(b"a\0\xff"), [(1, 3), (3, 5)]);
        assert_eq!(found(b""), []);
        assert_eq!(found(b"c"), []);
    }

    #[test]
    fn rejects_equal_entries_with_their_values() {
        assert_eq!(Trie::new(vec![(b"x", 4), (b"x", 2)]).unwrap_err(), (2, 4));
    }
}
