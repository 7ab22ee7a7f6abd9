//! Drawing a timeline.

use std::time::Duration;

use plotters::{
    backend::SVGBackend,
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea},
    element::{Circle, PathElement, Polygon, Rectangle},
    style::{
        Color, FontStyle, IntoFont, ShapeStyle, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::{
    Timeline, axis,
    bands::{self, Layout},
    style::{self, Paint},
};
use crate::{Bucket, Error, Metric};
use bytesize::ByteSize;

const FONT: &str = "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif";
/// The SVG back end divides font sizes by this.
const BACKEND_FONT_FACTOR: f64 = 1.24;

const LEFT: i32 = 64;
const RIGHT: i32 = 22;
const TOP: i32 = 84;
/// Height of the time axis below the plot.
const AXIS_HEIGHT: i32 = 44;
const LANE_HEIGHT: i32 = 19;
const LANE_GAP: i32 = 3;
const BOTTOM: i32 = 12;
/// Space above the highest curve or the limit, for its label.
const LABEL_ROOM: i32 = 24;

/// The smallest size with room for labels and all lanes.
const MIN_SIZE: (u32, u32) = (480, 320);
const MAX_SIDE: u32 = 8192;

/// A limit above this multiple of the peak is not drawn, since it would flatten the curves.
const MAX_LIMIT_RATIO: f64 = 2.5;

/// A drawing and the position of the plot in it.
#[cfg_attr(
    not(feature = "html"),
    expect(
        dead_code,
        reason = "only the page has a script, which needs the positions"
    )
)]
pub(super) struct Drawing {
    pub(super) svg: String,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frame: Frame,
    pub(super) layout: Layout,
}

/// The plot's position in pixels and the values at its edges.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) left: i32,
    pub(super) right: i32,
    pub(super) top: i32,
    pub(super) bottom: i32,
    pub(super) from_s: f64,
    pub(super) to_s: f64,
    pub(super) max_bytes: f64,
}

impl Frame {
    fn x(&self, seconds: f64) -> i32 {
        let share = (seconds - self.from_s) / (self.to_s - self.from_s);
        self.left + (share.clamp(0.0, 1.0) * f64::from(self.right - self.left)).round() as i32
    }

    fn y(&self, bytes: f64) -> i32 {
        let share = bytes / self.max_bytes;
        self.bottom - (share.clamp(0.0, 1.0) * f64::from(self.bottom - self.top)).round() as i32
    }
}

pub(super) fn svg(timeline: &Timeline, width: u32, height: u32) -> Result<String, Error> {
    drawing(timeline, width, height).map(|drawing| drawing.svg)
}

pub(super) fn drawing(timeline: &Timeline, width: u32, height: u32) -> Result<Drawing, Error> {
    let fail = |problem: String| Error::Draw {
        width,
        height,
        problem,
    };
    if width < MIN_SIZE.0 || height < MIN_SIZE.1 || width > MAX_SIDE || height > MAX_SIDE {
        return Err(fail(format!(
            "the allowed sizes are {} x {} to {MAX_SIDE} x {MAX_SIDE}",
            MIN_SIZE.0, MIN_SIZE.1
        )));
    }
    let mut svg = String::new();
    let (frame, layout) = {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        let drawn = Picture {
            timeline,
            area: &area,
            size: (width as i32, height as i32),
        }
        .draw()
        .map_err(|error| fail(error.to_string()))?;
        area.present().map_err(|error| fail(error.to_string()))?;
        drawn
    };
    // The style sheet follows the opening tag.
    if let Some(end) = svg
        .find("<svg")
        .and_then(|at| Some(at + svg[at..].find('>')? + 1))
    {
        svg.insert_str(end, &format!("\n<style>{}</style>", style::dark_rules()));
    }
    Ok(Drawing {
        svg,
        width,
        height,
        frame,
        layout,
    })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<T = ()> = Result<T, plotters::drawing::DrawingAreaErrorKind<std::io::Error>>;

struct Picture<'a, 'b> {
    timeline: &'a Timeline,
    area: &'a Area<'b>,
    size: (i32, i32),
}

impl Picture<'_, '_> {
    fn draw(&self) -> Drawn<(Frame, Layout)> {
        let (from, to) = self.timeline.range();
        let (from_s, mut to_s) = (from.as_secs_f64(), to.as_secs_f64());
        if to_s <= from_s {
            // With a single sample, any width works.
            to_s = from_s + 1.0;
        }
        let (left, right) = (LEFT, self.size.0 - RIGHT);
        let x = |s: f64| {
            let share = ((s - from_s) / (to_s - from_s)).clamp(0.0, 1.0);
            left + (share * f64::from(right - left)).round() as i32
        };
        let layout = bands::lay_out(&self.timeline.calls, x, right);
        let lanes = layout.lanes as i32 * (LANE_HEIGHT + LANE_GAP);
        let bottom = self.size.1 - BOTTOM - lanes - AXIS_HEIGHT;
        // The highest curve or line has its label above it.
        let (whole, free) = (f64::from(bottom - TOP), f64::from(LABEL_ROOM));
        let frame = Frame {
            left,
            right,
            top: TOP,
            bottom,
            from_s,
            to_s,
            max_bytes: self.max_bytes() * whole / (whole - free).max(1.0),
        };
        self.area.fill(&style::GROUND.light)?;
        self.heading(&layout)?;
        self.axes(&frame)?;
        self.bands(&frame, &layout)?;
        for (i, metric) in self.timeline.series.iter().enumerate() {
            self.series(&frame, *metric, style::series(i))?;
        }
        self.limit(&frame)?;
        self.alerts(&frame)?;
        self.peak(&frame)?;
        Ok((frame, layout))
    }

    /// Returns the maximum of curves, peak and drawn limit, in bytes.
    fn max_bytes(&self) -> f64 {
        let max = self.max_used_bytes();
        let limit = self.shown_limit(max).map_or(0.0, |limit| limit as f64);
        max.max(limit)
    }

    /// Returns the maximum of curves and peak, in bytes.
    fn max_used_bytes(&self) -> f64 {
        let series = self.timeline.series.iter();
        let values = series.filter_map(|metric| self.timeline.history.max_bytes(*metric));
        let max = values.chain(self.timeline.peak).max().unwrap_or_default();
        (max as f64).max(1.0)
    }

    /// Returns the limit unless it is too far above `max`.
    fn shown_limit(&self, max: f64) -> Option<u64> {
        let limit = self.timeline.limit.as_ref()?.limit_bytes;
        (limit as f64 <= max * MAX_LIMIT_RATIO).then_some(limit)
    }

    fn heading(&self, layout: &Layout) -> Drawn {
        let timeline = self.timeline;
        self.text(
            &timeline.title,
            18.0,
            style::TITLE,
            (LEFT, 16),
            HPos::Left,
            true,
        )?;
        self.text(
            &summary(timeline, layout),
            12.0,
            style::LABEL,
            (LEFT, 40),
            HPos::Left,
            false,
        )?;
        let mut x = LEFT;
        for (i, metric) in timeline.series.iter().enumerate() {
            let paint = style::series(i);
            let square = Rectangle::new([(x, 61), (x + 11, 72)], paint.light.filled());
            self.area.draw(&square)?;
            let name = style::title(*metric);
            self.text(name, 12.0, style::LABEL, (x + 17, 60), HPos::Left, false)?;
            x += 17 + bands::width(name) + 26;
        }
        Ok(())
    }

    fn axes(&self, frame: &Frame) -> Drawn {
        let unit = axis::bytes(frame.max_bytes);
        let most = ((frame.bottom - frame.top) / 44).max(2) as usize;
        for tick in axis::ticks(0.0, frame.max_bytes, unit, most) {
            let y = frame.y(tick.value);
            self.line(&[(frame.left, y), (frame.right, y)], style::GRID, 1)?;
            let at = (frame.left - 8, y - 5);
            self.text(&tick.label, 12.0, style::LABEL, at, HPos::Right, false)?;
        }
        self.text(
            unit.name,
            12.0,
            style::LABEL,
            (frame.left - 8, frame.top - 24),
            HPos::Right,
            true,
        )?;

        let unit = axis::seconds(frame.to_s);
        let most = ((frame.right - frame.left) / 80).max(2) as usize;
        for tick in axis::ticks(frame.from_s, frame.to_s, unit, most) {
            let x = frame.x(tick.value);
            self.line(&[(x, frame.bottom), (x, frame.bottom + 5)], style::AXIS, 1)?;
            let at = (x, frame.bottom + 8);
            self.text(&tick.label, 12.0, style::LABEL, at, HPos::Center, false)?;
        }
        let (left, right, bottom) = (frame.left, frame.right, frame.bottom);
        self.line(&[(left, bottom), (right, bottom)], style::AXIS, 1)?;
        let name = format!("time in {}", unit.name);
        self.text(
            &name,
            12.0,
            style::LABEL,
            (right, bottom + 24),
            HPos::Right,
            false,
        )
    }

    fn bands(&self, frame: &Frame, layout: &Layout) -> Drawn {
        for band in &layout.bands {
            let paint = style::band(layout.colour(band.name).unwrap_or_default());
            let top = frame.bottom + AXIS_HEIGHT + band.lane as i32 * (LANE_HEIGHT + LANE_GAP);
            let bottom = top + LANE_HEIGHT;
            let shape = Rectangle::new(
                [(band.left, top), (band.right, bottom)],
                paint.light.filled(),
            );
            self.area.draw(&shape)?;
            if band.lane == 0 {
                // The outermost spans are also shaded behind the curves.
                let behind = [(band.left, frame.top), (band.right, frame.bottom)];
                let shade = paint.light.mix(0.22).filled();
                self.area.draw(&Rectangle::new(behind, shade))?;
            }
            if let Some(label) = &band.label {
                let paint = if label.inside {
                    style::BAND_TEXT
                } else {
                    style::LABEL
                };
                let at = (label.x, top + 4);
                self.text(&label.text, 11.0, paint, at, HPos::Left, false)?;
            }
        }
        Ok(())
    }

    fn series(&self, frame: &Frame, metric: Metric, paint: Paint) -> Drawn {
        let history = &self.timeline.history;
        let buckets: Vec<Bucket> = history.iter().collect();
        // The curve has gaps where the metric is unknown.
        for known in buckets.split(|bucket| bucket.get(metric).is_none()) {
            let corners = |value: fn(crate::Stat) -> f64| -> Vec<(i32, i32)> {
                let at = |bucket: &Bucket| {
                    let y = frame.y(bucket.get(metric).map_or(0.0, value));
                    let x = |time: Duration| frame.x(time.as_secs_f64());
                    [(x(bucket.start), y), (x(bucket.end), y)]
                };
                let mut corners: Vec<_> = known.iter().flat_map(at).collect();
                corners.dedup();
                corners
            };
            let line = corners(|stat| stat.mean_bytes);
            let Some((&first, &last)) = line.first().zip(line.last()) else {
                continue;
            };
            let ground = [(last.0, frame.bottom), (first.0, frame.bottom)];
            let below: Vec<_> = line.iter().copied().chain(ground).collect();
            self.area
                .draw(&Polygon::new(below, paint.light.mix(0.10)))?;
            let low = corners(|stat| stat.min_bytes as f64);
            let high = corners(|stat| stat.max_bytes as f64);
            if low != high {
                let around: Vec<_> = high.into_iter().chain(low.into_iter().rev()).collect();
                self.area
                    .draw(&Polygon::new(around, paint.light.mix(0.30)))?;
            }
            if line.len() == 1 {
                self.area
                    .draw(&Circle::new(first, 3, paint.light.filled()))?;
            }
            self.line(&line, paint, 2)?;
        }
        Ok(())
    }

    fn limit(&self, frame: &Frame) -> Drawn {
        let Some(bytes) = self.shown_limit(self.max_used_bytes()) else {
            return Ok(());
        };
        let y = frame.y(bytes as f64);
        let mut x = frame.left;
        while x < frame.right {
            self.line(&[(x, y), ((x + 7).min(frame.right), y)], style::LIMIT, 1)?;
            x += 12;
        }
        // Above the line, at the end opposite to the peak's label.
        let peak_on_the_right = self
            .timeline
            .peak_at()
            .is_some_and(|(at, _)| frame.x(at.as_secs_f64()) > (frame.left + frame.right) / 2);
        let (x, side) = match peak_on_the_right {
            true => (frame.left + 6, HPos::Left),
            false => (frame.right - 6, HPos::Right),
        };
        self.text(
            &format!("limit {}", ByteSize::b(bytes)),
            12.0,
            style::LIMIT,
            (x, y - 17),
            side,
            true,
        )
    }

    fn alerts(&self, frame: &Frame) -> Drawn {
        for alert in &self.timeline.alerts {
            let x = frame.x(alert.elapsed.as_secs_f64());
            let y = frame.bottom;
            let triangle = vec![(x, y - 11), (x - 6, y - 1), (x + 6, y - 1)];
            self.area
                .draw(&Polygon::new(triangle, style::ALERT.light))?;
        }
        Ok(())
    }

    fn peak(&self, frame: &Frame) -> Drawn {
        let Some((at, bytes)) = self.timeline.peak_at() else {
            return Ok(());
        };
        let (x, y) = (frame.x(at.as_secs_f64()), frame.y(bytes as f64));
        self.area
            .draw(&Circle::new((x, y), 5, style::GROUND.light.filled()))?;
        self.area
            .draw(&Circle::new((x, y), 4, style::PEAK.light.filled()))?;
        let label = format!("peak {}", ByteSize::b(bytes));
        // Above the point, on the side with more space; curves are below it.
        let (at, side) = match x > (frame.left + frame.right) / 2 {
            true => ((x - 9, y - 16), HPos::Right),
            false => ((x + 9, y - 16), HPos::Left),
        };
        self.text(&label, 12.0, style::PEAK, at, side, true)
    }

    fn line(&self, points: &[(i32, i32)], paint: Paint, width: u32) -> Drawn {
        let style = ShapeStyle::from(&paint.light).stroke_width(width);
        self.area.draw(&PathElement::new(points.to_vec(), style))
    }

    /// Draws text whose upper edge is at a point.
    fn text(
        &self,
        text: &str,
        pixels: f64,
        paint: Paint,
        at: (i32, i32),
        side: HPos,
        bold: bool,
    ) -> Drawn {
        let weight = if bold {
            FontStyle::Bold
        } else {
            FontStyle::Normal
        };
        let style = TextStyle::from((FONT, pixels * BACKEND_FONT_FACTOR, weight).into_font())
            .color(&paint.light)
            .pos(Pos::new(side, VPos::Top));
        self.area.draw_text(text, &style, at)
    }
}

/// Returns the line below the title.
fn summary(timeline: &Timeline, layout: &Layout) -> String {
    let mut facts = Vec::new();
    if let Ok(start) = jiff::Timestamp::try_from(timeline.start) {
        let local = start.to_zoned_datetime(jiff::tz::TimeZone::system());
        facts.push(format!("from {}", local.strftime("%Y-%m-%d %H:%M:%S")));
    }
    facts.push(format!("{} samples", timeline.history.samples()));
    if let Some(peak) = timeline.peak {
        let touched = timeline.rss_peak.filter(|rss| *rss < peak);
        facts.push(match touched {
            Some(rss) => format!(
                "peak {} (reserved heap; RSS {})",
                ByteSize::b(peak),
                ByteSize::b(rss)
            ),
            None => format!("peak {}", ByteSize::b(peak)),
        });
    }
    if let Some(limit) = &timeline.limit {
        facts.push(format!(
            "limit {} ({})",
            ByteSize::b(limit.limit_bytes),
            limit.origin
        ));
    }
    if layout.left_out > 0 {
        facts.push(format!("{} spans not shown", layout.left_out));
    }
    facts.join("  ·  ")
}
