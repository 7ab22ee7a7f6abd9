//! The order of the modules inside `tts-core`: no module refers to one above it.

mod source;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::workspace_root;
use source::{declared_modules, exported_names, references, without_tests};

/// The sources of the checked crate.
const SOURCES: &str = "crates/tts-core/src";

/// The top-level modules, lowest first. A module may refer to itself and to the modules before it.
const ORDER: &[&str] = &[
    // Ground.
    "traced",
    "cancel",
    "threads",
    "ledger",
    "device",
    "noise",
    "output_file",
    // Operations and state.
    "state",
    "ops",
    "kv",
    // Inputs.
    "text",
    "config",
    "audio",
    "weights",
    // Components of the model.
    "transformer",
    "voice",
    // Collects the errors of the modules above.
    "error",
    "options",
    "flow_lm",
    "mimi",
    "components",
    // Speech.
    "engine",
    "scheduler",
    "stream",
    "model",
];

/// Checks every reference from one top-level module to another. Tests are exempt.
///
/// # Errors
///
/// Lists each reference to a higher module, and each difference between the crate's modules and the
/// table.
pub(super) fn check() -> Result<()> {
    let folder = workspace_root().join(SOURCES);
    let root = without_tests(&read(&folder.join("lib.rs"))?);
    let modules = declared_modules(&root);
    let mut problems = table_differences(&modules, ORDER);
    let exports = exported_names(&root);
    let mut files = 0;
    for module in &modules {
        for file in module_files(&folder, module)? {
            files += 1;
            let path = Path::new(SOURCES).join(&file.path);
            let path = path.display();
            let upward = upward_references(ORDER, module, &file, &exports);
            problems.extend(upward.iter().map(|problem| format!("{path}:{problem}")));
        }
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    println!("{} modules in {files} files", modules.len());
    Ok(())
}

/// A source file of a top-level module.
struct File {
    /// Relative to the sources of the crate.
    path: PathBuf,
    /// The code, without comments, literals and tests.
    code: String,
    /// How many times `super` leads from here to the crate's root.
    depth: usize,
}

/// Returns the file of a top-level module and those of the modules inside it.
fn module_files(folder: &Path, module: &str) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut pending = vec![PathBuf::from(module)];
    while let Some(module) = pending.pop() {
        let path = module.with_extension("rs");
        let code = without_tests(&read(&folder.join(&path))?);
        let children = declared_modules(&code);
        pending.extend(children.iter().map(|child| module.join(child)));
        let depth = module.components().count();
        files.push(File { path, code, depth });
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Returns a message for each module that is missing in the table or in the crate.
fn table_differences(modules: &[String], order: &[&str]) -> Vec<String> {
    let unlisted = modules
        .iter()
        .filter(|module| !order.contains(&module.as_str()))
        .map(|module| {
            format!("{SOURCES}/lib.rs: the table of the check lacks the module {module}")
        });
    let removed = order
        .iter()
        .filter(|module| !modules.iter().any(|declared| declared == *module))
        .map(|module| format!("{SOURCES}/lib.rs: the module {module} of the table does not exist"));
    unlisted.chain(removed).collect()
}

/// Returns a message, starting with the line, for each reference to a module above `module`.
fn upward_references(
    order: &[&str],
    module: &str,
    file: &File,
    exports: &BTreeMap<String, String>,
) -> Vec<String> {
    let position = |name: &str| order.iter().position(|listed| *listed == name);
    let Some(own) = position(module) else {
        return Vec::new();
    };
    references(&file.code, file.depth)
        .into_iter()
        .filter_map(|(line, name)| {
            let target = exports.get(&name).unwrap_or(&name);
            match position(target) {
                Some(other) if other <= own => None,
                Some(_) => Some(format!(
                    "{line}: {module} must not refer to {target}, which is above it"
                )),
                None => Some(format!(
                    "{line}: crate::{name} is neither a listed module nor exported by one"
                )),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[&str] = &["error", "text", "model"];

    fn check_file(module: &str, depth: usize, code: &str) -> Vec<String> {
        let file = File {
            path: PathBuf::new(),
            code: without_tests(code),
            depth,
        };
        let exports =
            exported_names("pub use model::{Model, ModelSize as Size};\npub use error::Error;");
        upward_references(TABLE, module, &file, &exports)
    }

    #[test]
    fn accepts_references_to_lower_modules_and_to_the_module_itself() {
        let code =
            "use crate::error::Error;\nuse crate::{text::Token, error};\nuse crate::Error;\n";
        assert_eq!(check_file("text", 1, code), Vec::<String>::new());
    }

    #[test]
    fn reports_upward_references_with_line_and_both_modules() {
        let code = "use crate::error::Error;\n\nfn f() -> crate::model::Model {\n    loop {}\n}\n";
        assert_eq!(
            check_file("text", 1, code),
            ["3: text must not refer to model, which is above it"]
        );
    }

    #[test]
    fn finds_upward_references_in_grouped_and_nested_imports() {
        let code = "use crate::{\n    error::{Error, Result},\n    model::{self, Model},\n};\n";
        assert_eq!(
            check_file("text", 1, code),
            ["3: text must not refer to model, which is above it"]
        );
    }

    #[test]
    fn resolves_names_that_the_root_exports() {
        assert_eq!(
            check_file("text", 1, "use crate::{Error, Size};"),
            ["1: text must not refer to model, which is above it"]
        );
    }

    #[test]
    fn resolves_super_by_the_depth_of_the_file() {
        let code = "use super::super::model::Model;\nuse super::sibling;\n";
        assert_eq!(
            check_file("text", 2, code),
            ["1: text must not refer to model, which is above it"]
        );
        assert_eq!(
            check_file("text", 1, "use super::model;\n"),
            ["1: text must not refer to model, which is above it"]
        );
    }

    #[test]
    fn reports_names_that_no_listed_module_has() {
        assert_eq!(
            check_file("text", 1, "use crate::other::Thing;"),
            ["1: crate::other is neither a listed module nor exported by one"]
        );
    }

    #[test]
    fn exempts_tests_comments_and_literals() {
        let code = "//! See [`crate::model`].\n\
                    /* crate::model */ const A: &str = \"crate::model\";\n\
                    #[cfg(test)]\nuse crate::model::Model;\n\
                    fn f() {}\n\
                    #[cfg(test)]\nmod tests {\n    use crate::model::Model;\n}\n";
        assert_eq!(check_file("text", 1, code), Vec::<String>::new());
    }

    #[test]
    fn reports_differences_between_table_and_crate() {
        let modules = ["error", "text", "voice"].map(str::to_owned);
        let found = table_differences(&modules, TABLE);
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("lacks the module voice"), "{found:?}");
        assert!(found[1].contains("module model of the table"), "{found:?}");
    }
}
