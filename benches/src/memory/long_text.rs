//! A text of several parts, one after the other and several at once.

use bench_report::memory::PEAK_RSS;
use pocket_tts::GenerateOptions;

use super::setup::Loaded;
use super::watch::{Spoken, Watch};
use super::{Figures, Task};
use crate::{Result, peak_rss_bytes, without_end};

/// Tokens of the text's sentences. Each is a part of its own where a part takes at most
/// [`MAX_TOKENS`], as no two neighbours fit into one.
pub(super) const SENTENCES: [usize; 8] = [8, 6, 7, 5, 8, 6, 7, 5];

/// Tokens of the longest of them.
pub(super) const MAX_TOKENS: usize = 8;

pub(super) fn measure(task: &Task, at_once: usize) -> Result<Figures> {
    let Loaded {
        model,
        voice,
        session: _session,
    } = task.load()?;
    let options = options(task).with_batch_size(at_once);
    let predicted = model.plan_memory(&voice, &task.text, &options)?.peak_bytes;
    let mut figures = Figures::default();
    let watch = Watch::start();
    let audio = model.generate(&voice, &task.text, &options)?;
    let spoken = Spoken::new(&model, audio.samples().len());
    watch.stop().speech(&mut figures, "", spoken);
    figures.bytes("predicted peak", predicted);
    figures.bytes(PEAK_RSS, peak_rss_bytes());
    Ok(figures)
}

/// How the parts of a long text are spoken.
pub(super) fn options(task: &Task) -> GenerateOptions {
    without_end().with_max_tokens(task.max_tokens)
}
