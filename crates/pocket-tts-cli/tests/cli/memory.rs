//! Memory limits and plans.

use crate::support::{Place, Run, wav};

const LIMIT: &str = "POCKET_TTS_MEMORY_LIMIT_MB";
const PROFILING: &str = "POCKET_TTS_ENABLE_MEMORY_PROFILING";
const POOL_SIZE: &str = "POCKET_TTS_MEMORY_POOL_SIZE";

/// Three segments with `--max-tokens 12`.
const THREE_SEGMENTS: &str = "One two three. Four five six. Seven eight nine.";

/// Flags for one segment of a long text with little audio. It needs more memory than loading the model.
const LONG_SEGMENT: [&str; 3] = [
    "--max-tokens=200",
    "--eos-threshold=-inf",
    "--frames-after-eos=0",
];

/// The text of one such segment.
fn long_text() -> String {
    "one two three four five, ".repeat(8)
}

/// The sufficient limit in MB that an error message names.
fn sufficient_limit(error: &Run) -> String {
    let words = "a limit of ";
    let start = error.stderr.find(words).expect(words) + words.len();
    let rest = &error.stderr[start..];
    rest.split(' ').next().unwrap().to_owned()
}

/// Returns a limit in MB with which a command succeeds, by following its error messages from a limit of
/// 1 MB. Loading and generating are checked one after the other, so there are at most two messages.
fn find_sufficient_limit(run: impl Fn(&str) -> Run) -> String {
    let for_loading = sufficient_limit(&run("1").fails(&["the limit is 1.0 MiB", "too little"]));
    let second = run(&for_loading);
    match second.code {
        0 => for_loading,
        _ => sufficient_limit(&second.fails(&["too little"])),
    }
}

#[test]
fn every_command_names_an_invalid_variable_before_loading() {
    let place = Place::new();
    let nowhere = ["--config", "nowhere.yaml"];
    for (variable, value, allowed) in [
        (LIMIT, "0", "from 1"),
        (LIMIT, "500MB", "from 1"),
        (PROFILING, "yes", "1 or 0"),
        (POOL_SIZE, "-1", "from 0"),
    ] {
        for command in [
            &["generate", "Hi."][..],
            &["memory", "Hi."],
            &["export-voice", "a.wav", "b.safetensors"],
            &["info"],
        ] {
            let arguments = [command, &nowhere].concat();
            let words = [variable, &format!("{value:?}"), allowed];
            place
                .run_with(&[(variable, value)], &arguments)
                .fails(&words);
        }
        place
            .run_with(&[(variable, value)], &["voices"])
            .fails(&[variable]);
    }
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn does_not_read_a_variable_that_a_flag_overrides() {
    let place = Place::new();
    let flags = [
        (LIMIT, &["--memory-limit", "2000"][..]),
        (PROFILING, &["--profile-memory"]),
        (POOL_SIZE, &["--pool-size", "5"]),
    ];
    for (variable, flag) in flags {
        let arguments = [&["info", "-q"], flag].concat();
        place.run_with(&[(variable, "bad")], &arguments).succeeds();
        // The other variables are still read.
        for (other, _) in flags.iter().filter(|(other, _)| *other != variable) {
            place
                .run_with(&[(other, "bad")], &arguments)
                .fails(&[other]);
        }
    }
}

#[test]
fn rejects_a_low_limit_and_names_the_lowest_limit_that_is_enough() {
    let place = Place::new();
    place
        .generate(&["Hi.", "--memory-limit", "1"])
        .fails(&["the limit is 1.0 MiB", "too little"]);
    assert_eq!(place.files(), [""; 0]);
    let enough = find_sufficient_limit(|limit| place.generate(&["Hi.", "--memory-limit", limit]));
    place
        .generate(&["Hi.", "--memory-limit", &enough])
        .succeeds();
    let (_, samples) = wav(&place.read("tts_output.wav"), false);
    assert!(samples.iter().any(|&sample| sample != 0));
    let too_little = (enough.parse::<u64>().unwrap() - 2).to_string();
    place
        .generate(&["Hi.", "--memory-limit", &too_little])
        .fails(&["too little"]);
}

#[test]
fn limit_from_the_environment_works_like_the_flag() {
    let place = Place::new();
    let say = ["generate", "Hi.", "-q"];
    let enough = find_sufficient_limit(|limit| place.run_with(&[(LIMIT, limit)], &say));
    place.run_with(&[(LIMIT, &enough)], &say).succeeds();
    // The flag overrides the variable.
    let raised = [&say[..], &["--memory-limit", &enough]].concat();
    place.run_with(&[(LIMIT, "1")], &raised).succeeds();
    let lowered = [&say[..], &["--memory-limit", "1"]].concat();
    place.run_with(&[(LIMIT, &enough)], &lowered).fails(&[]);
}

#[test]
fn keeps_the_existing_file_if_the_limit_is_too_low() {
    let place = Place::new();
    place.write("tts_output.wav", "precious");
    place
        .generate(&["Hi.", "--memory-limit", "1"])
        .fails(&["too little"]);
    assert_eq!(place.read("tts_output.wav"), b"precious");
    assert_eq!(place.files(), ["tts_output.wav"]);
}

#[test]
fn batch_size_does_not_change_the_audio() {
    let place = Place::new();
    let say = |size: &str| {
        let options = ["--max-tokens", "12", "--seed", "3", "--batch-size", size];
        place
            .generate(&[&[THREE_SEGMENTS], &options[..]].concat())
            .succeeds();
        place.read("tts_output.wav")
    };
    let one = say("1");
    assert!(say("2") == one);
    assert!(say("8") == one);
}

#[test]
fn plan_prints_its_categories() {
    let place = Place::new();
    let run = place.run(&["memory", "Hi."]).succeeds();
    let plan = String::from_utf8(run.stdout).unwrap();
    for words in ["weights", "KV cache", "peak", "1 segment", "batch size 1"] {
        assert!(plan.contains(words), "{words:?}: {plan}");
    }
    assert_eq!(run.stderr, "");
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn prints_a_plan_that_does_not_fit_and_fails_with_a_sufficient_limit() {
    let place = Place::new();
    let text = long_text();
    let plan = |limit: &str, more: &[&str]| {
        let arguments = ["memory", &text, "--memory-limit", limit];
        place.run(&[&arguments, &LONG_SEGMENT[..], more].concat())
    };
    // Just enough to load the model.
    let enough_to_load = sufficient_limit(&place.run(&["info", "--memory-limit", "1"]));
    for more in [&[][..], &["--run"]] {
        let run = plan(&enough_to_load, more);
        assert_eq!(run.code, 1, "{}", run.stderr);
        assert!(run.stderr.contains("too little"), "{}", run.stderr);
        let shown = String::from_utf8_lossy(&run.stdout);
        for words in ["KV cache", &format!("{enough_to_load}.0 MiB")] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        assert!(!shown.contains("measured"), "{shown}");
    }
    let error = plan(&enough_to_load, &["--json", "--run"]);
    assert_eq!(error.code, 1, "{}", error.stderr);
    let json = error.json();
    assert_eq!(json["fits"], false);
    assert!(json["shortfall_bytes"].as_u64() > Some(1 << 20), "{json}");
    assert!(json["measured"].is_null());

    let enough = sufficient_limit(&error);
    let json = plan(&enough, &["--json"]).succeeds().json();
    assert_eq!(
        (&json["fits"], &json["shortfall_bytes"]),
        (&true.into(), &0.into())
    );
    let say = ["generate", &text, "--memory-limit", &enough];
    place.run(&[&say, &LONG_SEGMENT[..]].concat()).succeeds();
    let too_little = enough.parse::<u64>().unwrap() - 2;
    assert_eq!(plan(&too_little.to_string(), &[]).code, 1);
}

#[test]
fn leaves_no_file_if_the_limit_is_too_low_after_loading() {
    let place = Place::new();
    let enough_to_load = sufficient_limit(&place.run(&["info", "--memory-limit", "1"]));
    let text = long_text();
    let say = ["generate", &text, "--memory-limit", &enough_to_load];
    place
        .run(&[&say, &LONG_SEGMENT[..]].concat())
        .fails(&["the speech needs", "too little"]);
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn longer_segments_and_larger_batches_need_more_memory() {
    let place = Place::new();
    let predicted = |arguments: &[&str]| {
        let run = place.run(&[&["memory", "--json"], arguments].concat());
        run.succeeds().json()["plan"]["peak_bytes"]
            .as_u64()
            .unwrap()
    };
    let word = predicted(&["Hi."]);
    let one = predicted(&[THREE_SEGMENTS, "--max-tokens", "12"]);
    let three = predicted(&[THREE_SEGMENTS, "--max-tokens", "12", "--batch-size", "3"]);
    assert!(word < one && one < three, "{word} {one} {three}");
}

#[test]
fn measured_peak_does_not_exceed_the_prediction() {
    let place = Place::new();
    for arguments in [
        &["Hi."][..],
        &[THREE_SEGMENTS, "--max-tokens", "12"],
        &[THREE_SEGMENTS, "--max-tokens", "12", "--batch-size", "3"],
        &["Hi.", "--threads", "1"],
    ] {
        let run = place.run(&[&["memory", "--run", "--json"], arguments].concat());
        let json = run.succeeds().json();
        let predicted = json["plan"]["peak_bytes"].as_u64().unwrap();
        let measured = json["measured"]["counted_peak_bytes"].as_u64().unwrap();
        assert!(measured > 1 << 20, "{json}");
        assert!(measured <= predicted, "{json}");
        assert!(json["measured"]["audio_seconds"].as_f64() > Some(0.1));
        if cfg!(target_os = "linux") {
            assert!(json["measured"]["peak_rss_bytes"].as_u64() > Some(1 << 20));
        }
    }
    // No audio is written.
    assert_eq!(place.files(), [""; 0]);
    let run = place.run(&["memory", "Hi.", "--run"]).succeeds();
    let table = String::from_utf8(run.stdout).unwrap();
    for words in ["predicted", "measured", "peak RSS"] {
        assert!(table.contains(words), "{words:?}: {table}");
    }
}

#[test]
fn plan_rejects_empty_text_and_invalid_settings() {
    let place = Place::new();
    place
        .run(&["memory", "🎉"])
        .fails(&["the text contains nothing to speak"]);
    place
        .run(&["memory", "Hi.", "--max-tokens", "0"])
        .usage_error(&["max-tokens is 0"]);
    let run = place.run_with_stdin(&["memory", "--json"], b"Hi there.");
    assert_eq!(run.succeeds().json()["fits"], true);
}
