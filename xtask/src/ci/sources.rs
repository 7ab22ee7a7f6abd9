//! What no source may say.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{output, workspace_root};

/// Ways to the environment, the command line and the network in the standard library. The model's
/// crate is given what it needs by its caller.
const OUTSIDE_WORLD: &[&str] = &[
    "std::env",
    "std::net",
    "env::args",
    "env::current_dir",
    "env::home_dir",
    "env::temp_dir",
    "env::var",
];

/// Top-level folders where one person, or one build machine, keeps things.
const PERSONAL_FOLDERS: &[&str] = &[
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

/// Checks every file that git tracks or would track.
///
/// # Errors
///
/// Each offending line.
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
        // Tracked, but deleted in the working tree.
        if !path.exists() {
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("cannot read {file}"))?;
        // Weights, audio and the like are no sources.
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        read += 1;
        found.extend(problems(file, &text));
    }
    if !found.is_empty() {
        bail!("{}", found.join("\n"));
    }
    println!("{read} files read");
    Ok(())
}

/// What is wrong in one file.
fn problems(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(path) = personal_path(line) {
            found.push(format!(
                "{file}:{}: {path} is a place on one machine; write a path that holds everywhere",
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

/// The lines before the test module, which by our convention ends a file.
fn without_tests(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| line.trim_end() != "#[cfg(test)]")
}

/// The first absolute path into a personal folder.
fn personal_path(line: &str) -> Option<&str> {
    line.match_indices('/').find_map(|(slash, _)| {
        let before = line[..slash].chars().next_back();
        // Anything else continues a relative path, an address or a variable's value.
        let starts_a_path = before.is_none_or(|c| c.is_whitespace() || "\"'`(=:<>[,;|".contains(c));
        let rest = &line[slash + 1..];
        let is_personal = PERSONAL_FOLDERS.iter().any(|folder| {
            rest.strip_prefix(folder)
                .is_some_and(|rest| rest.starts_with('/'))
        });
        let end = rest
            .find(|c: char| c.is_whitespace() || "\"'`)>],;|".contains(c))
            .unwrap_or(rest.len());
        (starts_a_path && is_personal).then(|| &line[slash..slash + 1 + end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path made here, so that this file itself passes the check.
    fn absolute(parts: &[&str]) -> String {
        parts.iter().map(|part| format!("/{part}")).collect()
    }

    #[test]
    fn a_machine_path_is_found_and_told_with_its_place() {
        let path = absolute(&["home", "someone", "voice.wav"]);
        let text = format!("fine\nlet voice = \"{path}\";\n");
        let found = problems("README.md", &text);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("README.md:2:"), "{found:?}");
        assert!(found[0].contains(&path), "{found:?}");
    }

    #[test]
    fn relative_paths_addresses_and_shared_places_are_fine() {
        let inner = absolute(&["home", "page"]);
        for line in [
            format!("https://example.com{inner}"),
            format!("docs{inner}"),
            format!("../..{inner}"),
            absolute(&["usr", "share", "vulkan"]),
            absolute(&["dev", "full"]),
            "homework/home".to_owned(),
        ] {
            assert_eq!(personal_path(&line), None, "{line}");
        }
    }

    #[test]
    fn the_environment_is_closed_to_the_model_but_not_to_its_tests_or_others() {
        let bad = "fn f() {\n    std::env::var(\"X\");\n}\n";
        let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{bad}}}\n");
        let core = "crates/tts-core/src/model.rs";
        assert!(problems(core, bad)[0].starts_with(&format!("{core}:2:")));
        assert!(problems(core, &tested).is_empty());
        assert!(problems("crates/pocket-tts/src/hub.rs", bad).is_empty());
    }
}
