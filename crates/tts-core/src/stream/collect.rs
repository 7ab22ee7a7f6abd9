//! Generation of whole speech, collected from its chunks.

use std::sync::Arc;

use super::{Interrupted, SpeechRequest, StreamCost, start};
use crate::audio::Audio;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::ledger::MemoryError;
use crate::scheduler::Running;
use crate::text::SegmentSize;

/// Generates the speech of all requests. The result has one item per request.
pub(crate) fn collect(
    engine: &Arc<Engine>,
    requests: Vec<SpeechRequest>,
) -> Result<Vec<Audio>, Interrupted<Vec<Audio>>> {
    let rate = engine.sample_rate_hz();
    let silence = vec![Audio::new(Vec::new(), rate); requests.len()];
    if requests.is_empty() {
        return Ok(silence);
    }
    let (running, mut buffers) = match start_all(engine, requests) {
        Ok(started) => started,
        Err(error) => {
            return Err(Interrupted::new(error, silence));
        }
    };
    let mut end = None;
    for chunk in running {
        match chunk {
            Ok(chunk) => buffers[chunk.request].extend_from_slice(&chunk.samples),
            Err(error) => end = Some(error),
        }
    }
    // Generation's scratch is free by now, so a copy that is no larger needs no further memory.
    let scratch_bytes = StreamCost::of(engine)
        .need(SegmentSize::default())
        .scratch_bytes;
    let max_copied = scratch_bytes as usize / size_of::<f32>();
    let audio = buffers.into_iter().map(|mut samples| {
        if samples.len() <= max_copied {
            samples.shrink_to_fit();
        }
        Audio::new(samples, rate)
    });
    let audio = audio.collect();
    match end {
        None => Ok(audio),
        Some(error) => Err(Interrupted::new(error, audio)),
    }
}

/// Starts the requests and allocates a buffer for the longest speech that each can become. Pages of a
/// buffer that are never written are not resident.
fn start_all(
    engine: &Arc<Engine>,
    mut requests: Vec<SpeechRequest>,
) -> Result<(Running, Vec<Vec<f32>>)> {
    let mut lengths = Vec::with_capacity(requests.len());
    for request in &mut requests {
        request.text = request.text.cut()?;
        let frames = request.text.max_frames().unwrap_or_default();
        lengths.push(frames * engine.frame_samples());
    }
    let audio_bytes = (lengths.iter().sum::<usize>() * size_of::<f32>()) as u64;
    let (running, _) = start(engine, &requests, audio_bytes)?;
    let mut buffers = Vec::with_capacity(lengths.len());
    for length in lengths {
        let mut samples: Vec<f32> = Vec::new();
        samples.try_reserve_exact(length).map_err(|_| {
            Error::from(MemoryError::OutOfMemory {
                what: "the audio",
                bytes: (length * size_of::<f32>()) as u64,
            })
        })?;
        buffers.push(samples);
    }
    Ok((running, buffers))
}
