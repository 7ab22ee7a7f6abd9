//! A text of one part, from the call to the whole audio.

use bench_report::memory::{PEAK_RSS, SECOND};
use std::time::Instant;

use pocket_tts::{TtsModel, Voice};

use super::setup::Loaded;
use super::watch::{Spoken, Watch};
use super::{Figures, Task};
use crate::{Result, peak_rss_bytes, without_end};

/// The name of the time that a program takes which loads and speaks once.
pub(super) const LOADING_AND_SPEAKING: &str = "loading and speaking";

/// Speaks twice: as the program does, which loads and speaks once, and as a server does, for which
/// all but the first time is like the second.
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
        return Err("the audio is not finite: the random weights do not keep their size".into());
    }
    Ok(Spoken::new(model, audio.samples().len()))
}
