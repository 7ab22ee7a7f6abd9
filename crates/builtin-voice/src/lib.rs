//! A small English speech model and its voices, as bytes in the program: it speaks without a
//! download.
//!
//! This crate only gives the bytes out. They are in the format of the released Pocket TTS models,
//! and whoever reads them takes every size from [`CONFIG`]: a better voice in the same format
//! replaces the files in `data/` and nothing else. Where they come from is told in this crate's
//! `README.md`.
//!
//! ```
//! let (name, state) = builtin_voice::VOICES[0];
//! println!("{name}: {} bytes", state.len());
//! assert!(builtin_voice::CONFIG.contains("flow_lm:"));
//! ```

/// Bytes that start where a tensor may start, so that tensors are used in place. A safetensors file
/// aligns its tensors relative to its own start.
#[repr(C, align(64))]
struct Aligned<const LEN: usize>([u8; LEN]);

static MODEL: Aligned<{ include_bytes!("../data/model.safetensors").len() }> =
    Aligned(*include_bytes!("../data/model.safetensors"));

static SLT: Aligned<{ include_bytes!("../data/voices/slt.safetensors").len() }> =
    Aligned(*include_bytes!("../data/voices/slt.safetensors"));

/// The model's config: YAML, with the keys of the released models' configs. The files that it names
/// are [`WEIGHTS`] and [`TOKENIZER`].
pub static CONFIG: &str = include_str!("../data/config.yaml");

/// The model's tensors: a safetensors file, voice encoder included.
pub static WEIGHTS: &[u8] = &MODEL.0;

/// The model's tokenizer, in the format that [`CONFIG`] names.
pub static TOKENIZER: &[u8] = include_bytes!("../data/tokenizer.model");

/// The model's voices, by name, the default one first: safetensors files with the model's state
/// after it heard the speaker.
pub static VOICES: &[(&str, &[u8])] = &[("slt", &SLT.0)];
