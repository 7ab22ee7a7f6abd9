//! Colours for light and dark mode.

use std::fmt::Write;

use plotters::style::RGBColor;

use crate::Metric;

/// A colour for light mode and its counterpart for dark mode.
///
/// The back end writes the light colour; a style sheet in the document replaces it in dark mode. So every
/// light colour has exactly one use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Paint {
    pub(super) light: RGBColor,
    dark: RGBColor,
}

const fn paint(light: u32, dark: u32) -> Paint {
    const fn rgb(hex: u32) -> RGBColor {
        RGBColor((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
    }
    Paint {
        light: rgb(light),
        dark: rgb(dark),
    }
}

pub(super) const GROUND: Paint = paint(0xFFFFFF, 0x0F141B);
pub(super) const GRID: Paint = paint(0xE6E8EC, 0x252C37);
pub(super) const AXIS: Paint = paint(0xA3AAB6, 0x4A5463);
pub(super) const LABEL: Paint = paint(0x525B69, 0xA9B2C0);
pub(super) const TITLE: Paint = paint(0x14181F, 0xF2F4F8);
pub(super) const LIMIT: Paint = paint(0xDC2626, 0xF87171);
pub(super) const PEAK: Paint = paint(0x111827, 0xF9FAFB);
pub(super) const ALERT: Paint = paint(0xD97706, 0xFBBF24);
pub(super) const BAND_TEXT: Paint = paint(0x1F2937, 0xE5E7EB);

const SERIES: [Paint; 6] = [
    paint(0x2563EB, 0x60A5FA),
    paint(0x0D9488, 0x2DD4BF),
    paint(0x9333EA, 0xC084FC),
    paint(0xB45309, 0xF0A04B),
    paint(0xDB2777, 0xF472B6),
    paint(0x4D7C0F, 0xA3E635),
];

const BANDS: [Paint; 8] = [
    paint(0xBFDBFE, 0x1E3A5F),
    paint(0xBBF7D0, 0x14532D),
    paint(0xFDE68A, 0x5B4708),
    paint(0xFBCFE8, 0x5B2245),
    paint(0xDDD6FE, 0x3F2E73),
    paint(0xA5F3FC, 0x134E5A),
    paint(0xFED7AA, 0x5C3212),
    paint(0xD9F99D, 0x3B4D0F),
];

pub(super) fn series(i: usize) -> Paint {
    SERIES[i % SERIES.len()]
}

pub(super) fn band(i: usize) -> Paint {
    BANDS[i % BANDS.len()]
}

/// Returns the display name of a metric.
pub(super) const fn title(metric: Metric) -> &'static str {
    match metric {
        Metric::Rss => "resident set",
        Metric::RssHighWater => "high-water mark",
        Metric::RssAnon => "resident anonymous memory",
        Metric::RssFile => "resident files",
        Metric::Virtual => "address space",
        Metric::Pss => "proportional set",
        Metric::Heap => "live heap",
        Metric::HeapPeak => "heap peak",
        Metric::AllocatorSlack => "allocator slack",
        Metric::Device => "devices",
        Metric::Counted => "counted bytes",
        Metric::CgroupCurrent => "control group",
        Metric::CgroupPeak => "control group peak",
        Metric::CgroupMax => "control group limit",
        Metric::CgroupHigh => "control group throttling limit",
        Metric::MachineTotal => "machine total",
        Metric::MachineAvailable => "machine available",
    }
}

/// Returns the style sheet for dark mode.
pub(super) fn dark_rules() -> String {
    let all = [
        GROUND, GRID, AXIS, LABEL, TITLE, LIMIT, PEAK, ALERT, BAND_TEXT,
    ];
    let mut css = String::from("@media(prefers-color-scheme:dark){");
    for Paint { light, dark } in all.into_iter().chain(SERIES).chain(BANDS) {
        let (light, dark) = (hex(light), hex(dark));
        for attribute in ["fill", "stroke"] {
            // Writing to a string cannot fail.
            let _ = write!(css, "[{attribute}=\"{light}\"]{{{attribute}:{dark}}}");
        }
    }
    css.push('}');
    css
}

/// Formats a colour as the SVG back end does.
pub(super) fn hex(RGBColor(r, g, b): RGBColor) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_colours_are_unique() {
        let mut all: Vec<_> = [
            GROUND, GRID, AXIS, LABEL, TITLE, LIMIT, PEAK, ALERT, BAND_TEXT,
        ]
        .into_iter()
        .chain(SERIES)
        .chain(BANDS)
        .map(|paint| hex(paint.light))
        .collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
