//! A model with the sizes of the released English model and random weights.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;
use safetensors::tensor::View;
use tts_core::text::Tokenizer;
use tts_core::{
    Audio, Config, Model, ModelParts, RunOptions, TensorSpec, Weights, expected_tensors,
};

use crate::Result;

const CONFIG: &str = include_str!("../english_110m.yaml");
const TOKENIZER: &[u8] =
    include_bytes!("../../crates/tts-core/tests/fixtures/parity/tokenizer.model");

/// Seconds of audio that its voice is cloned from, about as in the released voices.
const VOICE_SECONDS: usize = 10;

/// Initial value of the learned scales of Mimi's layers in training.
const LAYER_SCALE: f32 = 0.01;

/// Writes the model's files into a folder, 440 MB, unless they exist.
pub(crate) fn prepare(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let (config_path, voice_path) = files(folder);
    fs::write(&config_path, CONFIG)?;
    fs::write(folder.join("tokenizer.model"), TOKENIZER)?;
    let config = Config::read(&config_path)?;
    let weights_path = weights_path(folder);
    let specs = expected_tensors(&config);
    if !holds(&weights_path, &specs) {
        let tensors = specs
            .iter()
            .map(|spec| (spec.name.as_str(), RandomTensor { spec }));
        // Renamed when complete, so an interrupted run leaves no partial file.
        let partial = folder.join("model.safetensors.partial");
        safetensors::serialize_to_file(tensors, None, &partial)?;
        fs::rename(partial, weights_path)?;
        let _ = fs::remove_file(&voice_path);
    }
    if !voice_path.exists() {
        let model = Model::load(open(folder)?, RunOptions::default())?;
        let voice = model.clone_voice(&murmur(model.sample_rate_hz(), VOICE_SECONDS))?;
        model.export_voice(&voice, &voice_path)?;
    }
    Ok(())
}

/// Returns the paths of the config and of the voice.
pub(crate) fn files(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("config.yaml"), folder.join("voice.safetensors"))
}

/// Opens the model's config, tokenizer and weights.
pub(crate) fn open(folder: &Path) -> Result<ModelParts> {
    let config = Config::read(&files(folder).0)?;
    Ok(ModelParts {
        tokenizer: Tokenizer::from_bytes(
            config.flow_lm.lookup_table.tokenizer,
            TOKENIZER,
            Path::new("tokenizer.model"),
        )?
        .into(),
        weights: Weights::open(weights_path(folder))?,
        config,
        no_voice_cloning: None,
    })
}

fn weights_path(folder: &Path) -> PathBuf {
    folder.join("model.safetensors")
}

/// Returns whether a file has the size of these tensors and a header.
fn holds(path: &Path, specs: &[TensorSpec]) -> bool {
    let tensors: usize = specs.iter().map(bytes).sum();
    let header = 8..(1 << 20);
    fs::metadata(path)
        .ok()
        .and_then(|metadata| metadata.len().checked_sub(tensors as u64))
        .is_some_and(|rest| header.contains(&rest))
}

fn bytes(spec: &TensorSpec) -> usize {
    spec.shape.iter().product::<usize>() * size_of::<f32>()
}

/// Audio with pauses: a tone whose loudness rises and falls twice a second, with noise.
pub(crate) fn murmur(sample_rate_hz: u32, seconds: usize) -> Audio {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let samples = (0..seconds * sample_rate_hz as usize)
        .map(|index| {
            let angle = std::f32::consts::TAU * index as f32 / sample_rate_hz as f32;
            let loudness = 0.5 - 0.5 * (2.0 * angle).cos();
            loudness * (0.3 * (120.0 * angle).sin() + 0.05 * random.random_range(-1.0..1.0))
        })
        .collect();
    Audio::new(samples, sample_rate_hz)
}

/// A tensor whose values are sampled when it is written. They depend on its name and shape only.
struct RandomTensor<'a> {
    spec: &'a TensorSpec,
}

impl View for RandomTensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.spec.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = values(self.spec, ChaCha8Rng::seed_from_u64(seed(&self.spec.name)));
        Cow::Owned(
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        )
    }

    fn data_len(&self) -> usize {
        bytes(self.spec)
    }
}

/// The FNV-1a hash of a name.
fn seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Samples values with which activations keep their magnitude from layer to layer: norms without
/// effect, weights of variance `1 / inputs`.
fn values(spec: &TensorSpec, mut random: impl rand::Rng) -> Vec<f32> {
    let len = spec.shape.iter().product();
    let name = spec.name.as_str();
    let is_scale = |infix| name.contains(infix) && name.ends_with(".weight");
    if name.ends_with(".freqs") {
        // The frequencies of a sinusoidal embedding, from 1 down to 1/10000.
        return (0..len)
            .map(|index| 10_000_f32.powf(-(index as f32) / len as f32))
            .collect();
    }
    if name.ends_with(".scale") {
        return vec![LAYER_SCALE; len];
    }
    if is_scale("norm") || is_scale("_ln") || name.ends_with(".alpha") || name.ends_with("emb_std")
    {
        return vec![1.0; len];
    }
    if name.ends_with(".bias") || name.ends_with("emb_mean") {
        return vec![0.0; len];
    }
    // A uniform distribution of variance v has the bounds ±sqrt(3 v).
    let bound = (3.0 / inputs(spec) as f32).sqrt();
    (0..len)
        .map(|_| random.random_range(-bound..=bound))
        .collect()
}

/// Returns how many products are added up for each output of a weight.
fn inputs(spec: &TensorSpec) -> usize {
    let name = spec.name.as_str();
    match spec.shape[..] {
        // Each output of a transposed convolution depends on two inputs.
        [_, _, _] if name.contains("upsample") => 2,
        [inputs, _, _] if name.contains("convtr") => 2 * inputs,
        // Rows that are looked up instead of multiplied.
        _ if name.contains("embed.weight") || name.contains("bos_") => 1,
        [_, ref rest @ ..] if !rest.is_empty() => rest.iter().product(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pocket_tts::Preset;

    fn config() -> Config {
        Config::parse(CONFIG, Path::new("english_110m.yaml")).unwrap()
    }

    #[test]
    fn sizes_equal_the_released_model() {
        let (ours, released) = (config(), Preset::named("english").unwrap().config());
        assert_eq!(ours.mimi, released.mimi);
        assert_eq!(ours.flow_lm.transformer, released.flow_lm.transformer);
        assert_eq!(ours.flow_lm.flow, released.flow_lm.flow);
        assert_eq!(ours.flow_lm.z_dim, released.flow_lm.z_dim);
        assert_eq!(
            ours.flow_lm.lookup_table.rank,
            released.flow_lm.lookup_table.rank
        );
    }

    #[test]
    fn weights_keep_the_magnitude_of_activations() {
        let specs = expected_tensors(&config());
        let spec = |name: &str| specs.iter().find(|spec| spec.name == name).unwrap();
        let linear = spec("flow_lm.transformer.layers.0.linear1.weight");
        let sampled = values(linear, ChaCha8Rng::seed_from_u64(0));
        let variance = sampled.iter().map(|v| v * v).sum::<f32>() / sampled.len() as f32;
        assert!((variance * 1024.0 - 1.0).abs() < 0.01, "{variance}");
        let norm = spec("flow_lm.transformer.layers.0.norm1.weight");
        assert!(
            values(norm, ChaCha8Rng::seed_from_u64(0))
                .iter()
                .all(|&v| v == 1.0)
        );
        assert_eq!(inputs(spec("mimi.decoder.model.2.convtr.weight")), 2 * 512);
    }
}
