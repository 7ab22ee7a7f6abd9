//! `pocket-tts voices`.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use pocket_tts::{Location, ModelSource, Preset};
use serde::Serialize;

use crate::args::VoicesArgs;
use crate::output;

/// A model and its voices, for scripts.
#[derive(Debug, Serialize)]
struct ModelEntry {
    model: String,
    /// Whether it is part of the program.
    built_in: bool,
    default_voice: &'static str,
    /// Its weights in the cache; null when they are not there.
    weights: Option<PathBuf>,
    voices: Vec<VoiceEntry>,
}

#[derive(Debug, Serialize)]
struct VoiceEntry {
    name: &'static str,
    /// Where it is downloaded from; null for one that is part of the program.
    location: Option<String>,
    /// Its file in the cache; null when it is not there.
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

/// The voices of one model, a line each.
fn voice_lines(entry: &ModelEntry) -> String {
    let mut lines = String::new();
    for voice in &entry.voices {
        let mark = match voice.name == entry.default_voice {
            true => "(default)",
            false => "",
        };
        let place = match &voice.path {
            Some(path) => path.display().to_string(),
            None => "not downloaded".to_owned(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{:16}{mark:11}{place}", voice.name);
    }
    lines
}

/// All models, a line each.
fn model_lines(entries: &[ModelEntry]) -> String {
    let mut lines = format!(
        "{:27}{:14}{:10}WEIGHTS\n",
        "MODEL", "DEFAULT VOICE", " VOICES"
    );
    for entry in entries {
        let weights = match (&entry.weights, entry.built_in) {
            (_, true) => "part of the program".to_owned(),
            (Some(path), _) => path.display().to_string(),
            (None, _) => "not downloaded".to_owned(),
        };
        let _ = writeln!(
            lines,
            "{:27}{:14} {:<9}{weights}",
            entry.model,
            entry.default_voice,
            entry.voices.len()
        );
    }
    lines.push_str(
        "\nThe voices of a released model: pocket-tts voices --language NAME. Every model also takes an \
         exported\n.safetensors voice, and those with a voice encoder clone a recording: see generate \
         --voice.\n",
    );
    lines
}

/// What was downloaded before.
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
