//! Writes speech to a WAV file, with the built-in model and voice.
//!
//! ```text
//! cargo run --release -p pocket-tts --example speak -- "Hello world." hello.wav
//! ```

use std::path::PathBuf;

use pocket_tts::{GenerateOptions, TtsModel};

fn main() -> Result<(), pocket_tts::Error> {
    let mut arguments = std::env::args().skip(1);
    let text = arguments.next().unwrap_or("Hello world.".to_owned());
    let path = PathBuf::from(arguments.next().unwrap_or("speak.wav".to_owned()));

    let model = TtsModel::builtin()?;
    let voice = model.default_voice()?;
    let audio = model.generate(&voice, &text, &GenerateOptions::default())?;
    audio.write_wav(&path)?;
    println!("{}: {:.2?}", path.display(), audio.duration());
    Ok(())
}
