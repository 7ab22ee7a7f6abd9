//! The sampling thread.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::Shared;
use crate::{Error, lock};

const NAME: &str = "mem-monitor";

/// A thread that takes samples until this is dropped.
#[derive(Debug)]
pub(super) struct Sampler {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Stop {
    wanted: Mutex<bool>,
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
        })
    }

    pub(super) fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        *lock(&self.stop.wanted) = true;
        self.stop.changed.notify_all();
        // A source that owns the last handle of its monitor drops it on this very thread, which
        // cannot wait for itself and ends all the same.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // A panic of a source has been reported on that thread already.
            drop(thread.join());
        }
    }
}

fn run(shared: &Shared, stop: &Stop, interval: Duration) {
    // Ticks lie on a grid, so that the time a sample takes does not add up.
    let mut next = Some(Instant::now());
    while !stop.wait_until(next) {
        shared.sample();
        let now = Instant::now();
        next = next
            .and_then(|tick| tick.checked_add(interval))
            // Ticks that were missed are not made up for.
            .map(|tick| if tick < now { now + interval } else { tick });
    }
}

impl Stop {
    /// Waits until a moment (for ever without one), or until the end is wanted: then it is true.
    fn wait_until(&self, moment: Option<Instant>) -> bool {
        let mut wanted = lock(&self.wanted);
        while !*wanted {
            wanted = match moment {
                None => self
                    .changed
                    .wait(wanted)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(moment) => {
                    let left = moment.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    self.changed
                        .wait_timeout(wanted, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        true
    }
}
