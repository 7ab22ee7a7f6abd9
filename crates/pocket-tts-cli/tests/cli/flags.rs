//! Flags and their invalid values.

use crate::support::Place;

#[test]
fn rejects_invalid_values_with_flag_and_valid_range() {
    let place = Place::new();
    let cases = [
        (
            "--temperature",
            "warm",
            "'warm' for '--temperature <NUMBER>': invalid float",
        ),
        (
            "--temperature",
            "-0.1",
            "temperature is -0.1; it must be a number from 0 up",
        ),
        (
            "--temperature",
            "nan",
            "temperature is NaN; it must be a number from 0 up",
        ),
        (
            "--temperature",
            "inf",
            "temperature is inf; it must be a number from 0 up",
        ),
        (
            "--sampler-decode-steps",
            "0",
            "sampler-decode-steps is 0; it must be from 1 to 1024",
        ),
        (
            "--sampler-decode-steps",
            "-1",
            "'-1' for '--sampler-decode-steps <COUNT>': invalid digit",
        ),
        (
            "--sampler-decode-steps",
            "1025",
            "sampler-decode-steps is 1025",
        ),
        (
            "--noise-clamp",
            "0",
            "noise-clamp is 0; it must be a number above 0",
        ),
        (
            "--noise-clamp",
            "-1",
            "noise-clamp is -1; it must be a number above 0",
        ),
        (
            "--noise-clamp",
            "x",
            "'x' for '--noise-clamp <NUMBER>': invalid float",
        ),
        (
            "--eos-threshold",
            "nan",
            "eos-threshold is NaN; it must be a number",
        ),
        (
            "--eos-threshold",
            "low",
            "'low' for '--eos-threshold <NUMBER>': invalid float",
        ),
        (
            "--frames-after-eos",
            "1001",
            "frames-after-eos is 1001; it must be at most 1000",
        ),
        (
            "--frames-after-eos",
            "-3",
            "'-3' for '--frames-after-eos <COUNT>': invalid digit",
        ),
        (
            "--max-tokens",
            "0",
            "max-tokens is 0; it must be at least 1",
        ),
        (
            "--max-tokens",
            "many",
            "'many' for '--max-tokens <COUNT>': invalid digit",
        ),
        ("--seed", "-1", "'-1' for '--seed <NUMBER>': invalid digit"),
        (
            "--seed",
            "1.5",
            "'1.5' for '--seed <NUMBER>': invalid digit",
        ),
        ("--seed", "18446744073709551616", "number too large"),
        ("--threads", "0", "threads is 0; it must be from 1 to 1024"),
        (
            "--threads",
            "1025",
            "threads is 1025; it must be from 1 to 1024",
        ),
        (
            "--threads",
            "two",
            "'two' for '--threads <COUNT>': invalid digit",
        ),
        (
            "--memory-limit",
            "0",
            "'0' for '--memory-limit <MB>': number would be zero",
        ),
        (
            "--memory-limit",
            "-5",
            "'-5' for '--memory-limit <MB>': invalid digit",
        ),
        (
            "--memory-limit",
            "500MB",
            "'500MB' for '--memory-limit <MB>': invalid digit",
        ),
        (
            "--pool-size",
            "-1",
            "'-1' for '--pool-size <COUNT>': invalid digit",
        ),
        (
            "--pool-size",
            "all",
            "'all' for '--pool-size <COUNT>': invalid digit",
        ),
        (
            "--profile-dir",
            "folder",
            "--profile-dir has no effect without --profile-memory; add --profile-memory",
        ),
        (
            "--batch-size",
            "0",
            "batch-size is 0; it must be from 1 to 64",
        ),
        (
            "--batch-size",
            "65",
            "batch-size is 65; it must be from 1 to 64",
        ),
        (
            "--batch-size",
            "two",
            "'two' for '--batch-size <COUNT>': invalid digit",
        ),
        ("--device", "tpu", "'tpu' for '--device <DEVICE>'"),
        ("--device", "tpu", "[possible values: flex, ndarray, wgpu]"),
        ("--language", "klingon", "'klingon' for '--language <NAME>'"),
        ("--language", "klingon", "english, english_18m_2026-10"),
        ("--language", "frensh", "a similar value exists: 'french'"),
        ("--config", "", "\"\" is not a valid location: it is empty"),
        (
            "--config",
            "ftp://host/config.yaml",
            "its scheme is not supported",
        ),
        (
            "--config",
            "hf://owner",
            "hf://owner/repository/path[@revision]",
        ),
    ];
    for (flag, value, words) in cases {
        place.generate(&["Hi.", flag, value]).usage_error(&[words]);
    }
    assert!(!place.path("tts_output.wav").exists());
}

#[test]
fn rejects_unknown_flags_and_commands() {
    let place = Place::new();
    place
        .generate(&["Hi.", "--temprature", "1"])
        .usage_error(&["unexpected argument '--temprature'", "--temperature"]);
    place.run(&["speak"]).usage_error(&["'speak'"]);
}

#[test]
fn rejects_devices_that_are_not_built_in_and_names_the_feature() {
    for (device, is_built_in) in [
        ("flex", cfg!(feature = "flex")),
        ("ndarray", cfg!(feature = "ndarray")),
        ("wgpu", cfg!(feature = "wgpu")),
    ] {
        if !is_built_in {
            let remedy = format!("build with the feature `{device}`");
            Place::new()
                .generate(&["Hi.", "--device", device])
                .fails(&[&format!("device {device} cannot be used"), &remedy]);
        }
    }
}

#[test]
fn rejects_language_together_with_config() {
    Place::new()
        .generate(&["Hi.", "--language", "english", "--config", "config.yaml"])
        .usage_error(&[
            "--language <NAME>",
            "--config <FILE>",
            "cannot be used with",
        ]);
}

#[test]
fn explains_how_to_get_a_missing_released_model() {
    let place = Place::new();
    for arguments in [
        &["generate", "Hi.", "--language", "english"][..],
        &["generate", "Hi.", "--language", "english", "--offline"],
        &["info", "--language", "english"],
        &[
            "export-voice",
            "a.wav",
            "b.safetensors",
            "--language",
            "english",
        ],
    ] {
        place.run(arguments).fails(&[
            "hf://kyutai/pocket-tts-without-voice-cloning/languages/english/tokenizer.json",
            "is not on this machine and downloads are disabled",
            "hf download",
        ]);
    }
}

#[test]
fn offline_flag_works_without_environment_variables() {
    let place = Place::new();
    let mut command = place.command(&["generate", "Hi.", "--offline", "--language", "english"]);
    command.env_remove("HF_HUB_OFFLINE");
    // A download attempt would fail at this address.
    command.env("HF_ENDPOINT", "http://127.0.0.1:9");
    crate::support::finish(command.spawn().unwrap()).fails(&["downloads are disabled"]);
}

#[test]
fn sampling_flags_reach_the_model() {
    let place = Place::with_model();
    let say = |arguments: &[&str]| {
        let run = place.generate_with_model(&[&["--seed", "1", "--json"], arguments].concat());
        (
            run.succeeds().json()["frames"].clone(),
            place.read("tts_output.wav"),
        )
    };
    let plain = say(&[]);
    assert!(say(&["--temperature", "2"]).1 != plain.1);
    assert!(say(&["--noise-clamp", "0.01"]).1 != plain.1);
    assert!(say(&["--sampler-decode-steps", "3"]).1 != plain.1);
    // With these thresholds, the end is always detected in the seventh frame, or never.
    assert_eq!(
        say(&["--eos-threshold=-inf", "--frames-after-eos", "0"]).0,
        6
    );
    assert_eq!(
        say(&["--eos-threshold=-inf", "--frames-after-eos", "5"]).0,
        11
    );
    let longest = say(&["--eos-threshold", "inf"]);
    assert!(longest.0.as_u64() > Some(20), "{:?}", longest.0);
}

#[test]
fn max_tokens_splits_the_text() {
    let place = Place::with_model();
    let frames = |most: &str| {
        let run = place.run(&[
            "generate",
            "One two three. Four five six. Seven eight nine.",
            "--config",
            "model/config.yaml",
            "--voice",
            "model/voice.safetensors",
            "--eos-threshold=-inf",
            "--frames-after-eos",
            "0",
            "--max-tokens",
            most,
            "--json",
        ]);
        run.succeeds().json()["frames"].clone()
    };
    assert_eq!(frames("100"), 6);
    assert!(frames("12").as_u64() > Some(6));
}

#[test]
fn help_lists_every_flag() {
    let run = Place::new().generate(&["--help"]).succeeds();
    let help = String::from_utf8(run.stdout).unwrap();
    for option in [
        "--text",
        "--file",
        "--voice",
        "--language",
        "--config",
        "--output-path",
        "--temperature",
        "--sampler-decode-steps",
        "--noise-clamp",
        "--eos-threshold",
        "--frames-after-eos",
        "--max-tokens",
        "--seed",
        "--device",
        "--threads",
        "--quiet",
        "--offline",
        "--json",
        "--memory-limit",
        "--profile-memory",
        "--profile-dir",
        "--pool-size",
        "--batch-size",
    ] {
        assert!(help.contains(option), "{option}");
    }
}
