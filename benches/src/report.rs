//! Writing the results of a suite.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Result;

/// Writes `bench/NAME.json` in the target folder.
///
/// `target_tmp` is cargo's folder for temporary files, a subfolder of the target folder.
///
/// # Errors
///
/// The file cannot be written.
pub fn write_report(target_tmp: &Path, name: &str, report: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    write_result(target_tmp, &format!("{name}.json"), &text)
}

/// Writes `bench/FILE` in the target folder, under a temporary name first.
///
/// # Errors
///
/// The file cannot be written.
pub fn write_result(target_tmp: &Path, file: &str, text: &str) -> Result<()> {
    let target = target_tmp
        .parent()
        .ok_or("the build has no target folder")?;
    let folder = target.join("bench");
    fs::create_dir_all(&folder)?;
    let path = folder.join(file);
    let partial = folder.join(format!("{file}.partial"));
    fs::write(&partial, text)?;
    fs::rename(partial, &path)?;
    println!("written: {}", path.display());
    Ok(())
}
