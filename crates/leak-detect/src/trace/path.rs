//! The path of fields from an object to a value inside it.

use std::borrow::Cow;

/// The names at the start of a path that are always shown.
const HEAD: usize = 4;
/// The names at the end of a shortened path.
const TAIL: usize = 4;
/// Stands for the names in the middle of a long path.
const ELLIPSIS: &str = "…";

/// The names of nested fields. Long paths, such as those into a list of boxes, are shortened in the
/// middle.
#[derive(Debug, Default)]
pub(super) struct FieldPath(Vec<&'static str>);

impl FieldPath {
    pub(super) fn push(&mut self, name: &'static str) {
        self.0.push(name);
    }

    pub(super) fn pop(&mut self) {
        self.0.pop();
    }

    /// Returns the path as text, such as `inner.decoder`; empty without names.
    pub(super) fn label(&self) -> Cow<'static, str> {
        match self.0.as_slice() {
            [] => Cow::Borrowed(""),
            [name] => Cow::Borrowed(name),
            _ => Cow::Owned(self.shortened().join(".")),
        }
    }

    fn shortened(&self) -> Vec<&'static str> {
        let names = &self.0;
        if names.len() <= HEAD + 1 + TAIL {
            return names.clone();
        }
        let tail = &names[names.len() - TAIL..];
        [&names[..HEAD], &[ELLIPSIS], tail].concat()
    }
}

/// The clone is shortened, so copies of long paths stay small.
impl Clone for FieldPath {
    fn clone(&self) -> Self {
        FieldPath(self.shortened())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_path_keeps_both_ends_even_when_it_is_extended() {
        let mut path = FieldPath::default();
        assert_eq!(path.label(), "");
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        names.iter().for_each(|name| path.push(name));
        assert_eq!(path.label(), "a.b.c.d.e.f.g.h.i");
        path.push("j");
        assert_eq!(path.label(), "a.b.c.d.….g.h.i.j");
        let mut copy = path.clone();
        copy.push("k");
        assert_eq!(copy.label(), "a.b.c.d.….h.i.j.k");
        copy.pop();
        assert_eq!(copy.label(), path.label());
    }
}
