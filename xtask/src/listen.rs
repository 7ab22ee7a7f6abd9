//! `cargo xtask listen`: the program speaks, a speech recogniser transcribes the recordings, and the
//! words are compared. This tests the program as a whole, through its WAV files.

mod recogniser;
mod sentences;
mod wav;
mod word_errors;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{build_program, output, run as execute};
use sentences::{Group, SHORT_TEXT, groups};
use word_errors::WordErrors;

/// Recordings of each sentence, each with its own seed. They reduce the effect of chance.
const TAKES: u64 = 3;

/// Recordings of the short text, each with its own seed.
const SHORT_TAKES: u64 = 10;

/// Plausible seconds per word. People take 0.3 to 0.5; outside these bounds the speech ended early or
/// did not end.
const SECONDS_PER_WORD: RangeInclusive<f64> = 0.12..=0.9;

/// Seconds that a recording may take in addition, for the silence around the words.
const SILENCE_SECONDS: f64 = 0.5;

/// The lowest peak of a recording that contains speech: -26 dB of full scale.
const MIN_PEAK: f64 = 0.05;

/// The largest share of samples at full scale; in speech only single peaks reach it.
const MAX_CLIPPED: f64 = 0.01;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Python of a virtual environment with the packages of xtask/listen/requirements.txt.
    /// [default: $XDG_CACHE_HOME/pocket-tts/listen-venv/bin/python]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Seed of the first take; each following take uses the next number.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Write the recordings to this folder and keep them.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            python: None,
            seed: 1,
            keep: None,
        }
    }
}

/// A text and its recordings, one per take.
struct Spoken<'a> {
    text: &'a str,
    recordings: Vec<PathBuf>,
}

/// Records the sentences, transcribes them and compares the words.
///
/// # Errors
///
/// The program or the recogniser fails, a recording is not a valid WAV file of speech, or a group of
/// sentences exceeds its maximum error rate.
pub(crate) fn run(args: &Args) -> Result<()> {
    let python = recogniser::python(args.python.as_deref())?;
    let program = build_program(&[])?;
    let rate_hz = sample_rate_hz(&program)?;
    let temporary = tempfile::tempdir().context("cannot create a temporary folder")?;
    let folder = args.keep.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create the folder {}", folder.display()))?;

    let groups = groups();
    let sentences = groups.iter().flat_map(|group| &group.sentences);
    let texts = sentences
        .map(|sentence| (*sentence, TAKES))
        .chain([(SHORT_TEXT, SHORT_TAKES)]);
    let mut spoken = Vec::new();
    for (index, (text, takes)) in texts.enumerate() {
        let mut recordings = Vec::new();
        for take in 0..takes {
            let path = folder.join(format!("{:02}-{:02}.wav", index + 1, take + 1));
            speak(&program, text, args.seed + take, &path)?;
            check_recording(&path, text, rate_hz)?;
            recordings.push(path);
        }
        spoken.push(Spoken { text, recordings });
    }
    let all: Vec<&Path> = spoken
        .iter()
        .flat_map(|spoken| spoken.recordings.iter().map(PathBuf::as_path))
        .collect();
    println!(
        "{} recordings at {rate_hz} Hz are valid WAV files",
        all.len()
    );

    let mut transcripts = recogniser::transcribe(&python, &all)?.into_iter();
    let transcribed: Vec<Transcribed> = spoken
        .iter()
        .map(|spoken| Transcribed {
            text: spoken.text,
            transcripts: transcripts.by_ref().take(spoken.recordings.len()).collect(),
        })
        .collect();
    let (short, sentences) = transcribed.split_last().context("no text was spoken")?;
    let result = judge(&groups, sentences);
    report_short(short);
    result
}

/// The sample rate of the default model, as the program reports it.
fn sample_rate_hz(program: &Path) -> Result<u32> {
    let info = output(Command::new(program).args(["info", "--json", "--quiet"]))?;
    let info: serde_json::Value = serde_json::from_str(&info)
        .context("the output of `pocket-tts info --json` is not JSON")?;
    info["sample_rate_hz"]
        .as_u64()
        .and_then(|rate| u32::try_from(rate).ok())
        .context("`pocket-tts info --json` has no sample_rate_hz")
}

fn speak(program: &Path, text: &str, seed: u64, path: &Path) -> Result<()> {
    execute(
        Command::new(program)
            .args(["generate", text, "--quiet", "--seed"])
            .arg(seed.to_string())
            .arg("-o")
            .arg(path),
    )
}

/// Checks that a file is a WAV file at this rate with a plausible recording of this text.
fn check_recording(path: &Path, text: &str, rate_hz: u32) -> Result<()> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let check = || -> Result<()> {
        let recording = wav::parse(&bytes)?;
        if recording.rate_hz != rate_hz {
            bail!(
                "the sample rate is {} Hz instead of {rate_hz}",
                recording.rate_hz
            );
        }
        let words = word_errors::words(text).len() as f64;
        let shortest = SECONDS_PER_WORD.start() * words;
        let longest = SECONDS_PER_WORD.end() * words + SILENCE_SECONDS;
        if !(shortest..=longest).contains(&recording.seconds()) {
            bail!(
                "its length is {:.2} s, but {words} words take {shortest:.1} s to {longest:.1} s",
                recording.seconds()
            );
        }
        if recording.peak() < MIN_PEAK {
            bail!("its peak is {:.4} of full scale", recording.peak());
        }
        if recording.clipped_share() > MAX_CLIPPED {
            bail!(
                "{:.1} % of its samples are clipped",
                100.0 * recording.clipped_share()
            );
        }
        Ok(())
    };
    check().with_context(|| format!("invalid recording of {text:?}, {}", path.display()))
}

/// A text and the transcripts of its recordings.
struct Transcribed<'a> {
    text: &'a str,
    transcripts: Vec<String>,
}

impl Transcribed<'_> {
    /// The word errors of each take.
    fn errors(&self) -> impl Iterator<Item = WordErrors> {
        let transcripts = self.transcripts.iter();
        transcripts.map(|transcript| WordErrors::between(self.text, transcript))
    }
}

/// Prints every transcript and the word error rate of each group, and compares the rates with the maxima.
///
/// # Errors
///
/// Names every group that exceeds its maximum error rate.
fn judge(groups: &[Group], transcribed: &[Transcribed<'_>]) -> Result<()> {
    println!("\nwrong  of   text, and the transcript of each take");
    let mut rest = transcribed;
    let mut rates = Vec::new();
    for group in groups {
        let (sentences, following) = rest
            .split_at_checked(group.sentences.len())
            .context("a sentence has no transcript")?;
        rest = following;
        let mut errors = WordErrors::default();
        for sentence in sentences {
            let of_sentence: WordErrors = sentence.errors().sum();
            println!(
                "{:5}  {:3}  {}",
                of_sentence.edits, of_sentence.words, sentence.text
            );
            for transcript in &sentence.transcripts {
                println!("            {transcript}");
            }
            errors += of_sentence;
        }
        rates.push((group, errors));
    }

    println!();
    let mut exceeded = Vec::new();
    for (group, errors) in rates {
        let line = format!(
            "{}: {errors} of the words are wrong; the maximum is {:.0} %",
            group.name,
            100.0 * group.max_error_rate
        );
        println!("{line}");
        if errors.rate() > group.max_error_rate {
            exceeded.push(line);
        }
    }
    if !exceeded.is_empty() {
        bail!(
            "the speech is not intelligible enough: {}",
            exceeded.join("; ")
        );
    }
    Ok(())
}

/// Prints the transcript of each take of the short text.
fn report_short(short: &Transcribed<'_>) {
    let correct = short.errors().filter(|errors| errors.edits == 0).count();
    println!(
        "{:?}: {correct} of {} takes are transcribed correctly: {}",
        short.text,
        short.transcripts.len(),
        short.transcripts.join(" | ")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &'static str, sentences: &[&'static str], max_error_rate: f64) -> Group {
        Group {
            name,
            sentences: sentences.to_vec(),
            max_error_rate,
        }
    }

    fn transcribed(text: &'static str, transcripts: &[&str]) -> Transcribed<'static> {
        Transcribed {
            text,
            transcripts: transcripts.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn passes_when_every_take_is_transcribed_correctly() {
        judge(
            &[group("a", &["One two three.", "Four five."], 0.0)],
            &[
                transcribed("One two three.", &["one two three", "One, two three!"]),
                transcribed("Four five.", &["four five", "Four five"]),
            ],
        )
        .unwrap();
    }

    #[test]
    fn compares_every_group_with_its_own_maximum() {
        let groups = [
            group("first", &["One two three four five."], 0.5),
            group("second", &["One two three four five."], 0.7),
        ];
        // Three of five words are wrong in both groups.
        let text = "One two three four five.";
        let transcribed = [
            transcribed(text, &["one two"]),
            transcribed(text, &["four five"]),
        ];
        let error = judge(&groups, &transcribed).unwrap_err().to_string();
        assert!(error.contains("first: 60.0 %"), "{error}");
        assert!(!error.contains("second"), "{error}");
    }

    #[test]
    fn rejects_a_sentence_without_transcripts() {
        let groups = [group("a", &["One.", "Two."], 1.0)];
        assert!(judge(&groups, &[transcribed("One.", &["one"])]).is_err());
    }
}
