//! The places that errors of `#[derive(Trace)]` point at, as a user sees them: a package with mistakes is
//! checked by cargo.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// One mistake each; the column of the expected error is marked by `^` in the line below it.
const MISTAKES: &str = r#"
use leak_detect::Trace;

#[derive(Trace)]
struct Field {
    name: String,
    call: Box<dyn Fn() + Send + Sync>,
//        ^ `dyn Fn() + Send + Sync` cannot be traced
}

#[derive(Trace)]
enum Variant {
    Running(u8, std::process::Child),
//              ^ `Child` cannot be traced
}

#[derive(Trace)]
#[trace(unlink)]
//      ^ `Unlinkable: Unlink` is not satisfied
struct Unlinkable;

#[derive(Trace)]
struct Attribute {
    #[trace(ignore)]
//          ^ the only attribute of a field is `#[trace(skip)]`
    name: String,
}

#[derive(Trace)]
#[trace(skip)]
//      ^ the only attribute of a type is `#[trace(unlink)]`
struct Type;

#[derive(Trace)]
enum OnVariant {
    #[trace(skip)]
//          ^ `#[trace(…)]` is not allowed on a variant
    Idle,
}

#[derive(Trace)]
union Union { byte: u8 }
// <- unions are not supported
"#;

/// Returns the expected errors: line, column and part of the message.
fn expected() -> Vec<(usize, usize, &'static str)> {
    let mut expected = Vec::new();
    for (line, text) in MISTAKES.lines().enumerate() {
        if let Some((mark, message)) = text.split_once("^ ").filter(|_| text.starts_with("//")) {
            expected.push((line, mark.len() + 1, message));
        } else if let Some(message) = text.strip_prefix("// <- ") {
            expected.push((line, 1, message));
        }
    }
    expected
}

#[test]
fn errors_point_at_the_field_or_the_attribute() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("derive_errors");
    let crate_path = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(root.join("src")).unwrap();
    fs::write(root.join("src/lib.rs"), MISTAKES).unwrap();
    let manifest = format!(
        "[package]\nname = \"mistakes\"\nedition = \"2024\"\n[workspace]\n\
         [dependencies]\nleak-detect = {{ path = {crate_path:?} }}\n"
    );
    fs::write(root.join("Cargo.toml"), manifest).unwrap();
    // The same versions as the workspace has, so that nothing is downloaded.
    fs::copy(crate_path.join("../../Cargo.lock"), root.join("Cargo.lock")).unwrap();

    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--message-format=short"])
        .current_dir(&root)
        .env("CARGO_TARGET_DIR", root.join("target"))
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let expected = expected();
    assert_eq!(expected.len(), 7);
    for (line, column, message) in expected {
        let place = format!("src/lib.rs:{line}:{column}: error");
        assert!(
            stderr
                .lines()
                .any(|text| text.starts_with(&place) && text.contains(message)),
            "no {place:?} with {message:?} in:\n{stderr}"
        );
    }
    assert_eq!(stderr.matches(": error").count(), 7, "{stderr}");
}
