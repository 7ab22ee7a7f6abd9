//! Figures as JSON.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::Result;

/// Writes `bench/NAME.json` in the folder that everything is built into, given cargo's folder for
/// temporary files in it.
///
/// # Errors
///
/// It cannot be written.
pub fn write_report(target_tmp: &Path, name: &str, report: &Value) -> Result<()> {
    let target = target_tmp
        .parent()
        .ok_or("the build has no target folder")?;
    let folder = target.join("bench");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{name}.json"));
    fs::write(&path, serde_json::to_string_pretty(report)?)?;
    println!("written: {}", path.display());
    Ok(())
}

/// Median, least and most; nothing where nothing was measured, as when only some are asked for.
pub fn spread(values: impl IntoIterator<Item = f64>) -> Option<Value> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let median = match values.len() % 2 {
        _ if values.is_empty() => return None,
        1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    };
    Some(json!({
        "median": median,
        "least": values.first(),
        "most": values.last(),
        "samples": values.len(),
    }))
}
