//! The limit of speech that starts in the current context.

use tts_core::memory::MemoryLimit;

use super::context::MemoryContext;
use super::globals::models;
use super::release::release_idle_memory;

/// Returns the limit of the context. When memory is short, it frees what speech does not need:
/// idle tensors, cached voices that are not in use, voice encoders, and the allocator's idle blocks.
pub(crate) fn current_limit() -> Option<MemoryLimit> {
    let limit = MemoryLimit::new(MemoryContext::current().limit_bytes()?);
    Some(limit.with_reclaim(|| {
        for model in models().all() {
            model.drop_voice_encoder();
        }
        let freed = release_idle_memory();
        tracing::debug!("memory is short: {freed}");
    }))
}
