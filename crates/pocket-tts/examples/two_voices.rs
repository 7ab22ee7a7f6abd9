//! Generates a dialogue of two voices with one model, on two threads at the same time.
//!
//! ```text
//! cargo run --release -p pocket-tts --example two_voices -- recording-of-the-second.wav
//! ```
//!
//! Without an argument, the second voice is the built-in voice at a higher pitch.

use std::thread;

use pocket_tts::{Audio, GenerateOptions, TtsModel, Voice};

fn main() -> Result<(), pocket_tts::Error> {
    let model = TtsModel::builtin()?;
    let first = model.default_voice()?;
    let recording = match std::env::args().nth(1) {
        Some(path) => Audio::read(path)?,
        None => {
            let prompt = "A short text is enough.";
            let slow = model.generate(&first, prompt, &GenerateOptions::default())?;
            let faster_hz = slow.sample_rate_hz() * 6 / 5;
            Audio::new(slow.into_samples(), faster_hz)
        }
    };
    let second = model.clone_voice_truncated(&recording)?;

    let say = |voice: &Voice, text| model.generate(voice, text, &GenerateOptions::default());
    let (question, answer) = thread::scope(|scope| {
        let question = scope.spawn(|| say(&first, "Do you hear me?"));
        let answer = say(&second, "I hear you well.");
        (question.join().expect("the thread does not panic"), answer)
    });
    let mut samples = question?.into_samples();
    samples.extend_from_slice(answer?.samples());
    Audio::new(samples, model.sample_rate_hz()).write_wav("two_voices.wav")?;
    println!("wrote two_voices.wav");
    Ok(())
}
