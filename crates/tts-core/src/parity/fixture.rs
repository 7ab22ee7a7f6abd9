//! Loading of the fixture models and of the recorded values.

use std::path::PathBuf;

use serde::Deserialize;

use crate::config::Config;
use crate::device::DeviceKind;
use crate::engine::{ModelParts, RunOptions};
use crate::ledger::Ledger;
use crate::model::Model;
use crate::text::Tokenizer;
use crate::weights::{Directory, Floats, Weights};

/// The recorded models.
pub(super) const MODELS: [&str; 5] = [
    "lsd",
    "lsd_bf16",
    "small_pointwise",
    "drifting",
    "flow_matching",
];

/// The devices that the build supports.
pub(super) fn devices() -> impl Iterator<Item = DeviceKind> {
    DeviceKind::ALL
        .into_iter()
        .filter(|device| device.is_built_in())
}

/// Runs `test` for every model on every device.
pub(super) fn for_all_models(test: impl Fn(&Fixture)) {
    for device in devices() {
        for name in MODELS {
            test(&Fixture::load(name, device));
        }
    }
}

/// A path below the recorded values.
pub(super) fn path(file: &str) -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/parity"
    ))
    .join(file)
}

/// Reads a tensor of a recorded file.
pub(super) fn recorded(file: &str, name: &str) -> Floats {
    Directory::open(&path(file))
        .and_then(|file| file.floats(name, &Ledger::default()))
        .unwrap_or_else(|error| panic!("{file} {name}: {error}"))
}

#[derive(Deserialize)]
pub(super) struct Golden {
    pub(super) sampler_decode_steps: usize,
    pub(super) prompt_ids: Vec<u32>,
    pub(super) kv_end: usize,
    pub(super) max_gen_len: std::collections::BTreeMap<usize, usize>,
    pub(super) generate: GoldenGenerate,
}

#[derive(Deserialize)]
pub(super) struct GoldenGenerate {
    pub(super) text: String,
    pub(super) max_tokens: usize,
    pub(super) temperature: f32,
    pub(super) eos_threshold: f32,
    pub(super) samples: usize,
}

/// A recorded model, loaded on a device.
pub(super) struct Fixture {
    pub(super) name: &'static str,
    pub(super) device: DeviceKind,
    pub(super) model: Model,
    pub(super) golden: Golden,
}

impl Fixture {
    pub(super) fn load(name: &'static str, device: DeviceKind) -> Self {
        Self::load_with(name, device, None)
    }

    pub(super) fn load_with(
        name: &'static str,
        device: DeviceKind,
        threads: Option<usize>,
    ) -> Self {
        let file = path(name).join("config.yaml");
        let config = Config::read(&file).expect("the config is readable");
        let local = |file: &str| path(name).join(file);
        let table = &config.flow_lm.lookup_table;
        let tokenizer_path = local(&table.tokenizer_path);
        let bytes = std::fs::read(&tokenizer_path).expect("the tokenizer is readable");
        let tokenizer = Tokenizer::from_bytes(table.tokenizer, &bytes, &tokenizer_path)
            .expect("the tokenizer is valid");
        let weights = local(
            config
                .weights_path
                .as_ref()
                .expect("the config names its weights"),
        );
        let weights = Weights::open(&weights).expect("the weights are readable");
        let parts = ModelParts {
            config,
            weights,
            tokenizer,
            no_voice_cloning: None,
        };
        let golden = std::fs::read(path(name).join("golden.json")).expect("golden.json exists");
        Self {
            name,
            device,
            model: Model::load(
                parts,
                RunOptions {
                    device,
                    threads,
                    ..RunOptions::default()
                },
            )
            .expect("the model loads"),
            golden: serde_json::from_slice(&golden).expect("golden.json is valid"),
        }
    }

    /// Reads a recorded tensor of this model.
    pub(super) fn recorded(&self, name: &str) -> Floats {
        recorded(&format!("{}/golden.safetensors", self.name), name)
    }

    /// Compares `found` with a recorded tensor of this model.
    pub(super) fn check(&self, name: &str, found: &[f32]) {
        let what = format!("{} {name}", self.name);
        super::compare::tensor(&what, self.device, found, &self.recorded(name));
    }

    /// Compares `found` with recorded audio of this model.
    pub(super) fn check_audio(&self, name: &str, found: &[f32]) {
        let what = format!("{} {name}", self.name);
        super::compare::audio(&what, self.device, found, &self.recorded(name));
    }

    /// Loads the recorded voice.
    pub(super) fn voice(&self) -> crate::voice::Voice {
        self.model
            .load_voice(path(self.name).join("voice.safetensors"))
            .expect("the recorded voice loads")
    }
}
