//! A chart of figures over the steps, or the epochs, of runs.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, VPos},
};

use vitral_config::visible;

use super::escape;
use crate::plot::{self, Area, Drawn, LINE, font, range};

/// Pixels.
const SIZE: (u32, u32) = (420, 250);
/// Points of a line at most: neighbours become their mean.
const POINTS: usize = 300;
/// Points of a line that are shown one by one, at most; with a finger or a pointer on one, it tells its figure.
const SHOWN: usize = 60;
/// The colours of lines, which can be told apart on white and on black.
pub const SERIES: [RGBColor; 8] = [
    RGBColor(63, 131, 219),
    RGBColor(224, 107, 44),
    RGBColor(46, 158, 107),
    RGBColor(176, 91, 200),
    RGBColor(201, 160, 39),
    RGBColor(214, 77, 112),
    RGBColor(52, 163, 184),
    RGBColor(146, 128, 107),
];

/// Figures over steps or epochs.
pub struct Chart {
    pub title: String,
    pub lines: Vec<Line>,
}

/// A line of a chart.
#[derive(Clone)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// Which of [`SERIES`] it has, over and over.
    pub colour: usize,
    /// Whether it is behind what is told, as single batches behind their mean.
    pub is_faint: bool,
    /// Step or epoch, and figure.
    pub points: Vec<(f64, f64)>,
}

impl Line {
    /// A line of this name.
    pub fn new(name: &str, colour: usize, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), colour, is_faint: false, points }
    }

    fn rgb(&self) -> RGBColor {
        SERIES[self.colour % SERIES.len()]
    }
}

/// What single batches tell, faint, and their moving mean; few points as they are.
pub fn smoothed(line: Line) -> Vec<Line> {
    let count = line.points.len();
    if count <= SHOWN {
        return vec![line];
    }
    // A twentieth of the run, as an exponential mean that is not drawn to its start.
    let decay = 1.0 - 20.0 / count as f64;
    let (mut sum, mut weight) = (0.0, 0.0);
    let mean = line.points.iter().map(|&(at, figure)| {
        sum = decay * sum + (1.0 - decay) * figure;
        weight = decay * weight + (1.0 - decay);
        (at, sum / weight)
    });
    let mean = Line { points: mean.collect(), ..line.clone() };
    vec![Line { is_faint: true, ..line }, mean]
}

impl Chart {
    /// The chart as a figure in HTML; none if there is nothing to draw.
    ///
    /// # Errors
    /// The picture cannot be drawn, in words.
    pub fn html(&self) -> Option<Result<String, String>> {
        let lines: Vec<Line> = self
            .lines
            .iter()
            .map(|line| Line { points: thinned(&line.points), ..line.clone() })
            .filter(|line| !line.points.is_empty())
            .collect();
        let points = || lines.iter().flat_map(|line| line.points.iter().copied());
        let places = range(points().map(|(place, _)| place))?;
        let figures = range(points().map(|(_, figure)| figure))?;
        let mut told = String::new();
        let svg = plot::svg(SIZE, |area| self.draw(area, &lines, places, figures, &mut told));
        let figure = |svg: String| {
            let label = format!("<svg role=\"img\" aria-label=\"{}\" ", escape(&self.title));
            let svg = plot::themed(&svg).replacen("<svg ", &label, 1);
            let svg = svg.replace("</svg>", &format!("{told}</svg>"));
            format!("<figure>\n{svg}</figure>\n")
        };
        Some(svg.map(figure))
    }

    fn draw(
        &self,
        area: &Area<'_>,
        lines: &[Line],
        (first, last): (f64, f64),
        (least, most): (f64, f64),
        told: &mut String,
    ) -> Drawn {
        area.draw(&Text::new(visible(&self.title), (8, 4), font(14.0, HPos::Left, VPos::Top)))?;
        let mut chart = ChartBuilder::on(area)
            .margin_top(30)
            .margin_right(14)
            .margin_bottom(2)
            .x_label_area_size(24)
            .y_label_area_size(56)
            .build_cartesian_2d(first..last, least..most)?;
        let (width, height) = (last - first, most - least);
        chart
            .configure_mesh()
            .x_labels(5)
            .y_labels(5)
            .axis_style(LINE)
            .bold_line_style(LINE.mix(0.35))
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&|place| short(*place, width))
            .y_label_formatter(&|figure| short(*figure, height))
            .x_label_style(font(12.0, HPos::Center, VPos::Top))
            .y_label_style(font(12.0, HPos::Right, VPos::Center))
            .draw()?;
        for line in lines {
            let (colour, points) = (line.rgb(), &line.points);
            let style = match line.is_faint {
                true => colour.mix(0.3).stroke_width(1),
                false => colour.stroke_width(2),
            };
            chart.draw_series([PathElement::new(points.clone(), style)])?;
            if line.is_faint || points.len() > SHOWN {
                continue;
            }
            chart.draw_series(points.iter().map(|&at| Circle::new(at, 3, colour.filled())))?;
            for (place, figure) in points {
                let (x, y) = chart.backend_coord(&(*place, *figure));
                let at = format!("{} at {}", short(*figure, height), short(*place, width));
                *told += &format!(
                    "<circle cx=\"{x}\" cy=\"{y}\" r=\"7\" fill=\"transparent\"><title>{}: {at}\
                     </title></circle>\n",
                    escape(&line.name)
                );
            }
        }
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

/// A figure at an axis of this length.
fn short(figure: f64, length: f64) -> String {
    let size = figure.abs();
    // What is left of a zero when steps are added up.
    if size < 1e-9 * length.abs() || size == 0.0 {
        return "0".into();
    }
    let digits = |digits: usize| {
        let text = format!("{figure:.digits$}");
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    };
    match size {
        size if size < 1e-3 => format!("{figure:.1e}"),
        size if size < 10.0 => digits(4),
        size if size < 1e3 && length < 10.0 => digits(2),
        size if size < 1e5 => digits(0),
        size if size < 1e8 => format!("{:.0}k", figure / 1e3),
        _ => format!("{figure:.1e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_become_means() {
        let points: Vec<(f64, f64)> = (0..1000).map(|n| (f64::from(n), 2.0)).collect();
        let thin = thinned(&points);
        assert_eq!(thin.len(), 250);
        assert_eq!((thin[0], thin[249]), ((1.5, 2.0), (997.5, 2.0)));
        assert_eq!(thinned(&points[..7]), points[..7]);
        assert!(thinned(&[]).is_empty());
    }

    #[test]
    fn what_single_batches_tell_is_behind_their_mean() {
        let points: Vec<(f64, f64)> = (0..400).map(|n| (f64::from(n), f64::from(n % 2))).collect();
        let lines = smoothed(Line::new("training", 0, points.clone()));
        assert_eq!((lines.len(), lines[0].is_faint, lines[1].is_faint), (2, true, false));
        let last = lines[1].points[300..].iter();
        assert!(last.into_iter().all(|(_, figure)| (figure - 0.5).abs() < 0.05));
        assert_eq!(lines[1].points[0], points[0]);
        assert_eq!(smoothed(Line::new("training", 0, points[..9].to_vec())).len(), 1);
    }

    #[test]
    fn every_line_is_drawn_and_a_chart_without_any_is_none() {
        let line = |name: &str, figure: f64, points: usize| {
            let points = (0..points).map(|n| (n as f64, figure + n as f64)).collect();
            Line::new(name, 1, points)
        };
        let lines =
            vec![line("train<ing", 1.0, 2), line("validation", 3.0, 2), line("none", 0.0, 0)];
        let picture = Chart { title: "lo\"ss".into(), lines }.html().unwrap().unwrap();
        for words in ["aria-label=\"lo&quot;ss\"", "train&lt;ing: 1 at 0", "var(--ink,"] {
            assert!(picture.contains(words), "{words} is not in {picture}");
        }
        assert!(!picture.contains("none: ") && !picture.contains("fill=\"#FFFFFF\""));
        // Each point, and where its figure is told.
        assert_eq!(picture.matches("<circle").count(), 8);
        assert_eq!(picture.matches("<title>").count(), 4);
        assert!(Chart { title: "loss".into(), lines: vec![line("x", 0.0, 0)] }.html().is_none());
    }

    #[test]
    fn figures_at_an_axis_are_short() {
        assert_eq!(
            [0.0, 0.00025, 0.5, 2.0, 1234.6, 87_654.0, 150_000.0].map(|figure| short(figure, 2e5)),
            ["0", "2.5e-4", "0.5", "2", "1235", "87654", "150k"]
        );
        assert_eq!(short(1.4e-20, 1e-3), "0");
        assert_eq!([84.35, 100.0].map(|figure| short(figure, 1.0)), ["84.35", "100"]);
    }
}
