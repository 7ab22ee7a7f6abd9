//! Plots as SVG.

mod bars;
mod lines;
mod picture;

pub(super) use bars::{Bars, Group};
pub(super) use lines::Lines;
