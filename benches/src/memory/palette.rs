//! The colours of the page and its plots, for light and dark backgrounds.

use std::fmt::Write as _;

use plotters::style::RGBColor;

/// A colour for a light background and its replacement for a dark one. Plots are drawn with the light
/// colour; the style sheet of the page replaces it.
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

const GROUND: Paint = paint(0xFFFFFF, 0x10151D);
pub(super) const GRID: Paint = paint(0xE5E9EF, 0x283140);
pub(super) const AXIS: Paint = paint(0x9AA3B2, 0x566072);
pub(super) const LABEL: Paint = paint(0x4E5868, 0xAEB7C6);
pub(super) const TITLE: Paint = paint(0x131820, 0xF1F4F9);
pub(super) const WHISKER: Paint = paint(0x1F2733, 0xD9DFE9);
pub(super) const ON: Paint = paint(0x1D6FD8, 0x63A9FF);
pub(super) const OFF: Paint = paint(0xD98324, 0xE9A14F);
pub(super) const OTHER: Paint = paint(0x8592A6, 0x7A879B);

const ALL: [Paint; 8] = [GRID, AXIS, LABEL, TITLE, WHISKER, ON, OFF, OTHER];

/// Returns the colour of a setup.
pub(super) fn of(setup: &str) -> Paint {
    match setup {
        "on" => ON,
        "off" => OFF,
        _ => OTHER,
    }
}

/// The colours that the style sheet of the page uses, by the names of its variables.
const VARIABLES: [(&str, Paint); 4] = [
    ("ground", GROUND),
    ("ink", TITLE),
    ("soft", LABEL),
    ("line", GRID),
];

/// Returns the style rules that define the variables, for light and dark backgrounds, and that replace the
/// colours of the plots on a dark background.
pub(super) fn rules() -> String {
    let root = |colour: fn(Paint) -> RGBColor| {
        let variables = VARIABLES.map(|(name, paint)| format!("--{name}: {};", hex(colour(paint))));
        format!(":root {{ {} }}\n", variables.join(" "))
    };
    let mut css = root(|paint| paint.light);
    css.push_str("@media (prefers-color-scheme: dark) {\n  ");
    css.push_str(&root(|paint| paint.dark));
    for Paint { light, dark } in ALL {
        let (light, dark) = (hex(light), hex(dark));
        for attribute in ["fill", "stroke"] {
            // Writing to a string cannot fail.
            let _ = writeln!(
                css,
                "  [{attribute}=\"{light}\"] {{ {attribute}: {dark}; }}"
            );
        }
    }
    css.push_str("}\n");
    css
}

/// Formats a colour like the SVG backend.
fn hex(RGBColor(r, g, b): RGBColor) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_light_colour_is_used_once() {
        let mut all = ALL.map(|paint| hex(paint.light)).to_vec();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), ALL.len());
    }

    #[test]
    fn rules_define_variables_for_both_backgrounds_and_replace_plot_colours() {
        let css = rules();
        assert!(
            css.starts_with(":root { --ground: #FFFFFF; --ink: #131820;"),
            "{css}"
        );
        assert!(
            css.contains("dark) {\n  :root { --ground: #10151D; --ink: #F1F4F9;"),
            "{css}"
        );
        assert!(
            css.contains("  [fill=\"#1D6FD8\"] { fill: #63A9FF; }\n"),
            "{css}"
        );
        assert_eq!(css.matches('{').count(), css.matches('}').count(), "{css}");
    }
}
