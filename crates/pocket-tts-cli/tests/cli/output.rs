//! Output files, standard output and messages.

use std::fs;
use std::process::Stdio;

use crate::support::{Place, end_silence, finish, wav};

#[test]
fn writes_an_audible_wav_file() {
    let place = Place::new();
    let run = place.generate(&["Hello world.", "--seed", "1"]).succeeds();
    let (rate, samples) = wav(&place.read("tts_output.wav"), false);
    let spoken = samples.len() - end_silence(rate);
    assert!(samples[spoken..].iter().all(|&sample| sample == 0));
    let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max();
    assert!(loudest > Some(3000), "{loudest:?}");
    // One line of figures.
    assert!(run.stdout.is_empty());
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    let seconds = format!("{:.2} s of speech", spoken as f64 / f64::from(rate));
    for words in [
        "tts_output.wav: ",
        &seconds,
        "x real time",
        "first audio",
        "seed",
    ] {
        assert!(run.stderr.contains(words), "{words:?}: {}", run.stderr);
    }
}

#[test]
fn same_seed_gives_the_same_audio_at_any_thread_count() {
    let place = Place::new();
    let say = |arguments: &[&str]| {
        place
            .generate(&[&["Hi there.", "-q"], arguments].concat())
            .succeeds();
        place.read("tts_output.wav")
    };
    let first = say(&["--seed", "7"]);
    assert!(say(&["--seed", "7"]) == first);
    assert!(say(&["--seed", "7", "--threads", "1"]) == first);
    assert!(say(&["--seed", "7", "--threads", "3"]) == first);
    assert!(say(&["--seed", "8"]) != first);
    assert!(say(&[]) != say(&[]));
}

#[test]
fn reported_seed_reproduces_the_audio() {
    let place = Place::new();
    let seed = place.generate(&["Hi.", "--json"]).succeeds().json()["seed"].to_string();
    let first = place.read("tts_output.wav");
    place.generate(&["Hi.", "--seed", &seed]).succeeds();
    assert!(place.read("tts_output.wav") == first);
}

#[test]
fn standard_output_has_the_same_samples_as_a_file() {
    let place = Place::new();
    let run = place
        .generate(&["Hi.", "--seed", "1", "--output-path", "-"])
        .succeeds();
    place
        .generate(&["Hi.", "--seed", "1", "-o", "file.wav"])
        .succeeds();
    assert_eq!(wav(&run.stdout, true), wav(&place.read("file.wav"), false));
    assert!(!place.path("tts_output.wav").exists() && !place.path("-").exists());
}

#[test]
fn quiet_prints_nothing() {
    let run = Place::new().generate(&["Hi.", "--quiet"]).succeeds();
    assert_eq!((run.stderr.as_str(), run.stdout.len()), ("", 0));
}

#[test]
fn json_has_the_figures_of_the_file() {
    let place = Place::new();
    let run = place
        .generate(&["Hi.", "--json", "--seed", "5", "-o", "hi.wav"])
        .succeeds();
    assert_eq!(run.stderr, "");
    let json = run.json();
    let (rate, samples) = wav(&place.read("hi.wav"), false);
    let spoken = samples.len() - end_silence(rate);
    assert_eq!(json["sample_rate_hz"], rate);
    assert_eq!(json["seed"], 5);
    assert_eq!(json["output"], "hi.wav");
    assert_eq!(json["audio_seconds"], spoken as f64 / f64::from(rate));
    assert_eq!(spoken as u64 % json["frames"].as_u64().unwrap(), 0);
    for figure in ["times_real_time", "first_audio_ms"] {
        assert!(json[figure].as_f64() > Some(0.0), "{figure}: {json}");
    }
    if cfg!(target_os = "linux") {
        assert!(json["peak_rss_bytes"].as_u64() > Some(1 << 20), "{json}");
    }
}

#[test]
fn rejects_json_and_wav_on_the_same_output() {
    Place::new()
        .generate(&["Hi.", "--json", "-o", "-"])
        .usage_error(&["--json", "--output-path -", "standard output"]);
}

#[test]
fn names_outputs_that_cannot_be_written() {
    let place = Place::new();
    place.write("file", "");
    fs::create_dir(place.path("folder")).unwrap();
    for (output, words) in [
        ("nowhere/a.wav", "the folder nowhere does not exist"),
        ("file/a.wav", ""),
        ("folder", "it is a folder"),
        ("..", "it is a folder"),
    ] {
        place
            .generate(&["Hi.", "-o", output])
            .fails(&[&format!("cannot write audio to {output}"), words]);
    }
    place
        .generate(&["Hi.", "-o", ""])
        .usage_error(&["a value is required for '--output-path <FILE>'"]);
}

#[test]
fn keeps_the_existing_file_if_there_is_no_text() {
    let place = Place::new();
    place.write("tts_output.wav", "precious");
    place.generate(&["  "]).fails(&["nothing to speak"]);
    assert_eq!(place.read("tts_output.wav"), b"precious");
    let left: Vec<_> = fs::read_dir(place.path("")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn reports_a_full_device_and_does_not_replace_it() {
    use std::os::unix::fs::FileTypeExt;
    let is_device = || {
        let kind = fs::metadata("/dev/full").unwrap().file_type();
        kind.is_char_device()
    };
    assert!(is_device());
    let place = Place::new();
    place
        .generate(&["Hi.", "-o", "/dev/full"])
        .fails(&["cannot write audio to /dev/full", "No space left"]);
    assert!(is_device());
    // Opened for writing only.
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = place.command(&["generate", "Hi.", "-o", "-"]);
    let child = command.stdout(full).spawn().unwrap();
    finish(child).fails(&["cannot write audio to the output stream", "No space left"]);
}

#[cfg(target_os = "linux")]
#[test]
fn fails_if_figures_cannot_be_printed() {
    let place = Place::new();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    for arguments in [&["generate", "Hi.", "--json"][..], &["voices"], &["info"]] {
        let child = place.command(arguments).stdout(full()).spawn().unwrap();
        finish(child).fails(&["cannot write to standard output", "No space left"]);
    }
    // If the message cannot be written either, the exit code reports the error.
    let child = place.command(&["generate", ""]).stderr(full()).spawn();
    assert_eq!(finish(child.unwrap()).code, 1);
}

#[cfg(unix)]
#[test]
fn keeps_the_audio_that_fits_on_a_full_disk() {
    let place = Place::new();
    // A file size limit of 64 blocks of 512 bytes simulates a full disk; the trap ignores its signal.
    let limit = "trap '' XFSZ; ulimit -f 64; exec \"$@\"";
    let text = "This is more than fits into thirty-two kibibytes of a file.";
    let child = place.shell(limit, &["generate", text]).spawn();
    let run = finish(child.unwrap()).fails(&[
        "cannot write audio to ./tts_output.wav",
        "File too large",
        "s are saved in ./tts_output.wav",
    ]);
    let (rate, samples) = wav(&place.read("tts_output.wav"), false);
    assert!(samples.iter().any(|&sample| sample != 0));
    let kept = format!("first {:.2} s", samples.len() as f64 / f64::from(rate));
    assert!(run.stderr.contains(&kept), "{kept}: {}", run.stderr);
}

#[test]
fn closed_pipe_ends_every_command_silently() {
    let place = Place::new();
    for arguments in [
        &["generate", "Hi.", "--seed", "1", "-o", "-"][..],
        &["generate", "Hi.", "--seed", "1", "--json"],
        &["voices"],
        &["voices", "--json"],
        &["info"],
        &["info", "--json"],
        &["--help"],
    ] {
        let mut child = place
            .command(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let run = finish(child);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{arguments:?}");
    }
}

/// Waits until the program writes audio into the temporary file next to its output.
#[cfg(unix)]
fn wait_for_speech(place: &Place) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let has_begun = || {
        fs::read_dir(place.path("")).unwrap().any(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            name.ends_with(".part") && entry.metadata().is_ok_and(|file| file.len() > 32_000)
        })
    };
    while !has_begun() {
        assert!(std::time::Instant::now() < deadline, "no audio was written");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[cfg(unix)]
#[test]
fn interrupt_keeps_the_generated_audio() {
    let place = Place::new();
    place.write("long.txt", "One more sentence to say. ".repeat(4_000));
    let child = place
        .command(&["generate", "--file", "long.txt"])
        .spawn()
        .unwrap();
    wait_for_speech(&place);
    let pid = child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(sent.unwrap().success());
    let run = finish(child);
    assert_eq!(run.code, 130);
    assert!(run.stderr.contains("s of speech"), "{}", run.stderr);
    let (_, samples) = wav(&place.read("tts_output.wav"), false);
    assert!(samples.len() > 16_000);
}

#[test]
fn clones_from_its_own_piped_wav() {
    // A piped WAV has a placeholder instead of its length.
    let place = Place::new();
    let run = place
        .generate(&["This is a recording.", "-o", "-"])
        .succeeds();
    place.write("piped.wav", run.stdout);
    place.generate(&["Hi.", "--voice", "piped.wav"]).succeeds();
}

#[cfg(unix)]
#[test]
fn writes_to_a_named_pipe_without_replacing_it() {
    use std::os::unix::fs::FileTypeExt;
    let place = Place::new();
    let pipe = place.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let reader = {
        let pipe = pipe.clone();
        std::thread::spawn(move || fs::read(pipe).unwrap())
    };
    place
        .generate(&["Hi.", "--seed", "1", "-o", "pipe"])
        .succeeds();
    wav(&reader.join().unwrap(), true);
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
}
