//! A small English speech model and its voices, embedded as bytes, so that speech needs no download.
//!
//! This crate contains only data, in the format of the released Pocket TTS models. All sizes are read
//! from [`CONFIG`], so another model in the same format replaces the files in `data/` and nothing else.
//! `README.md` describes the model, its intelligibility and its origin.
//!
//! ```
//! let (name, state) = builtin_voice::VOICES[0];
//! println!("{name}: {} bytes", state.len());
//! assert!(builtin_voice::CONFIG.contains("flow_lm:"));
//! ```

/// Bytes with the alignment of tensors, so that tensors can be used in place: a safetensors file aligns
/// its tensors relative to its start.
#[repr(C, align(64))]
struct Aligned<const LEN: usize>([u8; LEN]);

static MODEL: Aligned<{ include_bytes!("../data/model.safetensors").len() }> =
    Aligned(*include_bytes!("../data/model.safetensors"));

static SLT: Aligned<{ include_bytes!("../data/voices/slt.safetensors").len() }> =
    Aligned(*include_bytes!("../data/voices/slt.safetensors"));

/// The config: YAML with the keys of the released models' configs. Its paths stand for [`WEIGHTS`] and
/// [`TOKENIZER`].
pub static CONFIG: &str = include_str!("../data/config.yaml");

/// The weights: a safetensors file, voice encoder included.
pub static WEIGHTS: &[u8] = &MODEL.0;

/// The tokenizer, in the format that [`CONFIG`] specifies.
pub static TOKENIZER: &[u8] = include_bytes!("../data/tokenizer.model");

/// The voices by name, the default first: safetensors files with the state of the model after a
/// recording of the speaker.
pub static VOICES: &[(&str, &[u8])] = &[("slt", &SLT.0)];
