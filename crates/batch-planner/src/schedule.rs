mod admission;
mod alive;
mod timeline;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use admission::{Admission, Peak};

use crate::{Error, MemoryBudget, Result};
use timeline::Timeline;

/// Something that runs for a known number of steps and grows by one step at each: a stream of
/// generated tokens, say, with its cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stream {
    /// What the caller knows it by; no two running streams have the same.
    pub id: u64,
    /// Steps it holds already: a prompt, and what was generated.
    pub held_steps: u64,
    /// Steps it still takes, or the most that it may.
    pub remaining_steps: u64,
    /// Bytes it holds besides what the memory model says of an item, for as long as it runs.
    pub own_bytes: u64,
}

/// Streams that run at the same time, all one step further at each step, and the question whether
/// one more may start.
///
/// Each running stream is one item of the budget's [model](crate::MemoryModel), as long as the
/// steps it holds: `t` steps from now that is `held_steps + t`. It lives up to and with its last
/// step, `t = remaining_steps`, and gives everything back after it.
///
/// Streams only grow while they live, and none starts by itself, so memory is greatest at the last
/// step of some stream: only those are looked at, not every step.
///
/// ```
/// use batch_planner::{Admission, MIB, MemoryBudget, MemoryModel, Schedule, Stream, Term};
///
/// let model = MemoryModel::new()
///     .with(Term::new("weights").fixed(100 * MIB))
///     .with(Term::new("cache").per_item_step(MIB));
/// let mut schedule = Schedule::new(MemoryBudget::new(160 * MIB, model));
/// let stream = |id, remaining_steps| Stream { id, held_steps: 0, remaining_steps, own_bytes: 0 };
///
/// assert!(schedule.start(stream(1, 40))?.is_admitted());
/// // Another of 30 steps would need 60 MiB together at step 30: exactly what there is.
/// assert!(schedule.ask(&stream(2, 30))?.is_admitted());
/// // One of 35 would need 35 + 35 MiB at step 35. It fits from step 20 on: at step 40, the first
/// // one's last, that takes 40 MiB and this one 20.
/// let Admission::Refuse { shortfall_bytes, earliest_start_step, .. } = schedule.ask(&stream(2, 35))?
///     else { panic!() };
/// assert_eq!(shortfall_bytes, 10 * MIB);
/// assert_eq!(earliest_start_step, Some(20));
///
/// schedule.advance(20);
/// assert!(schedule.start(stream(2, 35))?.is_admitted());
/// # Ok::<(), batch_planner::Error>(())
/// ```
///
/// With a fitted model, the number of streams and the length at which each ends must lie in the
/// measured range; on the way there the line is followed below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    budget: MemoryBudget,
    running: Vec<Stream>,
}

impl Schedule {
    /// A schedule in which nothing runs.
    pub fn new(budget: MemoryBudget) -> Self {
        Self {
            budget,
            running: Vec::new(),
        }
    }

    /// A schedule in which these run already, whatever they take: to take over what runs, or to
    /// go on with another budget.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicateStream`] if two have the same id.
    pub fn with_running(budget: MemoryBudget, running: Vec<Stream>) -> Result<Self> {
        let mut ids = BTreeSet::new();
        match running.iter().find(|stream| !ids.insert(stream.id)) {
            Some(twice) => Err(Error::DuplicateStream { id: twice.id }),
            None => Ok(Self { budget, running }),
        }
    }

    /// The limit, the margin and the model.
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// The streams that run, in the order in which they started.
    pub fn running(&self) -> &[Stream] {
        &self.running
    }

    /// Whether `stream` may start now and finish inside the budget; if not, when it could, if no
    /// other starts before.
    ///
    /// O(n log n) for n running streams (times the number of different page lengths in the
    /// model); O(n log n log s) for a refusal, s being the greatest number of steps.
    ///
    /// # Errors
    ///
    /// - [`Error::DuplicateStream`] if a stream of this id runs;
    /// - [`Error::OutOfRange`] if a fitted model was not measured at so many streams or at the
    ///   length at which one ends;
    /// - [`Error::Overflow`] if a stream or the peak is above `u64::MAX` bytes.
    pub fn ask(&self, stream: &Stream) -> Result<Admission> {
        if self.running.iter().any(|other| other.id == stream.id) {
            return Err(Error::DuplicateStream { id: stream.id });
        }
        let mut all = self.running.clone();
        all.push(*stream);
        let peak = Timeline::new(&self.budget.model, &all)?.peak_until(stream.remaining_steps)?;

        let usable_bytes = self.budget.usable_bytes();
        Ok(match usable_bytes.checked_sub(peak.bytes) {
            Some(headroom_bytes) => Admission::Admit {
                peak,
                headroom_bytes,
            },
            None => Admission::Refuse {
                peak,
                shortfall_bytes: peak.bytes - usable_bytes,
                earliest_start_step: Timeline::new(&self.budget.model, &self.running)?
                    .earliest_start(stream, usable_bytes)?,
            },
        })
    }

    /// Starts `stream` if it is admitted.
    ///
    /// # Errors
    ///
    /// As [`Schedule::ask`].
    pub fn start(&mut self, stream: Stream) -> Result<Admission> {
        let admission = self.ask(&stream)?;
        if admission.is_admitted() {
            self.running.push(stream);
        }
        Ok(admission)
    }

    /// Lets all streams run `steps` steps. Those that took their last step before are gone, and
    /// returned.
    pub fn advance(&mut self, steps: u64) -> Vec<Stream> {
        let ended = |stream: &mut Stream| stream.remaining_steps < steps;
        let gone = self.running.extract_if(.., ended).collect();
        for stream in &mut self.running {
            // What `ask` looked at does not overflow; what else is here is an error there.
            stream.held_steps = stream.held_steps.saturating_add(steps);
            stream.remaining_steps -= steps;
        }
        gone
    }

    /// Takes a stream out that ended before its horizon.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownStream`] if none of this id runs.
    pub fn finish(&mut self, id: u64) -> Result<Stream> {
        self.running
            .iter()
            .position(|stream| stream.id == id)
            .map(|index| self.running.remove(index))
            .ok_or(Error::UnknownStream { id })
    }

    /// The most that the running streams take together from now to the end of the last, and when.
    /// O(n log n).
    ///
    /// # Errors
    ///
    /// As [`Schedule::ask`].
    pub fn peak(&self) -> Result<Peak> {
        Timeline::new(&self.budget.model, &self.running)?.peak_until(u64::MAX)
    }
}
