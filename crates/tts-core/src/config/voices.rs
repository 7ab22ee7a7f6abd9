//! The voices that were made for the released models.

use super::{Location, Preset, nearest};
use crate::error::{Error, Result};

/// Names of the voices that every released model has a state for.
pub const PREDEFINED_VOICES: [&str; 27] = [
    "alba",
    "anna",
    "azelma",
    "bill_boerst",
    "caro_davy",
    "charles",
    "cosette",
    "daan",
    "eponine",
    "estelle",
    "eve",
    "fantine",
    "george",
    "giovanni",
    "jane",
    "javert",
    "jean",
    "juergen",
    "lola",
    "marius",
    "mary",
    "michael",
    "paul",
    "peter_yearsley",
    "rafael",
    "stuart_bell",
    "vera",
];

/// Revision of the repository that holds the states, as the reference asks for it.
const REVISION: &str = "a7056f505a4a8ca72d8b5fb1440071d6f1a35739";

/// Finds a predefined voice by its name.
///
/// # Errors
/// [`Error::UnknownVoice`], which lists the names, if there is none.
pub fn predefined_voice(name: &str) -> Result<&'static str> {
    PREDEFINED_VOICES
        .into_iter()
        .find(|&known| known == name)
        .ok_or_else(|| Error::UnknownVoice {
            name: name.to_owned(),
            nearest: nearest(name, PREDEFINED_VOICES),
            known: PREDEFINED_VOICES.map(str::to_owned).to_vec(),
        })
}

/// Where the state of a predefined voice for a released model lies.
///
/// ```
/// use tts_core::config::{Preset, voice_location};
/// let location = voice_location(Preset::named("english")?, "alba")?.to_string();
/// assert!(location.contains("/languages/english/embeddings/alba.safetensors@"));
/// # Ok::<(), tts_core::error::Error>(())
/// ```
///
/// # Errors
/// [`Error::UnknownVoice`] if no voice has that name.
pub fn voice_location(preset: &Preset, voice: &str) -> Result<Location> {
    let voice = predefined_voice(voice)?;
    Ok(Location::Hub {
        repo: super::presets::OPEN_REPOSITORY.to_owned(),
        file: format!("languages/{}/embeddings/{voice}.safetensors", preset.name),
        revision: Some(REVISION.to_owned()),
    })
}
