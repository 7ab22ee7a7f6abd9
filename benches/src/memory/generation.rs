//! Generation of a text of one segment.

use bench_report::memory::{PEAK_RSS, SECOND};
use std::time::Instant;

use pocket_tts::{TtsModel, Voice};

use super::setup::Loaded;
use super::watch::{Spoken, Watch};
use super::{Figures, Task};
use crate::{Result, peak_rss_bytes, without_end};

/// Figure: the time to load the model and generate once.
pub(super) const LOADING_AND_SPEAKING: &str = "loading and speaking";

/// Generates twice: the first time represents a program that loads and generates once, the second time a
/// server.
pub(super) fn measure(task: &Task) -> Result<Figures> {
    let start = Instant::now();
    let Loaded {
        model,
        voice,
        session: _session,
    } = task.load()?;
    let mut figures = Figures::default();
    let watch = Watch::start();
    let spoken = speak(task, &model, &voice)?;
    watch.stop().speech(&mut figures, "", spoken);
    figures.time(LOADING_AND_SPEAKING, start.elapsed());
    figures.bytes(PEAK_RSS, peak_rss_bytes());
    let watch = Watch::start();
    let spoken = speak(task, &model, &voice)?;
    watch.stop().speech(&mut figures, SECOND, spoken);
    Ok(figures)
}

fn speak(task: &Task, model: &TtsModel, voice: &Voice) -> Result<Spoken> {
    let audio = model.generate(voice, &task.text, &without_end())?;
    if !audio.samples().iter().all(|sample| sample.is_finite()) {
        return Err("the audio is not finite: the random weights are badly scaled".into());
    }
    Ok(Spoken::new(model, audio.samples().len()))
}
