//! Speech as a stream.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use tts_core::memory::Reclaim;
use tts_core::text::{CUT_AT_ONCE_BYTES, TextError};
use tts_core::{Audio, Error, ErrorKind, GenerateOptions, Model, SpeechStream, Voice};

/// Options with which a fixture model generates the maximum number of frames.
fn endless() -> GenerateOptions {
    GenerateOptions::default()
        .with_eos_threshold(f32::INFINITY)
        .with_seed(1)
}

fn sentences(count: usize) -> String {
    "Hello world, this is one voice. ".repeat(count)
}

fn stream(model: &Model, voice: &Voice, text: &str, options: &GenerateOptions) -> SpeechStream {
    let request = support::request(model, voice, text, options);
    model.stream(request).expect("the stream starts")
}

fn generate(model: &Model, voice: &Voice, text: &str, options: &GenerateOptions) -> Audio {
    let request = support::request(model, voice, text, options);
    model.generate(request).expect("speech is generated")
}

fn threads_of_this_process() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn lsd() -> (Model, Voice) {
    support::model("lsd")
}

#[test]
fn generate_equals_the_joined_stream() {
    let (model, voice) = lsd();
    let options = endless().with_max_tokens(12);
    let whole = generate(&model, &voice, &sentences(2), &options);
    let mut joined = Vec::new();
    let mut chunks = 0;
    for chunk in stream(&model, &voice, &sentences(2), &options) {
        joined.extend_from_slice(chunk.expect("speech is generated").samples());
        chunks += 1;
    }
    assert!(chunks > 2, "only {chunks} chunks");
    assert_eq!(whole.samples(), joined);
}

#[test]
fn first_chunk_has_at_most_four_frames() {
    let (model, voice) = lsd();
    let mut stream = stream(&model, &voice, "hello", &endless());
    let first = stream
        .next()
        .expect("a chunk")
        .expect("speech is generated");
    // The decoder decodes the available frames, at most four, and never waits for more.
    assert!(first.samples().len() <= 4 * model.frame_samples());
    assert_eq!(first.samples().len() % model.frame_samples(), 0);
    assert_eq!(first.sample_rate_hz(), 24_000);
}

#[test]
fn wait_ends_the_threads_and_releases_their_memory() {
    let (model, voice) = lsd();
    // An hour of speech.
    let text = sentences(2000);
    let mut stream_of_an_hour = stream(&model, &voice, &text, &endless());
    stream_of_an_hour
        .next()
        .expect("a chunk")
        .expect("speech is generated");
    let start = Instant::now();
    stream_of_an_hour.wait();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(model.memory_pool().outstanding().len(), 0);

    // No thread of these streams remains.
    let before = threads_of_this_process();
    for _ in 0..20 {
        stream(&model, &voice, &text, &endless()).wait();
    }
    // Other tests of this binary start and end threads of their own meanwhile.
    assert!(threads_of_this_process() < before + 20);
}

/// Blocks the first thread that frees memory.
struct Blocker {
    entered: mpsc::Sender<()>,
    released: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Reclaim for Blocker {
    fn reclaimable_bytes(&self) -> u64 {
        0
    }

    fn reclaim(&self) {
        let released = self.released.lock().unwrap().take();
        if let Some(released) = released {
            self.entered.send(()).unwrap();
            released.recv().unwrap();
        }
    }
}

#[test]
fn token_ends_a_stream_that_another_thread_waits_for() {
    let (model, voice) = lsd();
    let options = endless().with_max_tokens(12);
    let mut stream = stream(&model, &voice, &sentences(2_000), &options);
    let cancel = stream.cancel_token();
    let first = stream.next().expect("there is audio");
    assert!(!first.expect("speech is generated").samples().is_empty());
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        cancel.cancel();
        Instant::now()
    });
    let chunks = stream
        .by_ref()
        .map(|chunk| chunk.expect("speech is generated"));
    let samples: usize = chunks.map(|chunk| chunk.samples().len()).sum();
    let took = canceller.join().expect("it ends").elapsed();
    assert!(stream.progress().frames * model.frame_samples() >= samples);
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(stream.next().is_none());
}

#[test]
fn drop_does_not_wait_for_a_blocked_thread() {
    let (model, voice) = lsd();
    let pool = model.memory_pool();
    let text = sentences(2000);
    let (entered, blocked) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(Some(released));
    // The first attempt to free memory blocks the generator.
    let reclaimer = Arc::new(Blocker { entered, released });
    model.ledger().add_reclaimer(&reclaimer);
    let limit = limit_for(&model, &voice, &text);
    let request =
        support::request(&model, &voice, &text, &endless()).with_memory_limit_bytes(limit);
    let stream = model.stream(request).expect("the stream starts");
    // Now the limit is exceeded.
    let _ballast = lease(&model, 256 << 20);
    blocked.recv().expect("the generator frees memory");
    let start = Instant::now();
    drop(stream);
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "{:?}",
        start.elapsed()
    );
    assert!(pool.outstanding().len() > 1, "the generator has ended");
    release.send(()).expect("the generator is blocked");
    while pool.outstanding().len() > 1 {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A limit that the speech fits in, with some room.
fn limit_for(model: &Model, voice: &Voice, text: &str) -> u64 {
    let request = support::request(model, voice, text, &endless());
    let need = model.stream_cost().need(request.text.largest_segment());
    let present = model.ledger().present_bytes();
    // Other tests of this binary lease state meanwhile.
    present + need.total_bytes(1) + (64 << 20)
}

/// Tensors of this many bytes, leased from the model's pool.
fn lease(model: &Model, bytes: usize) -> tensor_pool::PooledTensor<1> {
    let pool = model.memory_pool();
    pool.get_tensor([bytes / 4], tensor_pool::DType::F32, model.tensor_device())
        .expect("there is memory")
}

#[test]
fn interrupted_speech_returns_the_audio_so_far() {
    let (model, voice) = lsd();
    let request = support::request(&model, &voice, &sentences(300), &endless());
    let frames = request.text.max_frames().expect("the text is cut");
    let audio_bytes = (frames * model.frame_samples() * size_of::<f32>()) as u64;
    let limit_bytes = limit_for(&model, &voice, &sentences(300)) + audio_bytes;
    let limited = request.clone().with_memory_limit_bytes(limit_bytes);
    let is_over = AtomicBool::new(false);
    let end = std::thread::scope(|scope| {
        scope.spawn(|| {
            // After the first segments, other code allocates more than the limit allows.
            let pool = model.memory_pool();
            while pool.get_stats().hits < 50 && !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let ballast = lease(&model, audio_bytes as usize + (128 << 20));
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            drop(ballast);
        });
        let end = model.generate(limited);
        is_over.store(true, Ordering::Relaxed);
        end
    });
    let end = end.expect_err("the limit is exceeded");
    assert_eq!(end.error.kind(), ErrorKind::OutOfMemory, "{}", end.error);
    let partial = end.partial.samples();
    assert!(!partial.is_empty() && partial.len() < frames * model.frame_samples());
    let mut whole = Vec::new();
    for chunk in model.stream(request).expect("the stream starts") {
        whole.extend_from_slice(chunk.expect("speech is generated").samples());
        if whole.len() >= partial.len() {
            break;
        }
    }
    assert!(partial == &whole[..partial.len()]);
}

#[cfg(feature = "futures")]
#[test]
fn polled_stream_yields_the_chunks_of_the_iterator() {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake, Waker};

    use futures_core::Stream;

    /// Unparks the thread that polls.
    struct Unpark(std::thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let (model, voice) = lsd();
    let options = endless().with_max_tokens(12);
    let whole = generate(&model, &voice, &sentences(2), &options);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut polled = pin!(stream(&model, &voice, &sentences(2), &options));
    let (mut samples, mut pending) = (Vec::new(), 0);
    loop {
        match polled.as_mut().poll_next(&mut context) {
            Poll::Ready(Some(chunk)) => {
                samples.extend_from_slice(chunk.expect("speech is generated").samples());
            }
            Poll::Ready(None) => break,
            Poll::Pending => {
                pending += 1;
                std::thread::park();
            }
        }
    }
    assert!(
        pending > 0,
        "the stream blocks instead of returning Pending"
    );
    assert_eq!(whole.samples(), samples);
}

#[test]
fn stream_pauses_while_its_chunks_are_not_read() {
    let (model, voice) = lsd();
    let mut stream = stream(&model, &voice, &sentences(500), &endless());
    stream
        .next()
        .expect("a chunk")
        .expect("speech is generated");
    let mut last = stream.progress().frames;
    let settled = loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = stream.progress().frames;
        if now == last {
            break now;
        }
        last = now;
    };
    // Eight chunks of at most four frames are queued, and one is being sent.
    assert!(settled <= 4 * 10, "{settled} frames were generated");
}

#[test]
fn progress_ends_at_the_number_of_frames() {
    let (model, voice) = lsd();
    let options = endless().with_max_tokens(12);
    let mut stream = stream(&model, &voice, &sentences(2), &options);
    let (mut samples, mut frames) = (0, 0);
    while let Some(chunk) = stream.next() {
        samples += chunk.expect("speech is generated").samples().len();
        let progress = stream.progress();
        assert!(progress.frames >= frames && progress.frames <= progress.max_frames);
        frames = progress.frames;
    }
    let progress = stream.progress();
    assert!(progress.is_last_segment);
    assert_eq!(progress.frames * model.frame_samples(), samples);
    assert_eq!(
        progress.frames, progress.max_frames,
        "no end of speech is detected here"
    );
    assert!(stream.next().is_none());
}

#[test]
fn speech_ends_after_the_requested_frames() {
    let (model, voice) = lsd();
    let spoken = |frames_after_eos| {
        // Every frame looks like the end; the first that is checked is the seventh.
        let options = endless()
            .with_eos_threshold(-1e9)
            .with_frames_after_eos(frames_after_eos);
        let audio = generate(&model, &voice, "hello world", &options);
        audio.samples().len() / model.frame_samples()
    };
    assert_eq!([0, 1, 5].map(spoken), [6, 7, 11]);
}

#[test]
fn stream_without_seed_reports_a_seed_that_reproduces_it() {
    let (model, voice) = lsd();
    let mut options = endless().with_temperature(0.7);
    options.seed = None;
    let collect = |options: &GenerateOptions| {
        let stream = stream(&model, &voice, "hello", options);
        let seed = stream.seed();
        let chunks: Vec<_> = stream
            .map(|chunk| chunk.expect("speech is generated").into_samples())
            .collect();
        (seed, chunks.concat())
    };
    let (seed, first) = collect(&options);
    let (other_seed, other) = collect(&options);
    assert!(seed != other_seed && first != other);
    let (_, again) = collect(&options.with_seed(seed));
    assert!(first == again);
}

#[test]
fn rejects_invalid_options_and_empty_texts() {
    let (model, voice) = lsd();
    for text in ["", "   ", "\n"] {
        let error = model
            .prepare(text, &endless())
            .expect_err("nothing to speak");
        assert!(matches!(error, Error::Text(TextError::Empty)), "{error}");
    }
    let with = |change: fn(&mut GenerateOptions)| {
        let mut options = endless();
        change(&mut options);
        let mut request = support::request(&model, &voice, "hello", &endless());
        request.options = options.clone();
        let error = model.stream(request).expect_err("an invalid option");
        let prepared = model.prepare("hello", &options);
        let prepared = prepared.expect_err("an invalid option");
        assert_eq!(error.to_string(), prepared.to_string());
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
fn long_text_is_cut_while_it_is_spoken() {
    let (model, voice) = lsd();
    let text = sentences((1 << 20) / 32);
    for limit in [None, Some(limit_for(&model, &voice, &text))] {
        let mut request = support::request(&model, &voice, &text, &endless());
        assert_eq!(request.text.segment_count(), None);
        request.memory_limit_bytes = limit;
        let mut stream = model.stream(request).expect("the stream starts");
        stream
            .next()
            .expect("a chunk")
            .expect("speech is generated");
        assert!(!stream.progress().is_last_segment);
    }
}

#[test]
fn segments_do_not_depend_on_when_a_text_is_cut() {
    let (model, _) = lsd();
    let text = sentences(CUT_AT_ONCE_BYTES / 32 + 1);
    let lazy = model.prepare(&text, &endless()).unwrap();
    assert!(text.len() > CUT_AT_ONCE_BYTES);
    assert_eq!((lazy.segment_count(), lazy.max_frames()), (None, None));
    let cut = lazy.cut().unwrap();
    let segments: Vec<_> = lazy.segments().unwrap().map(Result::unwrap).collect();
    let stored: Vec<_> = cut.segments().unwrap().map(Result::unwrap).collect();
    assert_eq!(segments, stored);
    assert_eq!(cut.segment_count(), Some(segments.len()));
    let largest = segments.iter().map(|segment| segment.size());
    let largest = largest.max_by_key(|size| size.positions()).unwrap();
    assert_eq!(cut.largest_segment(), largest);
    // The bound for a text that is cut on demand.
    assert!(lazy.largest_segment().tokens >= largest.tokens);
    assert!(lazy.largest_segment().max_frames >= largest.max_frames);
}

#[test]
fn segments_report_characters_without_tokens() {
    let (model, _) = lsd();
    let text = "Plain words are here. A cat 猫 and 犬 and 猫 again. Plain again.";
    let options = endless().with_max_tokens(32);
    let text = model.prepare(text, &options).unwrap();
    let unspeakable: Vec<String> = text
        .segments()
        .unwrap()
        .map(|segment| segment.unwrap().unspeakable.iter().collect())
        .collect();
    assert_eq!(unspeakable, ["", "猫犬", ""]);
}

#[test]
fn options_override_the_frames_after_the_end_of_speech() {
    let (model, _) = lsd();
    let frames = |options: &GenerateOptions| {
        let text = model.prepare("Hello world.", options).unwrap();
        let segment = text.segments().unwrap().next().unwrap().unwrap();
        segment.frames_after_eos
    };
    assert_ne!(frames(&endless()), 9);
    assert_eq!(frames(&endless().with_frames_after_eos(9)), 9);
}
