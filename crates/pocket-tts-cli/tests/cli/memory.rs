//! Limits, and plans that keep them.

use crate::support::{Place, Run, wav};

const LIMIT: &str = "POCKET_TTS_MEMORY_LIMIT_MB";
const PROFILING: &str = "POCKET_TTS_ENABLE_MEMORY_PROFILING";
const POOL_SIZE: &str = "POCKET_TTS_MEMORY_POOL_SIZE";

/// Three parts of `--max-tokens 12`.
const THREE_PARTS: &str = "One two three. Four five six. Seven eight nine.";

/// Options for one part that is long by its text and short by its speech: it takes more than to load
/// the model does.
const LONG_PART: [&str; 3] = [
    "--max-tokens=200",
    "--eos-threshold=-inf",
    "--frames-after-eos=0",
];

/// A text of one such part.
fn long_text() -> String {
    "one two three four five, ".repeat(8)
}

/// The limit in MB that a refusal says would do.
fn limit_that_would_do(refusal: &Run) -> String {
    let words = "a limit of ";
    let start = refusal.stderr.find(words).expect(words) + words.len();
    let rest = &refusal.stderr[start..];
    rest.split(' ').next().unwrap().to_owned()
}

#[test]
fn a_bad_variable_is_named_by_every_command_before_anything_is_loaded() {
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
fn a_variable_that_a_flag_replaces_is_not_read() {
    let place = Place::new();
    let flags = [
        (LIMIT, &["--memory-limit", "2000"][..]),
        (PROFILING, &["--profile-memory"]),
        (POOL_SIZE, &["--pool-size", "5"]),
    ];
    for (variable, flag) in flags {
        let arguments = [&["info", "-q"], flag].concat();
        place.run_with(&[(variable, "bad")], &arguments).succeeds();
        // It replaces no other.
        for (other, _) in flags.iter().filter(|(other, _)| *other != variable) {
            place
                .run_with(&[(other, "bad")], &arguments)
                .fails(&[other]);
        }
    }
}

#[test]
fn a_limit_that_is_too_small_is_refused_with_one_that_would_do() {
    let place = Place::new();
    let refusal = place
        .generate(&["Hi.", "--memory-limit", "1"])
        .fails(&["the limit is 1 MiB", "too little"]);
    assert_eq!(place.files(), [""; 0]);
    let enough = limit_that_would_do(&refusal);
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
fn a_limit_from_the_environment_is_kept_as_that_of_the_flag_is() {
    let place = Place::new();
    let say = ["generate", "Hi.", "-q"];
    let refusal = place
        .run_with(&[(LIMIT, "1")], &say)
        .fails(&["the limit is 1 MiB", "too little"]);
    let enough = limit_that_would_do(&refusal);
    place.run_with(&[(LIMIT, &enough)], &say).succeeds();
    // The flag is taken in the variable's place.
    let raised = [&say[..], &["--memory-limit", &enough]].concat();
    place.run_with(&[(LIMIT, "1")], &raised).succeeds();
    let lowered = [&say[..], &["--memory-limit", "1"]].concat();
    place.run_with(&[(LIMIT, &enough)], &lowered).fails(&[]);
}

#[test]
fn a_file_that_was_there_outlives_a_refusal() {
    let place = Place::new();
    place.write("tts_output.wav", "precious");
    place
        .generate(&["Hi.", "--memory-limit", "1"])
        .fails(&["too little"]);
    assert_eq!(place.read("tts_output.wav"), b"precious");
    assert_eq!(place.files(), ["tts_output.wav"]);
}

#[test]
fn the_batch_size_changes_no_sample() {
    let place = Place::new();
    let say = |size: &str| {
        let options = ["--max-tokens", "12", "--seed", "3", "--batch-size", size];
        place
            .generate(&[&[THREE_PARTS], &options[..]].concat())
            .succeeds();
        place.read("tts_output.wav")
    };
    let one = say("1");
    assert!(say("2") == one);
    assert!(say("8") == one);
}

#[test]
fn a_plan_tells_its_parts_and_whether_it_fits() {
    let place = Place::new();
    let run = place.run(&["memory", "Hi."]).succeeds();
    let plan = String::from_utf8(run.stdout).unwrap();
    for words in ["weights", "keys and values", "peak", "1 part", "1 at once"] {
        assert!(plan.contains(words), "{words:?}: {plan}");
    }
    assert_eq!(run.stderr, "");
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_plan_that_does_not_fit_is_shown_and_fails_with_what_would_do() {
    let place = Place::new();
    let text = long_text();
    let plan = |limit: &str, more: &[&str]| {
        let arguments = ["memory", &text, "--memory-limit", limit];
        place.run(&[&arguments, &LONG_PART[..], more].concat())
    };
    // Enough to load the model, and no more.
    let enough_to_load = limit_that_would_do(&place.run(&["info", "--memory-limit", "1"]));
    for more in [&[][..], &["--run"]] {
        let run = plan(&enough_to_load, more);
        assert_eq!(run.code, 1, "{}", run.stderr);
        assert!(run.stderr.contains("too little"), "{}", run.stderr);
        let shown = String::from_utf8_lossy(&run.stdout);
        for words in ["keys and values", &format!("{enough_to_load} MiB")] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        assert!(!shown.contains("measured"), "{shown}");
    }
    let refusal = plan(&enough_to_load, &["--json", "--run"]);
    assert_eq!(refusal.code, 1, "{}", refusal.stderr);
    let json = refusal.json();
    assert_eq!(json["fits"], false);
    assert!(json["shortfall_bytes"].as_u64() > Some(1 << 20), "{json}");
    assert!(json["measured"].is_null());

    let enough = limit_that_would_do(&refusal);
    let json = plan(&enough, &["--json"]).succeeds().json();
    assert_eq!(
        (&json["fits"], &json["shortfall_bytes"]),
        (&true.into(), &0.into())
    );
    let say = ["generate", &text, "--memory-limit", &enough];
    place.run(&[&say, &LONG_PART[..]].concat()).succeeds();
    let too_little = enough.parse::<u64>().unwrap() - 2;
    assert_eq!(plan(&too_little.to_string(), &[]).code, 1);
}

#[test]
fn what_is_refused_after_loading_leaves_no_file() {
    let place = Place::new();
    let enough_to_load = limit_that_would_do(&place.run(&["info", "--memory-limit", "1"]));
    let text = long_text();
    let say = ["generate", &text, "--memory-limit", &enough_to_load];
    place
        .run(&[&say, &LONG_PART[..]].concat())
        .fails(&["the speech would take", "too little"]);
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_longer_text_and_more_parts_at_once_take_more() {
    let place = Place::new();
    let predicted = |arguments: &[&str]| {
        let run = place.run(&[&["memory", "--json"], arguments].concat());
        run.succeeds().json()["plan"]["peak_bytes"]
            .as_u64()
            .unwrap()
    };
    let word = predicted(&["Hi."]);
    let one = predicted(&[THREE_PARTS, "--max-tokens", "12"]);
    let three = predicted(&[THREE_PARTS, "--max-tokens", "12", "--batch-size", "3"]);
    assert!(word < one && one < three, "{word} {one} {three}");
}

#[test]
fn what_is_measured_is_never_over_what_was_predicted() {
    let place = Place::new();
    for arguments in [
        &["Hi."][..],
        &[THREE_PARTS, "--max-tokens", "12"],
        &[THREE_PARTS, "--max-tokens", "12", "--batch-size", "3"],
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
fn a_plan_needs_words_and_settings_that_make_sense() {
    let place = Place::new();
    place
        .run(&["memory", "🎉"])
        .fails(&["there is nothing to say"]);
    place
        .run(&["memory", "Hi.", "--max-tokens", "0"])
        .usage_error(&["max-tokens is 0"]);
    let run = place.run_with_stdin(&["memory", "--json"], b"Hi there.");
    assert_eq!(run.succeeds().json()["fits"], true);
}
