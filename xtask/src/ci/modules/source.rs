//! A scanner for the few constructs of Rust code that the check needs.

use std::collections::BTreeMap;

/// Returns the code with comments, literals and test-only items replaced by spaces. Lines keep their
/// numbers.
pub(super) fn without_tests(text: &str) -> String {
    let mut code = without_comments_and_literals(text);
    let mut from = 0;
    while let Some(start) = ["#[cfg(test)]", "#[cfg(all(test"]
        .iter()
        .filter_map(|attribute| code[from..].find(attribute))
        .min()
    {
        let start = from + start;
        let end = item_end(&code, start);
        code.replace_range(start..end, &blank(&code[start..end]));
        from = end;
    }
    code
}

/// Returns the end of the item whose first attribute begins at `start`: its `;` or its closing brace.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0;
    for (offset, c) in code[start..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        // A closing brace at depth 0 ends an item, unless it is that of `use a::{b};`.
        let at_end = depth == 0 && (c == ';' || c == '}');
        let end = start + offset + c.len_utf8();
        if at_end && !code[end..].trim_start().starts_with(';') {
            return end;
        }
    }
    code.len()
}

/// Returns as many bytes of spaces, with the same line breaks.
fn blank(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
        .collect()
}

fn without_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_word = false;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            'r' | 'b' | 'c' if !after_word => raw_string(rest).unwrap_or(0),
            '\'' => character(rest).unwrap_or(0),
            _ => 0,
        };
        if length > 0 {
            code.push_str(&blank(&rest[..length]));
            rest = &rest[length..];
            after_word = false;
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            after_word = is_word(c);
        }
    }
    code
}

/// The length of the block comment that `text` starts with; block comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the string literal that `text` starts with.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the raw string literal that `text` starts with.
fn raw_string(text: &str) -> Option<usize> {
    let body = text.trim_start_matches(['b', 'c']).strip_prefix('r')?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let body = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end)? + end.len();
    Some(text.len() - body.len() + length)
}

/// The length of the character literal that `text` starts with; `None` for a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next()?;
        return Some(chars.find(|&(_, c)| c == '\'')?.0 + 1);
    }
    let (at, second) = chars.next()?;
    (second == '\'').then_some(at + 1)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The identifier that `text` starts with; empty if there is none.
fn word(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

/// Returns each identifier with its offset.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += code[at..].find(is_word)?;
        let (start, found) = (at, word(&code[at..]));
        at += found.len();
        Some((start, found))
    })
}

/// Returns the modules that the code declares with a file of their own (`mod name;`).
pub(super) fn declared_modules(code: &str) -> Vec<String> {
    words(code)
        .filter(|&(_, found)| found == "mod")
        .filter_map(|(at, found)| {
            let rest = code[at + found.len()..].trim_start();
            let name = word(rest);
            let is_file = rest[name.len()..].trim_start().starts_with(';');
            is_file.then(|| name.to_owned())
        })
        .collect()
}

/// Returns each name that the root exports with `pub use`, with the top-level module that it comes from.
pub(super) fn exported_names(root: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for statement in root.split(';') {
        let Some((_, path)) = statement.split_once("pub use ") else {
            continue;
        };
        let mut found = words(path)
            .map(|(_, name)| name)
            .skip_while(|name| ["crate", "self"].contains(name));
        if let Some(module) = found.next() {
            names.extend(found.map(|name| (name.to_owned(), module.to_owned())));
        }
    }
    names
}

/// Returns the first name after each path to the crate's root, with its line: `crate::name`,
/// `crate::{name, …}`, and `super::name` where `depth` times `super` is the root.
pub(super) fn references(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut supers = 0;
    let mut expected = 0;
    for (at, name) in words(code) {
        let end = at + name.len();
        let Some(rest) = code[end..].strip_prefix("::") else {
            supers = 0;
            continue;
        };
        supers = match name {
            "super" if supers > 0 && at == expected => supers + 1,
            "super" => 1,
            _ => 0,
        };
        expected = end + 2;
        if name == "crate" || supers == depth && !word(rest).eq("super") {
            let names = first_names(rest);
            found.extend(names.map(|(offset, name)| {
                let line = 1 + code[..end + 2 + offset].matches('\n').count();
                (line, name.to_owned())
            }));
        }
    }
    found
}

/// Returns the first name of each path in `name…` or `{name…, name…}`, with its offset.
fn first_names(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let group = text.starts_with('{');
    let end = match group {
        true => item_end(text, 0),
        false => word(text).len(),
    };
    let mut depth = 0;
    let mut is_first = true;
    let mut in_word = false;
    text[..end].char_indices().filter_map(move |(at, c)| {
        let starts_word = is_word(c) && !in_word;
        in_word = is_word(c);
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => is_first = true,
            _ => {}
        }
        let starts_path = starts_word && is_first && depth == usize::from(group);
        if starts_path {
            is_first = false;
        }
        starts_path.then(|| (at, word(&text[at..])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_comments_strings_and_characters() {
        let text = "a /* b /* c */ d */ e // f\ng \"h \\\" i\" j r#\"k \" l\"# m b'n' 'o' '\\'' '\\u{1F}' p";
        let code = without_tests(text);
        let found: Vec<_> = words(&code).map(|(_, name)| name).collect();
        assert_eq!(found, ["a", "e", "g", "j", "m", "b", "p"]);
        assert_eq!(code.len(), text.len());
    }

    #[test]
    fn keeps_lifetimes() {
        let text = "fn f<'a>(x: &'a str, y: &'static str) -> &'a str";
        assert_eq!(without_tests(text), text);
    }

    #[test]
    fn removes_test_items_only() {
        let text = "#[cfg(test)]\n#[path = \"x\"]\nmod a;\nmod b;\n#[cfg(all(test, unix))]\nfn f(x: [u8; 2]) { g(); }\nmod c;\n\
                    #[cfg(test)]\nuse x::{y, z};\nmod d;";
        assert_eq!(declared_modules(&without_tests(text)), ["b", "c", "d"]);
    }

    #[test]
    fn finds_modules_with_a_file_of_their_own() {
        let code = "pub mod a;\npub(crate) mod b ;\nmod inline { mod c; }\nlet model = 1;";
        assert_eq!(declared_modules(code), ["a", "b", "c"]);
    }

    #[test]
    fn exported_names_belong_to_their_top_level_module() {
        let root = "pub use a::{B, c::D};\npub mod e { pub use crate::f::G; }\nuse h::I;";
        let names = exported_names(root);
        let module = |name: &str| names.get(name).map(String::as_str);
        assert_eq!(
            ["B", "D", "G"].map(module),
            [Some("a"), Some("a"), Some("f")]
        );
        assert_eq!((module("f"), module("I")), (None, None));
    }

    #[test]
    fn ignores_visibilities_and_names_that_contain_crate() {
        let code = "pub(crate) fn f() {}\nuse my_crate::a;\npub(in crate::b) fn g() {}";
        assert_eq!(references(code, 1), [(3, "b".to_owned())]);
    }
}
