//! A chart of figures over the steps of a run.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, VPos},
};

use crate::plot::{self, Area, Drawn, INK, LINE, font, range};

/// Pixels.
const SIZE: (u32, u32) = (560, 280);
/// Points of a line at most: neighbours become their mean.
const POINTS: usize = 400;
const COLOURS: [RGBColor; 2] = [RGBColor(60, 100, 180), RGBColor(200, 80, 40)];

/// Figures over steps.
pub struct Chart {
    pub title: &'static str,
    /// What each line is, and its points: step and figure.
    pub lines: Vec<(&'static str, Vec<(f64, f64)>)>,
}

impl Chart {
    /// An SVG of the chart; none if there is nothing to draw.
    ///
    /// # Errors
    /// The picture cannot be drawn, in words.
    pub fn svg(&self) -> Option<Result<String, String>> {
        let lines: Vec<(&str, Vec<(f64, f64)>)> = self
            .lines
            .iter()
            .map(|(name, points)| (*name, thinned(points)))
            .filter(|(_, points)| !points.is_empty())
            .collect();
        let points = || lines.iter().flat_map(|(_, points)| points.iter().copied());
        let steps = range(points().map(|(step, _)| step))?;
        let figures = range(points().map(|(_, figure)| figure))?;
        Some(plot::svg(SIZE, |area| self.draw(area, &lines, steps, figures)))
    }

    fn draw(
        &self,
        area: &Area<'_>,
        lines: &[(&str, Vec<(f64, f64)>)],
        (first, last): (f64, f64),
        (least, most): (f64, f64),
    ) -> Drawn {
        area.draw(&Text::new(self.title, (12, 8), font(14.0, HPos::Left, VPos::Top)))?;
        let mut chart = ChartBuilder::on(area)
            .margin_top(34)
            .margin_right(16)
            .margin_bottom(4)
            .x_label_area_size(26)
            .y_label_area_size(64)
            .build_cartesian_2d(first..last, least..most)?;
        chart
            .configure_mesh()
            .x_labels(6)
            .y_labels(6)
            .axis_style(LINE)
            .bold_line_style(LINE.mix(0.35))
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&|step| format!("{step:.0}"))
            .y_label_formatter(&|figure| short(*figure))
            .x_label_style(font(11.0, HPos::Center, VPos::Top))
            .y_label_style(font(11.0, HPos::Right, VPos::Center))
            .draw()?;
        for (index, (name, points)) in lines.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            chart.draw_series([PathElement::new(points.clone(), colour.stroke_width(2))])?;
            // A line of few points shows them, and one of a single point is nothing else.
            if points.len() <= 60 {
                chart.draw_series(points.iter().map(|&at| Circle::new(at, 3, colour.filled())))?;
            }
            let x = SIZE.0 as i32 - 130 * (lines.len() - index) as i32;
            area.draw(&PathElement::new([(x, 16), (x + 18, 16)], colour.stroke_width(2)))?;
            area.draw(&Text::new(*name, (x + 24, 16), font(12.0, HPos::Left, VPos::Center)))?;
        }
        area.draw(&Text::new(
            "step",
            (34, SIZE.1 as i32 - 16),
            font(11.0, HPos::Center, VPos::Center).color(&INK),
        ))?;
        Ok(())
    }
}

/// At most [`POINTS`] points, each the mean of those that it stands for.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let count = points.len().div_ceil(POINTS).max(1);
    let mean = |points: &[(f64, f64)]| {
        let sum = points.iter().fold((0.0, 0.0), |sum, at| (sum.0 + at.0, sum.1 + at.1));
        (sum.0 / points.len() as f64, sum.1 / points.len() as f64)
    };
    points.chunks(count).map(mean).collect()
}

/// A figure at an axis.
fn short(figure: f64) -> String {
    match figure.abs() {
        0.0 => "0".into(),
        size if size < 1e-3 => format!("{figure:.1e}"),
        size if size < 10.0 => {
            let text = format!("{figure:.4}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => format!("{figure:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_become_means() {
        let points: Vec<(f64, f64)> = (0..1000).map(|n| (f64::from(n), 2.0)).collect();
        let thin = thinned(&points);
        assert_eq!(thin.len(), 334);
        assert_eq!((thin[0], thin[333]), ((1.0, 2.0), (999.0, 2.0)));
        assert_eq!(thinned(&points[..7]), points[..7]);
        assert!(thinned(&[]).is_empty());
    }

    #[test]
    fn every_line_is_drawn_and_a_chart_without_any_is_none() {
        let line = |figure: f64| vec![(1.0, figure), (2.0, figure + 1.0)];
        let lines = vec![("train", line(1.0)), ("validation", line(3.0)), ("missing", Vec::new())];
        let picture = Chart { title: "loss", lines }.svg().unwrap().unwrap();
        for words in ["loss", ">\ntrain", ">\nvalidation"] {
            assert!(picture.contains(words), "{words} is not in {picture}");
        }
        assert!(!picture.contains("missing"));
        assert_eq!(picture.matches("<circle").count(), 4);
        assert!(Chart { title: "loss", lines: vec![("train", Vec::new())] }.svg().is_none());
    }

    #[test]
    fn figures_at_an_axis_are_short() {
        assert_eq!(
            [0.0, 0.00025, 0.5, 2.0, 1234.6].map(short),
            ["0", "2.5e-4", "0.5", "2", "1235"]
        );
    }
}
