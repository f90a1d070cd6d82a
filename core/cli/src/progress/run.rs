//! Progress of a run on the terminal, or as plain lines where there is none.

use std::{
    collections::HashSet,
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use vitral_config::visible;
use vitral_data::{Skipped, abridged};
use vitral_train::{DataReport, Event, Observer, RunInfo, StepFigures, StepReport};

#[cfg(unix)]
use crate::live::{Live, View, is_free};
use crate::{print::warning, words::counted};

use super::{
    numbers::{duration, round},
    quiet::is_quiet,
};

/// How often a line is printed where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);
/// And at most how often before the first step, where each line says something else.
const PROBING_INTERVAL: Duration = Duration::from_secs(2);
/// Share of the time spent waiting for data from which it is shown.
const SHOWN_WAIT: f64 = 0.02;
/// Unreadable images of a data set that are named; the rest are only counted.
const NAMED_SKIPS: usize = 5;

/// Shows a run's events.
pub struct Progress {
    bar: ProgressBar,
    plain: bool,
    quiet: bool,
    /// The folder of a run that is to have a live view, once it has started.
    #[cfg(unix)]
    wants_view: Option<String>,
    #[cfg(unix)]
    live: Option<Live>,
    info: Option<RunInfo>,
    /// Images per second, smoothed over steps.
    speed: Option<f64>,
    loss: Option<f32>,
    accuracy: Option<f32>,
    /// Of the logged steps since the last evaluation.
    training: Mean,
    /// How much of the time the trainer waits for data and what for, where it is worth showing.
    waiting: Option<String>,
    last_line: Instant,
    /// Training images that were left out.
    skipped: HashSet<String>,
    /// Validation images that were, when that was last told.
    unread: Vec<Skipped>,
}

impl Progress {
    pub fn new() -> Self {
        let (plain, quiet) = (!std::io::stderr().is_terminal(), is_quiet());
        let bar = if plain || quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
        // The message is cut where the line ends, so that no line wraps; what matters most comes first.
        let style = ProgressStyle::with_template("{bar:16.cyan/dim} {wide_msg}");
        // The template is a constant; its fallback only looks plainer.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            bar,
            plain,
            quiet,
            #[cfg(unix)]
            wants_view: None,
            #[cfg(unix)]
            live: None,
            info: None,
            speed: None,
            loss: None,
            accuracy: None,
            training: Mean::default(),
            waiting: None,
            last_line: Instant::now(),
            skipped: HashSet::new(),
            unread: Vec::new(),
        }
    }

    /// Prints lines alone from now on, whatever the terminal can do.
    pub fn be_plain(&mut self) {
        self.bar.finish_and_clear();
        self.bar = ProgressBar::hidden();
        self.plain = true;
    }

    /// Has a run in this folder be shown by a live view once it starts, where there is a terminal for it.
    #[cfg(unix)]
    pub fn want_view(&mut self, run: &std::path::Path) {
        let terminals = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        if terminals && !self.plain && !self.quiet && is_free() {
            self.wants_view = Some(run.display().to_string());
        }
    }

    /// Starts the live view, if there is to be one.
    #[cfg(unix)]
    fn start_view(&mut self) {
        let Some(run) = self.wants_view.take() else { return };
        let is_plain = std::env::var_os("NO_COLOR").is_some();
        self.bar.finish_and_clear();
        // Without one, there is still the bar.
        if let Ok(live) = Live::start(View::new(run, is_plain)) {
            self.bar = ProgressBar::hidden();
            self.live = Some(live);
        }
    }

    /// Changes the live view, if there is one; goes on with lines where the user has ended it.
    #[cfg(unix)]
    fn update_view(&mut self, change: impl FnOnce(&mut View)) {
        let Some(live) = &self.live else { return };
        match live.is_shown() {
            true => live.update(change),
            false => {
                self.live = None;
                self.be_plain();
            }
        }
    }

    /// Prints a line that stays, unless it shall be quiet.
    pub fn line(&self, text: &str) {
        if !self.quiet {
            self.warning(text);
        }
    }

    /// Prints a line that stays.
    fn warning(&self, text: &str) {
        // A bar that is hidden would print nothing.
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// Prints a line that stands for a bar that is not there.
    fn plain(&self, text: &str) {
        if self.plain {
            self.line(text);
        }
    }

    /// Prints a line that stays, and that must not be overlooked.
    pub fn warn(&self, text: &str) {
        let is_coloured = !self.plain && std::env::var_os("NO_COLOR").is_none();
        self.bar.suspend(|| warning(text, is_coloured));
    }

    /// Takes the bar away.
    pub fn finish(&mut self) {
        #[cfg(unix)]
        drop(self.live.take());
        self.bar.finish_and_clear();
        if self.skipped.len() > NAMED_SKIPS {
            let more = HumanCount((self.skipped.len() - NAMED_SKIPS) as u64);
            eprintln!(
                "and {more} more training images were left out; metrics.jsonl lists them all"
            );
        }
    }

    /// Names images that were left out of an evaluation, unless they are those of the one before.
    fn left_out_of_evaluation(&mut self, images: &[Skipped]) {
        if self.unread == images {
            return;
        }
        for Skipped { name, reason } in images.iter().take(NAMED_SKIPS) {
            self.warning(&format!("left out of the evaluation: {name}: {reason}"));
        }
        if images.len() > NAMED_SKIPS {
            let more = HumanCount((images.len() - NAMED_SKIPS) as u64);
            self.warning(&format!("and {more} more; metrics.jsonl lists them all"));
        }
        self.unread = images.to_vec();
    }

    fn started(&mut self, info: &RunInfo) {
        self.line(&format!(
            "{}: {}",
            counted(HumanCount(info.class_names.len() as u64), "class", "classes"),
            abridged(&info.class_names),
        ));
        self.line(&format!(
            "{} parameters, {} training and {}, {} in {}",
            HumanCount(info.parameters as u64),
            HumanCount(info.train_images as u64),
            counted(HumanCount(info.val_images as u64), "validation image", "validation images"),
            counted(HumanCount(info.total_steps), "step", "steps"),
            counted(round(info.epochs), "epoch", "epochs"),
        ));
        if info.start_step > 0 {
            self.line(&format!("resuming after step {}", info.start_step));
        }
        if let Some(images) = info.micro_batch {
            let images = counted(images, "image", "images");
            self.line(&format!("micro-batches of {images}, as found before"));
        }
        self.bar.set_length(info.total_steps);
        self.bar.set_position(info.start_step);
        self.info = Some(info.clone());
    }

    fn probing(&mut self, images: usize) {
        let images = counted(images, "image", "images");
        let message = format!("batch: trying micro-batches of {images}");
        if self.last_line.elapsed() >= PROBING_INTERVAL {
            self.last_line = Instant::now();
            self.plain(&message);
        }
        self.bar.set_message(message);
    }

    fn stepped(&mut self, report: &StepReport) {
        let Some(info) = &self.info else { return };
        let now = report.images as f64 / report.time.as_secs_f64().max(1e-9);
        self.speed = Some(self.speed.map_or(now, |speed| 0.9 * speed + 0.1 * now));
        if let Some(figures) = report.figures {
            self.training.add(&figures);
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
        let mut parts = vec![format!(
            "epoch {}/{}",
            round((report.epoch - 1e-9).floor() + 1.0),
            round((info.epochs - 1e-9).ceil()),
        )];
        if let (Some(loss), Some(accuracy)) = (self.loss, self.accuracy) {
            parts.push(format!("loss {loss:.3} acc {:.1}%", accuracy * 100.0));
        }
        parts.push(format!("{} left", duration(left)));
        if let Some(scaling) = report.scaling.filter(|scaling| scaling.skipped_steps > 0) {
            parts.push(format!("scale {} skipped {}", scaling.scale, scaling.skipped_steps));
        }
        parts.extend(self.waiting.clone());
        parts.push(format!("{speed:.0} img/s"));
        parts.push(format!("step {}/{}", report.step, info.total_steps));
        #[cfg(unix)]
        self.update_view(|view| view.stepped(report, speed, left));
        let message = visible(&parts.join("  ")).into_owned();
        self.bar.set_position(report.step);
        if self.last_line.elapsed() >= PLAIN_INTERVAL {
            self.last_line = Instant::now();
            self.plain(&message);
        }
        self.bar.set_message(message);
    }
}

impl Observer for Progress {
    fn on_event(&mut self, event: &Event) {
        #[cfg(unix)]
        {
            if matches!(event, Event::Started(_)) {
                self.start_view();
            }
            self.update_view(|view| view.on_event(event));
        }
        match event {
            Event::Started(info) => self.started(info),
            Event::Probing { images } => self.probing(*images),
            Event::MeasuringDecoders => {
                let message = "decoder: timing `Cpu` and `Hybrid`";
                self.plain(message);
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
            Event::Evaluated { epoch, evaluation, is_best, .. } => {
                self.left_out_of_evaluation(&evaluation.left_out);
                let left_out = match evaluation.skipped {
                    0 => String::new(),
                    count => {
                        let count = HumanCount(count);
                        let images = counted(count, "unreadable image", "unreadable images");
                        format!("  without {images}")
                    }
                };
                // All of it fits into 80 columns, unless images were left out.
                let training = std::mem::take(&mut self.training).shown();
                self.line(&format!(
                    "epoch {:>3}{}  val loss {:.3} top-1 {:.2}% top-5 {:.1}%{left_out}{}",
                    round(*epoch),
                    training.unwrap_or_default(),
                    evaluation.loss,
                    evaluation.top1 * 100.0,
                    evaluation.top5 * 100.0,
                    if *is_best { " best" } else { "" },
                ));
            }
            Event::Skipped { image: Skipped { name, reason }, .. } => {
                if self.skipped.insert(name.clone()) && self.skipped.len() <= NAMED_SKIPS {
                    self.warning(&format!("left out {name}: {reason}"));
                }
            }
            event => {
                let Some((from, message)) = event.words() else { return };
                match message.strip_prefix("warning: ") {
                    Some(message) => self.warn(&format!("{from}: {message}")),
                    None => self.warning(&format!("{from}: {message}")),
                }
            }
        }
    }
}

/// The mean of the steps that were logged.
#[derive(Default)]
struct Mean {
    loss: f64,
    accuracy: f64,
    steps: u32,
}

impl Mean {
    fn add(&mut self, figures: &StepFigures) {
        // A step in f16 that overflowed, and changed nothing, has none.
        if figures.loss.is_finite() {
            self.loss += f64::from(figures.loss);
            self.accuracy += f64::from(figures.accuracy);
            self.steps += 1;
        }
    }

    /// For an epoch's line; none before a step was logged.
    fn shown(&self) -> Option<String> {
        let steps = f64::from(self.steps);
        let (loss, accuracy) = (self.loss / steps, 100.0 * self.accuracy / steps);
        (self.steps > 0).then(|| format!("  loss {loss:.3} acc {accuracy:.1}%"))
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
    fn an_epoch_has_the_mean_of_its_logged_steps() {
        let mut mean = Mean::default();
        assert_eq!(mean.shown(), None);
        for (loss, accuracy) in [(2.0, 0.25), (1.0, 0.75), (f32::NAN, 0.0)] {
            mean.add(&StepFigures { loss, accuracy, gradient_norm: 1.0 });
        }
        assert_eq!(mean.shown().as_deref(), Some("  loss 1.500 acc 50.0%"));
    }
}
