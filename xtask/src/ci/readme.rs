//! The first two commands of the README: one generates speech, one runs the tests.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::shell::workspace_root;

/// The command that generates speech. `cargo xtask listen` builds the same program with the same flags.
pub(super) const SPEAK: &str = "cargo run --release -p pocket-tts-cli -- generate \"Hello world\"";
/// The command that runs all tests.
pub(super) const TEST: &str = "cargo test --workspace";

/// Checks that the README's first two commands are the ones above, and that `.ci/run` runs the second one
/// unchanged.
///
/// # Errors
///
/// The commands differ, or a file cannot be read.
pub(super) fn check() -> Result<()> {
    let readme = read("README.md")?;
    let mut commands = shell_commands(&readme);
    for expected in [SPEAK, TEST] {
        match commands.next() {
            Some(found) if found == expected => {}
            found => bail!(
                "README.md has the command `{}`, expected `{expected}`",
                found.unwrap_or("")
            ),
        }
    }
    let script = read(".ci/run")?;
    if !script.lines().any(|line| line.trim() == TEST) {
        bail!(".ci/run has no line `{TEST}`, the README's command to run all tests");
    }
    println!("{SPEAK}\n{TEST}");
    Ok(())
}

fn read(name: &str) -> Result<String> {
    fs::read_to_string(workspace_root().join(name)).with_context(|| format!("cannot read {name}"))
}

/// Returns the commands in the fenced shell blocks of a Markdown text, without prompts and comments.
fn shell_commands(markdown: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    let mut in_shell = false;
    markdown.lines().filter_map(move |line| {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            in_shell = !in_block && ["sh", "bash", "shell", "console"].contains(&language.trim());
            in_block = !in_block;
            return None;
        }
        let command = line.trim();
        let command = command.strip_prefix("$ ").unwrap_or(command);
        let command = command.split(" #").next().unwrap_or(command).trim_end();
        (in_shell && !command.is_empty() && !command.starts_with('#')).then_some(command)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_commands_from_shell_blocks_only() {
        let markdown = "\
# Title
```rust
let x = 1;
```
```sh
# speaks
cargo run -- generate \"Hi\"   # writes a file

$ cargo test
```
not this
```
nor this
```
  ```console
  $ cargo doc
  ```
";
        let commands: Vec<_> = shell_commands(markdown).collect();
        assert_eq!(
            commands,
            ["cargo run -- generate \"Hi\"", "cargo test", "cargo doc"]
        );
    }
}
