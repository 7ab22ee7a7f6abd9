//! Memory profiles.

use std::fs;

use crate::support::{Place, Run};

const PROFILING: (&str, &str) = ("POCKET_TTS_ENABLE_MEMORY_PROFILING", "1");

/// Returns the content of the only file with this extension in a folder.
fn find(place: &Place, folder: &str, extension: &str) -> String {
    let entries = fs::read_dir(place.path(folder)).unwrap();
    let found: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    let [path] = &found[..] else {
        panic!("expected one .{extension} file: {found:?}");
    };
    fs::read_to_string(path).unwrap()
}

/// Returns the JSON report of a profile.
fn report(place: &Place, folder: &str) -> serde_json::Value {
    serde_json::from_str(&find(place, folder, "json")).unwrap()
}

/// Checks every file of a profile, and returns the names of its phases.
#[track_caller]
fn check(place: &Place, folder: &str) -> Vec<String> {
    let recording = find(place, folder, "dat");
    let mut lines = recording.lines();
    assert!(lines.next().unwrap().starts_with("CMDLINE "), "{recording}");
    for line in lines {
        let fields: Vec<_> = line.split(' ').collect();
        let numbers = match fields[0] {
            "MEM" => &fields[1..3],
            "FUNC" => &fields[2..7],
            _ => panic!("{line}"),
        };
        for number in numbers {
            number.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
        }
    }
    assert!(recording.contains("\nMEM "), "{recording}");
    let svg = find(place, folder, "svg");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    let html = find(place, folder, "html");
    assert!(html.contains("<svg") && html.trim_end().ends_with("</html>"));
    let report = report(place, folder);
    let phases = report["summary"]["phases"].as_array().unwrap();
    phases
        .iter()
        .map(|phase| phase["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Checks that the summary was printed.
#[track_caller]
fn has_summary(run: &Run) {
    for words in ["weights", "pool", "RSS"] {
        assert!(run.stderr.contains(words), "{words:?}: {}", run.stderr);
    }
}

#[test]
fn profile_has_phases_and_a_summary() {
    let place = Place::new();
    let run = place
        .generate(&["Hello world.", "--profile-memory"])
        .succeeds();
    has_summary(&run);
    assert!(run.stdout.is_empty());
    let phases = check(&place, "");
    for phase in ["load", "prompt", "generate", "decode"] {
        assert!(phases.contains(&phase.to_owned()), "{phase}: {phases:?}");
    }
    assert!(place.path("tts_output.wav").is_file());
    // The categories include the weights, so the model was still loaded.
    let parts = &report(&place, "")["summary"]["categories"]["rows"];
    let weights = parts.as_array().unwrap().iter();
    let weights = weights.filter(|row| row["name"] == "weights");
    let bytes = weights
        .map(|part| part["bytes"].as_i64().unwrap())
        .sum::<i64>();
    assert!(bytes > 1 << 20, "{parts}");
}

#[test]
fn pool_size_is_set_by_flag_and_variable() {
    let pool = |variables: &[(&str, &str)], flags: &[&str]| {
        let place = Place::new();
        let say = [
            "generate",
            "One. Two.",
            "--max-tokens=5",
            "--profile-memory",
        ];
        let run = place.run_with(variables, &[&say, flags].concat());
        run.succeeds();
        report(&place, "")["summary"]["pool"].clone()
    };
    let variable = ("POCKET_TTS_MEMORY_POOL_SIZE", "0");
    let usual = pool(&[], &[]);
    assert!(usual["hits"].as_u64() > Some(0), "{usual}");
    assert!(usual["pooled_tensors"].as_u64() > Some(0), "{usual}");
    for none in [pool(&[], &["--pool-size", "0"]), pool(&[variable], &[])] {
        assert_eq!(
            (&none["hits"], &none["pooled_tensors"]),
            (&0.into(), &0.into())
        );
    }
    let one = pool(&[variable], &["--pool-size", "1"]);
    assert!(one["pooled_tensors"].as_u64() > Some(0), "{one}");
    assert!(one["pooled_tensors"].as_u64() < usual["pooled_tensors"].as_u64());
}

#[test]
fn profile_has_a_phase_for_voice_cloning() {
    let place = Place::with_model();
    place
        .generate_with_model(&["--voice", "model/voice.wav", "--profile-memory"])
        .succeeds();
    assert!(check(&place, "").contains(&"encode_voice".to_owned()));
}

#[test]
fn variable_enables_profiling_for_every_command() {
    for arguments in [
        &["generate", "Hi."][..],
        &["memory", "Hi."],
        &["info"],
        &["export-voice", "slt", "voice.safetensors"],
        &["voices"],
    ] {
        let place = Place::new();
        let run = place.run_with(&[PROFILING], arguments).succeeds();
        has_summary(&run);
        check(&place, "");
    }
}

#[test]
fn profiling_is_disabled_by_default() {
    let place = Place::new();
    let off = ("POCKET_TTS_ENABLE_MEMORY_PROFILING", "0");
    let run = place.run_with(&[off], &["generate", "Hi."]).succeeds();
    assert_eq!(place.files(), ["tts_output.wav"]);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
}

#[test]
fn failed_commands_write_a_profile() {
    let place = Place::new();
    let run = place.generate(&["Hi.", "--profile-memory", "--voice", "nobody"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let message = "error: no voice is named \"nobody\"";
    assert!(run.stderr.contains(message), "{}", run.stderr);
    has_summary(&run);
    // The voice is checked before the model is loaded.
    assert!(!check(&place, "").contains(&"load".to_owned()));

    let place = Place::new();
    let run = place.generate(&["Hi.", "--profile-memory", "-o", "missing/speech.wav"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(check(&place, "").contains(&"load".to_owned()));

    let place = Place::new();
    let arguments = ["Hi.", "--profile-memory", "-q", "--memory-limit", "1"];
    place.generate(&arguments).fails(&["too little"]);
    check(&place, "");
}

#[test]
fn quiet_writes_the_profile_and_prints_nothing() {
    let place = Place::new();
    let run = place
        .generate(&["Hi.", "--profile-memory", "--quiet"])
        .succeeds();
    assert_eq!((run.stderr.as_str(), run.stdout.len()), ("", 0));
    check(&place, "");
}

#[test]
fn profile_dir_sets_the_folder() {
    let place = Place::new();
    fs::create_dir(place.path("profiles")).unwrap();
    place
        .generate(&["Hi.", "--profile-memory", "--profile-dir", "profiles"])
        .succeeds();
    check(&place, "profiles");
    assert_eq!(place.files(), ["profiles", "tts_output.wav"]);
    // The flag also works when the variable enables profiling.
    let place = Place::new();
    fs::create_dir(place.path("profiles")).unwrap();
    place
        .run_with(&[PROFILING], &["info", "--profile-dir", "profiles"])
        .succeeds();
    check(&place, "profiles");
}

#[test]
fn rejects_an_unwritable_profile_dir_before_loading() {
    let place = Place::new();
    place.write("file", "");
    for folder in ["nowhere", "file"] {
        place
            .generate(&[
                "Hi.",
                "--profile-memory",
                "--profile-dir",
                folder,
                "--config",
                "nowhere.yaml",
            ])
            .fails(&[folder]);
    }
    assert_eq!(place.files(), ["file"]);
}

#[test]
fn two_runs_write_two_recordings() {
    let place = Place::new();
    for _ in 0..2 {
        place.run(&["info", "--profile-memory"]).succeeds();
    }
    let recordings = place.files();
    let recordings = recordings.iter().filter(|name| name.ends_with(".dat"));
    assert_eq!(recordings.count(), 2);
}

#[test]
fn standard_output_has_only_the_figures() {
    let place = Place::new();
    let run = place
        .generate(&["Hi.", "--profile-memory", "--json"])
        .succeeds();
    assert!(run.json()["audio_seconds"].as_f64() > Some(0.1));
    let run = place
        .run(&["memory", "Hi.", "--profile-memory", "--json"])
        .succeeds();
    assert_eq!(run.json()["fits"], true);
}
