//! Plots as SVG.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea as _};
use plotters::element::{Circle, PathElement, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, FontStyle, IntoFont as _, ShapeStyle, TextStyle};

use super::Unit;
use super::palette::{self, Paint};
use crate::{Result, Spread};

const FONT: &str = "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif";
/// The back end divides sizes by this before it writes them.
const BACKEND_FONT_FACTOR: f64 = 1.24;
const TITLE_PIXELS: f64 = 15.0;
const LABEL_PIXELS: f64 = 12.0;
/// The width of a character at the labels' size: a little more than the mean of common sans-serif
/// fonts, since the real one is not known.
const CHARACTER: f64 = 6.6;

const WIDTH: i32 = 900;
const MARGIN: i32 = 12;
const TITLE_HEIGHT: i32 = 28;
const LEGEND_HEIGHT: i32 = 26;

const BAR: i32 = 15;
const BAR_GAP: i32 = 3;
const GROUP_GAP: i32 = 12;

const LINES_HEIGHT: i32 = 340;

/// Bars in groups, each group with its name at the left.
pub(super) struct Bars {
    pub(super) title: String,
    pub(super) unit: Unit,
    pub(super) groups: Vec<Group>,
}

/// Bars that are compared.
pub(super) struct Group {
    pub(super) name: String,
    /// The name of each, by which it is coloured, and its length.
    pub(super) bars: Vec<(String, Spread)>,
    /// The length of a bar that is as wide as the plot.
    pub(super) full: f64,
}

impl Group {
    /// Bars of which the longest is as wide as the plot.
    pub(super) fn new(name: String, bars: Vec<(String, Spread)>) -> Self {
        let full = bars.iter().map(|(_, spread)| spread.most);
        Self {
            name,
            full: full.fold(0.0, f64::max),
            bars,
        }
    }
}

impl Bars {
    /// Gives all groups the scale of the longest bar.
    pub(super) fn on_one_scale(mut self) -> Self {
        let full = self.groups.iter().map(|group| group.full);
        let full = full.fold(0.0, f64::max);
        for group in &mut self.groups {
            group.full = full;
        }
        self
    }

    /// The plot.
    pub(super) fn svg(&self) -> Result<String> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.groups.iter().flat_map(|group| &group.bars) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        // Where each group is one bar, its name says all.
        let legend = self.groups.iter().any(|group| group.bars.len() > 1);
        let group_height =
            |group: &Group| group.bars.len() as i32 * (BAR + BAR_GAP) - BAR_GAP + GROUP_GAP;
        let bars: i32 = self.groups.iter().map(group_height).sum();
        let top = TITLE_HEIGHT + if legend { LEGEND_HEIGHT } else { 0 } + 6;

        let widest = |texts: &mut dyn Iterator<Item = String>| {
            texts.map(|text| width(&text)).max().unwrap_or(0)
        };
        let left = widest(&mut self.groups.iter().map(|group| group.name.clone())) + 2 * MARGIN;
        let bars_of_all = || self.groups.iter().flat_map(|group| &group.bars);
        let values = widest(&mut bars_of_all().map(|(_, spread)| value(self.unit, spread)));
        let room = WIDTH - left - values - 2 * MARGIN;

        draw((WIDTH, top + bars), |picture| {
            picture.title(&self.title)?;
            if legend {
                picture.legend(&names)?;
            }
            let mut y = top;
            for group in &self.groups {
                let x = |value: f64| {
                    let share = if group.full > 0.0 {
                        value / group.full
                    } else {
                        0.0
                    };
                    left + (share * f64::from(room)).round() as i32
                };
                let height = group_height(group) - GROUP_GAP;
                let middle = y + height / 2 - 6;
                picture.label(&group.name, (left - MARGIN, middle), HPos::Right)?;
                for (name, spread) in &group.bars {
                    let end = x(spread.median).max(left + 1);
                    picture.rectangle((left, y), (end, y + BAR), palette::of(name))?;
                    let (least, most) = (x(spread.least), x(spread.most));
                    let line = y + BAR / 2;
                    picture.line(&[(least, line), (most, line)], palette::WHISKER, 1)?;
                    let text = (end.max(most) + 8, y + 2);
                    picture.label(&value(self.unit, spread), text, HPos::Left)?;
                    y += BAR + BAR_GAP;
                }
                picture.line(
                    &[(left, y - height - BAR_GAP), (left, y - BAR_GAP)],
                    palette::AXIS,
                    1,
                )?;
                y += GROUP_GAP - BAR_GAP;
            }
            Ok(())
        })
    }
}

/// Curves over a number.
pub(super) struct Lines {
    pub(super) title: String,
    pub(super) x_name: String,
    pub(super) x_unit: Unit,
    pub(super) y_name: String,
    pub(super) y_unit: Unit,
    /// Each with its name, by which it is coloured.
    pub(super) curves: Vec<(String, Vec<(f64, Spread)>)>,
}

impl Lines {
    /// The plot; its upward axis begins at zero.
    pub(super) fn svg(&self) -> Result<String> {
        let points = || self.curves.iter().flat_map(|(_, points)| points);
        let xs = || points().map(|&(x, _)| self.x_unit.scaled(x));
        let most = points().map(|(_, y)| self.y_unit.scaled(y.most));
        let y_to = 1.05 * most.fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let (from, to) = (xs().fold(f64::MAX, f64::min), xs().fold(0.0, f64::max));
        // A single one stands in the middle.
        let pad = if to > from { 0.04 * (to - from) } else { 1.0 };
        let (x_from, x_to) = (from - pad, to + pad);

        let (left, right) = (62, WIDTH - 2 * MARGIN);
        let (top, bottom) = (TITLE_HEIGHT + LEGEND_HEIGHT + 30, LINES_HEIGHT - 50);
        let x = |value: f64| {
            let share = (value - x_from) / (x_to - x_from);
            left + (share * f64::from(right - left)).round() as i32
        };
        let y = |value: f64| bottom - (value / y_to * f64::from(bottom - top)).round() as i32;

        draw((WIDTH, LINES_HEIGHT), |picture| {
            picture.title(&self.title)?;
            let names: Vec<&str> = self.curves.iter().map(|(name, _)| name.as_str()).collect();
            picture.legend(&names)?;
            for tick in ticks(0.0, y_to, 6) {
                let y = y(tick.value);
                picture.line(&[(left, y), (right, y)], palette::GRID, 1)?;
                picture.label(&tick.label, (left - 8, y - 6), HPos::Right)?;
            }
            for tick in ticks(x_from, x_to, 10) {
                let x = x(tick.value);
                picture.line(&[(x, bottom), (x, bottom + 5)], palette::AXIS, 1)?;
                picture.label(&tick.label, (x, bottom + 9), HPos::Center)?;
            }
            picture.line(&[(left, bottom), (right, bottom)], palette::AXIS, 1)?;
            let y_name = self.y_unit.title(&self.y_name);
            picture.label(&y_name, (MARGIN, top - 24), HPos::Left)?;
            let x_name = self.x_unit.title(&self.x_name);
            picture.label(&x_name, (right, bottom + 28), HPos::Right)?;
            for (name, points) in &self.curves {
                let paint = palette::of(name);
                let at = |&(point, spread): &(f64, Spread)| {
                    let x = x(self.x_unit.scaled(point));
                    let y = |value: f64| y(self.y_unit.scaled(value));
                    (x, y(spread.median), y(spread.least), y(spread.most))
                };
                let places: Vec<_> = points.iter().map(at).collect();
                let medians: Vec<_> = places.iter().map(|&(x, median, ..)| (x, median)).collect();
                picture.line(&medians, paint, 2)?;
                for (x, median, least, most) in places {
                    picture.line(&[(x, least), (x, most)], paint, 1)?;
                    picture.dot((x, median), paint)?;
                }
            }
            Ok(())
        })
    }
}

/// Median with its unit, and least and most.
fn value(unit: Unit, spread: &Spread) -> String {
    let median = unit.show(spread.median);
    let [least, most] = [spread.least, spread.most].map(|value| unit.number(value));
    format!("{median} ({least} - {most})")
}

/// About how wide a text is.
fn width(text: &str) -> i32 {
    (text.chars().count() as f64 * CHARACTER).ceil() as i32
}

/// A tick: where, and what is written at it.
#[derive(Clone, Debug, PartialEq)]
struct Tick {
    value: f64,
    label: String,
}

/// Ticks at round numbers: at most `most` steps of 1, 2 or 5 times a power of ten.
fn ticks(from: f64, to: f64, most: usize) -> Vec<Tick> {
    let least = (to - from) / most.max(1) as f64;
    if !(least.is_finite() && least > 0.0) {
        return Vec::new();
    }
    let power = 10_f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0].into_iter();
    let step = factors
        .map(|factor| factor * power)
        .find(|&step| step >= least)
        .unwrap_or(10.0 * power);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let first = (from / step).ceil() as i64;
    let last = (to / step).floor() as i64;
    (first..=last)
        .map(|number| number as f64 * step)
        .map(|value| Tick {
            value,
            label: format!("{value:.decimals$}"),
        })
        .collect()
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

struct Picture<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// An SVG element of a size in pixels.
fn draw(size: (i32, i32), paint: impl FnOnce(&Picture<'_>) -> Drawn) -> Result<String> {
    let mut svg = String::new();
    {
        let size = (u32::try_from(size.0)?, u32::try_from(size.1)?);
        let picture = Picture {
            area: SVGBackend::with_string(&mut svg, size).into_drawing_area(),
        };
        paint(&picture)?;
        picture.area.present()?;
    }
    // It is an element of a page, so it goes without a document's prologue.
    let start = svg.find("<svg").ok_or("the plot is no SVG")?;
    Ok(svg.split_off(start))
}

impl Picture<'_> {
    fn title(&self, title: &str) -> Drawn {
        self.text(title, TITLE_PIXELS, palette::TITLE, (MARGIN, 8), HPos::Left)
    }

    fn label(&self, text: &str, at: (i32, i32), side: HPos) -> Drawn {
        self.text(text, LABEL_PIXELS, palette::LABEL, at, side)
    }

    fn legend(&self, names: &[&str]) -> Drawn {
        let mut x = MARGIN;
        for name in names {
            let y = TITLE_HEIGHT + 6;
            self.rectangle((x, y), (x + 11, y + 11), palette::of(name))?;
            self.label(name, (x + 17, y), HPos::Left)?;
            x += 17 + width(name) + 22;
        }
        Ok(())
    }

    fn rectangle(&self, from: (i32, i32), to: (i32, i32), paint: Paint) -> Drawn {
        let rectangle = Rectangle::new([from, to], paint.light.filled());
        self.area.draw(&rectangle)
    }

    fn line(&self, points: &[(i32, i32)], paint: Paint, width: u32) -> Drawn {
        let style = ShapeStyle::from(&paint.light).stroke_width(width);
        self.area.draw(&PathElement::new(points.to_vec(), style))
    }

    fn dot(&self, at: (i32, i32), paint: Paint) -> Drawn {
        self.area.draw(&Circle::new(at, 4, paint.light.filled()))
    }

    /// Text whose upper edge is at a point.
    fn text(&self, text: &str, pixels: f64, paint: Paint, at: (i32, i32), side: HPos) -> Drawn {
        let weight = match pixels > LABEL_PIXELS {
            true => FontStyle::Bold,
            false => FontStyle::Normal,
        };
        let style = TextStyle::from((FONT, pixels * BACKEND_FONT_FACTOR, weight).into_font())
            .color(&paint.light)
            .pos(Pos::new(side, VPos::Top));
        self.area.draw_text(text, &style, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exactly(value: f64) -> Spread {
        Spread {
            median: value,
            least: value,
            most: value,
            samples: 1,
        }
    }

    #[test]
    fn bars_are_as_long_as_their_values() {
        let bars = |on, off| {
            vec![
                ("on".to_owned(), exactly(on)),
                ("off".to_owned(), exactly(off)),
            ]
        };
        let plot = Bars {
            title: "Time".to_owned(),
            unit: Unit::Milliseconds,
            groups: vec![
                Group::new("one".to_owned(), bars(50.0, 100.0)),
                Group::new("two".to_owned(), bars(10.0, 5.0)),
            ],
        };
        let widths = |svg: &str, hex: &str| -> Vec<f64> {
            let bars = svg.lines().filter(|line| line.starts_with("<rect"));
            let of_colour = bars.filter(|line| line.contains(hex));
            let width = |line: &str| {
                let rest = line.split(" width=\"").nth(1).unwrap();
                rest.split('"').next().unwrap().parse().unwrap()
            };
            // The first is the legend's.
            of_colour.map(width).skip(1).collect()
        };
        let near = |a: f64, b: f64| (a - b).abs() < 2.0;
        let svg = plot.svg().unwrap();
        assert!(
            svg.starts_with("<svg") && svg.contains("50.0 ms (50.0 - 50.0)"),
            "{svg}"
        );
        let (on, off) = (widths(&svg, "#1D6FD8"), widths(&svg, "#D98324"));
        assert!(
            near(on[0], off[0] / 2.0) && near(on[1], off[0]),
            "{on:?} {off:?}"
        );
        let svg = plot.on_one_scale().svg().unwrap();
        let (on, off) = (widths(&svg, "#1D6FD8"), widths(&svg, "#D98324"));
        assert!(near(on[1], off[0] / 10.0), "{on:?} {off:?}");
    }

    #[test]
    fn ticks_are_round_numbers_within_the_range() {
        let labels = |from, to, most| -> Vec<String> {
            let ticks = ticks(from, to, most).into_iter();
            ticks.map(|tick| tick.label).collect()
        };
        assert_eq!(labels(0.0, 84.0, 5), ["0", "20", "40", "60", "80"]);
        assert_eq!(labels(1.9, 3.1, 3), ["2.0", "2.5", "3.0"]);
        assert!(labels(3.0, 3.0, 5).is_empty());
    }

    #[test]
    fn a_single_limit_is_a_point() {
        let plot = Lines {
            title: "Limits".to_owned(),
            x_name: "limit".to_owned(),
            x_unit: Unit::Bytes,
            y_name: "speed".to_owned(),
            y_unit: Unit::TimesRealTime,
            curves: vec![("on".to_owned(), vec![(3e7, exactly(50.0))])],
        };
        let svg = plot.svg().unwrap();
        assert_eq!(svg.matches("<circle").count(), 1, "{svg}");
        assert!(!svg.contains("NaN"), "{svg}");
    }
}
