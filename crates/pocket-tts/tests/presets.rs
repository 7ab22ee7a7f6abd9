//! The presets' configs, compared with the reference's config files.

use std::path::Path;

use pocket_tts::{PREDEFINED_VOICES, Preset, voice_location};
use serde_json::{Value, json};
use tts_core::config::{Config, FlowType, MimiTransformerConfig, PadMode, SeanetConfig};
use tts_core::text::TokenizerFormat;

/// The reference's configs by name, as its config class serializes them.
const RECORDED: &str = include_str!("../../tts-core/tests/fixtures/config/presets.json");

fn recorded() -> serde_json::Map<String, Value> {
    serde_json::from_str(RECORDED).unwrap()
}

/// A config in the reference's serialization.
fn as_recorded(config: &Config) -> Value {
    // Through decimal digits: 0.3 as f32 and 0.3 as f64 are different numbers.
    let number = |value: f32| value.to_string().parse::<f64>().unwrap();
    let seanet = |seanet: &SeanetConfig| {
        json!({
            "dimension": seanet.dimension,
            "channels": seanet.channels,
            "n_filters": seanet.n_filters,
            "n_residual_layers": seanet.n_residual_layers,
            "ratios": seanet.ratios,
            "kernel_size": seanet.kernel_size,
            "residual_kernel_size": seanet.residual_kernel_size,
            "last_kernel_size": seanet.last_kernel_size,
            "dilation_base": seanet.dilation_base,
            "pad_mode": match seanet.pad_mode {
                PadMode::Constant => "constant",
                PadMode::Replicate => "replicate",
            },
            "compress": seanet.compress,
        })
    };
    let transformer = |transformer: &MimiTransformerConfig| {
        json!({
            "d_model": transformer.d_model,
            "input_dimension": transformer.input_dimension,
            "output_dimensions": transformer.output_dimensions,
            "num_heads": transformer.num_heads,
            "num_layers": transformer.num_layers,
            "layer_scale": number(transformer.layer_scale),
            "context": transformer.context,
            "max_period": number(transformer.max_period),
            "dim_feedforward": transformer.dim_feedforward,
        })
    };
    let (flow_lm, mimi) = (&config.flow_lm, &config.mimi);
    json!({
        "flow_lm": {
            "dtype": "float32",
            "flow": {
                "dim": flow_lm.flow.dim,
                "depth": flow_lm.flow.depth,
                "type": match flow_lm.flow.kind {
                    FlowType::Lsd => "lsd",
                    FlowType::FlowMatching => "flow_matching",
                    FlowType::Drifting => "drifting",
                    FlowType::Pointwise => "pointwise",
                },
            },
            "transformer": {
                "hidden_scale": flow_lm.transformer.hidden_scale,
                "max_period": flow_lm.transformer.max_period,
                "d_model": flow_lm.transformer.d_model,
                "num_heads": flow_lm.transformer.num_heads,
                "num_layers": flow_lm.transformer.num_layers,
                "attn_dim": flow_lm.transformer.attn_dim,
                "num_kv_heads": flow_lm.transformer.num_kv_heads,
                "dim_feedforward": flow_lm.transformer.dim_feedforward,
            },
            "z_dim": flow_lm.z_dim,
            "lookup_table": {
                "dim": flow_lm.lookup_table.dim,
                "n_bins": flow_lm.lookup_table.n_bins,
                "tokenizer": match flow_lm.lookup_table.tokenizer {
                    TokenizerFormat::SentencePiece => "sentencepiece",
                    TokenizerFormat::Tokenizers => "tokenizers",
                },
                "tokenizer_path": flow_lm.lookup_table.tokenizer_path,
                "rank": flow_lm.lookup_table.rank,
            },
            "weights_path": flow_lm.weights_path,
            "insert_bos_before_voice": flow_lm.insert_bos_before_voice,
        },
        "mimi": {
            "dtype": "float32",
            "sample_rate": mimi.sample_rate,
            "channels": mimi.channels,
            "frame_rate": mimi.frame_rate,
            "seanet": seanet(&mimi.seanet),
            "transformer": transformer(&mimi.transformer),
            "quantizer": {
                "dimension": mimi.quantizer.dimension,
                "output_dimension": mimi.quantizer.output_dimension,
            },
            "weights_path": mimi.weights_path,
            "inner_dim": mimi.inner_dim,
            "outer_dim": mimi.outer_dim,
            "decoder_seanet": mimi.decoder_seanet.as_ref().map(seanet),
            "decoder_transformer": mimi.decoder_transformer.as_ref().map(transformer),
        },
        "weights_path": config.weights_path,
        "weights_path_without_voice_cloning": config.weights_path_without_voice_cloning,
        "pad_with_spaces_for_short_inputs": config.pad_with_spaces_for_short_inputs,
        "remove_semicolons": config.remove_semicolons,
        "append_terminal_punctuation": config.append_terminal_punctuation,
        "capitalize_first_letter": config.capitalize_first_letter,
        "replace_characters": config.replace_characters.iter()
            .map(|(from, to)| (from.to_string(), Value::from(to.as_str())))
            .collect::<serde_json::Map<_, _>>(),
        "model_recommended_frames_after_eos": config.model_recommended_frames_after_eos,
        "default_temperature": number(config.default_temperature),
        "default_eos_threshold": number(config.default_eos_threshold),
    })
}

/// Lists the paths at which two values differ.
fn differences(path: &str, ours: &Value, theirs: &Value) -> Vec<String> {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => ours
            .keys()
            .chain(theirs.keys().filter(|key| !ours.contains_key(*key)))
            .flat_map(|key| {
                let at =
                    |map: &serde_json::Map<_, _>| map.get(key).cloned().unwrap_or(json!("absent"));
                differences(&format!("{path}.{key}"), &at(ours), &at(theirs))
            })
            .collect(),
        _ if ours == theirs => Vec::new(),
        _ => vec![format!("{path}: ours {ours}, recorded {theirs}")],
    }
}

/// Writes YAML in block style, the style of config files.
fn yaml(value: &Value, indent: usize, out: &mut String) {
    let pad = "  ".repeat(indent);
    for (key, value) in value.as_object().unwrap() {
        let key = if key.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            key.clone()
        } else {
            json!(key).to_string()
        };
        match value {
            Value::Null => {}
            Value::Object(_) => {
                out.push_str(&format!("{pad}{key}:\n"));
                yaml(value, indent + 1, out);
            }
            Value::Array(items) => {
                out.push_str(&format!("{pad}{key}:\n"));
                items
                    .iter()
                    .for_each(|item| out.push_str(&format!("{pad}- {item}\n")));
            }
            Value::String(text) if text.is_empty() || text.len() < 4 => {
                out.push_str(&format!("{pad}{key}: {value}\n"))
            }
            Value::String(text) => out.push_str(&format!("{pad}{key}: {text}\n")),
            other => out.push_str(&format!("{pad}{key}: {other}\n")),
        }
    }
}

fn parse(yaml: &str) -> Result<Config, tts_core::config::ConfigError> {
    Config::parse(yaml, Path::new("my.yaml"))
}

#[test]
fn every_preset_equals_the_references_config() {
    let recorded = recorded();
    let ours: Vec<_> = Preset::all().iter().map(|preset| preset.name).collect();
    assert_eq!(ours, recorded.keys().collect::<Vec<_>>());
    let differing: Vec<_> = Preset::all()
        .iter()
        .flat_map(|preset| {
            differences(
                preset.name,
                &as_recorded(&preset.config()),
                &recorded[preset.name],
            )
        })
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn every_released_config_parses_to_its_preset_in_block_and_flow_style() {
    for (name, config) in recorded() {
        let expected = Preset::named(&name).unwrap().config();
        let mut block = String::new();
        yaml(&config, 0, &mut block);
        assert_eq!(parse(&block).unwrap(), expected, "{name}");
        assert_eq!(parse(&config.to_string()).unwrap(), expected, "{name}");
    }
}

#[test]
fn every_preset_is_valid() {
    for preset in Preset::all() {
        preset.config().validate(Path::new(preset.name)).unwrap();
    }
}

#[test]
fn every_preset_has_a_location_for_each_predefined_voice() {
    assert_eq!(PREDEFINED_VOICES.len(), 27);
    assert_eq!(
        voice_location(Preset::named("german_24l").unwrap(), "juergen")
            .unwrap()
            .to_string(),
        "hf://kyutai/pocket-tts-without-voice-cloning/languages/german_24l/embeddings/juergen.safetensors\
         @a7056f505a4a8ca72d8b5fb1440071d6f1a35739"
    );
    for preset in Preset::all() {
        assert!(
            voice_location(preset, preset.default_voice()).is_ok(),
            "{}",
            preset.name
        );
    }
    let message = voice_location(&Preset::all()[0], "alab")
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("\"alab\", did you mean \"alba\"?") && message.contains("stuart_bell"),
        "{message}"
    );
}

#[test]
fn an_unknown_preset_lists_the_names_and_suggests_the_nearest() {
    let message = Preset::named("englsh").unwrap_err().to_string();
    assert!(message.contains("did you mean \"english"), "{message}");
    assert!(message.contains("dutch, dutch_24l, english, "), "{message}");
    assert!(
        !Preset::named("klingon")
            .unwrap_err()
            .to_string()
            .contains("did you mean")
    );
}
