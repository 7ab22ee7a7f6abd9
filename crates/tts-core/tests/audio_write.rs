//! Writing WAV: the reference's bytes, whole files or none, and errors that name the cause.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tts_core::audio::{Audio, AudioError, WavStreamWriter};

/// A pipe whose bytes the test can see.
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

/// Random samples beyond the limits, and the edges of the conversion, as given to the reference.
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
fn a_file_has_the_bytes_that_the_reference_writes() {
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
fn a_pipe_gets_the_bytes_that_the_reference_writes() {
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
fn a_chunk_reaches_the_pipe_at_once() {
    let pipe = Pipe::default();
    let mut writer = WavStreamWriter::to_pipe(pipe.clone(), 8_000).unwrap();
    assert_eq!(pipe.bytes().len(), 44);
    writer.write(&[0.5; 10]).unwrap();
    assert_eq!(pipe.bytes().len(), 64);
}

#[test]
fn what_is_not_a_number_is_silent_and_infinity_is_loudest() {
    let mut bytes = Vec::new();
    Audio::new(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY], 8_000)
        .write_wav_to(&mut bytes)
        .unwrap();
    assert_eq!(bytes[44..50], [0, 0, 0xff, 0x7f, 0x01, 0x80]);
}

#[test]
fn what_was_written_is_read_back() {
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
fn a_dropped_writer_leaves_an_older_file_and_nothing_else() {
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
fn an_older_file_is_replaced_when_the_audio_is_complete() {
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
fn targets_that_cannot_be_files_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for (path, expected) in [
        (folder.path().to_owned(), "it is a folder"),
        (folder.path().join("no/speech.wav"), "there is no folder"),
        (file.join("speech.wav"), "Not a directory"),
        (PathBuf::new(), "cannot write audio to"),
    ] {
        let error = WavStreamWriter::create(&path, 24_000).err().unwrap();
        assert!(matches!(error, AudioError::Write { .. }));
        assert!(error.to_string().contains(expected), "{error}");
        assert!(
            error.to_string().contains(&*path.to_string_lossy()),
            "{error}"
        );
    }
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn impossible_rates_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for rate in [0, u32::MAX] {
        let audio = Audio::new(vec![0.0; 10], rate);
        for error in [
            audio.write_wav(&target(&folder)).unwrap_err(),
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
fn a_closed_pipe_is_an_error_with_its_cause() {
    let (reader, writer) = io::pipe().unwrap();
    let mut writer = WavStreamWriter::to_pipe(writer, 24_000).unwrap();
    drop(reader);
    let message = writer.write(&[0.0; 10]).unwrap_err().to_string();
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
    fn a_named_pipe_is_written_to_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        // Open on both ends, so that neither waits for the other.
        let mut pipe = File::options().read(true).write(true).open(&path).unwrap();
        Audio::new(samples(), 8_000).write_wav(&path).unwrap();
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
        let expected = fixture("written_to_pipe_8k.wav");
        let mut bytes = vec![0; expected.len()];
        pipe.read_exact(&mut bytes).unwrap();
        assert!(bytes == expected);
    }

    #[test]
    fn a_full_device_is_an_error_with_its_cause() {
        // Opened here: a writer that failed to see a device would put a file in its place.
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = WavStreamWriter::to_pipe(full, 24_000).err().unwrap();
        let message = error.to_string();
        assert!(
            message.contains("output stream: No space left"),
            "{message}"
        );
    }

    #[test]
    fn a_folder_that_takes_no_files_is_an_error_with_its_name() {
        let error = WavStreamWriter::create(Path::new("/proc/speech.wav"), 24_000)
            .err()
            .unwrap();
        assert!(error.to_string().contains("/proc/speech.wav"), "{error}");
    }

    #[test]
    fn a_link_is_followed_and_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (link, real) = (folder.path().join("link.wav"), target(&folder));
        fs::write(&real, "older").unwrap();
        symlink(&real, &link).unwrap();
        Audio::new(vec![0.1; 100], 24_000).write_wav(&link).unwrap();
        assert!(link.is_symlink());
        assert_eq!(Audio::read(&real).unwrap().samples().len(), 4_900);
    }

    #[test]
    fn a_file_has_the_permissions_of_any_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("plain");
        fs::write(&plain, "").unwrap();
        let path = target(&folder);
        Audio::new(vec![0.1; 100], 24_000).write_wav(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }

    /// Where the child of the next test writes.
    const CHILD_TARGET: &str = "AUDIO_WRITE_TEST_TARGET";

    #[test]
    fn what_fitted_on_a_full_disk_is_kept() {
        if let Some(path) = std::env::var_os(CHILD_TARGET) {
            return write_until_full(Path::new(&path));
        }
        // A limit on the size of files, in units of 512 bytes, acts as a disk that fills up.
        let folder = tempfile::tempdir().unwrap();
        let path = target(&folder);
        let output = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "linux::what_fitted_on_a_full_disk_is_kept"])
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
        let message = error.to_string();
        assert!(message.contains("speech.wav: File too large"), "{message}");
        assert_eq!(writer.finish().unwrap(), 16_000);
    }
}
