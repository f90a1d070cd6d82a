//! Runs as one HTML page, which needs nothing beside it.

use std::collections::BTreeMap;

use super::{
    Run,
    differences::{changed, differences},
    metrics::{Eval, Figure, Step},
    summary,
};
use crate::{
    page::{
        Chart, Line, SERIES, details, document, escape, smoothed, summary as evaluations, table,
    },
    words::counted,
};

/// The page of one run or several.
///
/// # Errors
/// A chart cannot be drawn, in words.
pub fn page(runs: &[Run]) -> Result<String, String> {
    let title = match runs {
        [run] => run.name.clone(),
        _ => counted(runs.len(), "run", "runs"),
    };
    let mut body = key(runs) + &summary::html(runs);
    if runs.len() > 1 {
        body += &differences(runs);
    }
    body += &format!("<h2>Training</h2>\n{}", charts(&curves(runs))?);
    let monitors = charts(&monitors(runs))?;
    if !monitors.is_empty() {
        body +=
            &format!("<details><summary>What monitors measured</summary>\n{monitors}</details>\n");
    }
    body += &judged(runs)?;
    body += &notices(runs);
    for run in runs {
        body += &changed(run, runs.len() > 1);
    }
    Ok(document(&title, &body))
}

/// Which colour each run has; of a single one, what training and validation have.
fn key(runs: &[Run]) -> String {
    let names: Vec<&str> = match runs {
        [_] => vec!["training", "validation"],
        _ => runs.iter().map(|run| &*run.name).collect(),
    };
    let item = |(index, name): (usize, &&str)| {
        let plotters::style::RGBColor(red, green, blue) = SERIES[index % SERIES.len()];
        let colour = format!("background:rgb({red},{green},{blue})");
        format!("<li><i style=\"{colour}\"></i>{}</li>\n", escape(name))
    };
    let items: String = names.iter().enumerate().map(item).collect();
    format!("<ul class=\"key\">\n{items}</ul>\n")
}

fn charts(all: &[Chart]) -> Result<String, String> {
    let drawn: String = all.iter().filter_map(Chart::html).collect::<Result<_, _>>()?;
    Ok(match drawn.is_empty() {
        true => drawn,
        false => format!("<div class=\"charts\">\n{drawn}</div>\n"),
    })
}

/// A figure of steps, and how it is made of them.
type OfStep = fn(&Step) -> Option<f64>;

fn percent(share: f64) -> f64 {
    share * 100.0
}

/// Where a step is on the axis: runs side by side may have other batches, so that epochs tell.
fn place(runs: &[Run], step: u64, epoch: f64) -> f64 {
    if runs.len() > 1 { epoch } else { step as f64 }
}

fn curves(runs: &[Run]) -> Vec<Chart> {
    let axis = if runs.len() > 1 { "epochs" } else { "steps" };
    let of_steps = |run: &Run, figure: OfStep| -> Vec<(f64, f64)> {
        let steps = run.metrics.steps.iter();
        steps.filter_map(|step| Some((place(runs, step.step, step.epoch), figure(step)?))).collect()
    };
    let of_evals = |run: &Run, figure: fn(&Eval) -> Option<f64>| -> Vec<(f64, f64)> {
        let evals = run.metrics.evals.iter();
        evals.filter_map(|eval| Some((place(runs, eval.step, eval.epoch), figure(eval)?))).collect()
    };
    let training = |title: &str, figure: OfStep, is_noisy: bool| {
        let lines = runs.iter().enumerate().flat_map(|(colour, run)| {
            let name = if runs.len() > 1 { &run.name } else { title };
            let line = Line::new(name, colour, of_steps(run, figure));
            if is_noisy { smoothed(line) } else { vec![line] }
        });
        Chart { title: format!("{title}, by {axis}"), lines: lines.collect() }
    };
    // Both in one chart of a single run; of several, each has its own.
    let with_validation = |title: &str, figure: OfStep, eval: fn(&Eval) -> Option<f64>| {
        let mut both = training(&format!("training {title}"), figure, true);
        let lines = runs.iter().enumerate().map(|(index, run)| {
            let (colour, name) = match runs.len() {
                1 => (1, "validation"),
                _ => (index, &*run.name),
            };
            Line::new(name, colour, of_evals(run, eval))
        });
        let lines: Vec<Line> = lines.collect();
        if runs.len() > 1 {
            let title = format!("validation {title}, by {axis}");
            return vec![both, Chart { title, lines }];
        }
        both.title = format!("{title}, by {axis}");
        both.lines.extend(lines);
        vec![both]
    };
    let mut charts = with_validation("loss", |step| step.loss, |eval| eval.loss);
    charts.extend(with_validation(
        "top-1 accuracy, %",
        |step| step.accuracy.map(percent),
        |eval| Some(percent(eval.top1)),
    ));
    charts.extend([
        training("learning rate", |step| Some(step.learning_rate), false),
        training("gradient norm before clipping", |step| step.gradient_norm, true),
        training("images per second", |step| Some(step.images_per_second), true),
    ]);
    // A run that never waits has nothing to show.
    let waits = |run: &Run| run.metrics.data().and_then(|data| data.waiting_share()) > Some(0.01);
    if runs.iter().any(waits) {
        let share: OfStep = |step| Some(percent(step.data.as_ref()?.waiting_share()?));
        charts.push(training("waiting for data, % of the time", share, true));
    }
    charts
}

/// A chart for each figure of each monitor, memory among them.
fn monitors(runs: &[Run]) -> Vec<Chart> {
    let mut charts: BTreeMap<(&str, &str), Vec<Line>> = BTreeMap::new();
    for (colour, run) in runs.iter().enumerate() {
        let mut lines: BTreeMap<(&str, &str), Vec<(f64, f64)>> = BTreeMap::new();
        for Figure { step, monitor, name, value } in &run.metrics.figures {
            let place = place(runs, *step, run.metrics.epoch_of(*step));
            let points = lines.entry((monitor.as_str(), name.as_str())).or_default();
            points.extend(value.map(|value| (place, value)));
        }
        for (figure, points) in lines {
            let line = Line::new(if runs.len() > 1 { &run.name } else { figure.1 }, colour, points);
            charts.entry(figure).or_default().extend(smoothed(line));
        }
    }
    let chart = |((monitor, name), lines): ((&str, &str), Vec<Line>)| Chart {
        title: format!("{monitor}: {name}"),
        lines,
    };
    charts.into_iter().map(chart).collect()
}

/// What the best model of each run makes of its validation images.
fn judged(runs: &[Run]) -> Result<String, String> {
    let mut html = "<h2>Best model on the validation images</h2>\n".to_owned();
    let found: Vec<_> = runs.iter().filter_map(|run| run.judged.as_ref().ok()).collect();
    if !found.is_empty() {
        html += &evaluations(&found.iter().map(|judged| &judged.found).collect::<Vec<_>>());
    }
    html += "<div class=\"runs\">\n";
    for run in runs {
        let name = match runs.len() {
            1 => String::new(),
            _ => format!("<h2>{}</h2>\n", escape(&run.name)),
        };
        let body = match &run.judged {
            Ok(judged) => details(&judged.found, Some(&judged.pictures))?,
            Err(reason) => format!("<p>Not evaluated: {}</p>\n", escape(reason)),
        };
        html += &format!("<section>\n{name}{body}</section>\n");
    }
    Ok(html + "</div>\n")
}

fn notices(runs: &[Run]) -> String {
    let rows = runs.iter().flat_map(|run| {
        let name = match runs.len() {
            1 => String::new(),
            _ => format!("<td>{}</td>", escape(&run.name)),
        };
        run.metrics.notices.iter().map(move |notice| {
            let (from, message) = (escape(&notice.from), escape(&notice.message));
            format!(
                "<tr>{name}<td class=\"n\">step {}</td><td>{from}</td><td>{message}</td></tr>\n",
                notice.step
            )
        })
    });
    let rows: String = rows.collect();
    match rows.is_empty() {
        true => rows,
        false => format!("<h2>Notices</h2>\n{}", table(&rows)),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::metrics::{Metrics, Notice},
        *,
    };

    fn run(name: &str) -> Run {
        let eval = Eval {
            step: 5,
            epoch: 1.0,
            loss: Some(1.0),
            top1: 0.5,
            top5: 0.75,
            images: 8,
            skipped: 0,
        };
        let notice = Notice { step: 3, from: "a&b".into(), message: "<script>".into() };
        let figure =
            Figure { step: 5, monitor: "<m>".into(), name: "\"f\"".into(), value: Some(2.0) };
        let metrics = Metrics {
            evals: vec![eval],
            notices: vec![notice],
            figures: vec![figure],
            ..Metrics::default()
        };
        let experiment = "(output: \"<x>\", seed: 3)".into();
        Run { name: name.into(), metrics, experiment, judged: Err("<no> images".into()) }
    }

    #[test]
    fn what_a_run_says_cannot_break_its_page() {
        let text = page(&[run("<run>")]).unwrap();
        for part in [
            "<h1>&lt;run&gt;</h1>",
            "&lt;script&gt;",
            "a&amp;b",
            "(output: &quot;&lt;x&gt;",
            "Not evaluated: &lt;no&gt; images",
            "aria-label=\"&lt;m&gt;: &quot;f&quot;\"",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("<script") && !text.contains("<m>"));
        assert!(text.contains("top-1 50.00%, top-5 75.00% of 8 images, after step 5"));
        // Losses, accuracies, and the monitor's figure; the others have no points.
        assert_eq!(text.matches("<svg").count(), 3);
    }

    #[test]
    fn runs_side_by_side_have_one_colour_each_and_what_they_differ_in() {
        let (one, mut other) = (run("a"), run("b"));
        other.experiment = "(output: \"<y>\", seed: 4)".into();
        let text = page(&[one, other]).unwrap();
        assert!(text.contains("<h1>2 runs</h1>") && text.contains("validation loss, by epochs"));
        let row = "<tr><td>seed</td><td class=\"v\">3</td><td class=\"v changed\">4</td></tr>";
        assert!(text.contains(row), "{text}");
        let differences = &text[..text.find("<h2>Training").unwrap()];
        assert!(!differences.contains("<td>output</td>"), "{differences}");
    }
}
