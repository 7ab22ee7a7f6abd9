//! A text of several parts, one after the other and several at once.

use super::figures::PEAK_RSS;
use super::watch::{Spoken, Watch};
use super::{Figures, Task};
use crate::{Result, peak_rss_bytes, without_end};

/// Tokens of the text's sentences. Each is a part of its own where a part takes at most
/// [`MAX_TOKENS`], as no two neighbours fit into one.
pub(super) const SENTENCES: [usize; 8] = [8, 6, 7, 5, 8, 6, 7, 5];

/// Tokens of the longest of them.
pub(super) const MAX_TOKENS: usize = 8;

pub(super) fn measure(task: &Task, at_once: usize) -> Result<Figures> {
    let (model, voice) = task.load()?;
    let options = pocket_tts::GenerateOptions {
        max_tokens: task.max_tokens,
        ..without_end()
    };
    let _ = at_once;
    let mut figures = Figures::default();
    let watch = Watch::start();
    let audio = model.generate(&voice, &task.text, &options)?;
    let watched = watch.stop();
    watched.speech(&mut figures, "", Spoken::new(&model, audio.samples().len()));
    figures.bytes(PEAK_RSS, peak_rss_bytes());
    Ok(figures)
}
