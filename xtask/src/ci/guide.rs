//! The programs of the memory guide: all are present, and the tests run them.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::shell::workspace_root;

const GUIDE: &str = "docs/memory-guide.md";
/// The number of programs: one for each code block of the original's guide.
const PROGRAMS: usize = 23;
/// The file that includes the guide as documentation, so that `cargo test` runs its programs.
const RUNNER: &str = "crates/pocket-tts/src/memory.rs";
/// The lines that include it. Without these features there is no voice to generate speech with.
const RUNS: &str = "\
#[cfg(all(doctest, feature = \"flex\", feature = \"builtin-voice\"))]
#[doc = include_str!(\"../../../docs/memory-guide.md\")]
struct ";
/// The info strings of blocks that rustdoc compiles and runs.
const RUN: [&str; 2] = ["rust", "rust,standalone_crate"];
/// The info strings of blocks that rustdoc ignores.
const OTHERS: [&str; 2] = ["sh", "text"];

/// Checks that the guide has all of its programs in order, that rustdoc runs each of them, and that the
/// guide is part of the crate's documentation.
///
/// # Errors
///
/// Lists every problem with its line. Fails if a file cannot be read.
pub(super) fn check() -> Result<()> {
    let found = problems(&read(GUIDE)?, PROGRAMS);
    if !found.is_empty() {
        let found: Vec<_> = found
            .iter()
            .map(|problem| format!("{GUIDE}:{problem}"))
            .collect();
        bail!("{}", found.join("\n"));
    }
    if !read(RUNNER)?.contains(RUNS) {
        bail!(
            "{RUNNER} must have these lines, so that the tests run the programs of {GUIDE}:\n{RUNS}…;"
        );
    }
    println!("{PROGRAMS} programs in {GUIDE}");
    Ok(())
}

fn read(name: &str) -> Result<String> {
    fs::read_to_string(workspace_root().join(name)).with_context(|| format!("cannot read {name}"))
}

/// Returns the problems of a Markdown text, each with its line. The text must have `programs` programs,
/// each directly after a comment `<!-- block NUMBER: NAME -->`.
fn problems(markdown: &str, programs: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = 0;
    // The number in the comment directly before the current line.
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
                    "{number}: a program must directly follow its comment"
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
                    "{number}: this is program {seen}; the line before it must be \
                     `<!-- block {seen}: NAME -->`"
                ));
            }
        } else if !OTHERS.contains(&language) {
            // A block without an info string is Rust for rustdoc.
            found.push(format!(
                "{number}: the block is marked `{language}`; mark programs {}, and other blocks {}",
                RUN.join(" or "),
                OTHERS.join(" or ")
            ));
        } else if announced.is_some() {
            found.push(format!(
                "{number}: this block is not a program, but its comment announces one"
            ));
        }
    }
    if fence.is_some() {
        found.push(format!(
            "{}: the last block is not closed",
            markdown.lines().count()
        ));
    }
    if seen != programs {
        found.push(format!(
            "{}: there are {seen} programs, expected {programs}",
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
// Neither ```rust nor this ends the block: <!-- block 7: -->
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
    fn counts_programs_but_no_other_blocks() {
        assert!(problems(GOOD, 2).is_empty(), "{:?}", problems(GOOD, 2));
        let missing = problems(GOOD, 3);
        assert_eq!(missing, ["18: there are 2 programs, expected 3"]);
        assert_eq!(problems(GOOD, 1).len(), 1);
    }

    #[test]
    fn reports_programs_that_are_not_run() {
        for mark in [
            "rust,ignore",
            "rust,no_run",
            "rust,compile_fail",
            "rust,should_panic",
            "ignore",
            "python",
            // Rustdoc treats it as Rust.
            "",
        ] {
            let text = GOOD.replacen("```rust\n", &format!("```{mark}\n"), 1);
            let found = problems(&text, 1);
            assert!(found[0].starts_with("4: "), "{mark}: {found:?}");
        }
    }

    #[test]
    fn requires_programs_in_order_after_their_comments() {
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
    fn reports_a_block_that_is_not_closed() {
        let found = problems(GOOD.trim_end_matches("```\n"), 2);
        assert!(found[0].contains("not closed"), "{found:?}");
    }
}
