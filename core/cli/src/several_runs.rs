//! Which run is under way, and how long all of them will still take.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::progress::{duration, is_quiet, note};

/// How often a line is printed where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);
/// Parts of a run, for the bar.
const PARTS: f64 = 1000.0;

/// Shows runs that are made one after the other.
pub struct Runs {
    bar: ProgressBar,
    plain: bool,
    count: usize,
    done: usize,
    name: String,
    begun: Instant,
    last_line: Instant,
}

impl Runs {
    pub fn new(count: usize) -> Self {
        let plain = !std::io::stderr().is_terminal();
        let bar = if plain || is_quiet() { ProgressBar::hidden() } else { ProgressBar::new(0) };
        let style = ProgressStyle::with_template("{prefix} {wide_bar:.cyan/dim} {msg}");
        // The template is a constant; its fallback only looks plainer.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_length((count as f64 * PARTS) as u64);
        let now = Instant::now();
        Self { bar, plain, count, done: 0, name: String::new(), begun: now, last_line: now }
    }

    /// Prints a line that stays.
    pub fn line(&self, text: &str) {
        // A bar that is hidden, where there is no terminal, would print nothing.
        self.bar.suspend(|| note(text));
    }

    /// A run begins.
    pub fn start(&mut self, name: &str) {
        self.name = name.to_owned();
        self.bar.set_prefix(self.place());
        self.advance(0.0);
    }

    /// This share of the run is done.
    pub fn advance(&mut self, share: f64) {
        let all = (self.done as f64 + share) / self.count as f64;
        let left = time_left(self.begun.elapsed(), all);
        let message = left.map_or_else(String::new, |left| format!("{} left", duration(left)));
        self.bar.set_position((all * self.count as f64 * PARTS) as u64);
        if self.plain && self.last_line.elapsed() >= PLAIN_INTERVAL {
            self.last_line = Instant::now();
            note(&format!("{}  {:.0}%  {message}", self.place(), share * 100.0));
        }
        self.bar.set_message(message);
    }

    /// The run has ended, and this is what came of it.
    pub fn end(&mut self, result: &str) {
        self.line(&format!("{}  {result}", self.place()));
        self.done += 1;
        self.last_line = Instant::now();
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn place(&self) -> String {
        format!("{}/{} {}", self.done + 1, self.count, self.name)
    }
}

/// Seconds, as if the rest took as long as what is done.
fn time_left(elapsed: Duration, done: f64) -> Option<f64> {
    (done > 0.0).then(|| elapsed.as_secs_f64() * (1.0 - done) / done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_what_is_done() {
        assert_eq!(time_left(Duration::from_secs(30), 0.25), Some(90.0));
        assert_eq!(time_left(Duration::from_secs(30), 1.0), Some(0.0));
        assert_eq!(time_left(Duration::from_secs(30), 0.0), None);
    }
}
