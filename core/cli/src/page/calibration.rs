//! A reliability diagram: how often images of a confidence are right.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, VPos},
};
use vitral_train::figures::Bin;

use super::SERIES;
use crate::plot::{self, Area, Drawn, LINE, font};

/// Pixels.
const SIZE: (u32, u32) = (420, 320);
const BARS: RGBColor = SERIES[0];

/// The diagram as a figure in HTML.
///
/// # Errors
/// The picture cannot be drawn, in words.
pub fn html(bins: &[Bin]) -> Result<String, String> {
    let svg = plot::themed(&plot::svg(SIZE, |area| draw(area, bins))?);
    Ok(format!(
        "<figure>\n{svg}<figcaption>Points on the diagonal: a class with a probability of 80% is right \
         in 80 of 100 cases. The fuller a bar, the more images it stands for.</figcaption></figure>\n"
    ))
}

fn draw(area: &Area<'_>, bins: &[Bin]) -> Drawn {
    let title = "accuracy by confidence, %";
    area.draw(&Text::new(title, (8, 4), font(14.0, HPos::Left, VPos::Top)))?;
    let mut chart = ChartBuilder::on(area)
        .margin_top(34)
        .margin_right(16)
        .margin_bottom(4)
        .x_label_area_size(26)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..100.0, 0.0..100.0)?;
    chart
        .configure_mesh()
        .x_labels(6)
        .y_labels(6)
        .axis_style(LINE)
        .bold_line_style(LINE.mix(0.35))
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|share| format!("{share:.0}"))
        .y_label_formatter(&|share| format!("{share:.0}"))
        .x_label_style(font(12.0, HPos::Center, VPos::Top))
        .y_label_style(font(12.0, HPos::Right, VPos::Center))
        .draw()?;
    let most = bins.iter().map(|bin| bin.images).max().unwrap_or(0).max(1) as f64;
    chart.draw_series(bins.iter().filter_map(|bin| {
        let top = 100.0 * bin.accuracy?;
        // Ranges of few images say little.
        let shade = 0.15 + 0.75 * bin.images as f64 / most;
        let corners = [(100.0 * bin.from, 0.0), (100.0 * bin.to, top)];
        Some(Rectangle::new(corners, BARS.mix(shade).filled()))
    }))?;
    let perfect = [(0.0, 0.0), (100.0, 100.0)];
    chart.draw_series([PathElement::new(perfect, LINE.stroke_width(1))])?;
    let means =
        bins.iter().filter_map(|bin| Some((100.0 * bin.confidence?, 100.0 * bin.accuracy?)));
    chart.draw_series(means.map(|at| Circle::new(at, 3, BARS.filled())))?;
    Ok(())
}
