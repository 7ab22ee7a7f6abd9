use super::alive::Alive;
use super::{Peak, Stream};
use crate::length::greatest;
use crate::{Error, MemoryModel, Result};

/// The memory of all streams over time.
///
/// Between the ends of two successive streams, the same streams run and each only grows. So time splits
/// into stretches that end with the end of a stream, where memory is greatest.
pub(super) struct Timeline<'a> {
    model: &'a MemoryModel,
    /// Sorted by remaining positions, the longest first.
    streams: Vec<Stream>,
}

/// A stretch of time in which the same streams run. Both bounds are inclusive.
struct Stretch<'a> {
    first: u64,
    last: u64,
    alive: &'a Alive<'a>,
}

impl<'a> Timeline<'a> {
    /// Returns an error if the streams are outside the range of a fitted model or a stream
    /// overflows.
    pub(super) fn new(model: &'a MemoryModel, streams: &[Stream]) -> Result<Self> {
        let count = streams.len() as u64;
        for stream in streams {
            let length = length_at(stream, stream.remaining_positions)?;
            bytes_at(model, stream, stream.remaining_positions)?;
            model.check_range(count, length)?;
        }
        let mut streams = streams.to_vec();
        streams.sort_by_key(|stream| std::cmp::Reverse(stream.remaining_positions));
        Ok(Self { model, streams })
    }

    /// Returns the peak up to and including time `until`, which must be the end of a stream or
    /// after all streams.
    pub(super) fn peak_until(&self, until: u64) -> Result<Peak> {
        // Without streams there is no stretch, only fixed memory.
        let mut peak = (self.model.fixed_bytes(), 0);
        self.stretches(|stretch| {
            let bytes = stretch.alive.bytes_at(stretch.last);
            // Stretches come in descending order, and the first of equal peaks is reported.
            if stretch.last <= until && bytes >= peak.0 {
                peak = (bytes, stretch.last);
            }
        });
        Ok(Peak {
            bytes: u64::try_from(peak.0)
                .map_err(|_| Error::overflow("the peak of the streams in bytes"))?,
            after_positions: peak.1,
        })
    }

    /// Returns the first time at which `stream` could start and finish within `usable_bytes`.
    ///
    /// A stream that starts at `s` has advanced by `t - s` positions at `t`. Let `k(t)` be the greatest
    /// number of its positions with which all streams fit at `t`. If all of them fit at `t`, `t` forbids no
    /// start. Otherwise `t` forbids `t - last <= s < t - k(t)`. Within a stretch the other streams only
    /// grow, so `k` decreases, and the forbidding `t` reach from some first time to the end of the
    /// stretch. Together they forbid all `s` from `first - last` to below `end - k(end)`. So each
    /// stretch forbids one interval, and the intervals are sorted by their start.
    pub(super) fn earliest_start(&self, stream: &Stream, usable_bytes: u64) -> Result<Option<u64>> {
        let model = self.model;
        let last = stream.remaining_positions;
        let most = u128::from(bytes_at(model, stream, last)?);
        let usable = u128::from(usable_bytes);
        let Some(others_max_bytes) = usable
            .checked_sub(most)
            .filter(|others_max_bytes| *others_max_bytes >= model.fixed_bytes())
        else {
            return Ok(None);
        };

        // For each stretch, the first forbidden start and the first start after the forbidden ones. The
        // latter may be one later than the end of all streams, hence the wider type.
        let mut forbidden: Vec<(u128, u128)> = Vec::new();
        self.stretches(|stretch| {
            let fits = |time| stretch.alive.bytes_at(time) <= others_max_bytes;
            if fits(stretch.last) {
                return;
            }
            let too_large =
                greatest(stretch.first..=stretch.last, fits).map_or(stretch.first, |time| time + 1);
            let left = usable.checked_sub(stretch.alive.bytes_at(stretch.last));
            let max_taken = left.and_then(|left| {
                greatest(0..=last, |taken| {
                    bytes_at(model, stream, taken).is_ok_and(|bytes| u128::from(bytes) <= left)
                })
            });
            let after = match max_taken {
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
            .map_err(|_| Error::overflow("the earliest start of the stream"))
    }

    /// Visits all stretches in descending order.
    fn stretches(&self, mut visit: impl FnMut(Stretch<'_>)) {
        let mut alive = Alive::none_of(self.model, &self.streams);
        let mut groups = self
            .streams
            .chunk_by(|a, b| a.remaining_positions == b.remaining_positions)
            .peekable();
        while let Some(group) = groups.next() {
            for stream in group {
                alive.add(stream);
            }
            visit(Stretch {
                first: groups
                    .peek()
                    .map_or(0, |earlier| earlier[0].remaining_positions + 1),
                last: group[0].remaining_positions,
                alive: &alive,
            });
        }
    }
}

/// Returns the memory of one stream that has advanced by `positions`, in bytes.
fn bytes_at(model: &MemoryModel, stream: &Stream, positions: u64) -> Result<u64> {
    model
        .item_bytes(length_at(stream, positions)?)
        .and_then(|bytes| bytes.checked_add(stream.own_bytes))
        .ok_or_else(|| Error::overflow(format!("the memory in bytes of stream {}", stream.id)))
}

fn length_at(stream: &Stream, positions: u64) -> Result<u64> {
    stream
        .held_positions
        .checked_add(positions)
        .ok_or_else(|| Error::overflow(format!("the length of stream {}", stream.id)))
}
