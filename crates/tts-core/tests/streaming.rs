//! Speech as a stream.

mod support;

use std::time::{Duration, Instant};

use tts_core::{Error, GenerateOptions, Model, Voice};

/// Settings under which a fixture model speaks as long as it may.
fn endless() -> GenerateOptions {
    GenerateOptions {
        eos_threshold: Some(f32::INFINITY),
        seed: Some(1),
        ..Default::default()
    }
}

/// A text of many parts.
fn long_text(parts: usize) -> String {
    "Hello world, this is one voice. ".repeat(parts)
}

fn threads_of_this_process() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn lsd() -> (Model, Voice) {
    support::model("lsd")
}

#[test]
fn generate_is_the_stream_joined() {
    let (model, voice) = lsd();
    let options = GenerateOptions {
        max_tokens: 12,
        ..endless()
    };
    let whole = model
        .generate(&voice, &long_text(2), &options)
        .expect("it speaks");
    let mut joined = Vec::new();
    let mut chunks = 0;
    for chunk in model
        .stream(&voice, &long_text(2), &options)
        .expect("it starts")
    {
        joined.extend_from_slice(chunk.expect("it speaks").samples());
        chunks += 1;
    }
    assert!(chunks > 2, "{chunks} chunks are no stream");
    assert_eq!(whole.samples(), joined);
}

#[test]
fn the_first_chunk_is_the_first_frame() {
    let (model, voice) = lsd();
    let mut stream = model
        .stream(&voice, "hello", &endless())
        .expect("it starts");
    let first = stream.next().expect("a chunk").expect("it speaks");
    // The decoder takes what is there, at most four frames, and never waits for a second one.
    assert!(first.samples().len() <= 4 * model.frame_samples());
    assert_eq!(first.samples().len() % model.frame_samples(), 0);
    assert_eq!(first.sample_rate_hz(), 24_000);
}

#[test]
fn dropping_a_stream_stops_its_work_at_once() {
    let (model, voice) = lsd();
    // An hour of speech, of which the first chunk is taken.
    let text = long_text(2000);
    let mut stream = model.stream(&voice, &text, &endless()).expect("it starts");
    stream.next().expect("a chunk").expect("it speaks");
    let start = Instant::now();
    drop(stream);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );

    // The threads are joined: many streams begun and dropped leave none behind.
    let before = threads_of_this_process();
    for _ in 0..20 {
        drop(model.stream(&voice, &text, &endless()).expect("it starts"));
    }
    // Other tests of this binary start and end threads of their own meanwhile.
    assert!(threads_of_this_process() < before + 20);
}

#[test]
fn a_listener_who_waits_makes_the_stream_wait() {
    let (model, voice) = lsd();
    let mut stream = model
        .stream(&voice, &long_text(500), &endless())
        .expect("it starts");
    stream.next().expect("a chunk").expect("it speaks");
    let mut last = stream.progress().frames;
    let settled = loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = stream.progress().frames;
        if now == last {
            break now;
        }
        last = now;
    };
    // Eight chunks of at most four frames wait, and one is being handed over.
    assert!(settled <= 4 * 10, "{settled} frames were made for nobody");
}

#[test]
fn progress_goes_up_to_what_was_spoken() {
    let (model, voice) = lsd();
    let options = GenerateOptions {
        max_tokens: 12,
        ..endless()
    };
    let mut stream = model
        .stream(&voice, &long_text(2), &options)
        .expect("it starts");
    let (mut samples, mut frames) = (0, 0);
    while let Some(chunk) = stream.next() {
        samples += chunk.expect("it speaks").samples().len();
        let progress = stream.progress();
        assert!(progress.frames >= frames && progress.frames <= progress.max_frames);
        frames = progress.frames;
    }
    let progress = stream.progress();
    assert!(progress.is_last_part);
    assert_eq!(progress.frames * model.frame_samples(), samples);
    assert_eq!(
        progress.frames, progress.max_frames,
        "it never ends by itself here"
    );
    assert!(stream.next().is_none());
}

#[test]
fn speech_ends_after_the_frames_asked_for() {
    let (model, voice) = lsd();
    let spoken = |frames_after_eos| {
        let options = GenerateOptions {
            // Every frame looks like the end; the first that counts is the seventh.
            eos_threshold: Some(-1e9),
            frames_after_eos: Some(frames_after_eos),
            ..endless()
        };
        let audio = model
            .generate(&voice, "hello world", &options)
            .expect("it speaks");
        audio.samples().len() / model.frame_samples()
    };
    assert_eq!([0, 1, 5].map(spoken), [6, 7, 11]);
}

#[test]
fn an_unseeded_stream_names_a_seed_that_repeats_it() {
    let (model, voice) = lsd();
    let options = GenerateOptions {
        temperature: Some(0.7),
        seed: None,
        ..endless()
    };
    let collect = |options: &GenerateOptions| {
        let stream = model.stream(&voice, "hello", options).expect("it starts");
        let seed = stream.seed();
        let chunks: Vec<_> = stream
            .map(|chunk| chunk.expect("it speaks").into_samples())
            .collect();
        (seed, chunks.concat())
    };
    let (seed, first) = collect(&options);
    let (other_seed, other) = collect(&options);
    assert!(seed != other_seed && first != other);
    let (_, again) = collect(&GenerateOptions {
        seed: Some(seed),
        ..options
    });
    assert!(first == again);
}

#[test]
fn bad_settings_and_empty_texts_are_refused_before_anything_starts() {
    let (model, voice) = lsd();
    for text in ["", "   ", "\n"] {
        let error = model
            .stream(&voice, text, &endless())
            .expect_err("nothing to say");
        assert!(matches!(error, Error::EmptyText), "{error}");
    }
    let with = |change: fn(&mut GenerateOptions)| {
        let mut options = endless();
        change(&mut options);
        let error = model
            .stream(&voice, "hello", &options)
            .expect_err("a bad setting");
        error.to_string()
    };
    let cases = [
        (with(|o| o.temperature = Some(-0.1)), "temperature is -0.1"),
        (
            with(|o| o.temperature = Some(f32::NAN)),
            "temperature is NaN",
        ),
        (
            with(|o| o.sampler_decode_steps = 0),
            "sampler-decode-steps is 0",
        ),
        (with(|o| o.noise_clamp = Some(0.0)), "noise-clamp is 0"),
        (
            with(|o| o.eos_threshold = Some(f32::NAN)),
            "eos-threshold is NaN",
        ),
        (
            with(|o| o.frames_after_eos = Some(1 << 40)),
            "frames-after-eos is 1099511627776",
        ),
        (with(|o| o.max_tokens = 0), "max-tokens is 0"),
    ];
    for (message, start) in cases {
        assert!(
            message.starts_with(start) && message.contains("must be"),
            "{message}"
        );
    }
}

#[test]
fn a_megabyte_of_text_starts_to_speak_without_being_cut_up_first() {
    let (model, voice) = lsd();
    let text = long_text((1 << 20) / 32);
    let mut stream = model.stream(&voice, &text, &endless()).expect("it starts");
    stream.next().expect("a chunk").expect("it speaks");
    assert!(!stream.progress().is_last_part);
}
