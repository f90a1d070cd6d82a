//! What the live view shows, and how it is drawn.

use std::{borrow::Cow, collections::VecDeque};

use indicatif::{HumanBytes, HumanCount};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    symbols::Marker,
    text::{Line, Span},
    widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, Paragraph},
};
use vitral_config::visible;
use vitral_train::{DataReport, Event, RunInfo, StepReport};

use super::series::Series;
use crate::progress::{duration, round};

/// Lines that are shown at most, on the highest screen.
const LINES: usize = 200;
/// The smallest screen that has room for curves.
const WITH_CURVES: (u16, u16) = (50, 16);

const TRAINING: Color = Color::Cyan;
const VALIDATION: Color = Color::Yellow;

/// The state of a run, as it is shown.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The run's folder.
    run: String,
    /// Whether colours are not welcome.
    is_plain: bool,
    info: Option<RunInfo>,
    step: u64,
    epoch: f64,
    speed: f64,
    /// Seconds.
    left: f64,
    learning_rate: f64,
    gradient_norm: Option<f32>,
    data: Option<DataReport>,
    train_loss: Series,
    val_loss: Series,
    train_accuracy: Series,
    val_accuracy: Series,
    best: Option<f64>,
    /// What is done beside steps.
    doing: Option<String>,
    lines: VecDeque<String>,
}

impl View {
    /// The view of a run in a folder, with colours or without.
    pub fn new(run: String, is_plain: bool) -> Self {
        Self { run, is_plain, ..Self::default() }
    }

    /// Adds what an event has for it.
    pub fn on_event(&mut self, event: &Event) {
        match event {
            Event::Started(info) => {
                self.step = info.start_step;
                self.info = Some(info.clone());
            }
            Event::Probing { images } => {
                self.doing = Some(format!("trying micro-batches of {images}"));
            }
            Event::MeasuringDecoders => self.doing = Some("timing decoders".into()),
            Event::Evaluating { done, total } => {
                let (done, total) = (HumanCount(*done), HumanCount(*total));
                self.doing = Some(format!("evaluating {done}/{total}"));
            }
            Event::Evaluated { step, evaluation, .. } => {
                self.doing = None;
                let step = *step as f64;
                self.val_loss.add(step, evaluation.loss);
                let top1 = 100.0 * evaluation.top1;
                self.val_accuracy.add(step, top1);
                self.best = Some(self.best.map_or(top1, |best| best.max(top1)));
            }
            _ => {}
        }
    }

    /// Adds a step, with images per second and the seconds that are left.
    pub fn stepped(&mut self, report: &StepReport, speed: f64, left: f64) {
        self.doing = None;
        (self.step, self.epoch) = (report.step, report.epoch);
        (self.speed, self.left) = (speed, left);
        self.learning_rate = report.learning_rate;
        if let Some(figures) = report.figures {
            let step = report.step as f64;
            self.train_loss.add(step, f64::from(figures.loss));
            self.train_accuracy.add(step, 100.0 * f64::from(figures.accuracy));
            self.gradient_norm = Some(figures.gradient_norm);
        }
        if report.data.is_some() {
            self.data.clone_from(&report.data);
        }
    }

    /// Adds something that was said, of which nothing acts on the terminal but colours.
    pub fn say(&mut self, text: &str) {
        self.lines.extend(without_styles(text).lines().map(str::to_owned));
        let more = self.lines.len().saturating_sub(LINES);
        self.lines.drain(..more);
    }

    /// Draws all of it; `memory` is the process's in bytes, where it is known.
    pub fn draw(&self, frame: &mut Frame<'_>, memory: Option<u64>) {
        let area = frame.area();
        let has_curves = area.width >= WITH_CURVES.0 && area.height >= WITH_CURVES.1;
        let curves = if has_curves { Constraint::Percentage(55) } else { Constraint::Length(0) };
        let figures = self.figures(memory);
        let rows = figures.len() as u16;
        let [head, middle, below, lines] = Layout::vertical([
            Constraint::Length(2),
            curves,
            Constraint::Length(rows),
            Constraint::Min(1),
        ])
        .areas(area);
        self.draw_head(frame, head);
        if has_curves {
            let [left, right] =
                Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)])
                    .areas(middle);
            self.draw_curves(frame, left, "loss", [&self.train_loss, &self.val_loss]);
            let accuracy = [&self.train_accuracy, &self.val_accuracy];
            self.draw_curves(frame, right, "top-1, %", accuracy);
        }
        frame.render_widget(Paragraph::new(figures), below);
        self.draw_lines(frame, lines);
    }

    fn style(&self, colour: Color) -> Style {
        if self.is_plain { Style::new() } else { Style::new().fg(colour) }
    }

    fn draw_head(&self, frame: &mut Frame<'_>, area: Rect) {
        let Some(info) = &self.info else { return };
        let [title, bar] =
            Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(area);
        let doing = self.doing.as_deref().unwrap_or("training");
        let text =
            format!("{}  {doing} on {}  (q: plain lines, Ctrl-C: stop)", self.run, info.device);
        let bold = Style::new().add_modifier(Modifier::BOLD);
        frame.render_widget(Line::styled(visible(&text).into_owned(), bold), title);
        let share = self.step as f64 / info.total_steps.max(1) as f64;
        let label = format!(
            "epoch {}/{}  step {}/{}  {} left",
            round((self.epoch - 1e-9).floor() + 1.0),
            round((info.epochs - 1e-9).ceil()),
            HumanCount(self.step),
            HumanCount(info.total_steps),
            duration(self.left)
        );
        let gauge = Gauge::default().ratio(share.clamp(0.0, 1.0)).label(label);
        frame.render_widget(gauge.gauge_style(self.style(Color::Blue)), bar);
    }

    /// What is measured, in lines.
    fn figures(&self, memory: Option<u64>) -> Vec<Line<'_>> {
        let percent = |figure: Option<f64>| {
            figure.map_or_else(|| "-".into(), |figure| format!("{figure:.2}%"))
        };
        let loss =
            |series: &Series| series.last().map_or_else(|| "-".into(), |loss| format!("{loss:.3}"));
        let learned = vec![
            Span::styled("training ", self.style(TRAINING)),
            format!(
                "loss {} top-1 {}  ",
                loss(&self.train_loss),
                percent(self.train_accuracy.last())
            )
            .into(),
            Span::styled("validation ", self.style(VALIDATION)),
            format!(
                "loss {} top-1 {} best {}",
                loss(&self.val_loss),
                percent(self.val_accuracy.last()),
                percent(self.best)
            )
            .into(),
        ];
        let mut measured = vec![format!("{:.0} img/s", self.speed)];
        if let Some(data) = &self.data {
            let stage = data.bottleneck().map(|(stage, _)| format!(" ({stage})"));
            let share = 100.0 * data.waiting_share();
            measured.push(format!("waits {share:.1}% for data{}", stage.unwrap_or_default()));
        }
        measured.extend(memory.map(|bytes| format!("memory {}", HumanBytes(bytes))));
        measured.push(format!("learning rate {:.2e}", self.learning_rate));
        measured.extend(self.gradient_norm.map(|norm| format!("gradient norm {norm:.2}")));
        let measured = visible(&measured.join("  ")).into_owned();
        vec![Line::from(learned), Line::from(measured)]
    }

    fn draw_curves<'a>(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        title: &str,
        [training, validation]: [&'a Series; 2],
    ) {
        let points = || training.points().iter().chain(validation.points());
        let ends = |of: fn(&(f64, f64)) -> f64| {
            let least = points().map(of).fold(f64::INFINITY, f64::min);
            let most = points().map(of).fold(f64::NEG_INFINITY, f64::max);
            let margin = (0.05 * (most - least)).max(1e-3 * most.abs()).max(1e-6);
            [least - margin, most + margin]
        };
        let block = Block::bordered().title(title.to_owned());
        if points().next().is_none() {
            frame.render_widget(block, area);
            return;
        }
        let (across, up) = (ends(|point| point.0), ends(|point| point.1));
        let labels = |[least, most]: [f64; 2], digits: usize| {
            [least, (least + most) / 2.0, most].map(|label| format!("{label:.digits$}"))
        };
        let curve = |series: &'a Series, colour| {
            let points = series.points();
            let kind = if points.len() > 1 { GraphType::Line } else { GraphType::Scatter };
            let marker = if points.len() > 1 { Marker::Braille } else { Marker::Dot };
            let curve = Dataset::default().marker(marker).graph_type(kind);
            curve.style(self.style(colour)).data(points)
        };
        let chart = Chart::new(vec![curve(training, TRAINING), curve(validation, VALIDATION)])
            .block(block)
            .x_axis(
                Axis::default().bounds(across).labels(labels([across[0].max(0.0), across[1]], 0)),
            )
            .y_axis(Axis::default().bounds(up).labels(labels(up, 2)));
        frame.render_widget(chart, area);
    }

    fn draw_lines(&self, frame: &mut Frame<'_>, area: Rect) {
        let block = Block::bordered().title("last lines");
        let inner = block.inner(area);
        let skipped = self.lines.len().saturating_sub(usize::from(inner.height));
        let line = |line: &'_ String| {
            let is_warning = line.contains("warning:");
            let style = if is_warning { self.style(Color::LightRed) } else { Style::new() };
            Line::styled(visible(line).into_owned(), style)
        };
        let lines: Vec<Line<'_>> = self.lines.iter().skip(skipped).map(line).collect();
        frame.render_widget(block, area);
        frame.render_widget(Paragraph::new(lines), inner);
    }
}

/// A text without changes of colour and weight, `ESC [ 1 ; 33 m`.
fn without_styles(text: &str) -> Cow<'_, str> {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default();
    if first.len() == text.len() {
        return text.into();
    }
    let rest = parts.map(|part| match part.find('m') {
        Some(end) if part.starts_with('[') => &part[end + 1..],
        _ => part,
    });
    std::iter::once(first).chain(rest).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ratatui::{Terminal, backend::TestBackend};
    use vitral_train::{Evaluation, Said, StepFigures};

    use super::*;

    fn info() -> RunInfo {
        RunInfo {
            parameters: 10,
            class_names: vec!["a".into(), "b".into()],
            train_images: 100,
            val_images: 10,
            start_step: 0,
            total_steps: 40,
            steps_per_epoch: 10,
            epochs: 4.0,
            batch: 10,
            flops_per_image: 1.0,
            device: "CPU, 2 threads".into(),
            micro_batch: None,
        }
    }

    fn step(step: u64) -> StepReport {
        let loss = 2.0 - step as f32 / 40.0;
        StepReport {
            communication: None,
            step,
            epoch: step as f64 / 10.0,
            images: 10,
            left_out: 0,
            micro_batch: None,
            learning_rate: 1e-3,
            figures: Some(StepFigures { loss, accuracy: 0.5, gradient_norm: 1.25 }),
            scaling: None,
            time: Duration::from_secs(1),
            data_wait: Duration::ZERO,
            gradients_time: Duration::ZERO,
            update_time: Duration::ZERO,
            data: Some(DataReport {
                time: Duration::from_secs(4),
                wait: Duration::from_secs(1),
                workers: 2,
                prefetch: 4,
                stages: vec![("decode".into(), Duration::from_secs(1))],
            }),
        }
    }

    fn view() -> View {
        let mut view = View::new("runs/a\x1b[2J".into(), false);
        view.on_event(&Event::Started(info()));
        (1..=20).for_each(|number| view.stepped(&step(number), 123.0, 65.0));
        let evaluation = Evaluation {
            images: 10,
            skipped: 0,
            left_out: Vec::new(),
            notes: Vec::new(),
            loss: 1.25,
            top1: 0.75,
            top5: 1.0,
            classes: Vec::new(),
        };
        view.on_event(&Event::Evaluated {
            step: 20,
            epoch: 2.0,
            evaluation,
            is_best: true,
            is_again: false,
        });
        view
    }

    /// What is on a screen, line by line.
    fn screen(view: &View, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame, Some(3 << 20))).unwrap();
        let buffer = terminal.backend().buffer();
        let rows = buffer.content().chunks(usize::from(width));
        rows.map(|row| row.iter().map(|cell| cell.symbol()).collect()).collect()
    }

    #[test]
    fn a_screen_has_figures_curves_and_lines() {
        let mut view = view();
        view.say("\x1b[1;33mwarning:\x1b[0m gradient-health: a spike");
        (0..99).for_each(|number| view.say(&format!("line {number}")));
        let shown = screen(&view, 120, 30);
        let all = shown.join("\n");
        for words in [
            "runs/a\\u{1b}[2J  training on CPU, 2 threads",
            "epoch 2/4  step 20/40  1 min 5 s left",
            "loss 1.500 top-1 50.00%",
            "validation loss 1.250 top-1 75.00% best 75.00%",
            "123 img/s  waits 25.0% for data (decode)  memory 3.00 MiB  learning rate 1.00e-3  gradient norm 1.25",
            "last lines",
            "line 98",
        ] {
            assert!(all.contains(words), "{words} is not in\n{all}");
        }
        assert!(!all.contains('\x1b') && !all.contains("line 70 "), "{all}");
        let is_braille = |character: char| ('\u{2801}'..='\u{28ff}').contains(&character);
        assert!(all.chars().filter(|&character| is_braille(character)).count() > 20, "{all}");
        let warned = View { lines: VecDeque::from(["warning: x".to_owned()]), ..view };
        assert!(screen(&warned, 120, 30).join("\n").contains("warning: x"));
    }

    #[test]
    fn a_small_screen_has_what_matters_and_none_is_too_small() {
        let mut view = view();
        view.on_event(&Event::Evaluating { done: 3, total: 10 });
        view.on_event(&Event::Said { monitor: "m".into(), said: Said::Warning("w".into()) });
        let shown = screen(&view, 60, 10).join("\n");
        assert!(shown.contains("evaluating 3/10") && shown.contains("step 20/40"), "{shown}");
        assert!(!shown.contains("top-1, %"), "{shown}");
        for (width, height) in [(1, 1), (3, 2), (20, 4), (200, 3), (10, 60), (51, 17)] {
            screen(&view, width, height);
            screen(&View::default(), width, height);
        }
    }

    #[test]
    fn styles_are_taken_out_of_lines() {
        assert_eq!(without_styles("a\x1b[1;33mb\x1b[0mc"), "abc");
        assert_eq!(without_styles("plain m"), "plain m");
    }
}
