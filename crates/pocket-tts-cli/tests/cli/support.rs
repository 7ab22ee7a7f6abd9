//! Runs the program in a temporary folder, without a network.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

const FIXTURES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tts-core/tests/fixtures/parity"
);

/// A file of the parity fixtures.
pub(crate) fn fixture(path: &str) -> PathBuf {
    let path = Path::new(FIXTURES).join(path);
    assert!(path.is_file(), "the fixture {} is missing", path.display());
    path
}

/// The working folder of the program, with an empty download cache.
pub(crate) struct Place {
    folder: TempDir,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Creates a folder with a small model in `model`: random weights and a voice for them.
    pub(crate) fn with_model() -> Self {
        let place = Self::new();
        fs::create_dir(place.path("model")).unwrap();
        for (file, from) in [
            ("config.yaml", "lsd/config.yaml"),
            ("model.safetensors", "lsd/model.safetensors"),
            ("voice.safetensors", "lsd/voice.safetensors"),
            ("voice.wav", "voice_24k.wav"),
        ] {
            fs::copy(fixture(from), place.path("model").join(file)).unwrap();
        }
        fs::copy(fixture("tokenizer.model"), place.path("tokenizer.model")).unwrap();
        place
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    pub(crate) fn write(&self, file: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(file), contents).unwrap();
    }

    /// Returns a command that runs the program in this folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.prepare(Command::new(env!("CARGO_BIN_EXE_pocket-tts")), arguments)
    }

    /// Returns a shell command in which `"$@"` is the program with its arguments.
    #[cfg(unix)]
    pub(crate) fn shell(&self, line: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line, "sh", env!("CARGO_BIN_EXE_pocket-tts")]);
        self.prepare(command, arguments)
    }

    fn prepare(&self, mut command: Command, arguments: &[&str]) -> Command {
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HF_HUB_OFFLINE", "1")
            .env("HF_HOME", self.path("hf"))
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for variable in [
            "HF_HUB_CACHE",
            "HF_TOKEN",
            "HF_TOKEN_PATH",
            "HF_ENDPOINT",
            "POCKET_TTS_MEMORY_LIMIT_MB",
            "POCKET_TTS_ENABLE_MEMORY_PROFILING",
            "POCKET_TTS_MEMORY_POOL_SIZE",
        ] {
            command.env_remove(variable);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        finish(self.command(arguments).spawn().unwrap())
    }

    /// Runs the program with environment variables.
    pub(crate) fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Run {
        let mut command = self.command(arguments);
        command.envs(variables.iter().copied());
        finish(command.spawn().unwrap())
    }

    /// The names of the files in the folder, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Runs `generate`.
    pub(crate) fn generate(&self, arguments: &[&str]) -> Run {
        self.run(&[&["generate"], arguments].concat())
    }

    /// Runs `generate` with the small model and its voice; `arguments` may set another voice.
    pub(crate) fn generate_with_model(&self, arguments: &[&str]) -> Run {
        let config = ["generate", "--config", "model/config.yaml", "Hi."];
        let voice = match arguments.contains(&"--voice") {
            true => &[][..],
            false => &["--voice", "model/voice.safetensors"],
        };
        self.run(&[&config, voice, arguments].concat())
    }

    pub(crate) fn run_with_stdin(&self, arguments: &[&str], stdin: &[u8]) -> Run {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let stdin = stdin.to_vec();
        // The program may exit before it has read everything.
        let writer = thread::spawn(move || pipe.write_all(&stdin).ok());
        let run = finish(child);
        writer.join().unwrap();
        run
    }
}

/// Waits for the program, and checks that it neither panicked nor was ended by a signal.
pub(crate) fn finish(child: Child) -> Run {
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).expect("messages are UTF-8");
    assert!(!stderr.contains("panicked"), "{stderr}");
    Run {
        code: output
            .status
            .code()
            .unwrap_or_else(|| panic!("ended by {}: {stderr}", output.status)),
        stdout: output.stdout,
        stderr,
    }
}

impl Run {
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self
    }

    /// Expects exit code 1, and a message that contains all these words.
    #[track_caller]
    pub(crate) fn fails(self, words: &[&str]) -> Self {
        self.ends_with(1, words)
    }

    /// Expects exit code 2, for invalid arguments, and a message that contains all these words.
    #[track_caller]
    pub(crate) fn usage_error(self, words: &[&str]) -> Self {
        self.ends_with(2, words)
    }

    #[track_caller]
    fn ends_with(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{}", self.stderr);
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        for word in words {
            assert!(
                self.stderr.contains(word),
                "{word:?} is not in: {}",
                self.stderr
            );
        }
        assert!(self.stdout.is_empty());
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&self.stdout));
        })
    }
}

/// Checks the header of a WAV file, and returns its rate and samples. A piped file states more samples
/// than it has.
pub(crate) fn wav(bytes: &[u8], is_piped: bool) -> (u32, Vec<i16>) {
    let u16_at = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(
        (&bytes[..4], &bytes[8..16], &bytes[36..40]),
        (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..])
    );
    // Format chunk: its length; PCM, one channel; block and bits of a sample.
    assert_eq!((u32_at(16), u16_at(20), u16_at(22)), (16, 1, 1));
    assert_eq!((u16_at(32), u16_at(34)), (2, 16));
    let rate = u32_at(24);
    assert_eq!(u32_at(28), 2 * rate);
    let data = &bytes[44..];
    if is_piped {
        assert!(u32_at(40) as usize > data.len());
    } else {
        assert_eq!(u32_at(40) as usize, data.len());
        assert_eq!(u32_at(4) as usize, bytes.len() - 8);
    }
    let samples = data
        .chunks_exact(2)
        .map(|sample| i16::from_le_bytes([sample[0], sample[1]]));
    (rate, samples.collect())
}

/// The number of samples of silence at the end of a file: 200 ms.
pub(crate) fn end_silence(rate: u32) -> usize {
    rate as usize / 5
}
