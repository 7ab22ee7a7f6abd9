//! What each crate must never know, checked against `cargo tree`.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::shell::{cargo, output};

/// Reading the network.
const NETWORK: &[&str] = &[
    "attohttpc",
    "curl",
    "h2",
    "hf-hub",
    "http",
    "hyper",
    "isahc",
    "native-tls",
    "openssl",
    "quinn",
    "reqwest",
    "rustls",
    "socket2",
    "tokio",
    "tungstenite",
    "ureq",
];
/// Talking with a person at a terminal.
const COMMAND_LINE: &[&str] = &[
    "argh",
    "clap",
    "console",
    "crossterm",
    "ctrlc",
    "dialoguer",
    "indicatif",
    "lexopt",
    "pico-args",
    "tracing-subscriber",
];
/// Finding a person's folders.
const USER_FOLDERS: &[&str] = &["directories", "dirs", "home"];

/// One rule on a crate's normal dependencies, with all of its features.
enum Rule {
    /// These are nowhere in the tree.
    Never(&'static [&'static str]),
    /// The crate itself does not ask for these.
    NeverDirectly(&'static [&'static str]),
    /// The crate itself asks for nothing but these.
    Only(&'static [&'static str]),
}

/// The arrows between crates run one way:
/// `pocket-tts-cli -> pocket-tts -> tts-core`, and `pocket-tts -> builtin-voice`.
const RULES: &[(&str, Rule)] = &[
    ("tts-core", Rule::Never(NETWORK)),
    ("tts-core", Rule::Never(COMMAND_LINE)),
    ("tts-core", Rule::Never(USER_FOLDERS)),
    (
        "tts-core",
        Rule::Never(&["pocket-tts", "pocket-tts-cli", "builtin-voice"]),
    ),
    // Errors of a library are values that a caller can match on.
    ("tts-core", Rule::NeverDirectly(&["anyhow"])),
    // Not further down: hf-hub has a progress bar of its own, which stays unused.
    ("pocket-tts", Rule::NeverDirectly(COMMAND_LINE)),
    ("pocket-tts", Rule::Never(&["pocket-tts-cli"])),
    // The facade holds no algorithm, so it has no use for tensors.
    ("pocket-tts", Rule::NeverDirectly(&["anyhow", "burn"])),
    // It gives out bytes.
    ("builtin-voice", Rule::Only(&[])),
];

/// Checks every rule.
///
/// # Errors
///
/// Names each crate that breaks one, and the command that shows how the dependency came in.
pub(super) fn check() -> Result<()> {
    let mut broken = Vec::new();
    for (package, rule) in RULES {
        let depth = match rule {
            Rule::Never(_) => None,
            Rule::NeverDirectly(_) | Rule::Only(_) => Some(1),
        };
        let dependencies = dependencies(package, depth)?;
        broken.extend(rule.broken_by(&dependencies).iter().map(|dependency| {
            format!(
                "{package} must not depend on {dependency}; to see how it does: \
                 cargo tree -p {package} --all-features -e normal -i {dependency}"
            )
        }));
    }
    if !broken.is_empty() {
        bail!("{}", broken.join("\n"));
    }
    println!("{} rules kept", RULES.len());
    Ok(())
}

impl Rule {
    fn broken_by<'a>(&self, dependencies: &'a BTreeSet<String>) -> Vec<&'a str> {
        dependencies
            .iter()
            .map(String::as_str)
            .filter(|name| match self {
                Self::Never(names) | Self::NeverDirectly(names) => names.contains(name),
                Self::Only(names) => !names.contains(name),
            })
            .collect()
    }
}

/// The names of a package's normal dependencies on this platform, down to `depth` steps away.
fn dependencies(package: &str, depth: Option<usize>) -> Result<BTreeSet<String>> {
    let mut tree = cargo("tree --all-features --edges normal --prefix none --format {p}");
    tree.args(["--package", package]);
    if let Some(depth) = depth {
        tree.args(["--depth", &depth.to_string()]);
    }
    Ok(names(&output(&mut tree)?))
}

/// The package names in lines of `NAME vVERSION …`, but for the first, which is the root.
fn names(tree: &str) -> BTreeSet<String> {
    tree.lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "core v0.1.0 (/somewhere)\nburn v0.22.1\nureq v3.5.0 (*)\n\n";

    #[test]
    fn a_forbidden_dependency_is_found_by_its_whole_name() {
        let tree = names(TREE);
        assert_eq!(Rule::Never(&["ureq", "bur"]).broken_by(&tree), ["ureq"]);
        assert_eq!(Rule::NeverDirectly(&["burn"]).broken_by(&tree), ["burn"]);
    }

    #[test]
    fn only_the_allowed_may_be_there_and_the_crate_itself_does_not_count() {
        let tree = names(TREE);
        assert_eq!(Rule::Only(&["burn"]).broken_by(&tree), ["ureq"]);
        assert!(Rule::Only(&["burn", "ureq"]).broken_by(&tree).is_empty());
    }

    #[test]
    fn cargo_tree_is_read_as_it_is_written() {
        // This very package: its direct dependencies are in its manifest.
        let direct = dependencies("xtask", Some(1)).unwrap();
        assert!(direct.contains("serde_json"), "{direct:?}");
        assert!(!direct.contains("itoa"), "{direct:?}");
        assert!(dependencies("xtask", None).unwrap().contains("itoa"));
    }
}
