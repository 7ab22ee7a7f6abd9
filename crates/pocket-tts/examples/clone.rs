//! Clones a voice from a recording, speaks with it, and saves it for the next time.
//!
//! ```text
//! cargo run --release -p pocket-tts --example clone -- recording.wav
//! ```
//!
//! Without a recording, the built-in voice speaks one first.

use std::path::Path;

use pocket_tts::{Audio, GenerateOptions, TtsModel};

fn main() -> Result<(), pocket_tts::Error> {
    let model = TtsModel::builtin()?;
    let options = GenerateOptions::default();
    let recording = match std::env::args().nth(1) {
        Some(path) => Audio::read(path.as_ref())?,
        None => model.generate(&model.default_voice()?, "This is how I sound.", &options)?,
    };

    let voice = model.clone_voice_truncated(&recording)?;
    let audio = model.generate(&voice, "And this is my clone.", &options)?;
    audio.write_wav(Path::new("clone.wav"))?;

    // A voice loads at once from its state, without its recording.
    model.export_voice(&voice, "clone.safetensors")?;
    let again = model.voice("clone.safetensors")?;
    println!(
        "clone.wav, clone.safetensors: {} positions",
        again.positions()
    );
    Ok(())
}
