//! The memory guide's promise: each of its programs is there, and the tests run all of them.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::shell::workspace_root;

const GUIDE: &str = "docs/memory-guide.md";
/// As many programs as the guide for the original has code blocks: each has its counterpart.
const PROGRAMS: usize = 23;
/// Where the guide becomes documentation, whose programs `cargo test` runs.
const RUNNER: &str = "crates/pocket-tts/src/memory.rs";
/// How. With less than these features there is no voice to speak with.
const RUNS: &str = "\
#[cfg(all(doctest, feature = \"flex\", feature = \"builtin-voice\"))]
#[doc = include_str!(\"../../../docs/memory-guide.md\")]
struct ";
/// What a block may be marked with so that it is compiled and run: alone, or in one program with others.
const RUN: [&str; 2] = ["rust", "rust,standalone_crate"];
/// Other languages, which rustdoc leaves alone.
const OTHERS: [&str; 2] = ["sh", "text"];

/// Checks that the guide has its programs, in order, that rustdoc is told to run each, and that the guide
/// is part of the crate's documentation.
///
/// # Errors
///
/// What is missing or wrong, or a file cannot be read.
pub(super) fn check() -> Result<()> {
    let found = problems(&read(GUIDE)?, PROGRAMS);
    if !found.is_empty() {
        let found: Vec<_> = found.iter().map(|what| format!("{GUIDE}:{what}")).collect();
        bail!("{}", found.join("\n"));
    }
    if !read(RUNNER)?.contains(RUNS) {
        bail!("{RUNNER} must have these lines, so that the programs of {GUIDE} are run:\n{RUNS}…;");
    }
    println!("{PROGRAMS} programs in {GUIDE}");
    Ok(())
}

fn read(name: &str) -> Result<String> {
    fs::read_to_string(workspace_root().join(name)).with_context(|| format!("cannot read {name}"))
}

/// What is wrong with a Markdown text that should have so many programs, each below a comment
/// `<!-- block NUMBER: its name -->`; each with its line.
fn problems(markdown: &str, programs: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = 0;
    // The number that the last comment gave, as long as nothing but it was read.
    let mut announced: Option<Option<usize>> = None;
    let mut fence: Option<&str> = None;
    for (index, line) in markdown.lines().enumerate() {
        let line = line.trim();
        let number = index + 1;
        if let Some(open) = fence {
            if line.len() >= open.len() && line.chars().all(|c| open.starts_with(c)) {
                fence = None;
            }
            continue;
        }
        let marks = line.len() - line.trim_start_matches(['`', '~']).len();
        if marks < 3 {
            if let Some(comment) = line.strip_prefix("<!-- block ") {
                announced = Some(comment.split(':').next().and_then(|n| n.parse().ok()));
            } else if !line.is_empty() && announced.take().is_some() {
                found.push(format!(
                    "{number}: a program must follow its comment at once"
                ));
            }
            continue;
        }
        fence = Some(&line[..marks]);
        let language = line[marks..].trim();
        let announced = announced.take();
        if RUN.contains(&language) {
            seen += 1;
            if announced != Some(Some(seen)) {
                found.push(format!(
                    "{number}: this is program {seen}; above it there must be \
                     `<!-- block {seen}: its name -->`"
                ));
            }
        } else if !OTHERS.contains(&language) {
            // Without a language it would be Rust too.
            found.push(format!(
                "{number}: a block is marked `{language}`; programs are {}, and others {}",
                RUN.join(" or "),
                OTHERS.join(" or ")
            ));
        } else if announced.is_some() {
            found.push(format!(
                "{number}: a program is announced, and this is none"
            ));
        }
    }
    if fence.is_some() {
        found.push(format!(
            "{}: the last block has no end",
            markdown.lines().count()
        ));
    }
    if seen != programs {
        found.push(format!(
            "{}: there are {seen} programs, and must be {programs}",
            markdown.lines().count()
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
# Title

<!-- block 1: the first -->
```rust
// ```rust would be no end, nor is this: <!-- block 7: -->
let x = 1;
```

```sh
cargo test
```

1. In a list:

   <!-- block 2: the second -->
   ```rust,standalone_crate
   fn main() {}
   ```
";

    #[test]
    fn programs_are_counted_and_other_blocks_are_not() {
        assert!(problems(GOOD, 2).is_empty(), "{:?}", problems(GOOD, 2));
        let missing = problems(GOOD, 3);
        assert_eq!(missing, ["18: there are 2 programs, and must be 3"]);
        assert_eq!(problems(GOOD, 1).len(), 1);
    }

    #[test]
    fn programs_that_are_not_run_are_found() {
        for mark in [
            "rust,ignore",
            "rust,no_run",
            "rust,compile_fail",
            "rust,should_panic",
            "ignore",
            "python",
            // Rustdoc takes it for Rust, and nobody sees that.
            "",
        ] {
            let text = GOOD.replacen("```rust\n", &format!("```{mark}\n"), 1);
            let found = problems(&text, 1);
            assert!(found[0].starts_with("4: "), "{mark}: {found:?}");
        }
    }

    #[test]
    fn programs_come_in_order_each_below_its_comment() {
        for (from, to, line) in [
            ("block 2", "block 3", "16: "),
            ("block 2", "block two", "16: "),
            ("<!-- block 1: the first -->\n", "", "3: "),
            ("```rust\n", "Words.\n```rust\n", "4: "),
            (
                "<!-- block 1: the first -->",
                "<!-- block 1: -->\n```sh\n```",
                "4: ",
            ),
        ] {
            let found = problems(&GOOD.replacen(from, to, 1), 2);
            assert!(found[0].starts_with(line), "{from}: {found:?}");
        }
    }

    #[test]
    fn a_block_without_an_end_is_found() {
        let found = problems(GOOD.trim_end_matches("```\n"), 2);
        assert!(found[0].contains("no end"), "{found:?}");
    }
}
