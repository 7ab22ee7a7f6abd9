//! Figures as JSON.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Result;

/// Writes `bench/NAME.json` in the folder that everything is built into, given cargo's folder for
/// temporary files in it.
///
/// # Errors
///
/// It cannot be written.
pub fn write_report(target_tmp: &Path, name: &str, report: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    write_result(target_tmp, &format!("{name}.json"), &text)
}

/// Writes `bench/FILE` in that folder: beside it first, then renamed into place.
///
/// # Errors
///
/// It cannot be written.
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

/// A figure that was measured several times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The middle one; the mean of the middle two where there are two.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub most: f64,
    /// How many.
    pub samples: usize,
}

/// Median, least and most; nothing where nothing was measured, as when only some are asked for.
pub fn spread(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let (&least, &most) = values.first().zip(values.last())?;
    let middle = values.len() / 2;
    let median = match values.len() % 2 {
        1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    };
    Some(Spread {
        median,
        least,
        most,
        samples: values.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_the_mean_of_the_middle_two() {
        let of = |values: &[f64]| spread(values.iter().copied()).unwrap();
        let odd = of(&[9.0, 1.0, 4.0]);
        assert_eq!(
            (odd.median, odd.least, odd.most, odd.samples),
            (4.0, 1.0, 9.0, 3)
        );
        assert_eq!(of(&[4.0, 1.0, 9.0, 2.0]).median, 3.0);
        assert_eq!(of(&[-2.0]).median, -2.0);
        assert_eq!(spread([]), None);
    }
}
