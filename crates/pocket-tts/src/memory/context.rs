//! Limits that hold for a stretch of code.

use std::cell::RefCell;
use std::marker::PhantomData;

use tensor_pool::Bytes;

use super::globals::default_limit;

thread_local! {
    /// The contexts that this thread is in, with a number that is theirs alone.
    static ENTERED: RefCell<Entered> = const {
        RefCell::new(Entered { next: 0, limits: Vec::new() })
    };
}

struct Entered {
    next: u64,
    limits: Vec<(u64, Bytes)>,
}

/// Limits what speech that starts on this thread may use, for as long as the guard lives: counted
/// bytes, which are heap blocks live in the allocator, mapped weights and the devices' pools, in MB of
/// 1,048,576 bytes.
///
/// `None` is the limit of the [settings](super::Settings::memory_limit). Of nested contexts the least
/// counts, and none can raise the settings' limit. What was started keeps its limit to its end; a thread
/// of your own takes the limit along with [`MemoryContext::enter`].
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
    let limit = memory_limit_mb.into().map(Bytes::mib);
    enter(limit.or_else(default_limit))
}

/// Runs `work` in a [`memory_efficient_context`].
///
/// ```
/// use pocket_tts::memory::{Bytes, MemoryContext, with_memory_limit};
///
/// let limit = with_memory_limit(500, || {
///     with_memory_limit(900, || MemoryContext::current().limit())
/// });
/// assert_eq!(limit, Some(Bytes::mib(500)));
/// assert_eq!(MemoryContext::current().limit(), None);
/// ```
pub fn with_memory_limit<T>(
    memory_limit_mb: impl Into<Option<u64>>,
    work: impl FnOnce() -> T,
) -> T {
    let _context = memory_efficient_context(memory_limit_mb);
    work()
}

/// The limit of some moment, to be taken to other threads.
///
/// ```
/// use pocket_tts::memory::{Bytes, MemoryContext, memory_efficient_context};
///
/// let _context = memory_efficient_context(500);
/// let context = MemoryContext::current();
/// let limit = std::thread::spawn(move || {
///     let _context = context.enter();
///     MemoryContext::current().limit()
/// });
/// assert_eq!(limit.join().unwrap(), Some(Bytes::mib(500)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryContext {
    limit: Option<Bytes>,
}

impl MemoryContext {
    /// What holds on this thread now: the least limit of the contexts that it is in and of the settings.
    pub fn current() -> Self {
        // A thread that is ending is in no context any more.
        let least = ENTERED.try_with(|entered| {
            let limits = &entered.borrow().limits;
            limits.iter().map(|&(_, limit)| limit).min()
        });
        let limits = [least.ok().flatten(), default_limit()];
        Self {
            limit: limits.into_iter().flatten().min(),
        }
    }

    /// Most counted bytes; `None` where there is no limit.
    pub fn limit(&self) -> Option<Bytes> {
        self.limit
    }

    /// Limits this thread too, for as long as the guard lives.
    pub fn enter(&self) -> MemoryContextGuard {
        enter(self.limit)
    }
}

/// Ends a context when it is dropped. It belongs to the thread that entered.
#[derive(Debug)]
#[must_use = "the limit holds only while this lives"]
pub struct MemoryContextGuard {
    /// `None` where the context has no limit of its own.
    number: Option<u64>,
    not_send: PhantomData<*const ()>,
}

fn enter(limit: Option<Bytes>) -> MemoryContextGuard {
    let number = limit.and_then(|limit| {
        let entered = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            let number = entered.next;
            entered.next += 1;
            entered.limits.push((number, limit));
            number
        });
        entered.ok()
    });
    MemoryContextGuard {
        number,
        not_send: PhantomData,
    }
}

impl Drop for MemoryContextGuard {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            // By number, so that guards may be dropped in any order. Where the thread is ending, its
            // contexts are gone already.
            let _ = ENTERED.try_with(|entered| {
                let limits = &mut entered.borrow_mut().limits;
                limits.retain(|&(other, _)| other != number);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit() -> Option<Bytes> {
        MemoryContext::current().limit()
    }

    #[test]
    fn of_nested_contexts_the_least_counts_and_ends_with_its_guard() {
        assert_eq!(limit(), None);
        let outer = memory_efficient_context(500);
        let inner = memory_efficient_context(900);
        assert_eq!(limit(), Some(Bytes::mib(500)));
        let least = memory_efficient_context(100);
        assert_eq!(limit(), Some(Bytes::mib(100)));
        // Not the order in which they were entered.
        drop(outer);
        assert_eq!(limit(), Some(Bytes::mib(100)));
        drop(least);
        assert_eq!(limit(), Some(Bytes::mib(900)));
        drop(inner);
        assert_eq!(limit(), None);
    }

    #[test]
    fn without_a_limit_a_context_changes_nothing() {
        let _outer = memory_efficient_context(500);
        let _inner = memory_efficient_context(None);
        assert_eq!(limit(), Some(Bytes::mib(500)));
    }

    #[test]
    fn a_panic_ends_the_context() {
        let result = std::panic::catch_unwind(|| {
            with_memory_limit(1, || {
                assert_eq!(limit(), Some(Bytes::mib(1)));
                // Not `panic!`, which would print a message.
                std::panic::resume_unwind(Box::new(()));
            })
        });
        assert!(result.is_err());
        assert_eq!(limit(), None);
    }

    #[test]
    fn another_thread_is_limited_only_by_what_it_enters() {
        let _context = memory_efficient_context(500);
        let context = MemoryContext::current();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(limit(), None);
                let _lower = memory_efficient_context(900);
                let _entered = context.enter();
                assert_eq!(limit(), Some(Bytes::mib(500)));
            });
        });
    }
}
