//! A text of several segments at several batch sizes.

use bench_report::memory::PEAK_RSS;
use pocket_tts::GenerateOptions;

use super::setup::Loaded;
use super::watch::{Spoken, Watch};
use super::{Figures, Task};
use crate::{Result, peak_rss_bytes, without_end};

/// Tokens of each sentence of the text. With [`MAX_TOKENS`] each sentence is one segment, because no two
/// neighbours fit into one segment.
pub(super) const SENTENCES: [usize; 8] = [8, 6, 7, 5, 8, 6, 7, 5];

/// Tokens of the longest sentence.
pub(super) const MAX_TOKENS: usize = 8;

pub(super) fn measure(task: &Task, batch_size: usize) -> Result<Figures> {
    let Loaded {
        model,
        voice,
        session: _session,
    } = task.load()?;
    let options = options(task).with_batch_size(batch_size);
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

/// Returns the options for a long text.
pub(super) fn options(task: &Task) -> GenerateOptions {
    without_end().with_max_tokens(task.max_tokens)
}
