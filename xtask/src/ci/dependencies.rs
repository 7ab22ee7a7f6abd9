//! The forbidden dependencies of each crate, checked with `cargo tree`.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::shell::{cargo, output};

/// Network access.
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
/// Command lines and terminals.
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
/// Log output, which is for programs to choose.
const LOGS: &[&str] = &["tracing-subscriber"];
/// Locations of user folders.
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
/// The crates of this workspace. Crates that can be used alone depend on none of them.
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

/// A rule on the dependencies of a crate. All features are enabled unless stated otherwise.
enum Rule {
    /// The dependency tree has none of these.
    Never(&'static [&'static str]),
    /// The dependency tree without features has none of these.
    NeverWithoutFeatures(&'static [&'static str]),
    /// The dependency tree with all features except this one has none of these.
    NeverWithoutFeature(&'static str, &'static [&'static str]),
    /// The dependency tree has none of these, even with dependencies of tests.
    NeverEvenInTests(&'static [&'static str]),
    /// The direct dependencies have none of these.
    NeverDirectly(&'static [&'static str]),
    /// The direct dependencies are only these.
    Only(&'static [&'static str]),
}

/// Dependencies between crates run in one direction: `pocket-tts-cli -> pocket-tts -> tts-core ->
/// {tensor-pool, batch-planner}`, and `pocket-tts -> builtin-voice`.
const RULES: &[(&str, Rule)] = &[
    ("tensor-pool", Rule::NeverWithoutFeatures(TENSORS)),
    ("tensor-pool", Rule::NeverEvenInTests(SIBLINGS)),
    // Only arithmetic: no tensors and no access to the system.
    (
        "batch-planner",
        Rule::Only(&["bytesize", "serde", "thiserror"]),
    ),
    ("batch-planner", Rule::NeverEvenInTests(SIBLINGS)),
    ("mem-monitor", Rule::Never(TENSORS)),
    ("mem-monitor", Rule::NeverEvenInTests(SIBLINGS)),
    (
        "mem-monitor",
        Rule::NeverWithoutFeatures(&["jiff", "plotters", "serde_json", "sysinfo", "tracing"]),
    ),
    ("leak-detect", Rule::Never(TENSORS)),
    ("leak-detect", Rule::NeverEvenInTests(SIBLINGS)),
    ("tts-core", Rule::Never(NETWORK)),
    ("tts-core", Rule::Never(COMMAND_LINE)),
    // Only the facade subscribes to spans: it offers a layer that records them as phases.
    ("tts-core", Rule::Never(LOGS)),
    ("tts-core", Rule::Never(USER_FOLDERS)),
    (
        "tts-core",
        Rule::Never(&[
            "pocket-tts",
            "pocket-tts-cli",
            "builtin-voice",
            "mem-monitor",
        ]),
    ),
    // Only for `Trace`, through the feature of the same name.
    (
        "tts-core",
        Rule::NeverWithoutFeature("leak-detect", &["leak-detect"]),
    ),
    // A library has error types that callers can match on.
    ("tts-core", Rule::NeverDirectly(&["anyhow"])),
    // Direct dependencies only: hf-hub depends on a progress bar, which is unused.
    ("pocket-tts", Rule::NeverDirectly(COMMAND_LINE)),
    ("pocket-tts", Rule::Never(&["pocket-tts-cli"])),
    // The facade has no algorithms, so it needs no tensors.
    ("pocket-tts", Rule::NeverDirectly(&["anyhow", "burn"])),
    // The crate contains only data.
    ("builtin-voice", Rule::Only(&[])),
];

/// Checks every rule.
///
/// # Errors
///
/// Lists each violation, with the command that shows where the dependency comes from.
pub(super) fn check() -> Result<()> {
    let mut broken = Vec::new();
    for (package, rule) in RULES {
        let arguments = rule.arguments(package)?;
        let dependencies = dependencies(package, &arguments)?;
        let arguments = arguments.join(" ");
        broken.extend(rule.broken_by(&dependencies).iter().map(|dependency| {
            format!(
                "{package} must not depend on {dependency}; to see where it comes from: \
                 cargo tree -p {package} {arguments} -i {dependency}"
            )
        }));
    }
    if !broken.is_empty() {
        bail!("{}", broken.join("\n"));
    }
    println!("{} rules checked", RULES.len());
    Ok(())
}

impl Rule {
    /// Returns the arguments of `cargo tree` that list the dependencies this rule applies to.
    fn arguments(&self, package: &str) -> Result<Vec<String>> {
        let arguments: &[&str] = match self {
            Self::Never(_) => &["--all-features", "--edges=normal"],
            Self::NeverWithoutFeatures(_) => &["--no-default-features", "--edges=normal"],
            Self::NeverWithoutFeature(feature, _) => {
                let others = features(package)?;
                let others: Vec<_> = others
                    .into_iter()
                    .filter(|other| other != feature)
                    .collect();
                let features = format!("--features={}", others.join(","));
                return Ok(vec![features, "--edges=normal".to_owned()]);
            }
            Self::NeverEvenInTests(_) => &["--all-features", "--edges=normal,dev,build"],
            Self::NeverDirectly(_) | Self::Only(_) => {
                &["--all-features", "--edges=normal", "--depth=1"]
            }
        };
        Ok(arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect())
    }

    fn broken_by<'a>(&self, dependencies: &'a BTreeSet<String>) -> Vec<&'a str> {
        dependencies
            .iter()
            .map(String::as_str)
            .filter(|name| match self {
                Self::Never(names)
                | Self::NeverWithoutFeatures(names)
                | Self::NeverEvenInTests(names)
                | Self::NeverWithoutFeature(_, names)
                | Self::NeverDirectly(names) => names.contains(name),
                Self::Only(names) => !names.contains(name),
            })
            .collect()
    }
}

/// Returns the features of a package.
fn features(package: &str) -> Result<Vec<String>> {
    let metadata = output(&mut cargo("metadata --no-deps --format-version 1"))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let features = packages
        .filter(|other| other["name"] == package)
        .filter_map(|package| package["features"].as_object())
        .flat_map(|features| features.keys().cloned());
    Ok(features.collect())
}

/// Returns the dependencies of a package, on this platform, with arguments of `cargo tree`.
fn dependencies(package: &str, arguments: &[String]) -> Result<BTreeSet<String>> {
    let mut tree = cargo("tree --prefix none --format {p}");
    tree.args(["--package", package]).args(arguments);
    let mut names = names(&output(&mut tree)?);
    // The tests of a crate may depend on the crate itself.
    names.remove(package);
    Ok(names)
}

/// Returns the package names in lines of the form `NAME vVERSION …`, without the root in the first line.
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
    fn finds_forbidden_dependencies_by_their_whole_name() {
        let tree = names(TREE);
        assert_eq!(Rule::Never(&["ureq", "bur"]).broken_by(&tree), ["ureq"]);
        assert_eq!(Rule::NeverDirectly(&["burn"]).broken_by(&tree), ["burn"]);
    }

    #[test]
    fn allows_only_listed_dependencies_and_the_crate_itself() {
        let tree = names(TREE);
        assert_eq!(Rule::Only(&["burn"]).broken_by(&tree), ["ureq"]);
        assert!(Rule::Only(&["burn", "ureq"]).broken_by(&tree).is_empty());
    }

    #[test]
    fn parses_the_output_of_cargo_tree() {
        // The direct dependencies of this package are in its manifest.
        let list = |rule: Rule| dependencies("xtask", &rule.arguments("xtask").unwrap()).unwrap();
        let direct = list(Rule::Only(&[]));
        assert!(direct.contains("serde_json"), "{direct:?}");
        assert!(!direct.contains("itoa"), "{direct:?}");
        let all = list(Rule::Never(&[]));
        assert!(all.contains("itoa") && !all.contains("criterion"));
    }
    #[test]
    fn tree_without_one_feature_has_the_others() {
        let rule = Rule::NeverWithoutFeature("leak-detect", &["leak-detect"]);
        let arguments = rule.arguments("tts-core").unwrap();
        let features = arguments[0].strip_prefix("--features=").unwrap();
        let features: Vec<_> = features.split(',').collect();
        assert!(features.contains(&"wgpu") && !features.contains(&"leak-detect"));
        let with_it = Rule::Never(&["leak-detect"]).arguments("tts-core").unwrap();
        let with_it = dependencies("tts-core", &with_it).unwrap();
        assert_eq!(rule.broken_by(&with_it), ["leak-detect"]);
        let without_it = dependencies("tts-core", &arguments).unwrap();
        assert!(without_it.contains("wgpu") && rule.broken_by(&without_it).is_empty());
    }
}
