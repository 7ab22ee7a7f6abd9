//! Invalid configs: every message has the line, the key, the value and the allowed values.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tts_core::config::{Config, ConfigError};
use tts_core::text::TokenizerFormat;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

fn recorded() -> serde_json::Map<String, Value> {
    let text = fs::read_to_string(format!("{FIXTURES}/config/presets.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn valid() -> Value {
    recorded()["english_2m_2026-10"].clone()
}

fn parse(yaml: &str) -> Result<Config, ConfigError> {
    Config::parse(yaml, Path::new("my.yaml"))
}

/// Returns the valid config with another value at `path`, which is keys separated by dots.
fn with(path: &str, value: Value) -> Value {
    let mut config = valid();
    *config
        .pointer_mut(&format!("/{}", path.replace('.', "/")))
        .unwrap() = value;
    config
}

fn message(config: &Value) -> String {
    parse(&config.to_string())
        .expect_err("the config is rejected")
        .to_string()
}

#[test]
fn an_unknown_key_is_reported_with_its_path_and_the_nearest_key() {
    let mut config = valid();
    config["mimi"]["seanet"]["ratio"] = json!([1]);
    let text = message(&config);
    assert!(
        text.starts_with("my.yaml:1: unknown key `mimi.seanet.ratio`, did you mean `ratios`?"),
        "{text}"
    );
    assert!(text.contains("dimension, channels, n_filters"), "{text}");
    config = valid();
    config["zzzz"] = json!(1);
    assert!(
        message(&config).starts_with("my.yaml:1: unknown key `zzzz`; allowed here: flow_lm, mimi")
    );
}

#[test]
fn every_missing_key_is_reported_unless_it_is_optional() {
    fn paths(value: &Value, at: &str, out: &mut Vec<String>) {
        for (key, value) in value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|_| !at.ends_with("replace_characters"))
        {
            let path = format!("{at}/{key}");
            paths(value, &path, out);
            out.push(path);
        }
    }
    let mut all = Vec::new();
    paths(&valid(), "", &mut all);
    assert!(all.len() > 60);
    let mut required = 0;
    for path in all {
        let mut config = valid();
        let (parent, key) = path.rsplit_once('/').unwrap();
        config
            .pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(key);
        match parse(&config.to_string()) {
            Err(ConfigError::MissingKey { key, allowed, .. }) => {
                assert_eq!(key, path[1..].replace('/', "."));
                assert!(
                    allowed.starts_with("a ")
                        || allowed.contains("float32")
                        || allowed.contains(" or "),
                    "{path}: {allowed}"
                );
                required += 1;
            }
            // Without these keys the sizes conflict, or a default applies.
            Err(ConfigError::Value { .. }) | Ok(_) => {}
            Err(other) => panic!("{path}: {other}"),
        }
    }
    assert_eq!(
        required, 64,
        "the number of keys that the reference requires, with both decoder sections"
    );
}

#[test]
fn a_value_of_the_wrong_type_is_reported_with_the_allowed_values() {
    for (path, value, expected) in [
        (
            "mimi.sample_rate",
            json!("24000"),
            "is the string \"24000\"; it must be a whole number",
        ),
        (
            "mimi.sample_rate",
            json!(-1),
            "is -1; it must be a whole number",
        ),
        (
            "mimi.sample_rate",
            json!(1.5),
            "is 1.5; it must be a whole number",
        ),
        (
            "mimi.sample_rate",
            json!(null),
            "is empty; it must be a whole number",
        ),
        (
            "mimi.sample_rate",
            json!([1, 2]),
            "is [1, 2]; it must be a whole number",
        ),
        (
            "mimi.seanet.ratios",
            json!(120),
            "is 120; it must be a list, such as [6, 5, 4]",
        ),
        (
            "mimi.seanet",
            json!(3),
            "is 3; it must be a section with the keys dimension",
        ),
        (
            "mimi.seanet.pad_mode",
            json!("reflect"),
            "is the string \"reflect\"; it must be constant or replicate",
        ),
        ("flow_lm.dtype", json!("bfloat16"), "it must be float32"),
        (
            "flow_lm.flow.type",
            json!("euler"),
            "it must be lsd, flow_matching, drifting or pointwise",
        ),
        (
            "flow_lm.lookup_table.tokenizer",
            json!("bpe"),
            "it must be sentencepiece, json or tokenizers",
        ),
        (
            "remove_semicolons",
            json!(1),
            "is 1; it must be true or false",
        ),
        (
            "default_temperature",
            json!("warm"),
            "is the string \"warm\"; it must be a number",
        ),
        ("weights_path", json!(7), "is 7; it must be a string"),
    ] {
        let text = message(&with(path, value));
        assert!(
            text.starts_with(&format!("my.yaml:1: `{path}` is ")),
            "{text}"
        );
        assert!(text.contains(expected), "{text}\n  lacks {expected}");
    }
}

#[test]
fn an_item_of_a_list_or_section_is_reported_with_its_own_path() {
    for (path, value, expected) in [
        (
            "mimi.seanet.ratios",
            json!([6, "x"]),
            "`mimi.seanet.ratios.1` is the string \"x\"; it must be a whole number",
        ),
        (
            "replace_characters",
            json!({"ab": "c"}),
            "`replace_characters.ab` is the key \"ab\"; it must be a single character",
        ),
        (
            "replace_characters",
            json!({"a": 1}),
            "`replace_characters.a` is 1; it must be a string",
        ),
    ] {
        let text = message(&with(path, value));
        assert!(text.contains(expected), "{text}\n  lacks {expected}");
    }
}

#[test]
fn errors_have_the_line_of_the_key_or_value() {
    let fixture = format!("{FIXTURES}/parity/small_pointwise/config.yaml");
    let text = fs::read_to_string(fixture).unwrap();
    let line_of = |line: &str| 1 + text.lines().position(|other| other == line).unwrap();
    for (old, new, line) in [
        ("  z_dim: 40", "  z_dim: x", "  z_dim: 40"),
        ("  z_dim: 40", "  z_dim: 0", "  z_dim: 40"),
        ("  z_dim: 40", "  zdim: 40", "  z_dim: 40"),
        ("  z_dim: 40", "  z_dim: 40\n  z_dim: 40", "mimi:"),
        ("    n_filters: 3\n", "", "  decoder_seanet:"),
    ] {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        let error = parse(&text.replace(old, new)).unwrap_err().to_string();
        // A section starts on the line below its key.
        let line = line_of(line) + usize::from(new.is_empty());
        assert!(error.starts_with(&format!("my.yaml:{line}: ")), "{error}");
    }
}

#[test]
fn sizes_out_of_range_are_reported_with_the_allowed_values() {
    let big = json!(u64::MAX);
    for (path, value, expected) in [
        ("flow_lm.flow.dim", json!(0), "from 2 to"),
        ("flow_lm.flow.depth", json!(0), "from 1 to 1024"),
        ("flow_lm.transformer.d_model", json!(0), "from 1 to 1048576"),
        (
            "flow_lm.transformer.d_model",
            json!(1 << 21),
            "from 1 to 1048576",
        ),
        (
            "flow_lm.transformer.d_model",
            big.clone(),
            "from 1 to 1048576",
        ),
        (
            "flow_lm.transformer.num_layers",
            big.clone(),
            "from 1 to 1024",
        ),
        ("flow_lm.transformer.num_heads", json!(0), "from 1 to"),
        (
            "flow_lm.transformer.num_heads",
            json!(5),
            "`attn_dim` = 192 splits into that many heads of the same even width",
        ),
        ("flow_lm.transformer.num_heads", json!(64), "even width"),
        (
            "flow_lm.transformer.num_kv_heads",
            json!(2),
            "a divisor of `num_heads` = 3",
        ),
        ("flow_lm.transformer.attn_dim", json!(0), "from 1 to"),
        ("flow_lm.transformer.hidden_scale", json!(0), "from 1 to"),
        ("flow_lm.transformer.max_period", json!(0), "from 1 to"),
        (
            "flow_lm.lookup_table.dim",
            json!(111),
            "112, as `flow_lm.transformer.d_model`",
        ),
        ("flow_lm.lookup_table.n_bins", json!(0), "from 1 to"),
        ("flow_lm.lookup_table.rank", json!(0), "from 1 to"),
        ("flow_lm.z_dim", json!(0), "from 1 to"),
        ("mimi.sample_rate", json!(0), "from 1 to"),
        ("mimi.channels", json!(2), "1: the models are mono"),
        ("mimi.seanet.channels", json!(2), "1: the models are mono"),
        ("mimi.frame_rate", json!(0), "a finite number above 0"),
        ("mimi.frame_rate", json!(-12.5), "a finite number above 0"),
        (
            "mimi.frame_rate",
            json!(13),
            "a multiple, at least twice, of 120 samples",
        ),
        (
            "mimi.frame_rate",
            json!(200),
            "a multiple, at least twice, of 120 samples",
        ),
        ("mimi.frame_rate", json!(1e-9), "at most 1048576"),
        ("mimi.seanet.ratios", json!([]), "a list of 1 to 20"),
        ("mimi.seanet.ratios", json!([6, 0, 4]), "from 1 up"),
        (
            "mimi.seanet.ratios",
            json!([65536, 65536]),
            "at most 1048576 multiplied together",
        ),
        (
            "mimi.seanet.ratios",
            json!(vec![1; 21]),
            "a list of 1 to 20",
        ),
        (
            "mimi.seanet.n_filters",
            json!(1 << 20),
            "at most 131072, as each of the 3 ratios doubles it",
        ),
        ("mimi.seanet.compress", json!(0), "from 1 to 64"),
        ("mimi.seanet.compress", json!(65), "from 1 to 64"),
        ("mimi.seanet.kernel_size", json!(0), "from 1 to"),
        (
            "mimi.seanet.dimension",
            json!(511),
            "511, as `mimi.seanet.dimension`",
        ),
        (
            "mimi.decoder_seanet.ratios",
            json!([5, 5, 4]),
            "120 together, as in `mimi.seanet.ratios`",
        ),
        (
            "mimi.decoder_seanet.dimension",
            json!(64),
            "64, as `mimi.decoder_seanet.dimension`",
        ),
        (
            "mimi.transformer.input_dimension",
            json!(256),
            "512, as `mimi.seanet.dimension`",
        ),
        (
            "mimi.transformer.output_dimensions",
            json!([512, 512]),
            "[512], as `mimi.seanet.dimension`",
        ),
        ("mimi.transformer.num_heads", json!(7), "even width"),
        ("mimi.transformer.context", json!(0), "from 1 to"),
        (
            "mimi.transformer.max_period",
            json!(0),
            "a finite number above 0",
        ),
        (
            "mimi.decoder_transformer.num_layers",
            json!(0),
            "from 1 to 1024",
        ),
        ("mimi.inner_dim", json!(0), "from 1 to"),
        (
            "mimi.outer_dim",
            json!(256),
            "128, as `mimi.decoder_seanet.dimension`",
        ),
        ("mimi.quantizer.dimension", json!(0), "from 1 to"),
        (
            "mimi.quantizer.output_dimension",
            json!(32),
            "128, as `mimi.outer_dim`",
        ),
        (
            "default_temperature",
            json!(-0.1),
            "a finite number, at least 0",
        ),
        (
            "default_temperature",
            json!(1e300),
            "a finite number, at least 0",
        ),
    ] {
        let text = message(&with(path, value.clone()));
        assert!(
            text.contains(expected),
            "{path} = {value}: {text}\n  lacks {expected}"
        );
        assert!(text.starts_with("my.yaml:1: `"), "{text}");
    }
    let mut dilated = with("mimi.seanet.n_residual_layers", json!(100));
    dilated["mimi"]["seanet"]["dilation_base"] = json!(2);
    assert!(
        message(&dilated).contains("`mimi.seanet.dilation_base` is 2; it must be small enough")
    );
    for (key, text) in [
        ("default_temperature", ".nan"),
        ("default_temperature", ".inf"),
        ("default_eos_threshold", ".NaN"),
    ] {
        let yaml = valid().to_string().replace(
            &format!("\"{key}\":{}", valid()[key]),
            &format!("\"{key}\": {text}"),
        );
        assert!(
            parse(&yaml)
                .unwrap_err()
                .to_string()
                .starts_with(&format!("my.yaml:1: `{key}` is "))
        );
    }
    let rate = valid()
        .to_string()
        .replace("\"frame_rate\":12.5", "\"frame_rate\": .nan");
    assert!(
        parse(&rate)
            .unwrap_err()
            .to_string()
            .contains("`mimi.frame_rate` is NaN")
    );
}

#[test]
fn rejects_weight_locations_that_are_incomplete_or_unused() {
    let config = |whole: Value, open: Value, flow_lm: Value, mimi: Value| {
        let mut config = valid();
        config["weights_path"] = whole;
        config["weights_path_without_voice_cloning"] = open;
        config["flow_lm"]["weights_path"] = flow_lm;
        config["mimi"]["weights_path"] = mimi;
        parse(&config.to_string()).map_err(|error| error.to_string())
    };
    let (none, some) = (json!(null), json!("w"));
    for (whole, open, flow_lm, mimi, key) in [
        (&none, &none, &some, &none, "flow_lm.weights_path"),
        (&some, &none, &some, &none, "flow_lm.weights_path"),
        (&some, &none, &some, &some, "flow_lm.weights_path"),
        (&none, &none, &none, &some, "mimi.weights_path"),
        (
            &none,
            &some,
            &none,
            &none,
            "weights_path_without_voice_cloning",
        ),
    ] {
        let text = config(whole.clone(), open.clone(), flow_lm.clone(), mimi.clone()).unwrap_err();
        assert!(
            text.starts_with(&format!("my.yaml:1: `{key}` is ")),
            "{text}"
        );
    }
    for (whole, open, flow_lm, mimi) in [
        (&none, &none, &none, &none),
        (&none, &none, &some, &some),
        (&some, &none, &none, &some),
        (&some, &some, &none, &none),
    ] {
        config(whole.clone(), open.clone(), flow_lm.clone(), mimi.clone()).unwrap();
    }
}

#[test]
fn reads_both_tokenizer_formats_and_keeps_locations_as_written() {
    for (name, format) in [
        ("sentencepiece", TokenizerFormat::SentencePiece),
        ("tokenizers", TokenizerFormat::Tokenizers),
        ("json", TokenizerFormat::Tokenizers),
    ] {
        let mut config = with("flow_lm.lookup_table.tokenizer", json!(name));
        config["flow_lm"]["lookup_table"]["tokenizer_path"] = json!("hf://a/b/c.model@v1");
        let table = parse(&config.to_string()).unwrap().flow_lm.lookup_table;
        assert_eq!(table.tokenizer, format);
        assert_eq!(table.tokenizer_path, "hf://a/b/c.model@v1");
    }
}

#[test]
fn reads_the_configs_of_the_fixtures_and_the_built_in_model() {
    let read =
        |name: &str| Config::read(Path::new(&format!("{FIXTURES}/{name}/config.yaml"))).unwrap();
    for name in [
        "parity/lsd",
        "parity/lsd_bf16",
        "parity/drifting",
        "parity/flow_matching",
    ] {
        assert_eq!(read(name).mimi.frame_samples(), 1920);
    }
    let small = read("parity/small_pointwise");
    assert_eq!(
        small.mimi.decoder_seanet.as_ref().unwrap().ratios,
        [6, 5, 4]
    );
    assert_eq!(small.mimi.decoder_seanet().n_filters, 3);
    assert_eq!(small.mimi.decoder_transformer().context, 7);
    assert_eq!(small.mimi.decoder_dim(), 24);
    assert_eq!(small.mimi.steps_per_frame(), 16);
    assert_eq!(small.replace_characters[&'"'], "");
    assert_eq!(small.flow_lm.transformer.head_dim(), 32);
    assert_eq!(small.flow_lm.transformer.kv_heads(), 1);
    assert_eq!(small.flow_lm.transformer.feed_forward_width(), 56);
    assert_eq!(small.flow_lm.output_width(), 40);
    assert_eq!(
        small.flow_lm.lookup_table.tokenizer,
        TokenizerFormat::Tokenizers
    );
    assert_eq!(
        small.flow_lm.lookup_table.tokenizer_path,
        "../tokenizer.json"
    );
    let voice = read("../../../builtin-voice/data");
    assert_eq!(
        (voice.mimi.frame_samples(), voice.mimi.steps_per_frame()),
        (640, 8)
    );
}

#[test]
fn booleans_numbers_and_null_are_read_as_in_the_reference() {
    let yaml = valid()
        .to_string()
        .replace("\"remove_semicolons\":false", "\"remove_semicolons\": Yes");
    assert!(parse(&yaml).unwrap().remove_semicolons);
    let yaml = valid()
        .to_string()
        .replace("\"frame_rate\":12.5", "\"frame_rate\": 25");
    assert_eq!(parse(&yaml).unwrap().mimi.frame_samples(), 960);
    let yaml = valid().to_string().replace(
        "\"default_temperature\":0.3",
        "\"default_temperature\": 3e-1",
    );
    assert_eq!(parse(&yaml).unwrap().default_temperature, 0.3);
    let yaml = valid().to_string().replace("\"z_dim\":64", "\"z_dim\": ~");
    assert_eq!(parse(&yaml).unwrap().flow_lm.z_dim, None);
}
