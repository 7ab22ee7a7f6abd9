//! Forbidden words in source files.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{output, workspace_root};

/// Paths of the standard library to the environment, the command line and the network. `tts-core` gets
/// these values from its caller.
const OUTSIDE_WORLD: &[&str] = &[
    "std::env",
    "std::net",
    "env::args",
    "env::current_dir",
    "env::home_dir",
    "env::temp_dir",
    "env::var",
];

/// Top-level folders whose content differs between machines.
const MACHINE_FOLDERS: &[&str] = &[
    "builds",
    "home",
    "mnt",
    "opt",
    "root",
    "srv",
    "Users",
    "work",
    "workspace",
];

/// Checks every file that git tracks or would add.
///
/// # Errors
///
/// Lists each violation with its line.
pub(super) fn check() -> Result<()> {
    let root = workspace_root();
    let mut list = Command::new("git");
    list.current_dir(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let files = output(&mut list)?;
    let mut found = Vec::new();
    let mut read = 0;
    for file in files.split('\0').filter(|name| !name.is_empty()) {
        let path = root.join(file);
        // The file is tracked, but deleted in the working tree.
        if !path.exists() {
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("cannot read {file}"))?;
        // Weights, audio and other binary files.
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        read += 1;
        found.extend(problems(file, &text));
    }
    if !found.is_empty() {
        bail!("{}", found.join("\n"));
    }
    println!("{read} files checked");
    Ok(())
}

/// Returns the problems of a file.
fn problems(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(path) = machine_path(line) {
            found.push(format!(
                "{file}:{}: {path} is a path of one machine; use a path that is valid everywhere",
                number + 1
            ));
        }
    }
    if Path::new(file).starts_with("crates/tts-core/src") {
        for (number, line) in without_tests(text).enumerate() {
            if let Some(name) = OUTSIDE_WORLD.iter().find(|name| line.contains(**name)) {
                found.push(format!(
                    "{file}:{}: tts-core must not use {name}; take the value as an argument",
                    number + 1
                ));
            }
        }
    }
    found
}

/// Returns the lines before the test module, which is at the end of a file by convention.
fn without_tests(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| line.trim_end() != "#[cfg(test)]")
}

/// Returns the first absolute path into a folder that differs between machines.
fn machine_path(line: &str) -> Option<&str> {
    line.match_indices('/').find_map(|(slash, _)| {
        let before = line[..slash].chars().next_back();
        // After any other character, the slash continues a relative path or a URL.
        let starts_a_path = before.is_none_or(|c| c.is_whitespace() || "\"'`(=:<>[,;|".contains(c));
        let rest = &line[slash + 1..];
        let is_machine_path = MACHINE_FOLDERS.iter().any(|folder| {
            rest.strip_prefix(folder)
                .is_some_and(|rest| rest.starts_with('/'))
        });
        let end = rest
            .find(|c: char| c.is_whitespace() || "\"'`)>],;|".contains(c))
            .unwrap_or(rest.len());
        (starts_a_path && is_machine_path).then(|| &line[slash..slash + 1 + end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a path at run time, so that this file passes the check.
    fn absolute(names: &[&str]) -> String {
        names.iter().map(|name| format!("/{name}")).collect()
    }

    #[test]
    fn reports_a_machine_path_with_its_line() {
        let path = absolute(&["home", "someone", "voice.wav"]);
        let text = format!("fine\nlet voice = \"{path}\";\n");
        let found = problems("README.md", &text);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("README.md:2:"), "{found:?}");
        assert!(found[0].contains(&path), "{found:?}");
    }

    #[test]
    fn accepts_relative_paths_urls_and_standard_paths() {
        let inner = absolute(&["home", "page"]);
        for line in [
            format!("https://example.com{inner}"),
            format!("docs{inner}"),
            format!("../..{inner}"),
            absolute(&["usr", "share", "vulkan"]),
            absolute(&["dev", "full"]),
            "homework/home".to_owned(),
        ] {
            assert_eq!(machine_path(&line), None, "{line}");
        }
    }

    #[test]
    fn forbids_the_environment_in_tts_core_except_in_tests() {
        let bad = "fn f() {\n    std::env::var(\"X\");\n}\n";
        let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{bad}}}\n");
        let core = "crates/tts-core/src/model.rs";
        assert!(problems(core, bad)[0].starts_with(&format!("{core}:2:")));
        assert!(problems(core, &tested).is_empty());
        assert!(problems("crates/pocket-tts/src/hub.rs", bad).is_empty());
    }
}
