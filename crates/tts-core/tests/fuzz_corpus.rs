//! Every input in `fuzz/corpus` goes through the fuzz target that it was made for or found by.

#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;

/// A target's name, and what it does.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 5] = [
    ("config", targets::config),
    ("safetensors_header", targets::safetensors_header),
    ("text_segments", targets::text_segments),
    ("voice_file", targets::voice_file),
    ("wav", targets::wav),
];

fn corpus() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus"))
}

/// Runs a target on all of its inputs, and lists those on which it fails.
fn run(name: &str) {
    let (_, target) = TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("the target is listed");
    let folder = corpus().join(name);
    let inputs: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("the folder is readable").path())
        .collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    let failed: Vec<&PathBuf> = inputs
        .iter()
        .filter(|input| {
            let bytes = fs::read(input).expect("the input is readable");
            catch_unwind(|| target(&bytes)).is_err()
        })
        .collect();
    assert!(failed.is_empty(), "{name} fails on {failed:#?}");
}

#[test]
fn configs() {
    run("config");
}

#[test]
fn safetensors_headers() {
    run("safetensors_header");
}

#[test]
fn texts() {
    run("text_segments");
}

#[test]
fn voices() {
    run("voice_file");
}

#[test]
fn audio_files() {
    run("wav");
}

#[test]
fn every_corpus_has_a_target() {
    let mut folders: Vec<String> = fs::read_dir(corpus())
        .expect("the corpus is there")
        .map(|entry| entry.expect("the folder is readable").file_name())
        .map(|name| name.into_string().expect("its name is UTF-8"))
        .collect();
    folders.sort();
    assert_eq!(folders, TARGETS.map(|(name, _)| name));
}
