//! Lists of models and voices, and information on a model.

use std::fs;

use crate::support::{Place, Run};

fn lines(run: Run) -> String {
    String::from_utf8(run.succeeds().stdout).unwrap()
}

#[test]
fn lists_every_model_with_its_default_voice() {
    let place = Place::new();
    let list = lines(place.run(&["voices"]));
    let line = |model: &str| {
        list.lines()
            .find(|line| line.split(' ').next() == Some(model))
            .unwrap_or_else(|| panic!("{model} is not in {list}"))
    };
    assert!(line("built-in").ends_with("part of the program"));
    for (model, voice) in [
        ("english", "alba"),
        ("french", "estelle"),
        ("dutch_24l", "daan"),
    ] {
        let line = line(model);
        assert!(
            line.contains(voice) && line.ends_with("not downloaded"),
            "{line}"
        );
    }
}

#[test]
fn one_line_explains_the_built_in_voice_and_how_to_get_a_released_model() {
    let list = lines(Place::new().run(&["voices"]));
    let line = list
        .lines()
        .find(|line| line.contains("small synthetic voice"))
        .unwrap_or_else(|| panic!("no explanation in {list}"));
    let (explanation, command) = line.split_once(" run: ").unwrap();
    assert!(explanation.contains("very little memory"), "{explanation}");
    assert!(explanation.contains("downloaded once"), "{explanation}");
    let (command, text) = command.split_once(" \"").unwrap();
    assert_eq!(text, "Hello world.\"");
    // The command is accepted: it ends only because downloads are disabled.
    let mut arguments: Vec<_> = command.split(' ').skip(1).collect();
    arguments.extend(["Hello world.", "--offline"]);
    Place::new()
        .run(&arguments)
        .fails(&["languages/english", "downloads are disabled"]);
}

#[test]
fn lists_voices_with_their_cache_path() {
    let place = Place::new();
    let json = place
        .run(&["voices", "--language", "english", "--json"])
        .succeeds()
        .json();
    let voice = json[0]["voices"]
        .as_array()
        .unwrap()
        .iter()
        .find(|voice| voice["name"] == "alba")
        .unwrap();
    assert!(voice["path"].is_null() && json[0]["weights"].is_null());
    let (_, address) = voice["location"]
        .as_str()
        .unwrap()
        .split_once("hf://")
        .unwrap();
    let (file, revision) = address.split_once('@').unwrap();
    let (repository, file) = file.split_once("/languages").unwrap();
    let cached = place.path(&format!(
        "hf/hub/models--{}/snapshots/{revision}/languages{file}",
        repository.replace('/', "--")
    ));
    fs::create_dir_all(cached.parent().unwrap()).unwrap();
    fs::write(&cached, "").unwrap();

    let list = lines(place.run(&["voices", "--language", "english"]));
    let line = |name: &str| {
        list.lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name} is not in {list}"))
    };
    assert!(line("alba").contains("(default)"));
    assert!(line("alba").ends_with(cached.to_str().unwrap()), "{list}");
    assert!(line("vera").ends_with("not downloaded"));
}

#[test]
fn lists_models_and_voices_as_json() {
    let json = Place::new().run(&["voices", "--json"]).succeeds().json();
    let models = json.as_array().unwrap();
    assert!(models.len() > 20);
    assert_eq!(models[0]["model"], "built-in");
    assert_eq!(models[0]["built_in"], true);
    assert_eq!(models[0]["voices"][0]["name"], models[0]["default_voice"]);
    for model in &models[1..] {
        assert_eq!(model["built_in"], false);
        let voices = model["voices"].as_array().unwrap();
        assert!(
            voices
                .iter()
                .any(|voice| voice["name"] == model["default_voice"])
        );
    }
}

#[test]
fn info_prints_the_sizes_of_a_model() {
    let place = Place::with_model();
    let built_in = place.run(&["info", "--json"]).succeeds().json();
    let other = place
        .run(&[
            "info",
            "--json",
            "--config",
            "model/config.yaml",
            "--threads",
            "1",
        ])
        .succeeds()
        .json();
    assert_eq!(built_in["model"], "built-in");
    assert_eq!(other["model"], "model/config.yaml");
    assert_eq!(
        (&other["sample_rate_hz"], &other["threads"]),
        (&24_000.into(), &1.into())
    );
    for json in [&built_in, &other] {
        for size in ["stored_bytes", "flow_lm_bytes", "decoder_bytes"] {
            assert!(json[size].as_u64() > Some(1000), "{size}: {json}");
        }
        assert!(json["encoder_bytes"].is_null());
        assert!(json["no_voice_cloning"].is_null());
    }
    // Three layers with keys and values of 64 f32, 12.5 times a second.
    assert_eq!(other["kv_bytes_per_second"], 3.0 * 2.0 * 64.0 * 4.0 * 12.5);
    let list = lines(place.run(&["info"]));
    for row in ["model  ", "weights as stored", "KV cache", "voice cloning"] {
        assert!(list.contains(row), "{row} is not in {list}");
    }
}

#[test]
fn prints_the_version() {
    let version = lines(Place::new().run(&["--version"]));
    assert_eq!(
        version,
        format!("pocket-tts {}\n", env!("CARGO_PKG_VERSION"))
    );
}
