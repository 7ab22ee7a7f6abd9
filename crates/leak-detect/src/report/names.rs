//! Type names without module paths.

/// `a::b::Node<c::D>` -> `Node<D>`.
pub(super) fn short(name: &str) -> String {
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
    fn module_paths_are_left_out_everywhere() {
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
