use super::alive::Alive;
use super::{Peak, Stream};
use crate::search::greatest;
use crate::{Error, MemoryModel, Result};

/// What streams take together, from now on.
///
/// Between the last steps of two streams, one after the other, the same streams live and each only
/// grows. So time falls into stretches, each of which ends with the last step of a stream and is
/// greatest there.
pub(super) struct Timeline<'a> {
    model: &'a MemoryModel,
    /// Sorted by remaining steps, the longest first.
    streams: Vec<Stream>,
}

/// A stretch of time in which the same streams live. Both ends belong to it.
struct Stretch<'a> {
    first: u64,
    last: u64,
    alive: &'a Alive,
}

impl<'a> Timeline<'a> {
    /// Errors if the model cannot answer for all these streams at once, or a stream is too large
    /// to compute with.
    pub(super) fn new(model: &'a MemoryModel, streams: &[Stream]) -> Result<Self> {
        let count = streams.len() as u64;
        for stream in streams {
            let length = length_at(stream, stream.remaining_steps)?;
            bytes_at(model, stream, stream.remaining_steps)?;
            model.check_range(count, length)?;
        }
        let mut streams = streams.to_vec();
        streams.sort_by_key(|stream| std::cmp::Reverse(stream.remaining_steps));
        Ok(Self { model, streams })
    }

    /// The most up to and with step `until`, which must be the last of a stream or behind all.
    pub(super) fn peak_until(&self, until: u64) -> Result<Peak> {
        // Without streams there is no stretch, only what is fixed.
        let mut peak = (self.model.fixed_bytes(), 0);
        self.stretches(|stretch| {
            let bytes = stretch.alive.bytes_at(stretch.last);
            // They come from the last to the first, and the first of equals is wanted.
            if stretch.last <= until && bytes >= peak.0 {
                peak = (bytes, stretch.last);
            }
        });
        Ok(Peak {
            bytes: u64::try_from(peak.0)
                .map_err(|_| Error::overflow("the streams' peak, in bytes,"))?,
            at_step: peak.1,
        })
    }

    /// The first step at which `stream` could start and finish within `usable_bytes`.
    ///
    /// A stream that starts at `s` has taken `t - s` steps at `t`, and may then have taken at most
    /// `k(t)` for all to fit. If even its last step fits at `t`, then `t` forbids no start. If not,
    /// it forbids `t - last <= s < t - k(t)`. Within a stretch others only grow, so `k` falls, and
    /// those `t` reach from some first one to the stretch's end: together they forbid all from
    /// `first - last` to below `end - k(end)`. So each stretch forbids one interval, and these are
    /// sorted by where they begin.
    pub(super) fn earliest_start(&self, stream: &Stream, usable_bytes: u64) -> Result<Option<u64>> {
        let model = self.model;
        let last = stream.remaining_steps;
        let most = u128::from(bytes_at(model, stream, last)?);
        let usable = u128::from(usable_bytes);
        let Some(others_may) = usable
            .checked_sub(most)
            .filter(|others_may| *others_may >= model.fixed_bytes())
        else {
            return Ok(None);
        };

        // The first start that each stretch forbids, and the first one after those. The latter may
        // be one above the last step of all, hence the wider type.
        let mut forbidden: Vec<(u128, u128)> = Vec::new();
        self.stretches(|stretch| {
            let fits = |step| stretch.alive.bytes_at(step) <= others_may;
            if fits(stretch.last) {
                return;
            }
            let too_large =
                greatest(stretch.first..=stretch.last, fits).map_or(stretch.first, |step| step + 1);
            let left = usable.checked_sub(stretch.alive.bytes_at(stretch.last));
            let may_have_taken = left.and_then(|left| {
                greatest(0..=last, |taken| {
                    bytes_at(model, stream, taken).is_ok_and(|bytes| u128::from(bytes) <= left)
                })
            });
            let after = match may_have_taken {
                Some(taken) => u128::from(stretch.last.saturating_sub(taken)),
                None => u128::from(stretch.last) + 1,
            };
            forbidden.push((u128::from(too_large.saturating_sub(last)), after));
        });

        let mut start = 0;
        for (from, after) in forbidden.into_iter().rev() {
            if from > start {
                break;
            }
            start = start.max(after);
        }
        u64::try_from(start)
            .map(Some)
            .map_err(|_| Error::overflow("the first step at which the stream could start"))
    }

    /// Visits all stretches, from the last to the first.
    fn stretches(&self, mut visit: impl FnMut(Stretch<'_>)) {
        let mut alive = Alive::none_of(self.model, &self.streams);
        let mut groups = self
            .streams
            .chunk_by(|a, b| a.remaining_steps == b.remaining_steps)
            .peekable();
        while let Some(group) = groups.next() {
            for stream in group {
                alive.add(stream);
            }
            visit(Stretch {
                first: groups
                    .peek()
                    .map_or(0, |earlier| earlier[0].remaining_steps + 1),
                last: group[0].remaining_steps,
                alive: &alive,
            });
        }
    }
}

/// What one stream takes when it has taken so many more steps, in bytes.
fn bytes_at(model: &MemoryModel, stream: &Stream, steps: u64) -> Result<u64> {
    model
        .item_bytes(length_at(stream, steps)?)
        .and_then(|bytes| bytes.checked_add(stream.own_bytes))
        .ok_or_else(|| Error::overflow(format!("the memory of stream {}, in bytes,", stream.id)))
}

fn length_at(stream: &Stream, steps: u64) -> Result<u64> {
    stream
        .held_steps
        .checked_add(steps)
        .ok_or_else(|| Error::overflow(format!("the length of stream {}", stream.id)))
}
