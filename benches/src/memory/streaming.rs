//! Streaming of a text of one segment.

use super::setup::Loaded;
use super::watch::{Spoken, Watch};
use super::{Figures, Task};
use crate::{Result, peak_rss_bytes, without_end};
use bench_report::memory::PEAK_RSS;

pub(super) fn measure(task: &Task) -> Result<Figures> {
    let Loaded {
        model,
        voice,
        session: _session,
    } = task.load()?;
    let mut figures = Figures::default();
    let watch = Watch::start();
    let start = std::time::Instant::now();
    let mut first_audio = None;
    let (mut chunks, mut samples) = (0, 0);
    for chunk in model.stream(&voice, &task.text, &without_end())? {
        let chunk = chunk?;
        first_audio.get_or_insert_with(|| start.elapsed());
        chunks += 1;
        samples += chunk.samples().len();
    }
    let watched = watch.stop();
    watched.speech(&mut figures, "", Spoken::new(&model, samples));
    figures.bytes(PEAK_RSS, peak_rss_bytes());
    figures.time(
        "first audio",
        first_audio.ok_or("the stream produced no audio")?,
    );
    figures.count("chunks", chunks);
    Ok(figures)
}
