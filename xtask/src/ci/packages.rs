//! The packages that can be published: their files, their metadata, and the oldest Rust that compiles them.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::shell::{cargo, output, run, target_folder, workspace_root};

/// The files that every package contains beside its code.
const FILES: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// The oldest Rust that any package supports: the first with the 2024 edition.
const OLDEST: RustVersion = RustVersion(1, 85);

/// Packages that need a newer Rust than their dependencies do.
const NEEDS: &[(&str, RustVersion)] = &[
    // `LazyLock::get` and `LazyCell::get`, which trace a lazy value without creating it.
    ("leak-detect", RustVersion(1, 94)),
    // The first in which a global allocator may use thread locals.
    ("tensor-pool", RustVersion(1, 93)),
];

/// A minor version of Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RustVersion(u32, u32);

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    rust_version: Option<String>,
    /// The registries that the package may be published to: `None` for all, empty for none.
    publish: Option<Vec<String>>,
    metadata: Option<serde_json::Value>,
    features: BTreeMap<String, Vec<String>>,
}

/// Checks the files and metadata of every package that can be published, and packs them all.
///
/// # Errors
///
/// Lists every problem. Fails if cargo cannot pack the packages together, such as if a dependency inside the
/// workspace has no version.
pub(super) fn check() -> Result<()> {
    let metadata = metadata()?;
    let (published, others): (Vec<_>, Vec<_>) = metadata
        .members()
        .partition(|package| package.publish.is_none());
    let mut problems = Vec::new();
    for package in &published {
        problems.extend(package.problems(&files(&package.name)?));
        let needed = metadata.needed_by(&package.name, &tree(&package.name)?)?;
        if package.rust_version()? != Some(needed) {
            problems.push(format!(
                "{}: rust-version is {}, but the package and its dependencies with default features need {needed}",
                package.name,
                package.rust_version.as_deref().unwrap_or("missing"),
            ));
        }
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    let mut pack = cargo("package --workspace --no-verify --allow-dirty");
    for package in others {
        pack.args(["--exclude", &package.name]);
    }
    run(&mut pack)
}

/// Compiles the packages that support an older Rust than the workspace with the oldest that they state. Only
/// their default features: each dependency of the other features states its own version.
///
/// # Errors
///
/// A package does not compile, or the old Rust is neither installed nor can be installed with rustup.
pub(super) fn check_rust_versions() -> Result<()> {
    let metadata = metadata()?;
    let workspace = metadata
        .members()
        .find(|package| package.name == env!("CARGO_PKG_NAME"))
        .context("this package is not in the workspace")?
        .rust_version()?;
    let mut by_version: BTreeMap<RustVersion, Vec<&str>> = BTreeMap::new();
    for package in metadata.members() {
        match package.rust_version()? {
            Some(version) if Some(version) < workspace => {
                by_version.entry(version).or_default().push(&package.name);
            }
            _ => {}
        }
    }
    let folder = target_folder()?.join("rust-versions");
    for (version, packages) in by_version {
        let toolchain = format!("{version}.0");
        println!("Rust {toolchain}: {}", packages.join(", "));
        let mut probe = Command::new("rustup");
        probe.args(["run", &toolchain, "rustc", "--version"]);
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        if !probe.status().context("cannot start rustup")?.success() {
            run(Command::new("rustup")
                .args(["toolchain", "install", &toolchain])
                .args(["--profile", "minimal"]))?;
        }
        let mut check = Command::new("rustup");
        check.args(["run", &toolchain, "cargo", "check", "--locked"]);
        for package in packages {
            check.args(["--package", package]);
        }
        check.current_dir(workspace_root());
        run(check.env("CARGO_TARGET_DIR", &folder))?;
    }
    Ok(())
}

fn metadata() -> Result<Metadata> {
    let json = output(&mut cargo("metadata --format-version 1 --all-features"))?;
    serde_json::from_str(&json).context("the output of cargo metadata has an unexpected form")
}

/// Returns the files of a package, one per line.
fn files(package: &str) -> Result<String> {
    output(cargo("package --list --allow-dirty --package").arg(package))
}

/// Returns the dependencies of a package with default features, on all platforms, one per line.
fn tree(package: &str) -> Result<String> {
    let mut tree = cargo("tree --prefix none --format {p} --edges normal,build --target all");
    output(tree.args(["--package", package]))
}

impl Metadata {
    /// Returns the packages of the workspace.
    fn members(&self) -> impl Iterator<Item = &Package> {
        let is_member = |package: &&Package| self.workspace_members.contains(&package.id);
        self.packages.iter().filter(is_member)
    }

    /// Returns the oldest Rust for a package and the lines of its `cargo tree`.
    fn needed_by(&self, package: &str, tree: &str) -> Result<RustVersion> {
        let own = NEEDS.iter().find(|(name, _)| *name == package);
        let mut needed = own.map_or(OLDEST, |(_, version)| *version);
        for line in tree.lines().skip(1) {
            let mut words = line.split_whitespace();
            let (Some(name), Some(version)) = (words.next(), words.next()) else {
                continue;
            };
            let dependency = self
                .packages
                .iter()
                .find(|package| package.name == name && format!("v{}", package.version) == version)
                .with_context(|| format!("cargo metadata has no package {name} {version}"))?;
            needed = needed.max(dependency.rust_version()?.unwrap_or(OLDEST));
        }
        Ok(needed)
    }
}

impl Package {
    fn rust_version(&self) -> Result<Option<RustVersion>> {
        let parse = |text: &String| {
            RustVersion::parse(text)
                .with_context(|| format!("{}: rust-version {text} is not a version", self.name))
        };
        self.rust_version.as_ref().map(parse).transpose()
    }

    /// Returns the problems of the package, which contains `files`, one per line.
    fn problems(&self, files: &str) -> Vec<String> {
        let missing = |name: &&&str| !files.lines().any(|file| file == **name);
        let mut problems: Vec<String> = FILES
            .iter()
            .filter(missing)
            .map(|name| format!("{}: the package does not contain {name}", self.name))
            .collect();
        let all_features = self.metadata.as_ref().is_some_and(|metadata| {
            metadata["docs"]["rs"]["all-features"] == serde_json::Value::Bool(true)
        });
        if !self.features.is_empty() && !all_features {
            problems.push(format!(
                "{}: the manifest has no `[package.metadata.docs.rs]` with `all-features = true`",
                self.name
            ));
        }
        problems
    }
}

impl RustVersion {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|number| number.parse().ok());
        Some(Self(numbers.next()??, numbers.next()??))
    }
}

impl std::fmt::Display for RustVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(json: &str) -> Package {
        serde_json::from_str(json).unwrap()
    }

    const WITH_FEATURES: &str = r#"{"id": "a", "name": "a", "version": "1.0.0", "rust_version": "1.87",
        "publish": null, "metadata": {"docs": {"rs": {"all-features": true}}}, "features": {"x": []}}"#;

    #[test]
    fn reports_missing_files_and_metadata() {
        let complete = package(WITH_FEATURES);
        let files = "Cargo.toml\nLICENSE-APACHE\nLICENSE-MIT\nREADME.md\nsrc/lib.rs\n";
        assert!(complete.problems(files).is_empty());
        let problems = complete.problems("README.md.orig\nLICENSE-MIT\ndocs/LICENSE-APACHE\n");
        assert_eq!(problems.len(), 2, "{problems:?}");

        let without = package(&WITH_FEATURES.replace("true", "false"));
        assert_eq!(without.problems(files).len(), 1);
        let no_features = package(
            &WITH_FEATURES
                .replace(r#"{"x": []}"#, "{}")
                .replace("true", "1"),
        );
        assert!(no_features.problems(files).is_empty());
    }

    #[test]
    fn oldest_rust_is_the_highest_of_the_dependencies() {
        let other = WITH_FEATURES
            .replace(r#""a""#, r#""b""#)
            .replace("1.87", "1.9.2");
        let metadata = Metadata {
            packages: vec![package(WITH_FEATURES), package(&other)],
            workspace_members: Vec::new(),
        };
        let needed = |name: &str, tree: &str| metadata.needed_by(name, tree).unwrap();
        assert_eq!(
            needed("own", "own v0.1.0\na v1.0.0\nb v1.0.0 (*)\n\n"),
            RustVersion(1, 87)
        );
        assert_eq!(needed("own", "own v0.1.0\nb v1.0.0\n"), OLDEST);
        assert_eq!(
            needed("tensor-pool", "tensor-pool v0.1.0\na v1.0.0\n"),
            RustVersion(1, 93)
        );
        let unknown = metadata.needed_by("own", "own v0.1.0\na v2.0.0\n");
        assert!(unknown.unwrap_err().to_string().contains("a v2.0.0"));
    }
}
