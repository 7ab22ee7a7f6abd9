//! `cargo xtask profile`: the memory use of the program, by phase and by category.

mod tables;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::shell::{build_program, run as execute, target_folder};
use tables::Profile;

/// Two sentences, so that there is a second segment or at least a long one.
const TEXT: &str =
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background.";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The text to speak.
    #[arg(long, default_value = TEXT, allow_hyphen_values = true)]
    text: String,
    /// Device to compute on; the program is built with support for it.
    #[arg(long, value_enum, default_value_t = Device::Flex)]
    device: Device,
    /// A released model by name, or a config file by path or address. [default: the built-in model]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// A voice by name or file. A recording is cloned, and the profile includes that phase. [default:
    /// the model's first voice]
    #[arg(long, value_name = "VOICE")]
    voice: Option<String>,
    /// Folder for the files. [default: target/profile]
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

    /// Returns the features to enable in addition to the default features.
    fn features(self) -> &'static [&'static str] {
        match self {
            Self::Flex => &[],
            Self::Ndarray => &["ndarray"],
            Self::Wgpu => &["wgpu"],
        }
    }
}

/// Builds the program, runs it with memory profiling, and prints the profile.
///
/// # Errors
///
/// The program does not build or fails, or it does not write a file of the profile.
pub(crate) fn run(args: &Args) -> Result<()> {
    let program = build_program(args.device.features())?;
    let folder = match &args.out {
        Some(folder) => folder.clone(),
        None => target_folder()?.join("profile"),
    };
    fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    // A separate folder, so that files of an earlier run are not mistaken for new ones.
    let fresh = tempfile::tempdir_in(&folder)
        .with_context(|| format!("cannot create a folder in {}", folder.display()))?;
    speak(args, &program, fresh.path())?;
    let files = move_files(fresh.path(), &folder)?;
    println!("\n{}", tables::text(&read(&files.json)?));
    for path in files.all() {
        println!("{}", path.display());
    }
    Ok(())
}

fn speak(args: &Args, program: &Path, folder: &Path) -> Result<()> {
    let mut command = Command::new(program);
    command.arg("generate");
    // As one argument, since the text may start with a dash.
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

/// Returns the flag for a model: the name of a released model is one word, anything else is a config.
fn model_flag(model: &str) -> &'static str {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match model.chars().all(is_name) {
        true => "--language",
        false => "--config",
    }
}

/// The files of a profile.
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

/// Moves the files of a profile to their final folder. The recording keeps its name, since `mprof` looks
/// for that pattern.
fn move_files(from: &Path, to: &Path) -> Result<Files> {
    let find = |extension: &str| {
        let entries = fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()));
        entries?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|found| found == extension))
            .with_context(|| {
                format!("the program wrote no .{extension} file with --profile-memory")
            })
    };
    let move_file = |extension: &str, name: Option<&str>| {
        let found = find(extension)?;
        let name = name.map_or_else(|| found.file_name().unwrap_or_default(), AsRef::as_ref);
        let target = to.join(name);
        fs::rename(&found, &target)
            .with_context(|| format!("cannot write {}", target.display()))?;
        Ok::<_, anyhow::Error>(target)
    };
    Ok(Files {
        dat: move_file("dat", None)?,
        html: move_file("html", Some("profile.html"))?,
        svg: move_file("svg", Some("profile.svg"))?,
        json: move_file("json", Some("profile.json"))?,
    })
}

fn read(path: &Path) -> Result<Profile> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a profile", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn treats_a_word_as_a_released_model_and_anything_else_as_a_config() {
        for name in ["english", "english_18m_2026-10"] {
            assert_eq!(model_flag(name), "--language");
        }
        for place in ["config.yaml", "a/b", "hf://o/r/config.yaml", "./english"] {
            assert_eq!(model_flag(place), "--config");
        }
    }

    #[test]
    fn moves_files_and_names_a_missing_one() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["mprofile_20260102030405.dat", "x.html", "x.svg"] {
            fs::write(from.path().join(name), name).unwrap();
        }
        let error = move_files(from.path(), to.path()).err().unwrap();
        assert!(error.to_string().contains("no .json file"), "{error}");
        for name in ["mprofile_20260102030406.dat", "y.html", "y.svg", "y.json"] {
            fs::write(from.path().join(name), name).unwrap();
        }
        let files = move_files(from.path(), to.path()).unwrap();
        assert!(files.dat.ends_with("mprofile_20260102030406.dat"));
        assert_eq!(
            fs::read_to_string(to.path().join("profile.svg")).unwrap(),
            "y.svg"
        );
        assert!(files.all().iter().all(|path| path.is_file()));
    }
}
