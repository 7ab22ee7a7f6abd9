//! Limits that apply to a scope of code.

use std::cell::RefCell;
use std::marker::PhantomData;

use super::runtime::get_memory_ledger;

thread_local! {
    /// The contexts of this thread, each with a unique ID.
    static ENTERED: RefCell<Entered> = const {
        RefCell::new(Entered { next_id: 0, limits: Vec::new() })
    };
}

struct Entered {
    next_id: u64,
    /// IDs and limits in bytes.
    limits: Vec<(u64, u64)>,
}

/// Limits the counted bytes of speech that starts on this thread while the guard lives: live heap
/// allocations, memory-mapped weights and device memory, in MB of 1,048,576 bytes.
///
/// Nested contexts use the lowest limit, and a context cannot raise the limit of the
/// [settings](super::Settings::memory_limit_bytes). With `None`, only that limit applies. Speech keeps the limit it
/// started with; another thread enters the limit with [`MemoryContext::enter`].
///
/// ```
/// # #[cfg(feature = "builtin-voice")] {
/// use pocket_tts::memory::memory_efficient_context;
/// use pocket_tts::{GenerateOptions, TtsModel};
///
/// let model = TtsModel::builtin()?;
/// let voice = model.default_voice()?;
/// let _context = memory_efficient_context(500);
/// let audio = model.generate(&voice, "Hello world.", &GenerateOptions::default())?;
/// # assert!(!audio.samples().is_empty());
/// # }
/// # Ok::<(), pocket_tts::Error>(())
/// ```
pub fn memory_efficient_context(memory_limit_mb: impl Into<Option<u64>>) -> MemoryContextGuard {
    let limit_mb: Option<u64> = memory_limit_mb.into();
    let limit_bytes = limit_mb.map(|limit_mb| limit_mb.saturating_mul(1 << 20));
    enter(limit_bytes)
}

/// Runs `work` in a [`memory_efficient_context`].
///
/// ```
/// use pocket_tts::memory::{MemoryContext, with_memory_limit};
///
/// let limit_bytes = with_memory_limit(500, || {
///     with_memory_limit(900, || MemoryContext::current().limit_bytes())
/// });
/// assert_eq!(limit_bytes, Some(500 << 20));
/// assert_eq!(MemoryContext::current().limit_bytes(), None);
/// ```
pub fn with_memory_limit<T>(
    memory_limit_mb: impl Into<Option<u64>>,
    work: impl FnOnce() -> T,
) -> T {
    let _context = memory_efficient_context(memory_limit_mb);
    work()
}

/// The limit at one moment, to be entered on other threads.
///
/// ```
/// use pocket_tts::memory::{MemoryContext, memory_efficient_context};
///
/// let _context = memory_efficient_context(500);
/// let context = MemoryContext::current();
/// let limit_bytes = std::thread::spawn(move || {
///     let _context = context.enter();
///     MemoryContext::current().limit_bytes()
/// });
/// assert_eq!(limit_bytes.join().unwrap(), Some(500 << 20));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryContext {
    limit_bytes: Option<u64>,
}

impl MemoryContext {
    /// Returns the limit that applies to this thread: the lowest of its contexts and the settings.
    pub fn current() -> Self {
        Self {
            limit_bytes: get_memory_ledger().effective_limit_bytes(context_limit_bytes()),
        }
    }

    /// Returns the limit of counted bytes; `None` if there is none.
    pub fn limit_bytes(&self) -> Option<u64> {
        self.limit_bytes
    }

    /// Applies the limit to the current thread while the guard lives.
    pub fn enter(&self) -> MemoryContextGuard {
        enter(self.limit_bytes)
    }
}

/// Returns the lowest limit of this thread's contexts. Requests that start on the thread get it as their
/// own limit.
pub(crate) fn context_limit_bytes() -> Option<u64> {
    let lowest = ENTERED.try_with(|entered| {
        let limits = &entered.borrow().limits;
        limits.iter().map(|&(_, bytes)| bytes).min()
    });
    // A thread that is ending has no contexts.
    lowest.ok().flatten()
}

/// Ends a context when it is dropped, on the thread that entered it.
#[derive(Debug)]
#[must_use = "the limit applies only while this lives"]
pub struct MemoryContextGuard {
    /// `None` if the context has no limit.
    id: Option<u64>,
    not_send: PhantomData<*const ()>,
}

fn enter(limit_bytes: Option<u64>) -> MemoryContextGuard {
    let id = limit_bytes.and_then(|bytes| {
        let entered = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            let id = entered.next_id;
            entered.next_id += 1;
            entered.limits.push((id, bytes));
            id
        });
        entered.ok()
    });
    MemoryContextGuard {
        id,
        not_send: PhantomData,
    }
}

impl Drop for MemoryContextGuard {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // By ID, because guards can be dropped in any order. A thread that is ending has no
            // contexts.
            let _ = ENTERED.try_with(|entered| {
                let limits = &mut entered.borrow_mut().limits;
                limits.retain(|&(other, _)| other != id);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn limit_bytes() -> Option<u64> {
        MemoryContext::current().limit_bytes()
    }

    #[test]
    fn nested_contexts_use_the_lowest_limit_until_its_guard_drops() {
        assert_eq!(limit_bytes(), None);
        let outer = memory_efficient_context(500);
        let inner = memory_efficient_context(900);
        assert_eq!(limit_bytes(), Some(500 * MIB));
        let lowest = memory_efficient_context(100);
        assert_eq!(limit_bytes(), Some(100 * MIB));
        // Not in the order of entry.
        drop(outer);
        assert_eq!(limit_bytes(), Some(100 * MIB));
        drop(lowest);
        assert_eq!(limit_bytes(), Some(900 * MIB));
        drop(inner);
        assert_eq!(limit_bytes(), None);
    }

    #[test]
    fn a_context_without_a_limit_changes_nothing() {
        let _outer = memory_efficient_context(500);
        let _inner = memory_efficient_context(None);
        assert_eq!(limit_bytes(), Some(500 * MIB));
    }

    #[test]
    fn a_panic_ends_the_context() {
        let result = std::panic::catch_unwind(|| {
            with_memory_limit(1, || {
                assert_eq!(limit_bytes(), Some(MIB));
                // Unlike `panic!`, this prints no message.
                std::panic::resume_unwind(Box::new(()));
            })
        });
        assert!(result.is_err());
        assert_eq!(limit_bytes(), None);
    }

    #[test]
    fn a_thread_is_limited_only_by_contexts_it_enters() {
        let _context = memory_efficient_context(500);
        let context = MemoryContext::current();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(limit_bytes(), None);
                let _higher = memory_efficient_context(900);
                let _entered = context.enter();
                assert_eq!(limit_bytes(), Some(500 * MIB));
            });
        });
    }
}
