//! Protection against panics in closures and sources of the program.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::OnceLock,
};

use serde::Serialize;

/// A closure or source of the program that panicked. It is not called again; its values are unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Failure {
    /// The closure or source, such as `` category `cache` ``.
    pub name: String,
    /// The message of the panic.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, message } = self;
        write!(
            f,
            "memory: {name} panicked and is not called again: {message}"
        )
    }
}

/// Calls one closure or source until its first panic.
///
/// Disabling it after the first panic keeps the panic hook from printing a message with every sample, and
/// avoids calls on state that a panic left inconsistent.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    failure: OnceLock<Failure>,
}

impl Guard {
    /// Calls `work` unless an earlier call panicked. Returns `None` if this or an earlier call panicked. The
    /// first panic is logged; `name` is called only for that.
    pub(crate) fn call<T>(
        &self,
        name: impl FnOnce() -> String,
        work: impl FnOnce() -> T,
    ) -> Option<T> {
        if self.has_failed() {
            return None;
        }
        // After a panic neither `work` nor what it refers to is used again.
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(value) => Some(value),
            Err(payload) => {
                let failure = Failure {
                    name: name(),
                    message: message(&*payload),
                };
                if self.failure.set(failure.clone()).is_ok() {
                    log(&failure);
                }
                None
            }
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.failure.get()
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "the panic has no message".to_owned()
    }
}

/// Without the feature `tracing`, only the panic hook reports the failure.
fn log(failure: &Failure) {
    #[cfg(feature = "tracing")]
    tracing::error!("{failure}");
    #[cfg(not(feature = "tracing"))]
    let _ = failure;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panicking_work_is_called_once() {
        let guard = Guard::default();
        let name = || "counter".to_owned();
        assert_eq!(guard.call(name, || 7), Some(7));
        assert_eq!(guard.failure(), None);
        let mut calls = 0;
        for _ in 0..3 {
            let none: Option<()> = guard.call(name, || {
                calls += 1;
                panic!("this test panics {calls} time")
            });
            assert_eq!(none, None);
        }
        assert_eq!(calls, 1);
        assert_eq!(
            guard.failure().unwrap().to_string(),
            "memory: counter panicked and is not called again: this test panics 1 time"
        );
    }
}
