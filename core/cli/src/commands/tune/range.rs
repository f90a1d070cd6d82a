//! The learning-rate range test on the command line: its figures, its plot, and what it suggests.

use std::{
    process::ExitCode,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, VPos},
};
use serde_json::json;
use vitral_train::{RatePoint, RateRange, SuggestedRate, range_test, suggested_rate};

use super::TuneArguments;
use crate::{
    experiment::open_device,
    failure::Failure,
    files::write,
    json,
    page::{document, escape},
    plot::{self, Area, Drawn, LINE, font, range},
    plugins::registry,
    progress::counting,
    stop::{exit_code, on_signal},
};

/// Pixels.
const SIZE: (u32, u32) = (760, 360);
const COLOUR: RGBColor = RGBColor(60, 100, 180);
const SUGGESTED: RGBColor = RGBColor(24, 128, 92);
/// The highest learning rate that an experiment can have.
const HIGHEST: f64 = 100.0;

/// The learning rates that are tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    lowest: f64,
    highest: f64,
}

impl FromStr for Rates {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (lowest, highest) = text.split_once("..").ok_or("expected a range, as in `1e-6..1`")?;
        let number = |text: &str| {
            let value = text.trim().parse::<f64>().ok().filter(|value| value.is_finite());
            value.ok_or_else(|| {
                format!("`{text}` is not a number: expected a range, as in `1e-6..1`")
            })
        };
        let (lowest, highest) = (number(lowest)?, number(highest)?);
        if !(0.0 < lowest && lowest < highest && highest <= HIGHEST) {
            return Err(format!("learning rates must rise, from above 0 to at most {HIGHEST}"));
        }
        Ok(Self { lowest, highest })
    }
}

pub fn run(arguments: &TuneArguments, rates: Rates) -> Result<ExitCode, Failure> {
    let loaded = arguments.read(&[])?;
    let device = open_device(arguments.device.as_deref(), &loaded.experiment)?;
    let registry = registry(&arguments.allowed.allow)?;
    registry.check_allowed(&loaded.experiment).map_err(|error| loaded.locate(error))?;
    let out = arguments.folder(&loaded.experiment)?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    on_signal(move |_| flag.store(true, Ordering::SeqCst))?;
    let tried = RateRange {
        lowest: rates.lowest,
        highest: rates.highest,
        steps: u64::from(arguments.steps),
    };
    let bar = counting("steps");
    bar.set_length(tried.steps);
    let found = range_test(loaded.experiment.clone(), &registry, &device, tried, &stop, || {
        bar.inc(1);
    });
    bar.finish_and_clear();
    let points = found.map_err(|error| loaded.locate(error))?;
    if stop.load(Ordering::SeqCst) {
        return Ok(ExitCode::from(exit_code()));
    }
    let suggested = suggested_rate(&points);
    let name = arguments.experiment.display().to_string();
    let path = out.join("learning-rate.html");
    write(&path, page(&name, &points, suggested).map_err(Failure::Other)?)?;
    if arguments.json {
        let points: Vec<_> = points
            .iter()
            .map(|point| json!([point.learning_rate, point.loss, point.smoothed]))
            .collect();
        json::print(&json!({
            "suggestion": suggested.map(|found| short(found.steepest)),
            "lowest_at": suggested.map(|found| short(found.lowest)),
            "points": points,
        }))?;
    } else {
        println!("{}", words(suggested));
        println!("page: {}", path.display());
        if let Some(found) = suggested {
            let rate = short(found.steepest);
            println!("try:  vitral train {name} --set train.learning_rate={rate:?}");
        }
    }
    Ok(if suggested.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was found, in a sentence.
fn words(suggested: Option<SuggestedRate>) -> String {
    match suggested {
        Some(SuggestedRate { steepest, lowest }) => format!(
            "the loss falls fastest at a learning rate of {:?}, and is lowest at {:?}",
            short(steepest),
            short(lowest)
        ),
        None => "the loss falls nowhere: try a range of lower learning rates, or more steps".into(),
    }
}

/// With two digits: a test says no more.
fn short(rate: f64) -> f64 {
    format!("{rate:.1e}").parse().unwrap_or(rate)
}

/// The page of a range test.
fn page(
    name: &str,
    points: &[RatePoint],
    suggested: Option<SuggestedRate>,
) -> Result<String, String> {
    let mut body = format!("<p>{}</p>\n", escape(&words(suggested)));
    let across = range(points.iter().map(|point| point.learning_rate.log10()));
    let up = range(shown(points).map(|point| point.smoothed));
    if let (Some(across), Some(up)) = (across, up) {
        body += &plot::svg(SIZE, |area| draw(area, points, suggested, across, up))?;
    }
    Ok(document(&format!("{name}: learning-rate range test"), &body))
}

/// The points that have a place in the plot: where the loss diverged, it would leave no room for the rest.
fn shown(points: &[RatePoint]) -> impl Iterator<Item = &RatePoint> + Clone {
    let losses = points.iter().map(|point| point.smoothed);
    let least = losses.clone().fold(f64::INFINITY, f64::min);
    let first = losses.clone().next().unwrap_or_default();
    // Of a loss that only rises, all there is.
    let most = if first > least { first + 0.5 * (first - least) } else { f64::INFINITY };
    points.iter().filter(move |point| point.smoothed <= most)
}

fn draw(
    area: &Area<'_>,
    points: &[RatePoint],
    suggested: Option<SuggestedRate>,
    (left, right): (f64, f64),
    (least, most): (f64, f64),
) -> Drawn {
    let title = "training loss, smoothed, over the learning rate";
    area.draw(&Text::new(title, (12, 8), font(14.0, HPos::Left, VPos::Top)))?;
    let mut chart = ChartBuilder::on(area)
        .margin_top(34)
        .margin_right(16)
        .margin_bottom(4)
        .x_label_area_size(26)
        .y_label_area_size(64)
        .build_cartesian_2d(left..right, least..most)?;
    chart
        .configure_mesh()
        .x_labels(8)
        .y_labels(6)
        .axis_style(LINE)
        .bold_line_style(LINE.mix(0.35))
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|place| format!("{:.1e}", 10_f64.powf(*place)).replace(".0e", "e"))
        .y_label_formatter(&|loss| format!("{loss:.2}"))
        .x_label_style(font(11.0, HPos::Center, VPos::Top))
        .y_label_style(font(11.0, HPos::Right, VPos::Center))
        .draw()?;
    let within = points.iter().filter(|point| (least..most).contains(&point.loss));
    let each = within.map(|point| (point.learning_rate.log10(), point.loss));
    chart.draw_series(each.map(|at| Circle::new(at, 2, COLOUR.mix(0.35).filled())))?;
    let smoothed = shown(points).map(|point| (point.learning_rate.log10(), point.smoothed));
    chart.draw_series([PathElement::new(smoothed.collect::<Vec<_>>(), COLOUR.stroke_width(2))])?;
    if let Some(found) = suggested {
        let x = found.steepest.log10();
        chart
            .draw_series([PathElement::new([(x, least), (x, most)], SUGGESTED.stroke_width(2))])?;
        let label = format!("falls fastest: {:?}", short(found.steepest));
        let label = Text::new(label, (6, 10), font(11.0, HPos::Left, VPos::Center));
        chart.draw_series([EmptyElement::at((x, most)) + label])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_range_that_rises_from_above_zero() {
        assert_eq!("1e-6..1".parse(), Ok(Rates { lowest: 1e-6, highest: 1.0 }));
        for (text, said) in [
            ("1e-3", "as in `1e-6..1`"),
            ("a..1", "`a` is not a number"),
            ("0..1", "from above 0"),
            ("1..0.1", "rise"),
            ("1..1000", "at most 100"),
        ] {
            let error = text.parse::<Rates>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn the_page_has_the_curve_and_the_suggestion() {
        let point = |n: u32| {
            let (learning_rate, loss) = (1e-6 * f64::from(n * n + 1), 3.0 - f64::from(n) / 20.0);
            RatePoint { learning_rate, loss, smoothed: loss }
        };
        let mut points: Vec<RatePoint> = (0..40).map(point).collect();
        let diverged = RatePoint { learning_rate: 1.0, loss: 99.0, smoothed: 99.0 };
        points.push(diverged);
        assert_eq!((shown(&points).count(), shown(&[diverged]).count()), (40, 1));
        let suggested = Some(SuggestedRate { steepest: 1.24e-3, lowest: 1e-2 });
        let page = page("<x>", &points, suggested).unwrap();
        for words in ["<svg", "falls fastest: 0.0012", "lowest at 0.01", "&lt;x&gt;"] {
            assert!(page.contains(words), "{words} is not in {page}");
        }
        let nothing = super::page("x", &[], None).unwrap();
        assert!(nothing.contains("falls nowhere") && !nothing.contains("<svg"));
    }
}
