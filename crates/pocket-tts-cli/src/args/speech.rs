//! Flags for the text, the voice and sampling.

use std::path::PathBuf;

use clap::Args;
use pocket_tts::GenerateOptions;

use super::ModelArgs;

/// The flags that `generate` and `memory` share.
#[derive(Debug, Args)]
pub(crate) struct SpeechArgs {
    /// The text to speak. If it is `-` or missing, the text is read from standard input.
    #[arg(value_name = "TEXT", conflicts_with_all = ["text", "file"])]
    pub(crate) words: Option<String>,
    /// The text to speak, as a flag. Use this for a text that starts with a dash.
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "file",
        allow_hyphen_values = true
    )]
    pub(crate) text: Option<String>,
    /// Read the text from a UTF-8 file.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The voice: a name (see `pocket-tts voices`), a recording to clone (WAV, FLAC, MP3 or OGG), or an
    /// exported .safetensors voice. Files are given by path, or by https:// or hf:// URL. [default: the
    /// first voice of the model]
    #[arg(long, value_name = "VOICE")]
    pub(crate) voice: Option<String>,
    /// Clone from the first 30 seconds of a longer recording.
    #[arg(long)]
    pub(crate) truncate: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The largest number of segments of a long text to generate together; the memory limit can lower it.
    /// A larger batch needs more memory and delays the first audio. With a large model, it finishes the
    /// text sooner. It does not change the audio. [default: chosen from the available memory; 1 when writing to standard output]
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
    /// The variance of the sampling noise. With 0, the output is deterministic. [default: the model's]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// The number of solver steps per frame.
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true,
          default_value_t = GenerateOptions::default().sampler_decode_steps)]
    sampler_decode_steps: usize,
    /// Clamp the sampling noise to the range from -NUMBER to NUMBER. [default: no clamping]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    noise_clamp: Option<f32>,
    /// End the speech when the end-of-speech score exceeds this value. [default: the model's]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    eos_threshold: Option<f32>,
    /// The number of frames to generate after the end of speech is detected. [default: the model's, or
    /// derived from the length of the text]
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    frames_after_eos: Option<usize>,
    /// The largest number of tokens in a segment. Longer texts are split at sentence boundaries, longer
    /// sentences at commas, semicolons and colons, and longer clauses at spaces.
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true,
          default_value_t = GenerateOptions::default().max_tokens)]
    max_tokens: usize,
    /// The seed of the sampling noise. The same seed gives the same audio. [default: random]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    seed: Option<u64>,
}

impl SpeechArgs {
    pub(crate) fn options(&self) -> GenerateOptions {
        let sampling = &self.sampling;
        let mut options = GenerateOptions::default()
            .with_sampler_decode_steps(sampling.sampler_decode_steps)
            .with_max_tokens(sampling.max_tokens);
        options.temperature = sampling.temperature;
        options.noise_clamp = sampling.noise_clamp;
        options.eos_threshold = sampling.eos_threshold;
        options.frames_after_eos = sampling.frames_after_eos;
        options.batch_size = self.batch_size;
        options.seed = sampling.seed;
        options
    }
}
