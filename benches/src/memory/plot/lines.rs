//! Curves.

use bench_report::Spread;
use bench_report::memory::Unit;
use plotters::style::text_anchor::HPos;

use super::picture::{LEGEND_HEIGHT, MARGIN, TITLE_HEIGHT, WIDTH, draw};
use crate::Result;
use crate::memory::palette;

const LINES_HEIGHT: i32 = 340;

/// Curves over a numeric axis.
pub(in crate::memory) struct Lines {
    pub(in crate::memory) title: String,
    pub(in crate::memory) x_name: String,
    pub(in crate::memory) x_unit: Unit,
    pub(in crate::memory) y_name: String,
    pub(in crate::memory) y_unit: Unit,
    /// The name of each curve, which determines its colour, and its points.
    pub(in crate::memory) curves: Vec<(String, Vec<(f64, Spread)>)>,
}

impl Lines {
    /// Draws the plot. The vertical axis starts at zero.
    pub(in crate::memory) fn svg(&self) -> Result<String> {
        let points = || self.curves.iter().flat_map(|(_, points)| points);
        let xs = || points().map(|&(x, _)| self.x_unit.scaled(x));
        let top_values = points().map(|(_, y)| self.y_unit.scaled(y.max));
        let y_to = 1.05 * top_values.fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let (from, to) = (xs().fold(f64::MAX, f64::min), xs().fold(0.0, f64::max));
        // A single point is centred.
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
                    (x, y(spread.median), y(spread.min), y(spread.max))
                };
                let places: Vec<_> = points.iter().map(at).collect();
                let medians: Vec<_> = places.iter().map(|&(x, median, ..)| (x, median)).collect();
                picture.line(&medians, paint, 2)?;
                for (x, median, min, max) in places {
                    picture.line(&[(x, min), (x, max)], paint, 1)?;
                    picture.dot((x, median), paint)?;
                }
            }
            Ok(())
        })
    }
}

/// A tick and its label.
#[derive(Clone, Debug, PartialEq)]
struct Tick {
    value: f64,
    label: String,
}

/// Returns ticks at round numbers: at most `max` intervals of 1, 2 or 5 times a power of ten.
fn ticks(from: f64, to: f64, max: usize) -> Vec<Tick> {
    let min_step = (to - from) / max.max(1) as f64;
    if !(min_step.is_finite() && min_step > 0.0) {
        return Vec::new();
    }
    let power = 10_f64.powf(min_step.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0].into_iter();
    let step = factors
        .map(|factor| factor * power)
        .find(|&step| step >= min_step)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_in_the_range() {
        let labels = |from, to, max| -> Vec<String> {
            let ticks = ticks(from, to, max).into_iter();
            ticks.map(|tick| tick.label).collect()
        };
        assert_eq!(labels(0.0, 84.0, 5), ["0", "20", "40", "60", "80"]);
        assert_eq!(labels(1.9, 3.1, 3), ["2.0", "2.5", "3.0"]);
        assert!(labels(3.0, 3.0, 5).is_empty());
    }

    #[test]
    fn single_point_is_drawn() {
        let speed = Spread {
            median: 50.0,
            min: 48.0,
            max: 51.0,
            samples: 5,
        };
        let plot = Lines {
            title: "Limits".to_owned(),
            x_name: "limit".to_owned(),
            x_unit: Unit::Bytes,
            y_name: "speed".to_owned(),
            y_unit: Unit::TimesRealTime,
            curves: vec![("on".to_owned(), vec![(3e7, speed)])],
        };
        let svg = plot.svg().unwrap();
        assert_eq!(svg.matches("<circle").count(), 1, "{svg}");
        assert!(!svg.contains("NaN"), "{svg}");
    }
}
