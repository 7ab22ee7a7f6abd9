//! The sampling thread.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::Shared;
use crate::{Error, lock, process::Owner};

const NAME: &str = "mem-monitor";

/// A thread that takes samples until the value is dropped.
#[derive(Debug)]
pub(super) struct Sampler {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
    owner: Owner,
}

#[derive(Debug, Default)]
struct Stop {
    requested: Mutex<bool>,
    changed: Condvar,
}

impl Sampler {
    pub(super) fn start(shared: Arc<Shared>, interval: Duration) -> Result<Self, Error> {
        let stop = Arc::new(Stop::default());
        let thread = thread::Builder::new()
            .name(NAME.to_owned())
            .spawn({
                let stop = Arc::clone(&stop);
                move || run(&shared, &stop, interval)
            })
            .map_err(|source| Error::Thread { name: NAME, source })?;
        Ok(Self {
            stop,
            thread: Some(thread),
            owner: Owner::current(),
        })
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        if !self.owner.is_current() {
            // A forked child has no such thread to stop, join or detach.
            std::mem::forget(self.thread.take());
            return;
        }
        *lock(&self.stop.requested) = true;
        self.stop.changed.notify_all();
        // If a callback stops its monitor, this runs on the sampling thread, which cannot join itself. It
        // ends on its own.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // The thread does not panic: it catches the panics of the program's closures.
            drop(thread.join());
        }
    }
}

fn run(shared: &Shared, stop: &Stop, interval: Duration) {
    // Ticks are on a fixed grid, so the duration of samples does not accumulate.
    let mut next = Some(Instant::now());
    while !stop.wait_until(next) {
        shared.sample();
        let now = Instant::now();
        next = next
            .and_then(|tick| tick.checked_add(interval))
            .and_then(|tick| match tick < now {
                // Missed ticks are skipped.
                true => now.checked_add(interval),
                false => Some(tick),
            });
    }
}

impl Stop {
    /// Waits until `moment` (forever without one) or until a stop is requested. Returns whether a stop
    /// was requested.
    fn wait_until(&self, moment: Option<Instant>) -> bool {
        let mut requested = lock(&self.requested);
        while !*requested {
            requested = match moment {
                None => self
                    .changed
                    .wait(requested)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(moment) => {
                    let left = moment.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    self.changed
                        .wait_timeout(requested, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        true
    }
}
