//! Layout of spans as labelled bands.

use std::sync::Arc;

use crate::SpanCall;

/// The maximum number of lanes.
const MAX_LANES: usize = 8;

/// Bands narrower than this, in pixels, have no room for a label and are merged with neighbours of the
/// same name.
const NARROW: i32 = 24;

/// The smallest visible gap between two bands, in pixels.
const GAP: i32 = 3;

/// Estimated width of a character at the size of labels, in pixels: slightly more than the mean of common
/// sans-serif fonts.
const CHARACTER: f64 = 6.4;

/// Space left and right of a label, in pixels.
const PADDING: i32 = 5;

/// A band in pixels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Band {
    pub(super) lane: usize,
    pub(super) left: i32,
    pub(super) right: i32,
    pub(super) name: &'static str,
    /// The number of spans in it.
    pub(super) spans: usize,
    pub(super) label: Option<Label>,
}

/// The label of a band.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Label {
    pub(super) x: i32,
    pub(super) text: String,
    /// Whether it is on the band; otherwise it is beside it.
    pub(super) inside: bool,
}

/// The layout of all bands.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) bands: Vec<Band>,
    pub(super) lanes: usize,
    /// The number of spans without a lane.
    pub(super) left_out: usize,
    /// All names, in the order of their colours.
    pub(super) names: Vec<&'static str>,
}

impl Layout {
    /// Returns the index of a name's colour.
    pub(super) fn colour(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| *other == name)
    }
}

/// Assigns spans (by start time, longer ones first) to lanes, so that they do not overlap and nested spans
/// are below their parents. `x` returns the pixel of a time in seconds; `right_edge` is the last pixel.
pub(super) fn lay_out(calls: &[Arc<SpanCall>], x: impl Fn(f64) -> i32, right_edge: i32) -> Layout {
    let mut layout = Layout::default();
    let mut lanes: Vec<Vec<Band>> = Vec::new();
    let mut ends = Vec::new();
    for call in calls {
        let (start, end) = (call.start, call.end.max(call.start));
        let lane = ends.iter().position(|last| *last <= start);
        let lane = match lane {
            Some(lane) => lane,
            None if ends.len() < MAX_LANES => {
                ends.push(start);
                lanes.push(Vec::new());
                ends.len() - 1
            }
            None => {
                layout.left_out += 1;
                continue;
            }
        };
        ends[lane] = end;
        if layout.colour(call.name).is_none() {
            layout.names.push(call.name);
        }
        let left = x(start.as_secs_f64());
        let right = x(end.as_secs_f64()).max(left + 1);
        add(&mut lanes[lane], lane, left, right, call.name);
    }
    layout.lanes = lanes.len();
    for mut lane in lanes {
        for i in 0..lane.len() {
            let free_until = lane.get(i + 1).map_or(right_edge, |next| next.left);
            lane[i].label = label(&lane[i], free_until);
        }
        layout.bands.append(&mut lane);
    }
    layout
}

/// Adds a band to a lane, or widens the last one if the two are indistinguishable.
fn add(lane: &mut Vec<Band>, number: usize, left: i32, right: i32, name: &'static str) {
    let left = match lane.last_mut() {
        Some(last) if last.name == name && left - last.right < GAP && right - left < NARROW => {
            last.right = last.right.max(right);
            last.spans += 1;
            return;
        }
        // After rounding, neighbours may share a pixel.
        Some(last) => left.max(last.right),
        None => left,
    };
    lane.push(Band {
        lane: number,
        left,
        right: right.max(left + 1),
        name,
        spans: 1,
        label: None,
    });
}

/// Places the label on the band if it fits, else beside it, else on the band without the count or
/// shortened. Returns `None` if nothing fits.
fn label(band: &Band, free_until: i32) -> Option<Label> {
    let name = band.name;
    let full = match band.spans {
        1 => name.to_owned(),
        n => format!("{name} ×{n}"),
    };
    let room = band.right - band.left - 2 * PADDING;
    let inside = |text| Label {
        x: band.left + PADDING,
        text,
        inside: true,
    };
    if width(&full) <= room {
        return Some(inside(full));
    }
    if width(&full) + 2 * PADDING <= free_until - band.right {
        return Some(Label {
            x: band.right + PADDING,
            text: full,
            inside: false,
        });
    }
    if width(name) <= room {
        return Some(inside(name.to_owned()));
    }
    let characters = (f64::from(room.max(0)) / CHARACTER) as usize;
    // At least three letters and an ellipsis.
    (characters >= 4).then(|| inside(name.chars().take(characters - 1).chain(['…']).collect()))
}

/// Estimates the width of a text in pixels.
pub(super) fn width(text: &str) -> i32 {
    (text.chars().count() as f64 * CHARACTER).ceil() as i32
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;
    use crate::Quantity;

    fn call(name: &'static str, start_ms: u64, end_ms: u64) -> Arc<SpanCall> {
        Arc::new(SpanCall {
            target: "t",
            name,
            level: 0,
            time: SystemTime::UNIX_EPOCH,
            start: Duration::from_millis(start_ms),
            end: Duration::from_millis(end_ms),
            quantity: Quantity::Rss,
            entry_bytes: None,
            exit_bytes: None,
            peak_bytes: None,
            rss_entry_bytes: None,
            rss_exit_bytes: None,
        })
    }

    /// Lays out 1000 ms on 1000 pixels.
    fn laid_out(calls: &[Arc<SpanCall>]) -> Layout {
        lay_out(calls, |s| (s * 1000.0).round() as i32, 1000)
    }

    #[test]
    fn nested_spans_are_below_and_following_ones_beside() {
        let layout = laid_out(&[call("a", 0, 500), call("b", 100, 400), call("c", 500, 900)]);
        let lanes: Vec<_> = layout.bands.iter().map(|b| (b.name, b.lane)).collect();
        assert_eq!(lanes, [("a", 0), ("c", 0), ("b", 1)]);
    }

    #[test]
    fn narrow_neighbours_are_merged_and_counted() {
        let calls: Vec<_> = (0..100).map(|i| call("frame", i * 3, i * 3 + 3)).collect();
        let layout = laid_out(&calls);
        assert_eq!(layout.bands.len(), 1);
        assert_eq!(layout.bands[0].label.as_ref().unwrap().text, "frame ×100");
    }

    #[test]
    fn labels_are_inside_beside_or_shortened() {
        let layout = laid_out(&[
            call("inside", 0, 200),
            call("beside", 300, 310),
            call("a longer name", 500, 550),
            call("z", 550, 1000),
        ]);
        let labels: Vec<_> = layout
            .bands
            .iter()
            .map(|b| b.label.clone().map(|l| (l.text, l.inside)))
            .collect();
        assert_eq!(labels[0], Some(("inside".to_owned(), true)));
        assert_eq!(labels[1], Some(("beside".to_owned(), false)));
        assert_eq!(labels[2], Some(("a lon…".to_owned(), true)));
    }

    proptest! {
        #[test]
        fn bands_and_labels_do_not_overlap(
            mut spans in prop::collection::vec((0u64..1000, 0u64..300, 0usize..3), 0..80),
        ) {
            spans.sort_by_key(|&(start, length, _)| (start, std::cmp::Reverse(length)));
            let names = ["load", "a name of some length", "x"];
            let calls: Vec<_> = spans
                .iter()
                .map(|&(start, length, name)| call(names[name], start, (start + length).min(1000)))
                .collect();
            let layout = laid_out(&calls);
            let shown: usize = layout.bands.iter().map(|b| b.spans).sum();
            prop_assert_eq!(shown + layout.left_out, calls.len());
            // The extent of each band with its label.
            let mut taken: Vec<(usize, i32, i32)> = layout
                .bands
                .iter()
                .map(|band| {
                    let label = band.label.as_ref().map_or(0, |l| l.x + width(&l.text));
                    (band.lane, band.left, band.right.max(label))
                })
                .collect();
            taken.sort();
            for pair in taken.windows(2) {
                let apart = pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].1;
                prop_assert!(apart, "{:?}", pair);
            }
        }
    }
}
