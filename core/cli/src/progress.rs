//! Progress of a run on the terminal, or as plain lines where there is none.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use vitral_data::abridged;
use vitral_train::{DataReport, Event, Observer, RunInfo, StepReport};

/// How often a line is printed where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);
/// And at most how often before the first step, where each line says something else.
const PROBING_INTERVAL: Duration = Duration::from_secs(2);
/// Share of the time spent waiting for data from which it is shown.
const SHOWN_WAIT: f64 = 0.02;
/// Unreadable images that are named; the rest are only counted.
const NAMED_SKIPS: u64 = 5;

/// Shows a run's events.
pub struct Progress {
    bar: ProgressBar,
    plain: bool,
    info: Option<RunInfo>,
    /// Images per second, smoothed over steps.
    speed: Option<f64>,
    loss: Option<f32>,
    accuracy: Option<f32>,
    /// How much of the time the trainer waits for data and what for, where it is worth showing.
    waiting: Option<String>,
    last_line: Instant,
    skipped: u64,
}

impl Progress {
    pub fn new() -> Self {
        let plain = !std::io::stderr().is_terminal();
        let bar = if plain { ProgressBar::hidden() } else { ProgressBar::new(0) };
        let style = ProgressStyle::with_template("{prefix} {wide_bar:.cyan/dim} {msg}");
        // The template is a constant; its fallback only looks plainer.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            bar,
            plain,
            info: None,
            speed: None,
            loss: None,
            accuracy: None,
            waiting: None,
            last_line: Instant::now(),
            skipped: 0,
        }
    }

    /// Prints a line that stays.
    pub fn line(&self, text: &str) {
        if self.plain {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }

    /// Prints a line that stays, and that must not be overlooked.
    pub fn warn(&self, text: &str) {
        let is_coloured = !self.plain && std::env::var_os("NO_COLOR").is_none();
        match is_coloured {
            true => self.line(&format!("\x1b[1;33mwarning:\x1b[0m {text}")),
            false => self.line(&format!("warning: {text}")),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
        if self.skipped > NAMED_SKIPS {
            eprintln!("{} images in all were left out", HumanCount(self.skipped));
        }
    }

    fn started(&mut self, info: &RunInfo) {
        self.line(&format!(
            "{} {}: {}",
            HumanCount(info.class_names.len() as u64),
            if info.class_names.len() == 1 { "class" } else { "classes" },
            abridged(&info.class_names),
        ));
        self.line(&format!(
            "{} parameters, {} training and {} validation images, {} steps in {} epochs",
            HumanCount(info.parameters as u64),
            HumanCount(info.train_images as u64),
            HumanCount(info.val_images as u64),
            HumanCount(info.total_steps),
            round(info.epochs),
        ));
        if info.start_step > 0 {
            self.line(&format!("going on after step {}", info.start_step));
        }
        if let Some(images) = info.micro_batch {
            self.line(&format!("micro-batches of {images} images, as found before"));
        }
        self.bar.set_length(info.total_steps);
        self.bar.set_position(info.start_step);
        self.info = Some(info.clone());
    }

    fn probing(&mut self, images: usize) {
        let message = format!("batch: trying micro-batches of {images} images");
        if self.plain && self.last_line.elapsed() >= PROBING_INTERVAL {
            self.last_line = Instant::now();
            eprintln!("{message}");
        }
        self.bar.set_message(message);
    }

    fn stepped(&mut self, report: &StepReport) {
        let Some(info) = &self.info else { return };
        let now = report.images as f64 / report.time.as_secs_f64().max(1e-9);
        self.speed = Some(self.speed.map_or(now, |speed| 0.9 * speed + 0.1 * now));
        if let Some(figures) = report.figures {
            let smooth =
                |old: Option<f32>, new: f32| Some(old.map_or(new, |old| 0.7 * old + 0.3 * new));
            self.loss = smooth(self.loss, figures.loss);
            self.accuracy = smooth(self.accuracy, figures.accuracy);
        }
        if let Some(data) = &report.data {
            self.waiting = waiting(data);
        }
        let speed = self.speed.unwrap_or(now);
        let images_per_step = report.images as f64;
        let left = (info.total_steps - report.step) as f64 * images_per_step / speed.max(1e-9);
        let place = format!(
            "epoch {}/{} step {}/{}",
            round((report.epoch - 1e-9).floor() + 1.0),
            round((info.epochs - 1e-9).ceil()),
            report.step,
            info.total_steps,
        );
        let mut message = String::new();
        if let (Some(loss), Some(accuracy)) = (self.loss, self.accuracy) {
            message += &format!("loss {loss:.3} acc {:.1}% ", accuracy * 100.0);
        }
        if let Some(scaling) = report.scaling.filter(|scaling| scaling.skipped_steps > 0) {
            message += &format!("scale {} skipped {} ", scaling.scale, scaling.skipped_steps);
        }
        if let Some(waiting) = &self.waiting {
            message += &format!("{waiting} ");
        }
        message += &format!("{speed:.0} img/s {} left", duration(left));
        self.bar.set_position(report.step);
        if self.plain && self.last_line.elapsed() >= PLAIN_INTERVAL {
            self.last_line = Instant::now();
            eprintln!("{place}  {message}");
        }
        self.bar.set_prefix(place);
        self.bar.set_message(message);
    }
}

impl Observer for Progress {
    fn on_event(&mut self, event: &Event) {
        match event {
            Event::Started(info) => self.started(info),
            Event::Probing { images } => self.probing(*images),
            Event::MeasuringDecoders => {
                let message = "decoder: timing `Cpu` and `Hybrid`";
                if self.plain {
                    eprintln!("{message}");
                }
                self.bar.set_message(message);
            }
            Event::Stepped(report) => self.stepped(report),
            Event::Evaluating { done, total } => {
                self.bar.set_message(format!(
                    "evaluating {}/{}",
                    HumanCount(*done),
                    HumanCount(*total)
                ));
            }
            Event::Evaluated { epoch, evaluation, is_best, .. } => self.line(&format!(
                "epoch {:>5}  val loss {:.4}  top-1 {:.2}%  top-5 {:.2}%{}",
                round(*epoch),
                evaluation.loss,
                evaluation.top1 * 100.0,
                evaluation.top5 * 100.0,
                if *is_best { "  best so far" } else { "" },
            )),
            Event::Saved { .. } => {}
            Event::Notice { from, message } => match message.strip_prefix("warning: ") {
                Some(message) => self.warn(&format!("{from}: {message}")),
                None => self.line(&format!("{from}: {message}")),
            },
            Event::Skipped { name, reason } => {
                self.skipped += 1;
                if self.skipped <= NAMED_SKIPS {
                    self.line(&format!("left out {name}: {reason}"));
                }
            }
        }
    }
}

/// How much of the time went into waiting for data, and the stage that takes longest; none if little.
fn waiting(data: &DataReport) -> Option<String> {
    let share = data.waiting_share();
    if share < SHOWN_WAIT {
        return None;
    }
    let stage = data.bottleneck().map(|(stage, _)| format!(" ({stage})")).unwrap_or_default();
    Some(format!("waits {:.0}% for data{stage}", 100.0 * share))
}

/// Shows which of a benchmark's steps is under way.
pub struct Steps {
    bar: ProgressBar,
    warmup: u64,
}

impl Steps {
    pub fn new(warmup: u32, measured: u32) -> Self {
        let bar = counting("");
        bar.set_length(u64::from(warmup) + u64::from(measured));
        Self { bar, warmup: u64::from(warmup) }
    }

    /// Prints a line that stays.
    pub fn line(&self, text: &str) {
        // A bar that is hidden, where there is no terminal, would print nothing.
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// The next step begins.
    pub fn next(&mut self) {
        let done = self.bar.position();
        self.bar.set_message(if done < self.warmup { "warming up" } else { "measuring" });
        self.bar.inc(1);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A spinner, for work of which nobody knows how much is left.
pub fn working(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(200));
    spinner
}

/// A bar for something counted, for work without a run.
pub fn counting(what: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar:.cyan/dim} {human_pos}/{human_len} {eta} left",
    );
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what.to_owned());
    bar
}

/// Up to two decimals, without trailing zeros.
fn round(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Seconds as people say them.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_shown_where_it_is_worth_it() {
        let stages = [("decode", 3), ("flip", 1)]
            .map(|(name, seconds)| (name.to_owned(), Duration::from_secs(seconds)));
        let report = |wait| DataReport {
            time: Duration::from_millis(1000),
            wait: Duration::from_millis(wait),
            workers: 2,
            prefetch: 4,
            stages: stages.to_vec(),
        };
        assert_eq!(waiting(&report(19)), None);
        assert_eq!(waiting(&report(250)).as_deref(), Some("waits 25% for data (decode)"));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([1.0, 0.5, 12.345].map(round), ["1", "0.5", "12.35"]);
        assert_eq!([5.0, 65.0, 7384.0].map(duration), ["5 s", "1 min 5 s", "2 h 3 min"]);
    }
}
