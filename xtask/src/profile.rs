//! `cargo xtask profile`: what memory the program takes to speak, by phase and by part.

mod tables;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::Value;

use crate::program;
use crate::shell::{run as execute, target_folder};

/// Two sentences, so that there is a second part or at least a long one.
const TEXT: &str =
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background.";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to say.
    #[arg(long, default_value = TEXT, allow_hyphen_values = true)]
    text: String,
    /// Where to compute; the program is built with what that needs.
    #[arg(long, value_enum, default_value_t = Device::Flex)]
    device: Device,
    /// A released model by name, or a config file by its path or address. [default: the model in the
    /// box]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// A voice by name or file. With a recording, the phase that makes a voice of it is measured too.
    /// [default: the model's own]
    #[arg(long, value_name = "VOICE")]
    voice: Option<String>,
    /// Keep the files in this folder. [default: target/profile]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Device {
    /// The CPU.
    Flex,
    /// The CPU, for comparison.
    Ndarray,
    /// GPUs.
    Wgpu,
}

impl Device {
    fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Ndarray => "ndarray",
            Self::Wgpu => "wgpu",
        }
    }

    /// The features that the program does not have anyway.
    fn features(self) -> &'static [&'static str] {
        match self {
            Self::Flex => &[],
            Self::Ndarray => &["ndarray"],
            Self::Wgpu => &["wgpu"],
        }
    }
}

/// Builds the program, lets it speak and record, and prints what was recorded.
///
/// # Errors
///
/// It does not build or fails, or a file that it should write is not there.
pub(crate) fn run(args: &Args) -> Result<()> {
    let program = program::build(args.device.features())?;
    let folder = match &args.out {
        Some(folder) => folder.clone(),
        None => target_folder()?.join("profile"),
    };
    fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    // What another run left must not be taken for this one's.
    let fresh = tempfile::tempdir_in(&folder)
        .with_context(|| format!("cannot make a folder in {}", folder.display()))?;
    speak(args, &program, fresh.path())?;
    let files = keep(fresh.path(), &folder)?;
    println!("\n{}", tables::of(&read(&files.json)?)?);
    for path in files.all() {
        println!("{}", path.display());
    }
    Ok(())
}

fn speak(args: &Args, program: &Path, folder: &Path) -> Result<()> {
    let mut command = Command::new(program);
    command.arg("generate");
    // As one argument, whatever the text begins with.
    command.arg(format!("--text={}", args.text));
    command.args(["--device", args.device.name()]);
    if let Some(model) = &args.model {
        command.args([model_flag(model), model]);
    }
    if let Some(voice) = &args.voice {
        command.args(["--voice", voice]);
    }
    command.arg("--output-path").arg(folder.join("speech.wav"));
    command
        .arg("--profile-memory")
        .arg("--profile-dir")
        .arg(folder);
    execute(&mut command)
}

/// A released model's name is one word; everything else is a place.
fn model_flag(model: &str) -> &'static str {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match model.chars().all(is_name) {
        true => "--language",
        false => "--config",
    }
}

/// Where the files of a profile are.
struct Files {
    dat: PathBuf,
    html: PathBuf,
    svg: PathBuf,
    json: PathBuf,
}

impl Files {
    fn all(&self) -> [&Path; 4] {
        [&self.html, &self.svg, &self.dat, &self.json]
    }
}

/// Moves what the program wrote to where it stays. Its recording keeps the name that `mprof` looks for.
fn keep(from: &Path, to: &Path) -> Result<Files> {
    let find = |extension: &str| {
        let entries = fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()));
        entries?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|found| found == extension))
            .with_context(|| {
                format!("the program wrote no .{extension} file with --profile-memory")
            })
    };
    let keep = |extension: &str, name: Option<&str>| {
        let found = find(extension)?;
        let name = name.map_or_else(|| found.file_name().unwrap_or_default(), AsRef::as_ref);
        let kept = to.join(name);
        fs::rename(&found, &kept).with_context(|| format!("cannot write {}", kept.display()))?;
        Ok::<_, anyhow::Error>(kept)
    };
    Ok(Files {
        dat: keep("dat", None)?,
        html: keep("html", Some("profile.html"))?,
        svg: keep("svg", Some("profile.svg"))?,
        json: keep("json", Some("profile.json"))?,
    })
}

fn read(path: &Path) -> Result<Value> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let profile: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    if !profile.is_object() {
        bail!("{} holds no profile", path.display());
    }
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_released_model_and_everything_else_a_config() {
        for name in ["english", "english_18m_2026-10"] {
            assert_eq!(model_flag(name), "--language");
        }
        for place in ["config.yaml", "a/b", "hf://o/r/config.yaml", "./english"] {
            assert_eq!(model_flag(place), "--config");
        }
    }

    #[test]
    fn files_move_under_their_names_and_a_missing_one_is_named() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["mprofile_20260102030405.dat", "x.html", "x.svg"] {
            fs::write(from.path().join(name), name).unwrap();
        }
        let error = keep(from.path(), to.path()).err().unwrap();
        assert!(error.to_string().contains("no .json file"), "{error}");
        for name in ["mprofile_20260102030406.dat", "y.html", "y.svg", "y.json"] {
            fs::write(from.path().join(name), name).unwrap();
        }
        let files = keep(from.path(), to.path()).unwrap();
        assert!(files.dat.ends_with("mprofile_20260102030406.dat"));
        assert_eq!(
            fs::read_to_string(to.path().join("profile.svg")).unwrap(),
            "y.svg"
        );
        assert!(files.all().iter().all(|path| path.is_file()));
    }
}
