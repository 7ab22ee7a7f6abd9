//! Streams speech to a WAV file and prints the progress.
//!
//! ```text
//! cargo run --release -p pocket-tts --example stream -- "One. Two. Three." stream.wav
//! ```

use std::path::PathBuf;
use std::time::Instant;

use pocket_tts::audio::WavStreamWriter;
use pocket_tts::{GenerateOptions, TtsModel};

fn main() -> Result<(), pocket_tts::Error> {
    let mut arguments = std::env::args().skip(1);
    let text = arguments
        .next()
        .unwrap_or("The first words are audible before the last ones are generated.".to_owned());
    let path = PathBuf::from(arguments.next().unwrap_or("stream.wav".to_owned()));

    let model = TtsModel::builtin()?;
    let voice = model.default_voice()?;
    let mut writer = WavStreamWriter::create(&path, model.sample_rate_hz())?;
    let start = Instant::now();
    let mut stream = model.stream(&voice, &text, &GenerateOptions::default())?;
    // A player would receive each chunk here.
    while let Some(chunk) = stream.next().transpose()? {
        writer.write(chunk.samples())?;
        println!(
            "{:6.1?}: {:.2?} more, {} frames so far",
            start.elapsed(),
            chunk.duration(),
            stream.progress().frames
        );
    }
    writer.finish()?;
    Ok(())
}
