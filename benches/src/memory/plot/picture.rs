//! Drawing of shapes and text in the colours of the palette.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea as _};
use plotters::element::{Circle, PathElement, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, FontStyle, IntoFont as _, ShapeStyle, TextStyle};

use crate::Result;
use crate::memory::palette::{self, Paint};

const FONT: &str = "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif";
/// The SVG backend divides font sizes by this factor.
const BACKEND_FONT_FACTOR: f64 = 1.24;
const TITLE_PIXELS: f64 = 15.0;
const LABEL_PIXELS: f64 = 12.0;
/// Width of a character at label size. It is slightly more than the mean of common sans-serif fonts, since
/// the actual font is unknown.
const CHARACTER: f64 = 6.6;

pub(super) const WIDTH: i32 = 900;
pub(super) const MARGIN: i32 = 12;
pub(super) const TITLE_HEIGHT: i32 = 28;
pub(super) const LEGEND_HEIGHT: i32 = 26;

pub(super) type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// A drawing area.
pub(super) struct Picture<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws an SVG element with a size in pixels.
pub(super) fn draw(size: (i32, i32), paint: impl FnOnce(&Picture<'_>) -> Drawn) -> Result<String> {
    let mut svg = String::new();
    {
        let size = (u32::try_from(size.0)?, u32::try_from(size.1)?);
        let picture = Picture {
            area: SVGBackend::with_string(&mut svg, size).into_drawing_area(),
        };
        paint(&picture)?;
        picture.area.present()?;
    }
    // The element is part of a page, so the prologue of the document is removed.
    let start = svg.find("<svg").ok_or("the plot is not SVG")?;
    Ok(svg.split_off(start))
}

impl Picture<'_> {
    pub(super) fn title(&self, title: &str) -> Drawn {
        self.text(title, TITLE_PIXELS, palette::TITLE, (MARGIN, 8), HPos::Left)
    }

    pub(super) fn label(&self, text: &str, at: (i32, i32), side: HPos) -> Drawn {
        self.text(text, LABEL_PIXELS, palette::LABEL, at, side)
    }

    pub(super) fn legend(&self, names: &[&str]) -> Drawn {
        let mut x = MARGIN;
        for name in names {
            let y = TITLE_HEIGHT + 6;
            self.rectangle((x, y), (x + 11, y + 11), palette::of(name))?;
            self.label(name, (x + 17, y), HPos::Left)?;
            x += 17 + width(name) + 22;
        }
        Ok(())
    }

    pub(super) fn rectangle(&self, from: (i32, i32), to: (i32, i32), paint: Paint) -> Drawn {
        let rectangle = Rectangle::new([from, to], paint.light.filled());
        self.area.draw(&rectangle)
    }

    pub(super) fn line(&self, points: &[(i32, i32)], paint: Paint, width: u32) -> Drawn {
        let style = ShapeStyle::from(&paint.light).stroke_width(width);
        self.area.draw(&PathElement::new(points.to_vec(), style))
    }

    pub(super) fn dot(&self, at: (i32, i32), paint: Paint) -> Drawn {
        self.area.draw(&Circle::new(at, 4, paint.light.filled()))
    }

    /// Draws text with its upper edge at a point.
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

/// Estimates the width of a text.
pub(super) fn width(text: &str) -> i32 {
    (text.chars().count() as f64 * CHARACTER).ceil() as i32
}
