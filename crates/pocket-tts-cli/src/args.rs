//! The command line.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use pocket_tts::config::{Location, Preset};
use pocket_tts::{DeviceKind, GenerateOptions};

/// Speech from text, on your own machine.
#[derive(Debug, Parser)]
#[command(name = "pocket-tts", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Speak a text into a WAV file.
    Generate(GenerateArgs),
    /// List the models, the voices they know by name, and where those are cached.
    Voices(VoicesArgs),
    /// Make a voice of a recording and save it as a .safetensors file, from where it loads at once.
    ExportVoice(ExportVoiceArgs),
    /// Load a model and tell its sizes and what memory it takes.
    Info(InfoArgs),
}

impl Command {
    pub(crate) fn quiet(&self) -> bool {
        match self {
            Self::Generate(args) => args.model.quiet,
            Self::ExportVoice(args) => args.model.quiet,
            Self::Info(args) => args.model.quiet,
            Self::Voices(_) => false,
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// A released model, by language; downloaded on first use. Without it and without --config, the
    /// built-in English model speaks.
    #[arg(long, value_name = "NAME", conflicts_with = "config", value_parser = presets())]
    pub(crate) language: Option<&'static Preset>,
    /// A model's config file: a path, or an https:// or hf:// address.
    #[arg(long, value_name = "FILE", value_parser = location)]
    pub(crate) config: Option<Location>,
    /// Where to compute.
    #[arg(long, default_value_t, value_parser = devices())]
    pub(crate) device: DeviceKind,
    /// Threads of the CPU devices. [default: one per core]
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    pub(crate) threads: Option<usize>,
    /// Use only what is on this machine; download nothing.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Print nothing but errors.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
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
    /// Where the WAV goes; `-` writes it to the standard output.
    #[arg(long, short, value_name = "FILE", default_value = "./tts_output.wav")]
    pub(crate) output_path: PathBuf,
    /// Print the figures of the run as one JSON object on the standard output. Not together with
    /// `--output-path -`.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
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

impl SamplingArgs {
    pub(crate) fn options(&self) -> GenerateOptions {
        GenerateOptions {
            temperature: self.temperature,
            sampler_decode_steps: self.sampler_decode_steps,
            noise_clamp: self.noise_clamp,
            eos_threshold: self.eos_threshold,
            frames_after_eos: self.frames_after_eos,
            max_tokens: self.max_tokens,
            batch_size: None,
            seed: self.seed,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct VoicesArgs {
    /// Only the voices of this released model.
    #[arg(long, value_name = "NAME", value_parser = presets())]
    pub(crate) language: Option<&'static Preset>,
    /// Print a JSON list of models instead.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportVoiceArgs {
    /// The recording (WAV, FLAC, MP3 or OGG), of which the first 30 seconds are heard; or any other
    /// voice that `generate --voice` takes.
    #[arg(value_name = "AUDIO")]
    pub(crate) audio_path: String,
    /// The .safetensors file to write.
    #[arg(value_name = "OUT")]
    pub(crate) export_path: PathBuf,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Print one JSON object instead.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

fn presets() -> impl TypedValueParser<Value = &'static Preset> {
    PossibleValuesParser::new(Preset::all().iter().map(|preset| preset.name))
        .try_map(|name| Preset::named(&name))
}

fn devices() -> impl TypedValueParser<Value = DeviceKind> {
    PossibleValuesParser::new(DeviceKind::ALL.map(DeviceKind::name))
        .try_map(|name| name.parse::<DeviceKind>())
}

fn location(text: &str) -> Result<Location, pocket_tts::CoreError> {
    Location::parse(text, "".as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
