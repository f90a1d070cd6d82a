//! A search as one HTML page: its table, and the result over each field.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, VPos},
};

use super::results::{Results, Trial, name, rows};
use crate::{
    page::{document, escape},
    plot::{self, Area, Drawn, INK, LINE, font, range},
};

const STYLE: &str = "<style>th{text-align:left;font-weight:600;padding:2px 18px 2px 0}</style>\n";

/// Pixels.
const SIZE: (u32, u32) = (560, 280);
const POINT: RGBColor = RGBColor(60, 100, 180);
const BEST: RGBColor = RGBColor(24, 128, 92);

/// The page of a search.
///
/// # Errors
/// A picture cannot be drawn, in words.
pub fn page(experiment: &str, results: &Results) -> Result<String, String> {
    let mut body = format!("{STYLE}<div class=\"charts\">\n");
    for at in 0..results.fields.len() {
        if let Some(picture) = panel(results, at) {
            body += &picture?;
        }
    }
    body += "</div>\n<table>\n";
    for (number, row) in rows(results).iter().enumerate() {
        let tag = if number == 0 { "th" } else { "td" };
        let cells: String =
            row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
        body += &format!("<tr>{cells}</tr>\n");
    }
    body += "</table>\n";
    for Trial { trial, failure, .. } in &results.trials {
        if let Some(reason) = failure {
            body += &format!("<p>{} failed: {}</p>\n", escape(trial), escape(reason));
        }
    }
    Ok(document(&format!("{experiment}: trials"), &body))
}

/// A field's values along an axis.
struct Axis {
    is_log: bool,
    /// The values, where they are not all numbers.
    names: Vec<String>,
}

impl Axis {
    fn of(results: &Results, at: usize) -> Self {
        let values = results.trials.iter().map(|trial| &trial.values[at].1);
        let are_numbers = values.clone().all(|value| value.parse::<f64>().is_ok());
        let mut names: Vec<String> = Vec::new();
        for value in values.filter(|_| !are_numbers) {
            if !names.contains(value) {
                names.push(value.clone());
            }
        }
        Self { is_log: results.fields[at].1 && are_numbers, names }
    }

    fn place(&self, value: &str) -> Option<f64> {
        match self.names.is_empty() {
            true => {
                let number: f64 = value.parse().ok()?;
                Some(if self.is_log { number.log10() } else { number })
            }
            false => self.names.iter().position(|name| name == value).map(|at| at as f64),
        }
    }

    fn label(&self, place: f64) -> String {
        if self.is_log {
            return format!("{:.1e}", 10_f64.powf(place)).replace(".0e", "e");
        }
        if self.names.is_empty() {
            let text = format!("{place:.4}");
            return text.trim_end_matches('0').trim_end_matches('.').to_owned();
        }
        let is_one = (place - place.round()).abs() < 1e-6 && place > -0.5;
        let name = is_one.then(|| self.names.get(place.round() as usize)).flatten();
        name.map_or_else(String::new, |name| name.chars().take(24).collect())
    }
}

/// The result over one field; none where no trial has one.
fn panel(results: &Results, at: usize) -> Option<Result<String, String>> {
    let axis = Axis::of(results, at);
    let percent = |score: f64| match results.metric {
        vitral_train::experiment::Metric::Loss => score,
        _ => 100.0 * score,
    };
    let best = results.best().map(|trial| trial.trial.as_str());
    let points: Vec<(f64, f64, bool)> = results
        .trials
        .iter()
        .filter_map(|trial| {
            let is_best = best == Some(trial.trial.as_str());
            Some((axis.place(&trial.values[at].1)?, percent(trial.score?), is_best))
        })
        .collect();
    let across = range(points.iter().map(|point| point.0))?;
    let up = range(points.iter().map(|point| point.1))?;
    let title = match results.metric {
        vitral_train::experiment::Metric::Loss => "loss".to_owned(),
        metric => format!("{}, %", name(metric)),
    };
    let title = format!("{title}, over {}", results.fields[at].0);
    Some(plot::svg(SIZE, |area| draw(area, &title, &axis, &points, across, up)))
}

fn draw(
    area: &Area<'_>,
    title: &str,
    axis: &Axis,
    points: &[(f64, f64, bool)],
    (left, right): (f64, f64),
    (least, most): (f64, f64),
) -> Drawn {
    area.draw(&Text::new(title, (12, 8), font(14.0, HPos::Left, VPos::Top)))?;
    // Names stand at whole numbers, half of one from the edges.
    let across = match axis.names.len() {
        0 => left..right,
        names => -0.5..names as f64 - 0.5,
    };
    let mut chart = ChartBuilder::on(area)
        .margin_top(34)
        .margin_right(16)
        .margin_bottom(4)
        .x_label_area_size(26)
        .y_label_area_size(64)
        .build_cartesian_2d(across, least..most)?;
    chart
        .configure_mesh()
        .x_labels(if axis.names.is_empty() { 6 } else { 2 * axis.names.len() + 1 })
        .y_labels(6)
        .axis_style(LINE)
        .bold_line_style(LINE.mix(0.35))
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|place| axis.label(*place))
        .y_label_formatter(&|figure| format!("{figure:.2}"))
        .x_label_style(font(11.0, HPos::Center, VPos::Top))
        .y_label_style(font(11.0, HPos::Right, VPos::Center))
        .draw()?;
    for &(x, y, is_best) in points {
        let (colour, size) = if is_best { (BEST, 6) } else { (POINT, 4) };
        chart.draw_series([Circle::new((x, y), size, colour.filled())])?;
        if is_best {
            let label = Text::new("best", (9, 0), font(11.0, HPos::Left, VPos::Center).color(&INK));
            chart.draw_series([EmptyElement::at((x, y)) + label])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vitral_train::experiment::Metric;

    use super::{super::results::tests::example, *};

    #[test]
    fn every_field_has_its_picture_and_every_trial_its_row() {
        let page = page("<x>.ron", &example(Metric::Top1)).unwrap();
        assert_eq!(page.matches("<svg").count(), 2);
        // Of the trials that have a result, in each picture.
        assert_eq!(page.matches("<circle").count(), 6);
        for words in
            ["trial-03 failed: the loss is NaN", "75.00%", "1e-3", "ClassToken", "top-1, %"]
        {
            assert!(page.contains(words), "{words} is not in {page}");
        }
        assert!(page.contains("&lt;x&gt;.ron") && !page.contains("<x>"));
    }

    #[test]
    fn a_search_without_results_is_a_page_too() {
        let mut results = example(Metric::Loss);
        results.trials.retain(|trial| trial.score.is_none());
        let page = page("x", &results).unwrap();
        assert_eq!(page.matches("<svg").count(), 0);
        assert!(page.contains("trial-03"));
    }
}
