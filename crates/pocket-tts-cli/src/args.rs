//! The command line.

mod memory;
mod speech;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use pocket_tts::{DeviceKind, Location, LocationError, Preset};

pub(crate) use memory::MemoryArgs;
pub(crate) use speech::SpeechArgs;

/// The end of `memory --help`.
const ABOUT_PLANS: &str = "The plan is computed from the sizes of the model and the voice, and from the longest segment of \
     the text at its maximum duration. No speech is generated unless --run is given. The plan covers the \
     memory that a limit applies to: live heap allocations, memory-mapped weights and device memory. If \
     the text does not fit the limit, the exit code is 1, and the error names the missing bytes and the \
     lowest limit that is enough.";

/// Generates speech from text, on your own machine.
#[derive(Debug, Parser)]
#[command(name = "pocket-tts", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Generate speech from a text and write it to a WAV file.
    Generate(GenerateArgs),
    /// List the models, their named voices, and which of them are cached.
    Voices(VoicesArgs),
    /// Clone a voice from a recording and save it as a .safetensors file, which loads quickly.
    ExportVoice(ExportVoiceArgs),
    /// Load a model and print its sizes and memory use.
    Info(InfoArgs),
    /// Predict the memory that a text needs, without generating speech.
    #[command(after_help = ABOUT_PLANS)]
    Memory(PlanArgs),
}

impl Command {
    /// Returns the model options of a command that loads a model.
    pub(crate) fn model(&self) -> Option<&ModelArgs> {
        match self {
            Self::Generate(args) => Some(&args.speech.model),
            Self::Memory(args) => Some(&args.speech.model),
            Self::ExportVoice(args) => Some(&args.model),
            Self::Info(args) => Some(&args.model),
            Self::Voices(_) => None,
        }
    }

    pub(crate) fn quiet(&self) -> bool {
        self.model().is_some_and(|args| args.quiet)
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// A released model, by name. It is downloaded on first use. Without --language and --config, the
    /// built-in English model is used.
    #[arg(long, value_name = "NAME", conflicts_with = "config", value_parser = presets())]
    pub(crate) language: Option<&'static Preset>,
    /// The config file of a model: a path, or an https:// or hf:// URL.
    #[arg(long, value_name = "FILE", value_parser = location)]
    pub(crate) config: Option<Location>,
    /// The device to compute on.
    #[arg(long, default_value_t, value_parser = devices())]
    pub(crate) device: DeviceKind,
    /// The number of threads on CPU devices. [default: one per core]
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    pub(crate) threads: Option<usize>,
    /// Download nothing. Only files on this machine are used.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Print only errors.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) memory: MemoryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    pub(crate) speech: SpeechArgs,
    /// The WAV file to write. `-` writes to standard output.
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "./tts_output.wav",
        help_heading = None::<&str>
    )]
    pub(crate) output_path: PathBuf,
    /// Print the figures of the run to standard output as one JSON object. Cannot be combined with
    /// `--output-path -`.
    #[arg(long, help_heading = None::<&str>)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) speech: SpeechArgs,
    /// Also generate the speech, discard it, and print the measured memory next to the prediction.
    #[arg(long, help_heading = None::<&str>)]
    pub(crate) run: bool,
    /// Print one JSON object.
    #[arg(long, help_heading = None::<&str>)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VoicesArgs {
    /// List only the voices of this released model.
    #[arg(long, value_name = "NAME", value_parser = presets())]
    pub(crate) language: Option<&'static Preset>,
    /// Print a JSON array of models.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportVoiceArgs {
    /// The recording (WAV, FLAC, MP3 or OGG), of which the first 30 seconds are used; or any other voice
    /// that `generate --voice` accepts.
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
    /// Print one JSON object.
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

fn location(text: &str) -> Result<Location, LocationError> {
    Location::parse(text, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
