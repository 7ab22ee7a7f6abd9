//! Which band a span is, and where its label has room.

use std::sync::Arc;

use crate::SpanCall;

/// Lanes that a picture has room for.
const LANES: usize = 8;

/// Bands narrower than this, in pixels, have room for no name and are drawn as one with neighbours
/// of the same name.
const NARROW: i32 = 24;

/// A gap between two bands that is too small to be seen as one, in pixels.
const GAP: i32 = 3;

/// The width of a character at the labels' size, in pixels: a little more than the mean of common
/// sans-serif fonts, since the real one is not known.
const CHARACTER: f64 = 6.4;

/// Room left of and right of a label.
const PADDING: i32 = 5;

/// A band in pixels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Band {
    pub(super) lane: usize,
    pub(super) left: i32,
    pub(super) right: i32,
    pub(super) name: &'static str,
    /// How many spans it stands for.
    pub(super) spans: usize,
    pub(super) label: Option<Label>,
}

/// What is written at a band.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Label {
    pub(super) x: i32,
    pub(super) text: String,
    /// On the band, or in free space beside it.
    pub(super) inside: bool,
}

/// All bands and what they have in common.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) bands: Vec<Band>,
    pub(super) lanes: usize,
    /// How many spans found no lane.
    pub(super) left_out: usize,
    /// Every name, in the order of their colours.
    pub(super) names: Vec<&'static str>,
}

impl Layout {
    /// The number of a name's colour, if there is a band of it.
    pub(super) fn colour(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| *other == name)
    }
}

/// Lays spans (ordered by their start, longer ones first) out in lanes, so that none overlaps and a
/// span lies below the one it is in. `x` gives the pixel of a time in seconds, `right_edge` the last
/// one.
pub(super) fn lay_out(calls: &[Arc<SpanCall>], x: impl Fn(f64) -> i32, right_edge: i32) -> Layout {
    let mut layout = Layout::default();
    let mut lanes: Vec<Vec<Band>> = Vec::new();
    let mut ends = Vec::new();
    for call in calls {
        let (start, end) = (call.start, call.end.max(call.start));
        let lane = ends.iter().position(|last| *last <= start);
        let lane = match lane {
            Some(lane) => lane,
            None if ends.len() < LANES => {
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

/// Adds a band to a lane, or widens the last one where the two cannot be told apart.
fn add(lane: &mut Vec<Band>, number: usize, left: i32, right: i32, name: &'static str) {
    let left = match lane.last_mut() {
        Some(last) if last.name == name && left - last.right < GAP && right - left < NARROW => {
            last.right = last.right.max(right);
            last.spans += 1;
            return;
        }
        // Rounding makes two neighbours share a pixel.
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

/// The label on a band if it fits, in the free space beside it if that is enough, else without the
/// number or shortened on the band, else none.
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
    // Fewer than three letters say nothing.
    (characters >= 4).then(|| inside(name.chars().take(characters - 1).chain(['…']).collect()))
}

/// The width of a text in pixels, about.
pub(super) fn width(text: &str) -> i32 {
    (text.chars().count() as f64 * CHARACTER).ceil() as i32
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;
    use crate::Counted;

    fn call(name: &'static str, start_ms: u64, end_ms: u64) -> Arc<SpanCall> {
        Arc::new(SpanCall {
            target: "t",
            name,
            level: 0,
            time: SystemTime::UNIX_EPOCH,
            start: Duration::from_millis(start_ms),
            end: Duration::from_millis(end_ms),
            counted: Counted::Rss,
            entry_bytes: None,
            exit_bytes: None,
            peak_bytes: None,
            rss_entry_bytes: None,
            rss_exit_bytes: None,
        })
    }

    /// A picture of 1000 pixels for 1000 ms.
    fn laid_out(calls: &[Arc<SpanCall>]) -> Layout {
        lay_out(calls, |s| (s * 1000.0).round() as i32, 1000)
    }

    #[test]
    fn nested_spans_lie_below_and_following_ones_beside() {
        let layout = laid_out(&[call("a", 0, 500), call("b", 100, 400), call("c", 500, 900)]);
        let lanes: Vec<_> = layout.bands.iter().map(|b| (b.name, b.lane)).collect();
        assert_eq!(lanes, [("a", 0), ("c", 0), ("b", 1)]);
    }

    #[test]
    fn many_narrow_neighbours_are_one_band_with_their_number() {
        let calls: Vec<_> = (0..100).map(|i| call("frame", i * 3, i * 3 + 3)).collect();
        let layout = laid_out(&calls);
        assert_eq!(layout.bands.len(), 1);
        assert_eq!(layout.bands[0].label.as_ref().unwrap().text, "frame ×100");
    }

    #[test]
    fn a_label_goes_inside_beside_or_is_shortened() {
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
        fn neither_bands_nor_labels_overlap(
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
            // What each band and its label take up, in their lane.
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
