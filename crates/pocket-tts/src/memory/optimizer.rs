//! The choice of a batch size.

use batch_planner::{BatchSize, BatchSizeOptimizer, Estimate, Term};
use tts_core::memory::StreamNeed;
use tts_core::text::SegmentSize;
use tts_core::{GenerateOptions, Model, PreparedText};

use super::context::context_limit_bytes;
use crate::error::Result;
use crate::speech::SpeechText;

/// Maximum batch size of a large model unless the options set a larger one. The weights are read once for
/// the whole batch. The 110 M shape generates a long text twice as fast with a batch of 4 as with 1. With
/// 8 it is only a tenth faster than with 4, for twice the memory (`cargo xtask bench memory`).
const LARGE_MODEL_BATCH: usize = 4;

/// Minimum size of the prepared weights of a large model. The weights of smaller models stay in the
/// processor's caches, and generator and decoder run concurrently, so a batch size of 1 is fastest. The
/// built-in model is a tenth slower with 4.
const LARGE_MODEL_BYTES: u64 = 64 << 20;

/// Chooses batch sizes for a model within the current limit.
///
/// Its memory model consists of the model's dimensions and of the memory in use when the optimizer is made.
/// The limit is the lowest of the context's ([`memory_efficient_context`](super::memory_efficient_context))
/// and of what the operating system leaves: a control group, a resource limit or the machine's memory.
///
/// ```
/// # #[cfg(feature = "builtin-voice")] {
/// use pocket_tts::TtsModel;
/// use pocket_tts::memory::get_batch_optimizer;
///
/// let model = TtsModel::builtin()?;
/// let optimizer = get_batch_optimizer(&model);
///
/// // The positions of one segment: its tokens and frames.
/// let answer = optimizer.get_optimal_batch_size(100)?;
/// println!("{answer}");
/// let answer = optimizer.for_text("One sentence. Another one.", &Default::default())?;
/// assert!(answer.batch_size >= 1);
/// # }
/// # Ok::<(), pocket_tts::Error>(())
/// ```
#[derive(Clone)]
pub struct BatchOptimizer {
    model: Model,
    limit_bytes: Option<u64>,
}

/// Returns the optimizer for a model, with the current limit.
pub fn get_batch_optimizer(model: &impl AsRef<Model>) -> BatchOptimizer {
    BatchOptimizer::new(model.as_ref())
}

impl BatchOptimizer {
    fn new(model: &Model) -> Self {
        let limit = model.ledger().limit(context_limit_bytes());
        Self {
            model: model.clone(),
            limit_bytes: limit.map(|limit| limit.limit_bytes),
        }
    }

    /// Returns the limit; `None` if none is known.
    #[must_use]
    pub fn limit_bytes(&self) -> Option<u64> {
        self.limit_bytes
    }

    /// Returns the best batch size for segments of `sequence_length` positions, tokens and frames
    /// together.
    ///
    /// # Errors
    ///
    /// Not even one segment fits; the message gives the missing bytes.
    pub fn get_optimal_batch_size(&self, sequence_length: usize) -> Result<BatchSize> {
        let need = self.need_of(sequence_length);
        let optimizer = self.optimizer(&need, max_batch_size(&self.model));
        Ok(optimizer.get_optimal_batch_size(sequence_length as u64)?)
    }

    /// Estimates the memory of a batch of segments of `sequence_length` positions, including all other
    /// memory of the program.
    ///
    /// # Errors
    ///
    /// The result overflows.
    pub fn estimate_memory_usage(
        &self,
        batch_size: usize,
        sequence_length: usize,
    ) -> Result<Estimate> {
        let need = self.need_of(sequence_length);
        let optimizer = self.optimizer(&need, max_batch_size(&self.model));
        Ok(optimizer.estimate_memory_usage(batch_size as u64, sequence_length as u64)?)
    }

    /// Returns the best batch size for a text: at most its number of segments, the longest of which
    /// determines the memory.
    ///
    /// # Errors
    ///
    /// The text contains nothing to speak, a setting is out of range, or not even one segment fits.
    pub fn for_text(&self, text: &str, options: &GenerateOptions) -> Result<BatchSize> {
        self.for_prepared(&SpeechText::Text(text).prepare(&self.model, options)?)
    }

    /// Returns the best batch size for a prepared text; otherwise as [`Self::for_text`].
    ///
    /// # Errors
    ///
    /// Not even one segment fits.
    pub fn for_prepared(&self, text: &PreparedText) -> Result<BatchSize> {
        let largest = text.largest_segment();
        let need = self.model.stream_cost().need(largest);
        self.for_segments(text.segment_count().unwrap_or(usize::MAX), largest, &need)
    }

    fn for_segments(
        &self,
        segments: usize,
        largest: SegmentSize,
        need: &StreamNeed,
    ) -> Result<BatchSize> {
        let optimizer = self.optimizer(need, segments.min(max_batch_size(&self.model)));
        Ok(optimizer.get_optimal_batch_size(largest.positions() as u64)?)
    }

    /// Returns the memory of segments of so many positions, as if all were tokens: the prefill's memory does
    /// not depend on the batch size.
    fn need_of(&self, sequence_length: usize) -> StreamNeed {
        self.model.stream_cost().need(SegmentSize {
            tokens: sequence_length.min(GenerateOptions::default().max_tokens),
            max_frames: sequence_length,
        })
    }

    fn optimizer(&self, need: &StreamNeed, ceiling: usize) -> BatchSizeOptimizer {
        let memory = self.model.stream_cost().memory_model(need).with(
            Term::new("model, voices and the rest of the program")
                .fixed(self.model.ledger().needed_bytes()),
        );
        let limit_bytes = self.limit_bytes.unwrap_or(u64::MAX);
        BatchSizeOptimizer::new(limit_bytes, memory).with_ceiling(ceiling.max(1) as u64)
    }
}

/// Returns the batch size above which more memory gains almost no speed.
pub(crate) fn max_batch_size(model: &Model) -> usize {
    let size = model.size();
    match size.flow_lm_bytes + size.decoder_bytes >= LARGE_MODEL_BYTES {
        true => LARGE_MODEL_BATCH,
        false => 1,
    }
}
