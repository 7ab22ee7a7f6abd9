//! Running cargo, the program, Python and other commands.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Returns the folder of the workspace.
pub(crate) fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package is a subfolder of the workspace")
}

/// Returns a `cargo` command in the folder of the workspace, with whitespace-separated arguments.
///
/// The command uses the same cargo that runs this program.
pub(crate) fn cargo(arguments: &str) -> Command {
    let program = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let mut command = Command::new(program);
    command.current_dir(workspace_root());
    command.args(arguments.split_whitespace());
    command
}

/// Runs a command. Its output is printed.
///
/// # Errors
///
/// The command cannot be started or fails; the message contains the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", words(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", words(command));
    }
    Ok(())
}

/// Runs a command and returns its standard output. Its standard error is printed.
///
/// # Errors
///
/// The command cannot be started or fails, or its output is not UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", words(command)))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", words(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("the output of `{}` is not UTF-8", words(command)))
}

/// Returns cargo's target folder.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let metadata = output(&mut cargo("metadata --no-deps --format-version 1"))?;
    let metadata: Value =
        serde_json::from_str(&metadata).context("the output of cargo metadata is not JSON")?;
    let folder = metadata["target_directory"].as_str();
    folder
        .map(PathBuf::from)
        .context("the output of cargo metadata has no target_directory")
}

/// Builds the program `pocket-tts` like the README's first command, with additional features, and returns
/// its path.
///
/// # Errors
///
/// The program does not compile.
pub(crate) fn build_program(features: &[&str]) -> Result<PathBuf> {
    let mut build = cargo("build --release --package pocket-tts-cli --bin pocket-tts");
    build.args(["--message-format", "json-render-diagnostics"]);
    if !features.is_empty() {
        build.arg("--features").arg(features.join(","));
    }
    let messages = output(&mut build)?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "pocket-tts")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo built no program named pocket-tts")
}

/// Returns `requested`, or the Python of a virtual environment in the user's cache folder, which `.ci/run`
/// creates.
///
/// # Errors
///
/// The environment does not exist: the message contains the commands that create it.
pub(crate) fn python_environment(
    requested: Option<&Path>,
    name: &str,
    requirements: &str,
) -> Result<PathBuf> {
    let python = match requested {
        Some(path) => path.to_owned(),
        None => cache_folder()?
            .join("pocket-tts")
            .join(name)
            .join("bin/python"),
    };
    if !python.is_file() {
        let environment = python.ancestors().nth(2).unwrap_or(&python).display();
        bail!(
            "{} does not exist; to create it, run:\n  \
             python3 -m venv {environment}\n  \
             {environment}/bin/pip install -r {requirements}",
            python.display()
        );
    }
    Ok(python)
}

fn cache_folder() -> Result<PathBuf> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    folder("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| folder("HOME").map(|home| Path::new(&home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")
}

/// Formats a command as a shell command line.
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
    fn error_names_the_command_and_its_status() {
        let error = run(cargo("no-such-command --flag").stderr(Stdio::null())).unwrap_err();
        assert!(
            error.to_string().contains("no-such-command --flag` failed"),
            "{error}"
        );
    }

    #[test]
    fn quotes_arguments_with_spaces() {
        let mut command = Command::new("bin/speak");
        command.args(["Hello world", "-o", "out.wav"]);
        assert_eq!(words(&command), "speak 'Hello world' -o out.wav");
    }
}
