//! How many parts of a text are best spoken at once.

use std::num::NonZeroU64;

use batch_planner::{BatchSize, BatchSizeOptimizer, Estimate, MemoryModel, Term};
use mem_monitor::LimitOrigin;
use tts_core::memory::{StreamNeed, present};
use tts_core::{GenerateOptions, Model, PartSize};

use super::context::MemoryContext;
use super::globals::get_memory_monitor;
use crate::error::Result;

/// Most parts of a text that a large model speaks at once unless more are asked for. Its weights are read
/// once for all of them: the 110 M shape speaks a long text twice as fast with 4 at once as with one, and
/// with 8 only a tenth faster than with 4, for twice the memory (`cargo xtask bench memory`).
const CEILING: usize = 4;

/// Prepared weights from which a model is large. Below, weights stay in the processor's caches, and latents
/// and audio are made side by side, so that a part at a time is fastest: the built-in model loses a tenth
/// with 4 at once.
const LARGE_MODEL_BYTES: u64 = 64 << 20;

/// How many parts of a text may be spoken at once within the limit that holds here.
///
/// Its memory model is made of the loaded model's own dimensions and of what the program holds when it is
/// made. The limit is the least of the context's ([`memory_efficient_context`](super::memory_efficient_context))
/// and the monitor's effective limit: a control group's, or what the machine has left.
///
/// ```
/// # #[cfg(feature = "builtin-voice")] {
/// use pocket_tts::TtsModel;
/// use pocket_tts::memory::get_batch_optimizer;
///
/// let model = TtsModel::builtin()?;
/// let optimizer = get_batch_optimizer(&model);
///
/// // Positions of one part: tokens and frames.
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
    limit: u64,
}

/// The optimizer for a model, with the limit that holds here.
pub fn get_batch_optimizer(model: &impl AsRef<Model>) -> BatchOptimizer {
    BatchOptimizer::new(model.as_ref())
}

impl BatchOptimizer {
    fn new(model: &Model) -> Self {
        let context = MemoryContext::current().limit_bytes();
        let monitor = get_memory_monitor();
        // What others hold of a group's or of the machine's memory is not to be had. The limit that a
        // session sets in the monitor is the context's, which counts otherwise.
        let effective = monitor.effective_limit().and_then(|limit| {
            let headroom = match limit.origin {
                LimitOrigin::Configured => None,
                _ => limit.headroom(),
            };
            Some(present(model.memory_pool()).saturating_add(headroom?.0))
        });
        let limits = [context, effective];
        Self {
            model: model.clone(),
            limit: limits.into_iter().flatten().min().unwrap_or(u64::MAX),
        }
    }

    /// The limit that it keeps; [`u64::MAX`] where nothing is known of one.
    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        self.limit
    }

    /// How many parts of `sequence_length` positions, tokens and frames together, may be spoken at once.
    ///
    /// # Errors
    ///
    /// Not even one fits; the message says what is missing.
    pub fn get_optimal_batch_size(&self, sequence_length: usize) -> Result<BatchSize> {
        let need = self.need_of(sequence_length);
        let optimizer = self.optimizer(&need, self.ceiling());
        Ok(optimizer.get_optimal_batch_size(sequence_length as u64)?)
    }

    /// What `batch_size` parts of `sequence_length` positions take, with all that the program holds.
    ///
    /// # Errors
    ///
    /// A number is too large to be counted.
    pub fn estimate_memory_usage(
        &self,
        batch_size: usize,
        sequence_length: usize,
    ) -> Result<Estimate> {
        let need = self.need_of(sequence_length);
        let optimizer = self.optimizer(&need, self.ceiling());
        Ok(optimizer.estimate_memory_usage(batch_size as u64, sequence_length as u64)?)
    }

    /// How many parts of a text may be spoken at once: no more than it has, whose longest decides.
    ///
    /// # Errors
    ///
    /// The text holds nothing to say, a setting is out of range, or not even one part fits.
    pub fn for_text(&self, text: &str, options: &GenerateOptions) -> Result<BatchSize> {
        let parts = self.model.parts(text, options)?;
        let need = self.model.stream_cost().need(&parts);
        self.for_parts(&parts, &need)
    }

    pub(crate) fn for_parts(&self, parts: &[PartSize], need: &StreamNeed) -> Result<BatchSize> {
        let longest = parts.iter().map(PartSize::positions).max().unwrap_or(0);
        let optimizer = self.optimizer(need, parts.len().min(self.ceiling()));
        Ok(optimizer.get_optimal_batch_size(longest as u64)?)
    }

    /// Most parts at once that are worth their memory.
    fn ceiling(&self) -> usize {
        let size = self.model.size();
        match (size.flow_lm_bytes + size.decoder_bytes) as u64 >= LARGE_MODEL_BYTES {
            true => CEILING,
            false => 1,
        }
    }

    /// Of a part of so many positions, as of all its tokens: what a prompt takes is the same for any
    /// number of parts.
    fn need_of(&self, sequence_length: usize) -> StreamNeed {
        let part = PartSize {
            tokens: sequence_length.min(GenerateOptions::default().max_tokens),
            max_frames: sequence_length,
        };
        self.model.stream_cost().need(&[part])
    }

    fn optimizer(&self, need: &StreamNeed, ceiling: usize) -> BatchSizeOptimizer {
        let model = &self.model;
        let cost = model.stream_cost();
        let positions = NonZeroU64::new(cost.page_positions as u64).unwrap_or(NonZeroU64::MIN);
        let per_position = cost.page_bytes / positions;
        let memory = MemoryModel::new()
            .with(
                Term::new("model, voices and the rest of the program")
                    .fixed(present(model.memory_pool())),
            )
            .with(
                Term::new("keys and values")
                    .per_item_step(per_position)
                    .paged(positions),
            )
            .with(Term::new("decoder state").fixed(need.decoder_state))
            .with(
                Term::new("scratch and waiting latents")
                    .fixed(need.scratch)
                    .per_item(need.scratch_per_part),
            )
            .with(Term::new("queues and bookkeeping").fixed(need.queues))
            .with(Term::new("audio").fixed(need.audio));
        BatchSizeOptimizer::new(self.limit, memory).with_ceiling(ceiling.max(1) as u64)
    }
}

/// Parts to speak at once where nobody said how many. Where not even one fits, one: the stream is
/// then refused with what it needs.
pub(crate) fn batch_size_for(model: &Model, parts: &[PartSize], need: &StreamNeed) -> usize {
    let answer = BatchOptimizer::new(model).for_parts(parts, need);
    answer.map_or(1, |answer| answer.batch_size as usize)
}
