//! The predefined voices of the released models.

use super::{OPEN_REPOSITORY, Preset, UnknownName, hub};
use crate::location::Location;

/// Names of the predefined voices; every released model has a voice file for each.
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

/// Revision of the repository with the voice files, as in the reference.
const REVISION: &str = "a7056f505a4a8ca72d8b5fb1440071d6f1a35739";

/// Returns the predefined voice of that name.
///
/// # Errors
///
/// No predefined voice has that name.
pub fn predefined_voice(name: &str) -> Result<&'static str, UnknownName> {
    PREDEFINED_VOICES
        .into_iter()
        .find(|&known| known == name)
        .ok_or_else(|| UnknownName::new("predefined voice", name, PREDEFINED_VOICES.to_vec()))
}

/// Returns the location of a predefined voice's file for a released model.
///
/// ```
/// use pocket_tts::{Preset, voice_location};
/// let location = voice_location(Preset::named("english")?, "alba")?.to_string();
/// assert!(location.contains("/languages/english/embeddings/alba.safetensors@"));
/// # Ok::<(), pocket_tts::UnknownName>(())
/// ```
///
/// # Errors
///
/// No predefined voice has that name.
pub fn voice_location(preset: &Preset, voice: &str) -> Result<Location, UnknownName> {
    let voice = predefined_voice(voice)?;
    let file = format!("languages/{}/embeddings/{voice}.safetensors", preset.name);
    Ok(hub(OPEN_REPOSITORY, file, REVISION))
}
