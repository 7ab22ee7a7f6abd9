//! The memory of making voices: never above its cost, which is close to it.
//!
//! A test binary of its own with one test at a time, because it counts all bytes of the process.

mod support;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tensor_pool::{PeakWindow, PoolAllocator};
use tts_core::audio::{Audio, PromptLength, Recording, RecordingInfo};
use tts_core::memory::VoiceNeed;
use tts_core::{CancelToken, Config, Model, RunOptions, VoiceOptions, expected_tensors};

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

const MIB: u64 = 1 << 20;

/// A cost exceeds the measured peak by at most 5 % or this, whichever is larger.
const MAX_EXCESS_BYTES: u64 = 2 * MIB;

/// Runs one test at a time: each counts the bytes of the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    let guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    if tensor_pool::heap().is_none() {
        assert!(ALLOCATOR.install());
    }
    guard
}

/// The parity fixtures' smallest model, the built-in model, and the released models' encoder beside a
/// small FlowLM.
fn models(folder: &Path) -> Vec<(&'static str, Model)> {
    let load = |config: Config, folder: &Path| {
        let options = RunOptions::default().with_threads(2);
        Model::load(support::parts(config, folder), options).expect("the model loads")
    };
    let small = support::fixture("lsd_bf16");
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../builtin-voice/data");
    let read = |folder: &Path| Config::read(folder.join("config.yaml")).expect("it is valid");
    vec![
        ("small", load(read(&small), &small)),
        ("built-in", load(read(&built_in), &built_in)),
        ("released encoder", load(released_encoder(folder), &small)),
    ]
}

/// Writes zeros as the weights of a model with the released models' encoder.
fn released_encoder(folder: &Path) -> Config {
    let path = support::fixture("lsd_bf16/config.yaml");
    let mut config = Config::read(&path).expect("the config is valid");
    let mimi = &mut config.mimi;
    mimi.seanet.n_filters = 64;
    mimi.seanet.dimension = 512;
    mimi.inner_dim = Some(32);
    mimi.outer_dim = Some(512);
    mimi.quantizer.dimension = 32;
    mimi.quantizer.output_dimension = 512;
    mimi.transformer.d_model = 512;
    mimi.transformer.num_heads = 8;
    mimi.transformer.context = 250;
    mimi.transformer.dim_feedforward = 2048;
    mimi.transformer.input_dimension = 512;
    mimi.transformer.output_dimensions = vec![512];
    let weights = folder.join("model.safetensors");
    config.weights_path = Some(weights.to_str().expect("the path is UTF-8").to_owned());
    let specs = expected_tensors(&config);
    let bytes = |shape: &[usize]| 2 * shape.iter().product::<usize>();
    let largest = specs.iter().map(|spec| bytes(&spec.shape)).max();
    let zeros = vec![0u8; largest.expect("a model has tensors")];
    let views = specs.iter().map(|spec| {
        let zeros = &zeros[..bytes(&spec.shape)];
        let view = TensorView::new(Dtype::BF16, spec.shape.clone(), zeros);
        (spec.name.clone(), view.expect("shape and bytes agree"))
    });
    safetensors::serialize_to_file(views, None, &weights).expect("it is written");
    config
}

/// A recording in a WAV file of 16 bits.
#[derive(Clone, Copy, Debug)]
struct Wav {
    rate_hz: u32,
    channels: u16,
    seconds: f64,
}

impl Wav {
    /// Writes a tone, followed by silence where a truncated recording is not read.
    fn write(&self, folder: &Path, length: PromptLength) -> PathBuf {
        let tone_seconds = match length {
            PromptLength::Whole => self.seconds,
            PromptLength::Truncated => self.seconds.min(31.0),
        };
        let path = folder.join("recording.wav");
        let frame_bytes = u32::from(self.channels) * 2;
        let frames = (self.seconds * f64::from(self.rate_hz)) as u32;
        let mut header = Vec::from(*b"RIFF");
        header.extend((36 + frames * frame_bytes).to_le_bytes());
        header.extend(b"WAVEfmt \x10\0\0\0\x01\0");
        header.extend(self.channels.to_le_bytes());
        header.extend(self.rate_hz.to_le_bytes());
        header.extend((self.rate_hz * frame_bytes).to_le_bytes());
        header.extend((frame_bytes as u16).to_le_bytes());
        header.extend(16u16.to_le_bytes());
        header.extend(b"data");
        header.extend((frames * frame_bytes).to_le_bytes());
        let mut file = BufWriter::new(File::create(&path).expect("it is created"));
        file.write_all(&header).expect("it is written");
        let tone = (tone_seconds * f64::from(self.rate_hz)) as u32;
        for n in 0..tone {
            let sample = (f64::from(n) / f64::from(self.rate_hz) * 900.0).sin() * 9_000.0;
            for _ in 0..self.channels {
                file.write_all(&(sample as i16).to_le_bytes())
                    .expect("it is written");
            }
        }
        let file = file.into_inner().expect("it is written");
        let len = header.len() as u64 + u64::from(frames) * u64::from(frame_bytes);
        file.set_len(len).expect("it is extended");
        path
    }
}

/// Measures the peak of the counted bytes while `work` runs, in addition to those before.
fn peak_of<R>(model: &Model, work: impl FnOnce() -> R) -> (u64, R) {
    // Idle state of an earlier voice would be counted as present and reused.
    model.ledger().pool().trim(0);
    let before = model.ledger().counted();
    let window = PeakWindow::new();
    let result = work();
    let peak = window.peak_bytes().expect("the allocator is installed") + before.mapped_bytes;
    (peak.saturating_sub(before.total()), result)
}

/// Asserts that the measured peak is within its bound, and close to it.
fn assert_bounds(what: &str, bound: u64, peak: u64) {
    println!(
        "{what}: {peak} of {bound} bytes, {:.2} MiB above",
        (bound as f64 - peak as f64) / MIB as f64
    );
    assert!(peak <= bound, "{what}: {peak} bytes exceed {bound}");
    let excess = (peak / 20).max(MAX_EXCESS_BYTES);
    assert!(
        bound <= peak + excess,
        "{what}: {bound} bytes are too far above {peak}"
    );
}

fn need(model: &Model, path: &Path, length: PromptLength) -> VoiceNeed {
    let recording = Recording::open(path, length, &CancelToken::new()).expect("it is readable");
    model.voice_cost().recording(&recording.info())
}

#[test]
fn voices_from_recordings_stay_within_their_cost() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cases = [
        (16_000, 1, 3.0, PromptLength::Whole),
        (48_000, 6, 600.0, PromptLength::Truncated),
        (44_100, 2, 120.0, PromptLength::Whole),
        (47_999, 1, 2.0, PromptLength::Whole),
        (192_000, 8, 31.0, PromptLength::Truncated),
    ];
    for (name, model) in models(folder.path()) {
        for (rate_hz, channels, seconds, length) in cases {
            // The released encoder takes a third of the duration of a recording.
            if name == "released encoder" && seconds > 3.0 {
                continue;
            }
            let wav = Wav {
                rate_hz,
                channels,
                seconds,
            };
            let path = wav.write(folder.path(), length);
            let need = need(&model, &path, length);
            let options = VoiceOptions::default().with_length(length);
            // First with the loading of the encoder, then without.
            model.drop_voice_encoder();
            for is_loaded in [false, true] {
                let (peak, voice) = peak_of(&model, || {
                    model
                        .voice_from_recording(&path, &options)
                        .expect("it is cloned")
                });
                let what = format!("{name}, {wav:?}, {length:?}, loaded {is_loaded}");
                assert_bounds(&what, need.peak_bytes(is_loaded), peak);
                assert!(voice.size_bytes() <= need.voice_bytes, "{what}");
            }
        }
    }
}

#[test]
fn voices_from_audio_stay_within_their_cost() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, model) in models(folder.path()) {
        let tone = (0..5 * 44_100).map(|n| (n as f32 * 0.02).sin() * 0.3);
        let audio = Audio::new(tone.collect(), 44_100);
        let info = RecordingInfo::of_audio(&audio, PromptLength::Whole);
        let need = model.voice_cost().recording(&info);
        let (peak, _voice) = peak_of(&model, || model.clone_voice(&audio).expect("it is cloned"));
        assert_bounds(name, need.peak_bytes(false), peak);
    }
}

#[test]
fn voice_files_stay_within_their_cost() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("voice.safetensors");
    for (name, model) in models(folder.path()).into_iter().take(2) {
        let cost = model.voice_cost();
        for positions in [1, 500, 10_000] {
            write_voice(&path, &model, positions);
            let need = model.voice_file_need(&path).expect("it is a voice");
            assert_eq!(
                need.voice_bytes,
                positions as u64 * cost.kv_bytes_per_position
            );
            let (peak, voice) = peak_of(&model, || model.load_voice(&path).expect("it loads"));
            // The layer that is read is mapped, which the heap does not count.
            let mapped = need.reading_bytes - cost.bookkeeping_bytes - need.voice_bytes;
            let what = format!("{name}, {positions} positions");
            assert_bounds(&what, need.peak_bytes(false), peak + mapped);
            assert_eq!(voice.size_bytes(), need.voice_bytes);

            // Writing copies no keys and values.
            let copy = folder.path().join("copy.safetensors");
            let (peak, _) = peak_of(&model, || {
                model.export_voice(&voice, &copy).expect("it is written")
            });
            assert!(
                peak <= cost.bookkeeping_bytes,
                "{what}: writing takes {peak}"
            );
            let copy = model.load_voice(&copy).expect("it loads");
            assert_eq!(copy.positions(), positions);
        }
    }
}

/// Recordings of any rate, length and number of channels.
#[test]
fn odd_recordings_never_exceed_their_cost() {
    const RUNS: usize = 60;
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let small = support::fixture("lsd_bf16");
    let config = Config::read(small.join("config.yaml")).expect("it is valid");
    let parts = support::parts(config, &small);
    let model = Model::load(parts, RunOptions::default()).expect("the model loads");
    let mut random = ChaCha8Rng::seed_from_u64(15);
    let (mut cloned, mut refused) = (0, 0);
    for run in 0..RUNS {
        let rate_hz = match random.random_bool(0.5) {
            true => *[
                8_000, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000, 192_000,
            ]
            .choose(&mut random)
            .expect("there are rates"),
            // Few of these are multiples of each other, so their filters are long.
            false => 20 * random.random_range(400..=9_600),
        };
        let length = match random.random_bool(0.5) {
            true => PromptLength::Truncated,
            false => PromptLength::Whole,
        };
        let longest: f64 = match length {
            PromptLength::Truncated => 600.0,
            PromptLength::Whole => 20.0,
        };
        // As many of a few samples as of seconds and of minutes.
        let samples = (longest * f64::from(rate_hz)).powf(random.random_range(0.0..=1.0));
        let wav = Wav {
            rate_hz,
            channels: random.random_range(1..=8),
            seconds: samples / f64::from(rate_hz),
        };
        let path = wav.write(folder.path(), length);
        let need = need(&model, &path, length);
        let options = VoiceOptions::default().with_length(length);
        if random.random_bool(0.3) {
            model.drop_voice_encoder();
        }
        let is_loaded = model.size().encoder_bytes.is_some();
        let (peak, voice) = peak_of(&model, || model.voice_from_recording(&path, &options));
        let bound = need.peak_bytes(is_loaded);
        assert!(
            peak <= bound,
            "run {run}, {wav:?}, {length:?}: {peak} of {bound}"
        );
        match voice {
            Ok(_) => cloned += 1,
            Err(error) => {
                assert!(wav.seconds < 0.1001, "{wav:?}: {error}");
                refused += 1;
            }
        }
    }
    println!("{cloned} cloned, {refused} refused");
    assert!(cloned > RUNS / 4 && refused > RUNS / 8);
}

#[test]
fn files_of_every_format_stay_within_their_cost() {
    let _alone = alone();
    let small = support::fixture("lsd_bf16");
    let config = Config::read(small.join("config.yaml")).expect("it is valid");
    let parts = support::parts(config, &small);
    let model = Model::load(parts, RunOptions::default()).expect("the model loads");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audio");
    let files = fs::read_dir(folder)
        .expect("it is a folder")
        .map(|file| file.expect("a file").path());
    let is_recording = |path: &PathBuf| path.extension().is_some_and(|name| name != "f32");
    let mut files: Vec<_> = files.filter(is_recording).collect();
    files.push(support::fixture("voice_24k.wav"));
    files.push(support::fixture("voice_16k_stereo.wav"));
    assert!(files.len() > 12);
    for path in files {
        let recording = Recording::open(&path, PromptLength::Whole, &CancelToken::new());
        let info = recording.expect("it is readable").info();
        let audio = Audio::read(&path).expect("it is readable");
        assert_eq!(info.sample_rate_hz, audio.sample_rate_hz());
        assert!(
            audio.samples().len() <= info.max_samples,
            "{}",
            path.display()
        );
        let need = model.voice_cost().recording(&info);
        model.drop_voice_encoder();
        let (peak, voice) = peak_of(&model, || {
            model
                .voice_from_recording(&path, &VoiceOptions::default())
                .expect("it is cloned")
        });
        assert_bounds(&path.display().to_string(), need.peak_bytes(false), peak);
        assert!(voice.size_bytes() <= need.voice_bytes);
    }
}

fn write_voice(path: &Path, model: &Model, positions: usize) {
    let transformer = &model.config().flow_lm.transformer;
    let (heads, head_dim) = (transformer.kv_heads(), transformer.head_dim());
    let dims = vec![2, 1, positions, heads, head_dim];
    let zeros = vec![0u8; 4 * dims.iter().product::<usize>()];
    let position = (positions as i64).to_le_bytes();
    let tensors = (0..transformer.num_layers).flat_map(|layer| {
        let module = format!("transformer.layers.{layer}.self_attn");
        let view = |dtype, dims, bytes| TensorView::new(dtype, dims, bytes).expect("they agree");
        [
            (
                format!("{module}/cache"),
                view(Dtype::F32, dims.clone(), &zeros[..]),
            ),
            (
                format!("{module}/offset"),
                view(Dtype::I64, vec![1], &position[..]),
            ),
        ]
    });
    let bytes = safetensors::serialize(tensors, None).expect("it serializes");
    fs::write(path, bytes).expect("it is written");
}
