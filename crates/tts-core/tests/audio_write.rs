//! Writing of WAV: the reference's bytes, atomic files, and errors with their causes.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tts_core::audio::{Audio, AudioError, WavStreamWriter};

/// The messages of an error and of its sources.
fn chain(error: &dyn Error) -> String {
    let source = error.source().map(|source| format!(": {}", chain(source)));
    format!("{error}{}", source.unwrap_or_default())
}

/// A pipe that records its bytes.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Vec<u8>>>);

impl Pipe {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/audio"));
    fs::read(folder.join(name)).unwrap()
}

/// The reference's input: random samples, some out of range, and the limits of the conversion.
fn samples() -> Vec<f32> {
    fixture("written_samples.f32")
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn target(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("speech.wav")
}

#[test]
fn file_equals_the_file_of_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let path = target(&folder);
    Audio::new(samples(), 8_000).write_wav(&path).unwrap();
    assert!(fs::read(&path).unwrap() == fixture("written_to_file_8k.wav"));
    assert_eq!(names(folder.path()), ["speech.wav"]);

    let mut whole = Vec::new();
    Audio::new(samples(), 8_000)
        .write_wav_to(&mut whole)
        .unwrap();
    assert!(whole == fixture("written_to_file_8k.wav"));
}

#[test]
fn pipe_receives_the_bytes_of_the_reference() {
    let pipe = Pipe::default();
    let mut writer = WavStreamWriter::to_pipe(pipe.clone(), 8_000).unwrap();
    let samples = samples();
    for chunk in samples.chunks(100) {
        writer.write(chunk).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), samples.len() as u64);
    assert!(pipe.bytes() == fixture("written_to_pipe_8k.wav"));
}

#[test]
fn each_chunk_is_flushed_to_the_pipe() {
    let pipe = Pipe::default();
    let mut writer = WavStreamWriter::to_pipe(pipe.clone(), 8_000).unwrap();
    assert_eq!(pipe.bytes().len(), 44);
    writer.write(&[0.5; 10]).unwrap();
    assert_eq!(pipe.bytes().len(), 64);
}

#[test]
fn nan_becomes_zero_and_infinity_the_maximum() {
    let mut bytes = Vec::new();
    Audio::new(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY], 8_000)
        .write_wav_to(&mut bytes)
        .unwrap();
    assert_eq!(bytes[44..50], [0, 0, 0xff, 0x7f, 0x01, 0x80]);
}

#[test]
fn written_audio_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = target(&folder);
    let audio = Audio::new(vec![0.25, -0.5, 0.75], 11_025);
    audio.write_wav(&path).unwrap();
    let found = Audio::read(&path).unwrap();
    assert_eq!(found.sample_rate_hz(), 11_025);
    assert_eq!(found.samples().len(), 3 + 2_205);
    for (a, b) in audio.samples().iter().zip(found.samples()) {
        assert!((a - b).abs() <= 2.0 / 32_768.0);
    }
    assert!(found.samples()[3..].iter().all(|&s| s == 0.0));
}

#[test]
fn a_dropped_writer_leaves_the_existing_file_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = target(&folder);
    fs::write(&path, "older").unwrap();
    let mut writer = WavStreamWriter::create(&path, 24_000).unwrap();
    writer.write(&[0.1; 1_000]).unwrap();
    drop(writer);
    assert_eq!(fs::read(&path).unwrap(), b"older");
    assert_eq!(names(folder.path()), ["speech.wav"]);
}

#[test]
fn finish_replaces_an_existing_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = target(&folder);
    fs::write(&path, "older").unwrap();
    let mut writer = WavStreamWriter::create(&path, 24_000).unwrap();
    writer.write(&[0.1; 1_000]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"older");
    writer.finish().unwrap();
    assert_eq!(Audio::read(&path).unwrap().samples().len(), 1_000 + 4_800);
    assert_eq!(names(folder.path()), ["speech.wav"]);
}

#[test]
fn create_rejects_invalid_targets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for (path, expected) in [
        (folder.path().to_owned(), "it is a folder"),
        (folder.path().join("no/speech.wav"), "does not exist"),
        (file.join("speech.wav"), "Not a directory"),
        (PathBuf::new(), "cannot write audio to"),
    ] {
        let error = WavStreamWriter::create(&path, 24_000).err().unwrap();
        assert!(matches!(error, AudioError::Write { .. }));
        let message = chain(&error);
        assert!(message.contains(expected), "{message}");
        assert!(message.contains(&*path.to_string_lossy()), "{message}");
    }
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn rejects_unsupported_rates() {
    let folder = tempfile::tempdir().unwrap();
    for rate in [0, u32::MAX] {
        let audio = Audio::new(vec![0.0; 10], rate);
        for error in [
            audio.write_wav(target(&folder)).unwrap_err(),
            audio.write_wav_to(io::sink()).unwrap_err(),
            WavStreamWriter::to_pipe(io::sink(), rate).err().unwrap(),
        ] {
            assert!(matches!(error, AudioError::SampleRate { .. }));
            assert!(error.to_string().contains(&format!("{rate} Hz")), "{error}");
        }
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_closed_pipe_is_an_error() {
    let (reader, writer) = io::pipe().unwrap();
    let mut writer = WavStreamWriter::to_pipe(writer, 24_000).unwrap();
    drop(reader);
    let message = chain(&writer.write(&[0.0; 10]).unwrap_err());
    assert!(message.contains("output stream: Broken pipe"), "{message}");
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    use std::process::Command;

    #[test]
    fn writes_to_a_named_pipe_without_replacing_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        // Open on both ends, so that neither blocks.
        let mut pipe = File::options().read(true).write(true).open(&path).unwrap();
        Audio::new(samples(), 8_000).write_wav(&path).unwrap();
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
        let expected = fixture("written_to_pipe_8k.wav");
        let mut bytes = vec![0; expected.len()];
        pipe.read_exact(&mut bytes).unwrap();
        assert!(bytes == expected);
    }

    #[test]
    fn a_full_device_is_an_error() {
        // Opened here: a writer that did not detect the device would replace it with a file.
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = WavStreamWriter::to_pipe(full, 24_000).err().unwrap();
        let message = chain(&error);
        assert!(
            message.contains("output stream: No space left"),
            "{message}"
        );
    }

    #[test]
    fn an_unwritable_folder_is_an_error_with_the_path() {
        let error = WavStreamWriter::create(Path::new("/proc/speech.wav"), 24_000)
            .err()
            .unwrap();
        assert!(error.to_string().contains("/proc/speech.wav"), "{error}");
    }

    #[test]
    fn follows_a_symbolic_link() {
        let folder = tempfile::tempdir().unwrap();
        let (link, real) = (folder.path().join("link.wav"), target(&folder));
        fs::write(&real, "older").unwrap();
        symlink(&real, &link).unwrap();
        Audio::new(vec![0.1; 100], 24_000).write_wav(&link).unwrap();
        assert!(link.is_symlink());
        assert_eq!(Audio::read(&real).unwrap().samples().len(), 4_900);
    }

    #[test]
    fn a_file_has_default_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("plain");
        fs::write(&plain, "").unwrap();
        let path = target(&folder);
        Audio::new(vec![0.1; 100], 24_000).write_wav(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }

    /// The environment variable with the target of the next test's child process.
    const CHILD_TARGET: &str = "AUDIO_WRITE_TEST_TARGET";

    #[test]
    fn retains_the_audio_that_fits_on_a_full_disk() {
        if let Some(path) = std::env::var_os(CHILD_TARGET) {
            return write_until_full(Path::new(&path));
        }
        // A limit on file sizes, in units of 512 bytes, simulates a full disk.
        let folder = tempfile::tempdir().unwrap();
        let path = target(&folder);
        let output = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "linux::retains_the_audio_that_fits_on_a_full_disk",
            ])
            .env(CHILD_TARGET, &path)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        let audio = Audio::read(&path).unwrap();
        assert_eq!(audio.samples().len(), 16_000);
        assert_eq!(fs::metadata(&path).unwrap().len(), 44 + 32_000);
        assert_eq!(names(folder.path()), ["speech.wav"]);
    }

    /// Writes blocks of 1000 samples until 64 * 512 bytes are full.
    fn write_until_full(path: &Path) {
        let mut writer = WavStreamWriter::create(path, 24_000).unwrap();
        let error = loop {
            if let Err(error) = writer.write(&[0.25; 1_000]) {
                break error;
            }
        };
        let message = chain(&error);
        assert!(message.contains("speech.wav: File too large"), "{message}");
        assert_eq!(writer.finish().unwrap(), 16_000);
    }
}
