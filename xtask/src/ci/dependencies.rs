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
];
/// Writing logs, which is a program's choice.
const LOGS: &[&str] = &["tracing-subscriber"];
/// Finding a person's folders.
const USER_FOLDERS: &[&str] = &["directories", "dirs", "home"];

/// Tensors and speech.
const TENSORS: &[&str] = &[
    "burn",
    "burn-tensor",
    "tts-core",
    "pocket-tts",
    "pocket-tts-cli",
    "builtin-voice",
];
/// The other crates of this workspace, for those that can be used alone.
const SIBLINGS: &[&str] = &[
    "batch-planner",
    "bench-report",
    "benches",
    "builtin-voice",
    "leak-detect",
    "mem-monitor",
    "pocket-tts",
    "pocket-tts-cli",
    "tensor-pool",
    "tts-core",
];

/// One rule on a crate's dependencies, with all of its features unless it says otherwise.
enum Rule {
    /// These are nowhere in the tree.
    Never(&'static [&'static str]),
    /// These are nowhere in the tree of the crate without features.
    NeverWithoutFeatures(&'static [&'static str]),
    /// These are nowhere in the tree, nor in that of its tests.
    NeverEvenInTests(&'static [&'static str]),
    /// The crate itself does not ask for these.
    NeverDirectly(&'static [&'static str]),
    /// The crate itself asks for nothing but these.
    Only(&'static [&'static str]),
}

/// The arrows between crates run one way: `pocket-tts-cli -> pocket-tts -> tts-core ->
/// tensor-pool`, and from `pocket-tts` to `builtin-voice`.
const RULES: &[(&str, Rule)] = &[
    ("tensor-pool", Rule::NeverWithoutFeatures(TENSORS)),
    ("tensor-pool", Rule::NeverEvenInTests(SIBLINGS)),
    // Numbers in, numbers out.
    (
        "batch-planner",
        Rule::Only(&["bytesize", "serde", "thiserror"]),
    ),
    ("batch-planner", Rule::NeverEvenInTests(SIBLINGS)),
    ("mem-monitor", Rule::Never(TENSORS)),
    ("mem-monitor", Rule::NeverEvenInTests(SIBLINGS)),
    ("leak-detect", Rule::Never(TENSORS)),
    ("leak-detect", Rule::NeverEvenInTests(SIBLINGS)),
    ("tts-core", Rule::Never(NETWORK)),
    ("tts-core", Rule::Never(COMMAND_LINE)),
    // The facade may: it installs the layer that makes a memory profile of spans when it is asked to.
    ("tts-core", Rule::Never(LOGS)),
    ("tts-core", Rule::Never(USER_FOLDERS)),
    (
        "tts-core",
        Rule::Never(&[
            "pocket-tts",
            "pocket-tts-cli",
            "builtin-voice",
            "batch-planner",
            "mem-monitor",
            "leak-detect",
        ]),
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
        let dependencies = dependencies(package, rule)?;
        broken.extend(rule.broken_by(&dependencies).iter().map(|dependency| {
            format!(
                "{package} must not depend on {dependency}; to see how it does: \
                 cargo tree -p {package} {} -i {dependency}",
                rule.edges().join(" ")
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
    /// What `cargo tree` shows the dependencies that the rule is about with.
    fn edges(&self) -> &'static [&'static str] {
        match self {
            Self::Never(_) => &["--all-features", "--edges=normal"],
            Self::NeverWithoutFeatures(_) => &["--no-default-features", "--edges=normal"],
            Self::NeverEvenInTests(_) => &["--all-features", "--edges=normal,dev,build"],
            Self::NeverDirectly(_) | Self::Only(_) => {
                &["--all-features", "--edges=normal", "--depth=1"]
            }
        }
    }

    fn broken_by<'a>(&self, dependencies: &'a BTreeSet<String>) -> Vec<&'a str> {
        dependencies
            .iter()
            .map(String::as_str)
            .filter(|name| match self {
                Self::Never(names)
                | Self::NeverWithoutFeatures(names)
                | Self::NeverEvenInTests(names)
                | Self::NeverDirectly(names) => names.contains(name),
                Self::Only(names) => !names.contains(name),
            })
            .collect()
    }
}

/// The names of those of a package's dependencies on this platform that a rule is about.
fn dependencies(package: &str, rule: &Rule) -> Result<BTreeSet<String>> {
    let mut tree = cargo("tree --prefix none --format {p}");
    tree.args(["--package", package]).args(rule.edges());
    let mut names = names(&output(&mut tree)?);
    // A crate's tests may depend on the crate itself.
    names.remove(package);
    Ok(names)
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
        let direct = dependencies("xtask", &Rule::Only(&[])).unwrap();
        assert!(direct.contains("serde_json"), "{direct:?}");
        assert!(!direct.contains("itoa"), "{direct:?}");
        let all = dependencies("xtask", &Rule::Never(&[])).unwrap();
        assert!(all.contains("itoa") && !all.contains("criterion"));
    }
}
