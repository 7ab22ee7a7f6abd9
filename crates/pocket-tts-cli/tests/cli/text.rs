//! Sources of the text, and texts that cannot be spoken.

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Place, finish};

#[test]
fn rejects_blank_text_from_every_source() {
    let place = Place::new();
    for text in ["", "   ", "\n\t \u{a0}\u{2003}\n"] {
        place.write("text.txt", text);
        let words = [
            "the text contains nothing to speak",
            "use at least one word",
        ];
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
fn rejects_text_of_emoji_only() {
    Place::new()
        .generate(&["🎉😀 👩‍👩‍👧"])
        .fails(&["the text contains nothing to speak"]);
}

#[test]
fn reads_the_same_text_from_argument_flag_file_and_standard_input() {
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
fn rejects_two_texts() {
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
fn names_text_files_that_cannot_be_read() {
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
fn rejects_text_that_is_not_utf8_with_the_position() {
    let place = Place::new();
    let bytes = b"Caf\xe9 au lait";
    place
        .run_with_stdin(&["generate"], bytes)
        .fails(&["the text from standard input is not UTF-8", "byte 4 "]);
    place.write("latin1.txt", bytes);
    place
        .generate(&["--file", "latin1.txt"])
        .fails(&["latin1.txt is not UTF-8", "byte 4 "]);
}

#[cfg(unix)]
#[test]
fn rejects_arguments_that_are_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let mut command = place.command(&["generate"]);
    command.arg(std::ffi::OsStr::from_bytes(b"Caf\xe9"));
    finish(command.spawn().unwrap()).usage_error(&["invalid UTF-8"]);
}

#[test]
fn rejects_oversized_text() {
    let place = Place::new();
    place.write("endless.txt", vec![b'a'; (16 << 20) + 1]);
    place
        .generate(&["--file", "endless.txt"])
        .fails(&["endless.txt is longer than 16 MiB"]);
}

#[test]
fn streams_a_text_of_a_megabyte_and_stops_when_the_pipe_closes() {
    let place = Place::new();
    place.write("long.txt", "One more sentence to say. ".repeat(40_000));
    let mut child = place
        .command(&["generate", "--file", "long.txt", "--seed", "1", "-o", "-"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    // The header, and one second of audio.
    let mut received = vec![0; 44 + 32_000];
    child
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut received)
        .unwrap();
    assert!(received[44..].iter().any(|&byte| byte != 0));
    // The pipe is closed here.
    let run = finish(child).succeeds();
    assert_eq!(run.stderr, "");
    assert!(start.elapsed() < Duration::from_secs(60));
}
