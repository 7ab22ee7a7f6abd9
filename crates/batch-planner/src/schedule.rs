mod admission;
mod alive;
mod timeline;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use admission::{Admission, Peak};

use crate::{MemoryBudget, Result};
use timeline::Timeline;

/// A stream that grows by one position at a time, up to a known number of positions, such as a stream
/// of generated tokens with its KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stream {
    /// The caller's id, unique among the running streams.
    pub id: u64,
    /// The current length, in positions: the prompt and what was generated so far.
    pub held_positions: u64,
    /// The positions that the stream still adds until it ends, or an upper bound of them.
    pub remaining_positions: u64,
    /// Bytes that the stream needs in addition to an item of the memory model while it runs.
    pub own_bytes: u64,
}

/// Why a stream cannot be found or added by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// A stream with this id is already running.
    #[error("a stream with the id {id} is already running; give each stream a unique id")]
    DuplicateStream {
        /// The id of the stream.
        id: u64,
    },

    /// No running stream has this id.
    #[error("no running stream has the id {id}; it was never started or has finished")]
    UnknownStream {
        /// The id of the stream.
        id: u64,
    },
}

/// Admission control for streams that advance in lockstep.
///
/// Time is counted in positions: in a unit of time, each running stream advances by one position. Each
/// running stream is one item of the budget's [model](crate::MemoryModel). At time `t` from now its
/// length is `held_positions + t`. It runs up to and including `t = remaining_positions`, and then
/// releases all of its memory.
///
/// Memory is greatest at the end of some stream, because streams only grow while they run. Only these
/// times are checked.
///
/// ```
/// use batch_planner::{Admission, MIB, MemoryBudget, MemoryModel, Schedule, Stream, Term};
///
/// let model = MemoryModel::new()
///     .with(Term::new("weights").fixed(100 * MIB))
///     .with(Term::new("cache").per_item_position(MIB));
/// let mut schedule = Schedule::new(MemoryBudget::new(160 * MIB, model));
/// let stream = |id, remaining_positions| Stream { id, held_positions: 0, remaining_positions, own_bytes: 0 };
///
/// assert!(schedule.start(stream(1, 40))?.is_admitted());
/// // Beside a stream of 30 positions, both need 60 MiB at time 30: exactly the cache's budget.
/// assert!(schedule.ask(&stream(2, 30))?.is_admitted());
/// // Beside a stream of 35 positions, both need 35 + 35 MiB at time 35. It may start at time 20: at time
/// // 40, the end of the first stream, they need 40 + 20 MiB.
/// let Admission::Refuse { shortfall_bytes, earliest_start_after_positions, .. } =
///     schedule.ask(&stream(2, 35))?
/// else {
///     panic!()
/// };
/// assert_eq!(shortfall_bytes, 10 * MIB);
/// assert_eq!(earliest_start_after_positions, Some(20));
///
/// schedule.advance(20);
/// assert!(schedule.start(stream(2, 35))?.is_admitted());
/// # Ok::<(), batch_planner::Error>(())
/// ```
///
/// With a fitted model, the number of streams and their final lengths must be in the measured range.
/// For shorter lengths the fitted line is extrapolated below the range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    budget: MemoryBudget,
    running: Vec<Stream>,
}

impl Schedule {
    /// Returns a schedule without streams.
    pub fn new(budget: MemoryBudget) -> Self {
        Self {
            budget,
            running: Vec::new(),
        }
    }

    /// Returns a schedule with running streams. They are not checked against the budget. Use this to
    /// continue existing streams or to change the budget.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::DuplicateStream`] if two streams have the same id.
    pub fn with_running(budget: MemoryBudget, running: Vec<Stream>) -> Result<Self> {
        let mut ids = BTreeSet::new();
        match running.iter().find(|stream| !ids.insert(stream.id)) {
            Some(twice) => Err(ScheduleError::DuplicateStream { id: twice.id }.into()),
            None => Ok(Self { budget, running }),
        }
    }

    /// Returns the limit, the margin and the model.
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// Returns the running streams in the order in which they started.
    pub fn running(&self) -> &[Stream] {
        &self.running
    }

    /// Checks whether `stream` can start now and finish inside the budget. A refusal contains the
    /// earliest start, which assumes that no other stream starts before.
    ///
    /// O(n log n) for n running streams, times the number of different page lengths in the model; O(n²) per
    /// term with a window.
    /// A refusal is O(n log n log s), where s is the greatest number of remaining positions.
    ///
    /// # Errors
    ///
    /// - [`ScheduleError::DuplicateStream`] if a stream with this id is running;
    /// - [`Error::OutOfRange`](crate::Error::OutOfRange) if the number of streams or a final length is outside the measured
    ///   range of a fitted model;
    /// - [`Error::Overflow`](crate::Error::Overflow) if the memory of a stream or the peak is above `u64::MAX` bytes.
    pub fn ask(&self, stream: &Stream) -> Result<Admission> {
        if self.running.iter().any(|other| other.id == stream.id) {
            Err(ScheduleError::DuplicateStream { id: stream.id })?;
        }
        let mut all = self.running.clone();
        all.push(*stream);
        let peak =
            Timeline::new(&self.budget.model, &all)?.peak_until(stream.remaining_positions)?;

        let usable_bytes = self.budget.usable_bytes();
        Ok(match self.budget.shortfall_bytes(peak.bytes) {
            0 => Admission::Admit {
                peak,
                headroom_bytes: usable_bytes - peak.bytes,
            },
            shortfall_bytes => Admission::Refuse {
                peak,
                shortfall_bytes,
                earliest_start_after_positions: Timeline::new(&self.budget.model, &self.running)?
                    .earliest_start(stream, usable_bytes)?,
            },
        })
    }

    /// Starts `stream` if it is admitted.
    ///
    /// # Errors
    ///
    /// The same as [`Schedule::ask`].
    pub fn start(&mut self, stream: Stream) -> Result<Admission> {
        let admission = self.ask(&stream)?;
        if admission.is_admitted() {
            self.running.push(stream);
        }
        Ok(admission)
    }

    /// Advances all streams by `positions`. Removes and returns the streams that ended before that time.
    pub fn advance(&mut self, positions: u64) -> Vec<Stream> {
        let (ended, running) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|stream| stream.remaining_positions < positions);
        self.running = running;
        for stream in &mut self.running {
            // Streams that `ask` checked do not overflow. For others, `ask` returns an error.
            stream.held_positions = stream.held_positions.saturating_add(positions);
            stream.remaining_positions -= positions;
        }
        ended
    }

    /// Removes and returns a stream that ended before its horizon.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::UnknownStream`] if no running stream has this id.
    pub fn finish(&mut self, id: u64) -> Result<Stream, ScheduleError> {
        self.running
            .iter()
            .position(|stream| stream.id == id)
            .map(|index| self.running.remove(index))
            .ok_or(ScheduleError::UnknownStream { id })
    }

    /// Returns the peak of the running streams from now until the last one ends. O(n log n).
    ///
    /// # Errors
    ///
    /// The same as [`Schedule::ask`].
    pub fn peak(&self) -> Result<Peak> {
        Timeline::new(&self.budget.model, &self.running)?.peak_until(u64::MAX)
    }
}
