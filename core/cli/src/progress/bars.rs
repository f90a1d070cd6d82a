//! Bars of work that is no run.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::quiet::{is_quiet, note};

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
        self.bar.suspend(|| note(text));
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

/// Where bars are drawn.
fn target() -> ProgressDrawTarget {
    if is_quiet() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() }
}

/// A spinner, for work of which nobody knows how much is left.
pub fn working(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::with_draw_target(None, target()).with_message(what);
    spinner.set_style(ProgressStyle::default_spinner());
    spinner.enable_steady_tick(Duration::from_millis(200));
    spinner
}

/// A bar for something counted, for work without a run.
pub fn counting(what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), target());
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar:.cyan/dim} {human_pos}/{human_len} {eta} left",
    );
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what.to_owned());
    bar
}

/// A bar for bytes that are on their way.
pub fn transferring(what: &'static str, bytes: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(bytes), target()).with_message(what);
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar:.cyan/dim} {binary_bytes}/{binary_total_bytes} {eta} left",
    );
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
