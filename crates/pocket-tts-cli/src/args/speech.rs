//! What is said, with which voice, and how it is drawn.

use std::path::PathBuf;

use clap::Args;
use pocket_tts::GenerateOptions;

use super::ModelArgs;

/// What `generate` and `memory` have in common.
#[derive(Debug, Args)]
pub(crate) struct SpeechArgs {
    /// What to say; `-` reads it from the standard input, as does giving no text at all.
    #[arg(value_name = "TEXT", conflicts_with_all = ["text", "file"])]
    pub(crate) words: Option<String>,
    /// What to say, as an option.
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "file",
        allow_hyphen_values = true
    )]
    pub(crate) text: Option<String>,
    /// A UTF-8 text file to say.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// A voice by name (see `pocket-tts voices`), a recording to clone (WAV, FLAC, MP3 or OGG), or an
    /// exported .safetensors voice; files by path or by https:// or hf:// address. [default: the model's
    /// own]
    #[arg(long, value_name = "VOICE")]
    pub(crate) voice: Option<String>,
    /// Clone only the first 30 seconds of a recording.
    #[arg(long)]
    pub(crate) truncate: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Parts of a long text to speak at once, as far as the limit allows. More take more memory, and make
    /// the whole text sooner but not its first audio. What is said does not depend on it. [default: as many
    /// as are worth it and fit; 1 for a WAV on the standard output, which is heard at once]
    #[arg(
        long,
        value_name = "COUNT",
        help_heading = "Memory",
        allow_negative_numbers = true
    )]
    pub(crate) batch_size: Option<usize>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    /// Variance of the noise that speech is drawn from; 0 always takes the likeliest. [default: the
    /// model's]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// Steps of the flow for each frame.
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true,
          default_value_t = GenerateOptions::default().sampler_decode_steps)]
    sampler_decode_steps: usize,
    /// Keep the noise between this and its negative. [default: unbounded]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    noise_clamp: Option<f32>,
    /// End-of-speech score over which speech ends. [default: the model's]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    eos_threshold: Option<f32>,
    /// Frames to speak after the end was seen. [default: the model's, or guessed from the text]
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    frames_after_eos: Option<usize>,
    /// Tokens of text to speak in one go; longer texts are cut at sentences.
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true,
          default_value_t = GenerateOptions::default().max_tokens)]
    max_tokens: usize,
    /// Start of the noise generator: the same seed gives the same speech. [default: random]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    seed: Option<u64>,
}

impl SpeechArgs {
    pub(crate) fn options(&self) -> GenerateOptions {
        let sampling = &self.sampling;
        GenerateOptions {
            temperature: sampling.temperature,
            sampler_decode_steps: sampling.sampler_decode_steps,
            noise_clamp: sampling.noise_clamp,
            eos_threshold: sampling.eos_threshold,
            frames_after_eos: sampling.frames_after_eos,
            max_tokens: sampling.max_tokens,
            batch_size: self.batch_size,
            seed: sampling.seed,
        }
    }
}
