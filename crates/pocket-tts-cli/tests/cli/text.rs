//! Where the words come from, and words that cannot be said.

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Place, finish};

#[test]
fn text_without_words_is_refused_from_everywhere() {
    let place = Place::new();
    for text in ["", "   ", "\n\t \u{a0}\u{2003}\n"] {
        place.write("text.txt", text);
        let words = ["there is nothing to say", "give at least one word"];
        place.generate(&[text]).fails(&words);
        place.generate(&["--text", text]).fails(&words);
        place.generate(&["--file", "text.txt"]).fails(&words);
        place
            .run_with_stdin(&["generate"], text.as_bytes())
            .fails(&words);
    }
    assert!(!place.path("tts_output.wav").exists());
}

#[test]
fn a_text_of_emoji_is_refused() {
    Place::new()
        .generate(&["🎉😀 👩‍👩‍👧"])
        .fails(&["there is nothing to say"]);
}

#[test]
fn the_text_is_the_same_from_an_argument_an_option_a_file_and_the_standard_input() {
    let place = Place::new();
    let text = "Hi there.";
    place.write("text.txt", text);
    let ways: [&[&str]; 6] = [
        &[text],
        &["--text", text],
        &["--file", "text.txt"],
        &["--file", "-"],
        &["-"],
        &[],
    ];
    for (number, way) in ways.iter().enumerate() {
        let output = format!("{number}.wav");
        let arguments = [&["generate", "--seed", "1", "-o", &output], *way].concat();
        place.run_with_stdin(&arguments, text.as_bytes()).succeeds();
        assert!(place.read(&output) == place.read("0.wav"), "{way:?}");
    }
}

#[test]
fn two_texts_are_refused() {
    let place = Place::new();
    let conflict = "cannot be used with";
    place
        .generate(&["one", "--text", "two"])
        .usage_error(&["[TEXT]", "--text <TEXT>", conflict]);
    place
        .generate(&["one", "--file", "two"])
        .usage_error(&["--file <FILE>", conflict]);
    place
        .generate(&["--text", "one", "--file", "two"])
        .usage_error(&["--text <TEXT>", "--file <FILE>", conflict]);
}

#[test]
fn a_text_file_that_cannot_be_read_is_named() {
    let place = Place::new();
    place
        .generate(&["--file", "nowhere.txt"])
        .fails(&["cannot read the text file nowhere.txt", "No such file"]);
    fs::create_dir(place.path("folder")).unwrap();
    place
        .generate(&["--file", "folder"])
        .fails(&["cannot read the text", "folder"]);
}

#[test]
fn text_that_is_not_utf8_is_refused_with_the_place() {
    let place = Place::new();
    let bytes = b"Caf\xe9 au lait";
    place
        .run_with_stdin(&["generate"], bytes)
        .fails(&["the standard input is not UTF-8", "byte 4 "]);
    place.write("latin1.txt", bytes);
    place
        .generate(&["--file", "latin1.txt"])
        .fails(&["latin1.txt is not UTF-8", "byte 4 "]);
}

#[cfg(unix)]
#[test]
fn an_argument_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let mut command = place.command(&["generate"]);
    command.arg(std::ffi::OsStr::from_bytes(b"Caf\xe9"));
    finish(command.spawn().unwrap()).usage_error(&["invalid UTF-8"]);
}

#[test]
fn a_text_without_end_is_refused() {
    let place = Place::new();
    place.write("endless.txt", vec![b'a'; (16 << 20) + 1]);
    place
        .generate(&["--file", "endless.txt"])
        .fails(&["endless.txt is longer than 16 MiB"]);
}

#[test]
fn a_text_of_a_megabyte_is_heard_at_once_and_left_at_any_time() {
    let place = Place::new();
    place.write("long.txt", "One more sentence to say. ".repeat(40_000));
    let mut child = place
        .command(&["generate", "--file", "long.txt", "--seed", "1", "-o", "-"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    // The header, and a second of speech.
    let mut heard = vec![0; 44 + 32_000];
    child.stdout.take().unwrap().read_exact(&mut heard).unwrap();
    assert!(heard[44..].iter().any(|&byte| byte != 0));
    // The pipe is closed now.
    let run = finish(child).succeeds();
    assert_eq!(run.stderr, "");
    assert!(start.elapsed() < Duration::from_secs(60));
}
