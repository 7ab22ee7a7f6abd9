//! A limit holds: speech either does not start, and says what would do, or stays within it. One test at a
//! time, in a binary of its own, because it counts every byte of the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pocket_tts::memory::{
    PoolAllocator, get_memory_pool, memory_efficient_context, with_memory_limit,
};
use pocket_tts::{Audio, CoreError, Error, GenerateOptions, SpeechRequest, TtsModel, Voice};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tensor_pool::PeakWindow;
use tts_core::memory::{counted, present, reserved};

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

const MIB: u64 = 1 << 20;

/// How often a limit and something to say are drawn.
const RUNS: usize = 200;

/// What a refusal may take: a text in pieces, a message.
const REFUSAL: u64 = MIB;

/// One after the other: each counts what the whole process holds.
fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    let guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    if tensor_pool::heap().is_none() {
        assert!(ALLOCATOR.install());
    }
    guard
}

fn counted_now() -> u64 {
    counted(&get_memory_pool()).total()
}

fn peak_of(window: &PeakWindow) -> u64 {
    let elsewhere = counted(&get_memory_pool());
    window.peak_bytes().expect("it is installed") + elsewhere.mapped + elsewhere.device
}

/// Seconds of a voice that is nobody's, enough to make a voice of its own size of.
fn hum(seconds: f32) -> Audio {
    let samples = (0..(16_000.0 * seconds) as usize).map(|n| {
        let t = n as f32 / 16_000.0;
        0.3 * (t * 900.0).sin() * (1.0 + (t * 20.0).sin())
    });
    Audio::new(samples.collect(), 16_000)
}

/// What is said in one run, and how.
struct Speech {
    requests: Vec<SpeechRequest>,
    options: GenerateOptions,
    is_streamed: bool,
}

impl Speech {
    fn random(rng: &mut ChaCha8Rng, voices: &[Voice]) -> Self {
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
        let requests = texts.into_iter().map(|text| SpeechRequest {
            voice: voices.choose(rng).expect("there are voices").clone(),
            text,
        });
        Self {
            requests: requests.collect(),
            options: GenerateOptions {
                seed: Some(rng.next_u32().into()),
                // Some texts in many parts, some in few.
                max_tokens: rng.random_range(4..40),
                batch_size: rng.random_bool(0.7).then(|| rng.random_range(1..=8)),
                ..GenerateOptions::default()
            },
            is_streamed,
        }
    }

    fn planned(&self, model: &TtsModel) -> u64 {
        let SpeechRequest { voice, text } = &self.requests[0];
        let plan = match self.is_streamed {
            true => model.plan_stream_memory(voice, text, &self.options),
            false => model.plan_batch_memory(&self.requests, &self.options),
        };
        plan.expect("the text is good").peak_bytes
    }

    fn speak(&self, model: &TtsModel) -> Result<usize, Error> {
        if !self.is_streamed {
            let spoken = model.generate_batch(&self.requests, &self.options)?;
            return Ok(spoken.iter().map(|audio| audio.samples().len()).sum());
        }
        let SpeechRequest { voice, text } = &self.requests[0];
        let mut samples = 0;
        for chunk in model.stream(voice, text, &self.options)? {
            samples += chunk?.samples().len();
        }
        Ok(samples)
    }

    /// Speaks within a limit, and sees that it holds.
    fn within(&self, model: &TtsModel, limit_mb: u64) -> Result<usize, Error> {
        let window = PeakWindow::new();
        let before = counted_now();
        let said = with_memory_limit(limit_mb, || self.speak(model));
        let peak = peak_of(&window);
        match &said {
            Ok(_) => assert!(
                peak <= limit_mb << 20,
                "{peak} bytes within a limit of {limit_mb} MB"
            ),
            Err(Error::Core(CoreError::MemoryLimitTooLow { .. })) => {
                let risen = peak.saturating_sub(before);
                assert!(risen <= REFUSAL, "the refusal took {risen} bytes");
            }
            Err(error) => panic!("{error}"),
        }
        said
    }
}

#[test]
fn random_speech_is_refused_with_what_would_do_or_stays_within_its_limit() {
    let _alone = alone();
    let model = TtsModel::builtin().unwrap();
    let mut voices = vec![model.default_voice().unwrap()];
    for seconds in [1.5, 6.0] {
        voices.push(model.clone_voice(&hum(seconds), false).unwrap());
    }
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let (mut refused, mut spoken) = (0, 0);
    for run in 0..RUNS {
        let speech = Speech::random(&mut rng, &voices);
        let most = speech.planned(&model) / MIB + 2;
        let least = present(&get_memory_pool()) / MIB;
        let limit_mb = rng.random_range(least.saturating_sub(2)..=most);
        match speech.within(&model, limit_mb.max(1)) {
            Ok(samples) => {
                assert!(samples > 0);
                spoken += 1;
            }
            Err(Error::Core(error)) => {
                let would_do = error.limit_that_would_do_mb().expect("it says so");
                assert!(would_do > limit_mb, "run {run}: {error}");
                let samples = speech.within(&model, would_do);
                let samples = samples.unwrap_or_else(|error| {
                    panic!("run {run}: with {would_do} MB instead of {limit_mb}: {error}")
                });
                assert!(samples > 0);
                refused += 1;
            }
            Err(error) => panic!("run {run}: {error}"),
        }
        assert_eq!(reserved(), 0, "run {run}");
    }
    println!("{refused} refused, {spoken} spoken");
    assert!(
        refused > RUNS / 10 && spoken > RUNS / 10,
        "{refused} of {RUNS} refused"
    );
}

/// A text of many short parts.
fn many_parts() -> (String, GenerateOptions) {
    let options = GenerateOptions {
        seed: Some(3),
        max_tokens: 1,
        ..GenerateOptions::default()
    };
    ("The sun is on a hill. ".repeat(40), options)
}

/// Takes memory as somebody else in the process would, until it is dropped.
fn eat(bytes: u64) -> Vec<u8> {
    vec![1; bytes as usize]
}

#[test]
fn a_stream_whose_memory_is_taken_ends_with_what_it_has_said() {
    let _alone = alone();
    let model = TtsModel::builtin().unwrap();
    let voice = model.default_voice().unwrap();
    let (text, options) = many_parts();
    let plan = model.plan_stream_memory(&voice, &text, &options).unwrap();
    let context = memory_efficient_context(plan.peak_bytes / MIB + 2);
    let mut stream = model.stream(&voice, &text, &options).unwrap();
    // What was started keeps its limit.
    drop(context);
    let mut said = 0;
    for _ in 0..20 {
        said += stream.next().unwrap().unwrap().samples().len();
    }
    let eaten = eat(plan.peak_bytes);
    let end = stream.find_map(|chunk| match chunk {
        Ok(chunk) => {
            said += chunk.samples().len();
            None
        }
        Err(error) => Some(error),
    });
    drop(eaten);
    let Some(CoreError::MemoryLimitExceeded(end)) = end else {
        panic!("{end:?}");
    };
    assert!(end.counted_bytes > end.limit_bytes, "{end}");
    assert!(said > 0 && end.audio.is_empty());
    assert!(stream.next().is_none());
    drop(stream);
    // Nothing is left behind, and it can speak again.
    assert_eq!(reserved(), 0);
    assert!(model.generate(&voice, "Again.", &options).is_ok());
}

#[test]
fn a_generation_whose_memory_is_taken_gives_back_the_audio_so_far() {
    let _alone = alone();
    let model = TtsModel::builtin().unwrap();
    let voice = model.default_voice().unwrap();
    let (_, options) = many_parts();
    for batch_size in [1, 3] {
        let options = GenerateOptions {
            batch_size: Some(batch_size),
            ..options.clone()
        };
        let requests = [3, 20, 20].map(|sentences| SpeechRequest {
            voice: voice.clone(),
            text: "The sun is on a hill. ".repeat(sentences),
        });
        let whole = model.generate_batch(&requests, &options).unwrap();
        let plan = model.plan_batch_memory(&requests, &options).unwrap();
        let is_over = AtomicBool::new(false);
        let error = std::thread::scope(|scope| {
            let leases = get_memory_pool().get_stats().hits;
            let (is_over, plan) = (&is_over, &plan);
            scope.spawn(move || {
                // Later parts lease again what the first ones gave back.
                let start = Instant::now();
                while get_memory_pool().get_stats().hits < leases + 200 {
                    assert!(
                        start.elapsed() < Duration::from_secs(60),
                        "it never got there"
                    );
                    std::thread::yield_now();
                }
                let eaten = eat(plan.peak_bytes);
                while !is_over.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                drop(eaten);
            });
            let said = with_memory_limit(plan.peak_bytes / MIB + 2, || {
                model.generate_batch(&requests, &options)
            });
            is_over.store(true, Ordering::Relaxed);
            said.map(|_| ()).unwrap_err()
        });
        let Error::Core(CoreError::MemoryLimitExceeded(end)) = error else {
            panic!("{error}");
        };
        assert_eq!(end.audio.len(), requests.len());
        let lengths =
            |audio: &[Audio]| -> usize { audio.iter().map(|audio| audio.samples().len()).sum() };
        assert!(lengths(&end.audio) > 0, "nothing was said");
        assert!(lengths(&end.audio) < lengths(&whole), "all was said");
        for (said, whole) in end.audio.iter().zip(&whole) {
            let said = said.samples();
            assert!(
                said == &whole.samples()[..said.len()],
                "it is not what was to be said"
            );
        }
    }
}

#[test]
fn short_memory_frees_cached_voices_before_speech_suffers() {
    let _alone = alone();
    let model = TtsModel::builtin().unwrap();
    let voice = model.default_voice().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("hum.wav");
    hum(25.0).write_wav(&recording).unwrap();
    let (text, options) = many_parts();
    let cached = model.voice(recording.to_str().unwrap()).unwrap().bytes() as u64;
    model_without_encoder(&model);
    let plan = model.plan_stream_memory(&voice, &text, &options).unwrap();
    let limit_mb = plan.peak_bytes / MIB + 1;
    let context = memory_efficient_context(limit_mb);
    let mut stream = model.stream(&voice, &text, &options).unwrap();
    drop(context);
    stream.next().unwrap().unwrap();
    // Too much by less than the cached voice has, and by more than a frame takes to compute, which may be
    // counted now.
    let before = counted_now();
    let eaten = eat((limit_mb << 20).saturating_sub(before) + cached * 3 / 4);
    for chunk in stream {
        chunk.expect("the cached voice made room");
    }
    let freed = (before + eaten.len() as u64).saturating_sub(counted_now());
    assert!(freed > cached / 2, "the voice is still there");
    drop(eaten);
}

/// So that the encoder is not what makes room.
fn model_without_encoder(model: &TtsModel) {
    pocket_tts::memory::optimize_model_memory(model);
    assert_eq!(model.info().size.encoder_bytes, None);
}

#[test]
fn short_memory_makes_fewer_parts_at_once_before_speech_ends() {
    let _alone = alone();
    let model = TtsModel::builtin().unwrap();
    let voice = model.default_voice().unwrap();
    let (text, options) = many_parts();
    let options = GenerateOptions {
        batch_size: Some(4),
        ..options
    };
    let plan = model.plan_stream_memory(&voice, &text, &options).unwrap();
    let limit_mb = plan.peak_bytes / MIB + 1;
    let context = memory_efficient_context(limit_mb);
    let mut stream = model.stream(&voice, &text, &options).unwrap();
    drop(context);
    assert_eq!(stream.batch_size(), 4);
    let kept = || -> u64 {
        let leases = get_memory_pool().outstanding();
        let pages = leases.iter().filter(|lease| lease.tag == "keys and values");
        pages.map(|lease| lease.size_bytes).sum()
    };
    let keys_and_values = plan
        .terms
        .iter()
        .find(|term| term.name == "keys and values");
    let of_four = keys_and_values.unwrap().bytes;
    while kept() < of_four {
        stream.next().unwrap().unwrap();
    }
    // Too much for four parts, and not for one: each takes megabytes.
    let per_part = of_four / 4;
    let room = (limit_mb << 20).saturating_sub(counted_now());
    let eaten = eat(room + per_part);
    let mut fewest = of_four;
    for chunk in stream {
        chunk.expect("there is room for one part");
        fewest = fewest.min(kept().max(per_part));
    }
    assert_eq!(fewest, per_part, "of {of_four}");
    drop(eaten);
}

#[test]
fn a_model_that_does_not_fit_is_not_loaded() {
    let _alone = alone();
    let limit_mb = counted_now() / MIB + 4;
    let window = PeakWindow::new();
    let before = counted_now();
    let error = with_memory_limit(limit_mb, || TtsModel::builtin().map(|_| ())).unwrap_err();
    let risen = peak_of(&window).saturating_sub(before);
    assert!(risen < 4 << 20, "{risen} bytes");
    let Error::Core(core) = &error else {
        panic!("{error}");
    };
    let would_do = core.limit_that_would_do_mb().expect("it says so");
    assert!(error.to_string().contains("loading the model"), "{error}");
    let window = PeakWindow::new();
    let model = with_memory_limit(would_do, TtsModel::builtin);
    assert!(model.is_ok());
    assert!(peak_of(&window) <= would_do << 20);
}
