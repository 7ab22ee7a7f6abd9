//! Clones a voice from a recording, generates speech with it, and saves the voice.
//!
//! ```text
//! cargo run --release -p pocket-tts --example clone -- recording.wav
//! ```
//!
//! Without an argument, the recording is generated with the built-in voice.

use pocket_tts::{Audio, GenerateOptions, TtsModel};

fn main() -> Result<(), pocket_tts::Error> {
    let model = TtsModel::builtin()?;
    let options = GenerateOptions::default();
    let recording = match std::env::args().nth(1) {
        Some(path) => Audio::read(path)?,
        None => model.generate(&model.default_voice()?, "This is how I sound.", &options)?,
    };

    let voice = model.clone_voice_truncated(&recording)?;
    let audio = model.generate(&voice, "And this is my clone.", &options)?;
    audio.write_wav("clone.wav")?;

    // Loading a voice file is much faster than cloning the recording.
    model.export_voice(&voice, "clone.safetensors")?;
    let again = model.voice("clone.safetensors")?;
    println!(
        "wrote clone.wav and clone.safetensors ({} positions)",
        again.positions()
    );
    Ok(())
}
