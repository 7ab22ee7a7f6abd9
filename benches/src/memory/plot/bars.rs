//! Grouped bars.

use bench_report::Spread;
use bench_report::memory::Unit;
use plotters::style::text_anchor::HPos;

use super::picture::{LEGEND_HEIGHT, MARGIN, TITLE_HEIGHT, WIDTH, draw, width};
use crate::Result;
use crate::memory::palette;

const BAR: i32 = 15;
const BAR_GAP: i32 = 3;
const GROUP_GAP: i32 = 12;

/// Grouped bars, with the name of each group on the left.
pub(in crate::memory) struct Bars {
    pub(in crate::memory) title: String,
    pub(in crate::memory) unit: Unit,
    pub(in crate::memory) groups: Vec<Group>,
}

/// A group of bars.
pub(in crate::memory) struct Group {
    pub(in crate::memory) name: String,
    /// The name of each bar, which determines its colour, and its value.
    pub(in crate::memory) bars: Vec<(String, Spread)>,
    /// The value of a bar with the full width of the plot.
    pub(in crate::memory) full: f64,
}

impl Group {
    /// Creates a group whose longest bar has the full width of the plot.
    pub(in crate::memory) fn new(name: String, bars: Vec<(String, Spread)>) -> Self {
        let full = bars.iter().map(|(_, spread)| spread.max);
        Self {
            name,
            full: full.fold(0.0, f64::max),
            bars,
        }
    }
}

impl Bars {
    /// Uses the scale of the longest bar for all groups.
    pub(in crate::memory) fn on_one_scale(mut self) -> Self {
        let full = self.groups.iter().map(|group| group.full);
        let full = full.fold(0.0, f64::max);
        for group in &mut self.groups {
            group.full = full;
        }
        self
    }

    /// Draws the plot.
    pub(in crate::memory) fn svg(&self) -> Result<String> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.groups.iter().flat_map(|group| &group.bars) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        // With one bar per group, the group names are enough.
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
                    let (min, max) = (x(spread.min), x(spread.max));
                    let line = y + BAR / 2;
                    picture.line(&[(min, line), (max, line)], palette::WHISKER, 1)?;
                    let text = (end.max(max) + 8, y + 2);
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

/// Formats the median with its unit, and minimum and maximum.
fn value(unit: Unit, spread: &Spread) -> String {
    let median = unit.show(spread.median);
    let [min, max] = [spread.min, spread.max].map(|value| unit.number(value));
    format!("{median} ({min} - {max})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exactly(value: f64) -> Spread {
        Spread {
            median: value,
            min: value,
            max: value,
            samples: 1,
        }
    }

    #[test]
    fn bar_lengths_are_proportional_to_values() {
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
            // The first rectangle is in the legend.
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
}
