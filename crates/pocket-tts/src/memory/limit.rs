//! The limit that holds for speech that starts here.
use tts_core::memory::MemoryLimit;

use super::context::MemoryContext;
use super::globals::models;
use super::release::release_idle_memory;

/// The limit of the context, with all that can be done without freed when memory is short: idle tensors,
/// cached voices that nobody speaks with, voice encoders, the allocator's idle blocks.
pub(crate) fn current_limit() -> Option<MemoryLimit> {
    let limit = MemoryContext::current().limit_bytes()?;
    let limit = MemoryLimit::new(limit);
    Some(limit.with_reclaim(|| {
        for model in models().all() {
            model.drop_voice_encoder();
        }
        let freed = release_idle_memory();
        tracing::debug!("memory is short: {freed}");
    }))
}
