//! How fast a run is, and what holds it up.
//!
//! `timeline` keeps what steps took and sums it up, `stages` what the data path did; here is what is
//! said of it.

mod stages;
mod timeline;

#[cfg(test)]
mod tests;

use vitral_sdk::prelude::*;

use stages::Stages;
use timeline::{Timeline, Took};
use vitral_sdk::state::{Reader, Writer};

/// First line of the state.
const HEADER: &str = "throughput 1";

/// What is measured, and when it is said.
#[derive(Clone, Debug, Parameters)]
pub struct Settings {
    /// Steps between reports.
    #[parameter(default = 50, min = 1)]
    every: u32,
    /// First steps that are left out, after a start and after a resumption: they take longer.
    #[parameter(default = 10, min = 0)]
    warmup: u32,
    /// Steps that make up the running figures.
    #[parameter(default = 200, min = 2, max = 10_000)]
    window: u32,
    /// Share of the time spent waiting for data from which there is a warning, once; 1 for none.
    #[parameter(default = 0.2, min = 0, max = 1)]
    wait_warn: f64,
    /// What the device can do each second, in 10^12 floating-point operations; 0 for what the run
    /// knows of it.
    #[parameter(default = 0, min = 0)]
    peak_tflops: f64,
}

/// Measures how fast a run is.
#[derive(Debug)]
pub struct Throughput {
    settings: Settings,
    timeline: Timeline,
    stages: Stages,
    /// Steps that are still to be left out.
    warmup: u32,
    /// Operations of an image, and what the run knows of the device's peak.
    flops_per_image: f64,
    peak_flops: Option<f64>,
    warned: bool,
}

impl Plugin for Throughput {
    type Parameters = Settings;

    const IDENTITY: Identity = identity!("throughput", "How fast a run is, and what holds it up");

    fn new(settings: Settings) -> Result<Self> {
        Ok(Self {
            timeline: Timeline::new(settings.window as usize),
            stages: Stages::default(),
            warmup: settings.warmup,
            flops_per_image: 0.0,
            peak_flops: None,
            warned: false,
            settings,
        })
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("A report every 100 steps, for a device of 312 TFLOP/s")
                .set("every", 100)
                .set("peak_tflops", 312),
            Example::new("Every step counts, and is reported")
                .set("every", 1)
                .set("warmup", 0)
                .set("window", 20)
                .set("wait_warn", 0.05),
        ]
    }
}

impl Monitor for Throughput {
    fn interests(&self) -> Interests {
        Interests { steps: 1, layers: 0 }
    }

    fn observe(&mut self, event: &Event) -> Result<Vec<Action>> {
        match event {
            Event::Started(run) => {
                (self.flops_per_image, self.peak_flops) = (run.flops_per_image, run.peak_flops);
                self.warmup = self.settings.warmup;
                self.timeline.start_anew();
                self.stages.clear();
            }
            Event::Data(report) => self.stages.add(report),
            Event::Stepped(step) => {
                if self.warmup > 0 {
                    self.warmup -= 1;
                } else if let Some(took) = Took::of(step) {
                    self.timeline.add(took);
                }
                if step.step.is_multiple_of(self.settings.every.into()) {
                    return Ok(self.report());
                }
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    fn save(&self) -> Vec<u8> {
        let mut state = Writer::new(HEADER);
        self.timeline.save(&mut state);
        self.stages.save(&mut state);
        state.put("warmup", [self.warmup]);
        state.put("flops_per_image", [self.flops_per_image]);
        state.put("peak_flops", self.peak_flops);
        state.put("warned", [self.warned]);
        state.finish()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let Some(state) = Reader::new(state, HEADER)? else { return Ok(()) };
        *self = Self {
            settings: self.settings.clone(),
            timeline: Timeline::restore(self.settings.window as usize, &state)?,
            stages: Stages::restore(&state)?,
            warmup: state.one("warmup")?,
            flops_per_image: state.one("flops_per_image")?,
            peak_flops: state.optional("peak_flops")?,
            warned: state.one("warned")?,
        };
        Ok(())
    }
}

impl Throughput {
    /// All figures, and a word on what holds the run up; nothing before a step has counted.
    fn report(&mut self) -> Vec<Action> {
        let (running, whole) = (self.timeline.running(), self.timeline.whole());
        let (Some(speed), Some(mean_speed)) = (running.speed(), whole.speed()) else {
            return Vec::new();
        };
        let metric = |name: &str, value| Action::Metric { name: name.to_owned(), value };
        let waited = running.wait / running.seconds;
        let mut actions = vec![
            metric("images_per_second", speed),
            metric("images_per_second_mean", mean_speed),
            metric("data_wait_share", waited),
            metric("step_seconds_p50", self.timeline.percentile(50)),
            metric("step_seconds_p95", self.timeline.percentile(95)),
        ];
        if let Some(peak) = self.peak() {
            actions.push(metric("mfu", self.flops_per_image * speed / peak));
        }
        let shares = self.stages.shares();
        actions.extend(shares.map(|(stage, share)| metric(&format!("data_stage/{stage}"), share)));
        if waited > self.settings.wait_warn && !self.warned {
            self.warned = true;
            let stage = self.stages.bottleneck().map(|(stage, share)| {
                format!("; {:.0}% of the work on data is {stage}", 100.0 * share)
            });
            actions.push(Action::Warn(format!(
                "waiting for data took {:.0}% of the last {} steps: with more workers, a cache or \
                 cheaper augmentation the run could make up to {:.0} images a second instead of \
                 {speed:.0}{}",
                100.0 * waited,
                running.steps,
                speed / (1.0 - waited).max(0.01),
                stage.unwrap_or_default(),
            )));
        }
        self.stages.clear();
        actions
    }

    /// What the device can do each second, where that is known.
    fn peak(&self) -> Option<f64> {
        let set = self.settings.peak_tflops * 1e12;
        let peak = if set > 0.0 { Some(set) } else { self.peak_flops };
        peak.filter(|&peak| peak > 0.0 && self.flops_per_image > 0.0)
    }
}

#[cfg(not(feature = "compiled-in"))]
vitral_sdk::export!(Throughput: monitor);

/// The plugin, for programs that link it in.
pub fn plugin() -> &'static vitral_sdk::abi::c::Plugin {
    vitral_sdk::native::monitor::<Throughput>()
}
