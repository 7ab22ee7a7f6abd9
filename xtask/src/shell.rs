//! Running other programs: where, and what is said when they fail.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The workspace's folder.
pub(crate) fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package is a folder of the workspace")
}

/// A `cargo` command in the workspace's folder, with arguments as one types them.
///
/// It is the cargo that runs this program.
pub(crate) fn cargo(arguments: &str) -> Command {
    let program = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let mut command = Command::new(program);
    command.current_dir(workspace_root());
    command.args(arguments.split_whitespace());
    command
}

/// Runs a command with its output shown.
///
/// # Errors
///
/// It cannot be started, or it fails: the message has the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", words(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", words(command));
    }
    Ok(())
}

/// Runs a command and returns what it writes to its standard output; what it writes to its standard
/// error is shown.
///
/// # Errors
///
/// It cannot be started, it fails, or it writes something other than UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", words(command)))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", words(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` wrote something other than UTF-8", words(command)))
}

/// The folder that cargo builds into.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let metadata = output(&mut cargo("metadata --no-deps --format-version 1"))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo printed no JSON")?;
    let folder = metadata["target_directory"].as_str();
    folder
        .map(PathBuf::from)
        .context("cargo metadata names no target_directory")
}

/// The command as one would type it.
pub(crate) fn words(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut text = program.file_name().map_or_else(
        || program.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    );
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        let plain = |c: char| c.is_alphanumeric() || "-_./=,:@+".contains(c);
        let _ = match !argument.is_empty() && argument.chars().all(plain) {
            true => write!(text, " {argument}"),
            false => write!(text, " '{argument}'"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_how_it_ended() {
        let error = run(cargo("no-such-command --flag").stderr(Stdio::null())).unwrap_err();
        assert!(
            error.to_string().contains("no-such-command --flag` failed"),
            "{error}"
        );
    }

    #[test]
    fn arguments_with_spaces_are_quoted() {
        let mut command = Command::new("bin/speak");
        command.args(["Hello world", "-o", "out.wav"]);
        assert_eq!(words(&command), "speak 'Hello world' -o out.wav");
    }
}
