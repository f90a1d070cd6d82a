//! One run, in a process of its own, so that the memory it takes is that of nothing else.
//!
//! It is trained as `vitral train` would, and reported line by line on standard output, as JSON.

use std::{
    io::Write,
    path::PathBuf,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use clap::Args;
use serde::{Deserialize, Serialize};
use vitral_train::{Event, Observer, StepReport, Trainer, memory};

use crate::{
    commands::bench::cpu_time::cpu_seconds,
    consent::Allowed,
    experiment::{Loaded, open_device},
    failure::Failure,
    overrides::Overrides,
    plugins::registry,
};

/// Time between two reports of where a run is.
const INTERVAL: Duration = Duration::from_millis(200);

/// What a run took, and came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Time of the steps of an epoch: without evaluations, checkpoints, and what comes before the
    /// second step.
    pub seconds_per_epoch: f64,
    /// The same of all processors together, data workers included.
    pub cpu_seconds_per_epoch: Option<f64>,
    /// Memory of the process before the first step, in bytes.
    pub memory_at_start: Option<u64>,
    /// The most that the process took, in bytes.
    pub peak_memory: Option<u64>,
    /// Share of the validation images that the model at the end recognises.
    pub top1: f64,
    /// Its loss on them.
    pub loss: f64,
    /// How many they are.
    pub images: u64,
    /// Time of everything, evaluations included.
    pub seconds: f64,
}

impl Measured {
    /// Half-way from the memory before the first step to the peak, in whole MiB; but not so little
    /// that what it differs by from run to run decides.
    pub fn half_memory(&self) -> Option<u64> {
        const LEAST: u64 = 24 << 20;
        let (start, peak) = self.memory_at_start.zip(self.peak_memory)?;
        Some(((start + peak) / 2).max(start + LEAST).next_multiple_of(1 << 20))
    }
}

/// What the process says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Line {
    /// So many of so many steps are made.
    Steps { done: u64, total: u64 },
    /// The run has ended.
    Measured(Measured),
}

#[derive(Debug, Args)]
pub struct MeasureArguments {
    pub experiment: PathBuf,
    #[arg(long)]
    pub device: Option<String>,
    #[command(flatten)]
    pub overrides: Overrides,
    #[command(flatten)]
    pub allowed: Allowed,
}

/// Trains as an experiment says, and reports what it took.
pub fn run(arguments: &MeasureArguments) -> Result<(), Failure> {
    let loaded = Loaded::read(&arguments.experiment, &arguments.overrides.set)?;
    let device = open_device(arguments.device.as_deref(), &loaded.experiment)?;
    let registry = registry(&arguments.allowed.allow)?;
    let trainer = Trainer::new(loaded.experiment.clone(), &registry, &device);
    let mut trainer = trainer.map_err(|error| loaded.locate(error))?;
    let mut meter = Meter::default();
    let begun = Instant::now();
    let outcome = trainer.run(&mut meter, &AtomicBool::new(false));
    let outcome = outcome.map_err(|error| loaded.locate(error))?;
    meter.watch_memory();
    let Some(evaluation) = outcome.evaluation.filter(|_| meter.counted > 0) else {
        return Err(Failure::Other("the run made fewer than two steps".into()));
    };
    say(&Line::Measured(Measured {
        seconds_per_epoch: meter.per_epoch(meter.time.as_secs_f64()),
        cpu_seconds_per_epoch: meter.cpu.map(|(first, last)| meter.per_epoch(last - first)),
        memory_at_start: meter.memory_at_start,
        peak_memory: (meter.peak_memory > 0).then_some(meter.peak_memory),
        top1: evaluation.top1,
        loss: evaluation.loss,
        images: evaluation.images,
        seconds: begun.elapsed().as_secs_f64(),
    }))
    .map_err(|error| Failure::Other(format!("the figures cannot be written: {error}")))
}

/// Sums up what steps take.
#[derive(Default)]
struct Meter {
    steps_per_epoch: u64,
    total: u64,
    /// Steps whose time counts: all but the first, which takes buffers that the others use again.
    counted: u64,
    time: Duration,
    /// Of the processors, after the first step and after the newest one.
    cpu: Option<(f64, f64)>,
    memory_at_start: Option<u64>,
    /// Searching for a micro-batch sets the system's peak back; this one stays.
    peak_memory: u64,
    said: Option<Instant>,
}

impl Meter {
    fn per_epoch(&self, of_counted: f64) -> f64 {
        of_counted / self.counted as f64 * self.steps_per_epoch as f64
    }

    fn watch_memory(&mut self) {
        self.peak_memory = self.peak_memory.max(memory().host_peak);
    }

    fn stepped(&mut self, report: &StepReport) {
        let cpu = cpu_seconds();
        if report.step > 1 {
            self.counted += 1;
            self.time += report.time;
            self.cpu = self.cpu.zip(cpu).map(|((first, _), now)| (first, now));
        } else {
            self.cpu = cpu.map(|now| (now, now));
        }
        let is_due = self.said.is_none_or(|said| said.elapsed() >= INTERVAL);
        if is_due || report.step == self.total {
            self.said = Some(Instant::now());
            if say(&Line::Steps { done: report.step, total: self.total }).is_err() {
                // Nobody listens any more.
                std::process::exit(1);
            }
        }
    }
}

impl Observer for Meter {
    fn on_event(&mut self, event: &Event) {
        self.watch_memory();
        match event {
            Event::Started(info) => {
                (self.steps_per_epoch, self.total) = (info.steps_per_epoch, info.total_steps);
                self.memory_at_start = Some(memory().host).filter(|&bytes| bytes > 0);
            }
            Event::Stepped(report) => self.stepped(report),
            _ => {}
        }
    }
}

fn say(line: &Line) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(line)?)?;
    out.flush()
}

#[cfg(test)]
impl Measured {
    /// Round figures, with so many percent recognised.
    pub fn example(percent: f64) -> Self {
        Self {
            seconds_per_epoch: 2.0,
            cpu_seconds_per_epoch: Some(4.0),
            memory_at_start: Some(64 << 20),
            peak_memory: Some(128 << 20),
            top1: percent / 100.0,
            loss: 0.5,
            images: 2000,
            seconds: 9.0,
        }
    }
}
