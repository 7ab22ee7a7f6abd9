//! Limits: speech is either refused with a sufficient limit, or stays within its limit. The tests run one
//! at a time in a binary of their own, because they count every byte of the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pocket_tts::memory::{
    PoolAllocator, get_memory_ledger, get_memory_pool, memory_efficient_context, with_memory_limit,
};
use pocket_tts::{Audio, CoreError, Error, GenerateOptions, SpeechRequest, TtsModel, Voice};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tensor_pool::PeakWindow;
use tts_core::MemoryError;
use tts_core::memory::KV_CACHE_TAG;

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

const MIB: u64 = 1 << 20;

/// Runs with a random limit and random speech.
const RUNS: usize = 200;

/// Memory that a refusal may take: a text's segments and a message.
const REFUSAL_BYTES: u64 = MIB;

/// Runs one test at a time: each counts the bytes of the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    let guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    if tensor_pool::heap().is_none() {
        assert!(ALLOCATOR.install());
    }
    guard
}

fn counted_now() -> u64 {
    get_memory_ledger().counted().total()
}

fn peak_of(window: &PeakWindow) -> u64 {
    let elsewhere = get_memory_ledger().counted();
    window.peak_bytes().expect("the allocator is installed")
        + elsewhere.mapped_bytes
        + elsewhere.device_bytes
}

/// Synthesizes a recording, to clone voices of different sizes from.
fn hum(seconds: f32) -> Audio {
    let samples = (0..(16_000.0 * seconds) as usize).map(|n| {
        let t = n as f32 / 16_000.0;
        0.3 * (t * 900.0).sin() * (1.0 + (t * 20.0).sin())
    });
    Audio::new(samples.collect(), 16_000)
}

/// Random speech of one run.
struct Speech {
    requests: Vec<SpeechRequest>,
    is_streamed: bool,
}

impl Speech {
    fn random(rng: &mut ChaCha8Rng, model: &TtsModel, voices: &[Voice]) -> Self {
        let words = [
            "the", "sun", "is", "on", "a", "hill", "and", "we", "go", "to", "it",
        ];
        let mut text = || {
            let mut text = String::new();
            for _ in 0..rng.random_range(1..=4) {
                for _ in 0..rng.random_range(1..=12) {
                    text += words.choose(rng).expect("there are words");
                    text += " ";
                }
                text += "end. ";
            }
            text
        };
        let mut texts = vec![text()];
        let is_streamed = rng.random_bool(0.5);
        if !is_streamed {
            let more = rng.random_range(0..3);
            for _ in 0..more {
                let mut line = String::from("One more line");
                for _ in 0..rng.random_range(0..6) {
                    line += " and ";
                    line += words.choose(rng).expect("there are words");
                }
                texts.push(line + ".");
            }
        }
        let voices: Vec<_> = texts
            .iter()
            .map(|_| voices.choose(rng).expect("there are voices"))
            .collect();
        let mut options = GenerateOptions::default()
            .with_seed(rng.next_u32().into())
            // Some texts have many segments, some have few.
            .with_max_tokens(rng.random_range(4..40));
        options.batch_size = rng.random_bool(0.7).then(|| rng.random_range(1..=8));
        let requests = texts.iter().zip(voices);
        let requests = requests.map(|(text, voice)| model.request(voice, text, &options).unwrap());
        Self {
            requests: requests.collect(),
            is_streamed,
        }
    }

    fn planned(&self, model: &TtsModel) -> u64 {
        let SpeechRequest {
            voice,
            text,
            options,
            ..
        } = &self.requests[0];
        let plan = match self.is_streamed {
            true => model.plan_stream_memory(voice, text, options),
            false => model.plan_batch_memory(&self.requests),
        };
        plan.expect("the text is valid").peak_bytes
    }

    fn speak(&self, model: &TtsModel) -> Result<usize, Error> {
        if !self.is_streamed {
            let spoken = model.generate_batch(self.requests.clone())?;
            return Ok(spoken.iter().map(|audio| audio.samples().len()).sum());
        }
        let SpeechRequest {
            voice,
            text,
            options,
            ..
        } = &self.requests[0];
        let mut samples = 0;
        for chunk in model.stream(voice, text, options)? {
            samples += chunk?.samples().len();
        }
        Ok(samples)
    }

    /// Speaks within a limit and checks the peak.
    fn within(&self, model: &TtsModel, limit_mb: u64) -> Result<usize, Error> {
        let window = PeakWindow::new();
        let before = counted_now();
        let result = with_memory_limit(limit_mb, || self.speak(model));
        let peak = peak_of(&window);
        match &result {
            Ok(_) => assert!(
                peak <= limit_mb << 20,
                "{peak} within a limit of {limit_mb} MB"
            ),
            Err(Error::Core(CoreError::Memory(MemoryError::LimitTooLow { .. }))) => {
                let risen = peak.saturating_sub(before);
                assert!(risen <= REFUSAL_BYTES, "the refusal took {risen}");
            }
            Err(error) => panic!("{error}"),
        }
        result
    }
}

#[test]
fn random_speech_stays_within_its_limit_or_is_refused_with_a_sufficient_one() {
    let _alone = alone();
    let model = TtsModel::builtin().unwrap();
    let mut voices = vec![model.default_voice().unwrap()];
    for seconds in [1.5, 6.0] {
        voices.push(model.clone_voice(&hum(seconds)).unwrap());
    }
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let (mut refused, mut spoken) = (0, 0);
    for run in 0..RUNS {
        let speech = Speech::random(&mut rng, &model, &voices);
        let most = speech.planned(&model) / MIB + 2;
        let least = get_memory_ledger().present_bytes() / MIB;
        let limit_mb = rng.random_range(least.saturating_sub(2)..=most);
        match speech.within(&model, limit_mb.max(1)) {
            Ok(samples) => {
                assert!(samples > 0);
                spoken += 1;
            }
            Err(Error::Core(error)) => {
                let sufficient_mb = error.sufficient_limit_mb().expect("a sufficient limit");
                assert!(sufficient_mb > limit_mb, "run {run}: {error}");
                let samples = speech.within(&model, sufficient_mb);
                let samples = samples.unwrap_or_else(|error| {
                    panic!("run {run}: with {sufficient_mb} MB instead of {limit_mb}: {error}")
                });
                assert!(samples > 0);
                refused += 1;
            }
            Err(error) => panic!("run {run}: {error}"),
        }
        assert_eq!(get_memory_ledger().reserved_bytes(), 0, "run {run}");
    }
    println!("{refused} refused, {spoken} spoken");
    assert!(
        refused > RUNS / 10 && spoken > RUNS / 10,
        "{refused} of {RUNS} refused"
    );
}

/// Returns a text of many short segments.
fn many_segments() -> (String, GenerateOptions) {
    let options = GenerateOptions::default().with_seed(3).with_max_tokens(12);
    ("The sun is on a hill. ".repeat(40), options)
}

/// Allocates memory as other code of the process would, until it is dropped.
fn occupy(bytes: u64) -> Vec<u8> {
    vec![1; bytes as usize]
}

#[test]
fn a_stream_whose_memory_is_taken_ends_after_its_audio_so_far() {
    let _alone = alone();
    let model = TtsModel::builtin().unwrap();
    let voice = model.default_voice().unwrap();
    let (text, options) = many_segments();
    let plan = model.plan_stream_memory(&voice, &text, &options).unwrap();
    let context = memory_efficient_context(plan.peak_bytes / MIB + 2);
    let mut stream = model.stream(&voice, &text, &options).unwrap();
    // A stream keeps the limit it started with.
    drop(context);
    let mut samples = 0;
    for _ in 0..20 {
        samples += stream.next().unwrap().unwrap().samples().len();
    }
    let occupied = occupy(plan.peak_bytes);
    let end = stream.find_map(|chunk| match chunk {
        Ok(chunk) => {
            samples += chunk.samples().len();
            None
        }
        Err(error) => Some(error),
    });
    drop(occupied);
    let Some(Error::Core(CoreError::Memory(MemoryError::LimitExceeded {
        limit_bytes,
        counted_bytes,
    }))) = end
    else {
        panic!("{end:?}");
    };
    assert!(counted_bytes > limit_bytes);
    assert!(samples > 0);
    assert!(stream.next().is_none());
    drop(stream);
    // The reservation is released, and the model can speak again.
    assert_eq!(get_memory_ledger().reserved_bytes(), 0);
    assert!(model.generate(&voice, "Again.", &options).is_ok());
}

#[test]
fn a_generation_whose_memory_is_taken_returns_the_audio_so_far() {
    let _alone = alone();
    let model = TtsModel::builtin().unwrap();
    let voice = model.default_voice().unwrap();
    let (_, options) = many_segments();
    for batch_size in [1, 3] {
        let options = options.clone().with_batch_size(batch_size);
        let requests = [3, 20, 20].map(|sentences| {
            let text = "The sun is on a hill. ".repeat(sentences);
            model.request(&voice, &text, &options).unwrap()
        });
        let whole = model.generate_batch(requests.to_vec()).unwrap();
        let plan = model.plan_batch_memory(&requests).unwrap();
        let is_over = AtomicBool::new(false);
        let end = std::thread::scope(|scope| {
            let leases = get_memory_pool().get_stats().hits;
            let (is_over, plan) = (&is_over, &plan);
            scope.spawn(move || {
                // Later segments lease the tensors that earlier ones returned.
                let start = Instant::now();
                while get_memory_pool().get_stats().hits < leases + 200 {
                    assert!(start.elapsed() < Duration::from_secs(60), "too few leases");
                    std::thread::yield_now();
                }
                let occupied = occupy(plan.peak_bytes);
                while !is_over.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                drop(occupied);
            });
            let result = with_memory_limit(plan.peak_bytes / MIB + 2, || {
                model.generate_batch(requests.to_vec())
            });
            is_over.store(true, Ordering::Relaxed);
            result.map(|_| ()).unwrap_err()
        });
        let Error::Core(CoreError::Memory(MemoryError::LimitExceeded { .. })) = *end.error else {
            panic!("{}", end.error);
        };
        assert_eq!(end.partial.len(), requests.len());
        let lengths =
            |audio: &[Audio]| -> usize { audio.iter().map(|audio| audio.samples().len()).sum() };
        assert!(lengths(&end.partial) > 0, "no audio");
        assert!(
            lengths(&end.partial) < lengths(&whole),
            "the generation was not interrupted"
        );
        for (partial, whole) in end.partial.iter().zip(&whole) {
            let partial = partial.samples();
            assert!(
                partial == &whole.samples()[..partial.len()],
                "the audio so far differs"
            );
        }
    }
}

#[test]
fn cached_voices_are_dropped_before_a_stream_ends() {
    let _alone = alone();
    let model = TtsModel::builtin().unwrap();
    let voice = model.default_voice().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("hum.wav");
    hum(25.0).write_wav(&recording).unwrap();
    let (text, options) = many_segments();
    let cached = model
        .voice(recording.to_str().unwrap())
        .unwrap()
        .size_bytes();
    model_without_encoder(&model);
    let plan = model.plan_stream_memory(&voice, &text, &options).unwrap();
    let limit_mb = plan.peak_bytes / MIB + 1;
    let context = memory_efficient_context(limit_mb);
    let mut stream = model.stream(&voice, &text, &options).unwrap();
    drop(context);
    stream.next().unwrap().unwrap();
    // Over the limit by less than the cached voice's bytes, and by more than the scratch of a frame,
    // which may be counted now.
    let before = counted_now();
    let occupied = occupy((limit_mb << 20).saturating_sub(before) + cached * 3 / 4);
    for chunk in stream {
        chunk.expect("dropping the cached voice is enough");
    }
    let freed = (before + occupied.len() as u64).saturating_sub(counted_now());
    assert!(freed > cached / 2, "the voice is still cached");
    drop(occupied);
}

/// Drops the encoder, so that it cannot be released later.
fn model_without_encoder(model: &TtsModel) {
    pocket_tts::memory::optimize_model_memory(model);
    assert_eq!(model.info().size.encoder_bytes, None);
}

#[test]
fn the_batch_shrinks_before_a_stream_ends() {
    let _alone = alone();
    let model = TtsModel::builtin().unwrap();
    let voice = model.default_voice().unwrap();
    let (text, options) = many_segments();
    let options = options.with_batch_size(4);
    let plan = model.plan_stream_memory(&voice, &text, &options).unwrap();
    let limit_mb = plan.peak_bytes / MIB + 1;
    let context = memory_efficient_context(limit_mb);
    let mut stream = model.stream(&voice, &text, &options).unwrap();
    drop(context);
    assert_eq!(stream.batch_size(), 4);
    let kv_cache_bytes = || -> u64 {
        let leases = get_memory_pool().outstanding();
        let pages = leases.iter().filter(|lease| lease.tag == KV_CACHE_TAG);
        pages.map(|lease| lease.size_bytes).sum()
    };
    let kv_cache = plan.terms.iter().find(|term| term.name == "KV cache");
    let of_four = kv_cache.unwrap().bytes;
    while kv_cache_bytes() < of_four {
        stream.next().unwrap().unwrap();
    }
    // Too much for four segments, but not for one: each takes megabytes.
    let per_segment = of_four / 4;
    let room = (limit_mb << 20).saturating_sub(counted_now());
    let occupied = occupy(room + per_segment);
    let mut fewest = of_four;
    for chunk in stream {
        chunk.expect("one segment fits");
        fewest = fewest.min(kv_cache_bytes().max(per_segment));
    }
    assert_eq!(fewest, per_segment, "of {of_four}");
    drop(occupied);
}

#[test]
fn a_model_that_does_not_fit_is_not_loaded() {
    let _alone = alone();
    // Far less than the weights.
    let limit_mb = counted_now() / MIB + 4;
    let window = PeakWindow::new();
    let before = counted_now();
    let error = with_memory_limit(limit_mb, || TtsModel::builtin().map(|_| ())).unwrap_err();
    let risen = peak_of(&window).saturating_sub(before);
    assert!(risen < 4 << 20, "{risen}");
    let Error::Core(core) = &error else {
        panic!("{error}");
    };
    let sufficient_mb = core.sufficient_limit_mb().expect("a sufficient limit");
    assert!(error.to_string().contains("loading the model"), "{error}");
    let window = PeakWindow::new();
    let model = with_memory_limit(sufficient_mb, TtsModel::builtin);
    assert!(model.is_ok());
    assert!(peak_of(&window) <= sufficient_mb << 20);
}

#[test]
fn oversized_segment_of_a_text_cut_on_demand_is_refused_before_its_prefill() {
    let _alone = alone();
    let model = TtsModel::builtin().unwrap();
    let voice = model.default_voice().unwrap();
    let options = GenerateOptions::default().with_seed(1);
    // Too long to be cut during preparation; the first segment has no place to be cut at.
    let text = "one two three ".repeat(300) + ". " + &"A short sentence. ".repeat(4000);
    let plan = model.plan_stream_memory(&voice, &text, &options).unwrap();
    let limit_bytes = (plan.peak_bytes / MIB + 2) * MIB;
    let context = memory_efficient_context(limit_bytes / MIB);
    let window = PeakWindow::new();
    let mut stream = model.stream(&voice, &text, &options).unwrap();
    let error = stream.next().unwrap().unwrap_err();
    let Error::Core(CoreError::Memory(MemoryError::LimitTooLow { needed_bytes, .. })) = error
    else {
        panic!("{error}");
    };
    stream.wait();
    drop(context);
    assert!(
        needed_bytes > limit_bytes,
        "{needed_bytes} of {limit_bytes}"
    );
    let peak = peak_of(&window);
    assert!(peak <= limit_bytes, "{peak} of {limit_bytes}");
}
