//! The command line.

mod memory;
mod speech;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use pocket_tts::{DeviceKind, Location, LocationError, Preset};

pub(crate) use memory::MemoryArgs;
pub(crate) use speech::SpeechArgs;

/// What `memory --help` ends with.
const ABOUT_PLANS: &str = "The plan follows from the sizes of the model, the voice and the text's longest part, for speech \
     as long as it may become; nothing is spoken unless --run asks for it. Bytes are counted: live heap \
     blocks, mapped weights and the device's own memory. Where the text does not fit the limit, the \
     exit code is 1, and the message tells what is missing and what would do.";

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
    /// Tell what memory it will take to speak a text, before it is spoken.
    #[command(after_help = ABOUT_PLANS)]
    Memory(PlanArgs),
}

impl Command {
    /// The options of the model that the command loads, if it loads one.
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
    #[command(flatten)]
    pub(crate) memory: MemoryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    pub(crate) speech: SpeechArgs,
    /// Where the WAV goes; `-` writes it to the standard output.
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "./tts_output.wav",
        help_heading = None::<&str>
    )]
    pub(crate) output_path: PathBuf,
    /// Print the figures of the run as one JSON object on the standard output. Not together with
    /// `--output-path -`.
    #[arg(long, help_heading = None::<&str>)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) speech: SpeechArgs,
    /// Speak the text too, without writing it anywhere, and print what was measured beside what was
    /// predicted.
    #[arg(long, help_heading = None::<&str>)]
    pub(crate) run: bool,
    /// Print one JSON object instead.
    #[arg(long, help_heading = None::<&str>)]
    pub(crate) json: bool,
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

fn location(text: &str) -> Result<Location, LocationError> {
    Location::parse(text, "")
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
