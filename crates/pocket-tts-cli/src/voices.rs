//! `pocket-tts voices`.

use std::path::PathBuf;
use std::process::ExitCode;

use pocket_tts::{Location, ModelSource, Preset};
use serde::Serialize;

use crate::args::VoicesArgs;
use crate::{output, table};

/// The difference between the built-in model and the released ones, in one line.
const ABOUT_BUILT_IN: &str = "The built-in voice is a small synthetic voice, for checking that \
    everything works and for machines with very little memory; for a released model and its voices, \
    which are downloaded once, run: \
    pocket-tts generate --language english --voice alba \"Hello world.\"\n";

const ABOUT_VOICES: &str = "To list the voices of a released model: pocket-tts voices --language NAME. \
    Every model also accepts an exported\n.safetensors voice, and models with a voice encoder clone \
    recordings: see generate --voice.\n";

/// A model and its voices, as JSON.
#[derive(Debug, Serialize)]
struct ModelEntry {
    model: String,
    /// Whether the model is part of the program.
    built_in: bool,
    default_voice: &'static str,
    /// The weights in the cache; null if they are not downloaded.
    weights: Option<PathBuf>,
    voices: Vec<VoiceEntry>,
}

#[derive(Debug, Serialize)]
struct VoiceEntry {
    name: &'static str,
    /// The location for download; null for a voice inside the program.
    location: Option<String>,
    /// The file in the cache; null if it is not downloaded.
    path: Option<PathBuf>,
}

pub(crate) fn run(args: &VoicesArgs) -> anyhow::Result<ExitCode> {
    let cache = Cache::new();
    if let Some(preset) = args.language {
        let entry = cache.entry(&ModelSource::Preset(preset));
        match args.json {
            true => output::print_json(&[entry])?,
            false => output::print(&voice_lines(&entry))?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    #[cfg(feature = "builtin-voice")]
    let built_in = Some(ModelSource::BuiltIn);
    #[cfg(not(feature = "builtin-voice"))]
    let built_in = None;
    let entries: Vec<_> = built_in
        .into_iter()
        .chain(Preset::all().iter().map(ModelSource::Preset))
        .map(|source| cache.entry(&source))
        .collect();
    match args.json {
        true => output::print_json(&entries)?,
        false => output::print(&model_lines(&entries))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists the voices of one model.
fn voice_lines(entry: &ModelEntry) -> String {
    let rows = entry.voices.iter().map(|voice| {
        let mark = match voice.name == entry.default_voice {
            true => "(default)",
            false => "",
        };
        [voice.name.to_owned(), mark.to_owned(), cached(&voice.path)]
    });
    table::format(rows, &[])
}

/// Lists all models.
fn model_lines(entries: &[ModelEntry]) -> String {
    let head = ["MODEL", "DEFAULT VOICE", "VOICES", "WEIGHTS"].map(str::to_owned);
    let rows = entries.iter().map(|entry| {
        let weights = match entry.built_in {
            true => "part of the program".to_owned(),
            false => cached(&entry.weights),
        };
        [
            entry.model.clone(),
            entry.default_voice.to_owned(),
            entry.voices.len().to_string(),
            weights,
        ]
    });
    let mut lines = table::format(std::iter::once(head).chain(rows), &[2]);
    lines.push('\n');
    if entries.iter().any(|entry| entry.built_in) {
        lines.push_str(ABOUT_BUILT_IN);
    }
    lines.push_str(ABOUT_VOICES);
    lines
}

/// The path of a file in the cache.
fn cached(path: &Option<PathBuf>) -> String {
    match path {
        Some(path) => path.display().to_string(),
        None => "not downloaded".to_owned(),
    }
}

/// The cache of downloads.
struct Cache {
    #[cfg(feature = "hub")]
    hub: pocket_tts::hub::Hub,
}

impl Cache {
    fn new() -> Self {
        Self {
            #[cfg(feature = "hub")]
            hub: pocket_tts::hub::Hub::new(pocket_tts::hub::HubOptions::from_env()),
        }
    }

    #[cfg(feature = "hub")]
    fn find(&self, location: &Location) -> Option<PathBuf> {
        self.hub.cached(location)
    }

    #[cfg(not(feature = "hub"))]
    fn find(&self, _: &Location) -> Option<PathBuf> {
        None
    }

    fn entry(&self, source: &ModelSource) -> ModelEntry {
        let weights = match source {
            ModelSource::Preset(preset) => {
                let locations = preset.weights();
                locations.iter().find_map(|location| self.find(location))
            }
            _ => None,
        };
        ModelEntry {
            model: source.name(),
            built_in: !matches!(source, ModelSource::Preset(_)),
            default_voice: source.default_voice(),
            weights,
            voices: source
                .voices()
                .into_iter()
                .map(|voice| VoiceEntry {
                    name: voice.name,
                    path: voice
                        .location
                        .as_ref()
                        .and_then(|location| self.find(location)),
                    location: voice.location.map(|location| location.to_string()),
                })
                .collect(),
        }
    }
}
