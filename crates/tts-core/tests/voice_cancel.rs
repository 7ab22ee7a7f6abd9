//! Cancelling the cloning of a voice.

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tts_core::audio::{Audio, PromptLength, Recording};
use tts_core::{CancelToken, Config, Error, ErrorKind, Model, RunOptions, VoiceOptions};

/// Time until cancelled work has ended. The promise is 200 ms; tests share the processor.
const LATENCY: Duration = Duration::from_millis(600);

fn built_in() -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../builtin-voice/data");
    let config = Config::read(folder.join("config.yaml")).expect("it is valid");
    let parts = support::parts(config, &folder);
    Model::load(parts, RunOptions::default()).expect("the model loads")
}

/// Writes ten minutes of a tone.
fn long_recording(folder: &Path) -> PathBuf {
    let path = folder.join("long.wav");
    let tone = (0..599 * 48_000).map(|n| (n as f32 * 0.02).sin() * 0.3);
    Audio::new(tone.collect(), 48_000)
        .write_wav(&path)
        .expect("it is written");
    path
}

/// Cancels `work` after a while and asserts that it ends soon with the error that says so.
fn assert_cancels<R: std::fmt::Debug>(
    after: Duration,
    work: impl FnOnce(&CancelToken) -> Result<R, Error>,
) {
    let cancel = CancelToken::new();
    let token = cancel.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(after);
        token.cancel();
        Instant::now()
    });
    let error = work(&cancel).expect_err("it is cancelled");
    let took = canceller.join().expect("it ends").elapsed();
    println!("cancelled after {after:?}: ended {took:?} later");
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    assert!(took < LATENCY, "{after:?}: {took:?}");
}

#[test]
fn cloning_a_long_recording_ends_soon_after_it_is_cancelled() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = long_recording(folder.path());
    let model = built_in();
    // While it is opened, read and encoded.
    for millis in [0, 20, 100, 1_000, 5_000] {
        assert_cancels(Duration::from_millis(millis), |cancel| {
            let options = VoiceOptions::default().with_cancel(cancel);
            model.voice_from_recording(&path, &options)
        });
    }
    let recording = Audio::read(&path).expect("it is readable");
    for millis in [0, 20, 100, 1_000] {
        assert_cancels(Duration::from_millis(millis), |cancel| {
            let options = VoiceOptions::default().with_cancel(cancel);
            model.clone_voice_with(&recording, &options)
        });
    }
}

#[test]
fn a_cancelled_token_stops_everything_before_it_starts() {
    let cancel = CancelToken::new();
    cancel.cancel();
    let path = support::fixture("voice_24k.wav");
    let error = Recording::open(&path, PromptLength::Whole, &cancel).expect_err("it is cancelled");
    assert_eq!(Error::from(error).kind(), ErrorKind::Cancelled);
    let recording = Recording::open(&path, PromptLength::Whole, &CancelToken::new());
    let error = recording
        .expect("it is readable")
        .into_prompt(24_000, &cancel)
        .expect_err("it is cancelled");
    assert_eq!(Error::from(error).kind(), ErrorKind::Cancelled);
}
