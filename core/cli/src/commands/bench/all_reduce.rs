//! `vitral bench all-reduce`: what it takes to sum the gradients of a model over the ranks of a job, on the network
//! that they have.

use std::{fmt, time::Instant};

use clap::Args;
use vitral_distributed::{Exchange as _, Limits, Peers as _, TreeSum, Wire, World, all_reduce};
use vitral_model::{Variant, ViT, device::Device, parameters};
use vitral_seed::Seed;

use super::subject::Subject;
use crate::{failure::Failure, words::counted};

#[derive(Debug, Args)]
pub struct AllReduceArguments {
    /// The published model whose gradients are summed: a size and a patch size.
    #[arg(long, default_value = "B/16")]
    pub variant: Variant,
    /// Seconds that a step of one rank takes, as `bench step` measures it; the speed of other
    /// numbers of ranks is predicted from it.
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    pub step: Option<f64>,
    /// How often each size is summed; the median counts.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Send values in `bf16`, as `train.communication: BF16` does.
    #[arg(long)]
    pub bf16: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    match seconds > 0.0 && seconds.is_finite() {
        true => Ok(seconds),
        false => Err("the time of a step must be above 0".into()),
    }
}

/// Bytes of sums beside the model's: what is bound by latency, what is in between, and a bucket.
const SIZES: [usize; 4] = [4 << 10, 256 << 10, 4 << 20, 25 << 20];

pub fn run(arguments: &AllReduceArguments) -> Result<(), Failure> {
    let world = World::start(Limits::default(), |lost| eprintln!("error: {lost}"))
        .map_err(|error| Failure::Other(error.to_string()))?;
    if world.size() < 2 {
        return Err(Failure::Usage(
            "this is the only rank, so there is nothing to sum\n  help: start several, for example \
             with `mpirun -n 2 vitral bench all-reduce` or `srun`"
                .into(),
        ));
    }
    let mut count = Vec::new();
    if world.rank() == 0 {
        match parameters_of(&arguments.variant) {
            Ok(parameters) => count = (parameters as u64).to_le_bytes().to_vec(),
            Err(failure) => {
                failure.report();
                world.fail("cannot make the model");
            }
        }
    }
    world.broadcast(0, &mut count);
    let parameters = count.try_into().map_or(0, u64::from_le_bytes) as usize;
    let sizes = SIZES.map(|bytes| bytes / size_of::<f32>()).into_iter().chain([parameters]);
    let wire = if arguments.bf16 { Wire::Bf16 } else { Wire::F32 };
    let measured = sizes.map(|values| Measured::of(&world, values, arguments.rounds, wire));
    let measured = measured.collect();
    if world.rank() == 0 {
        let mut hosts = world.hosts().to_vec();
        hosts.dedup();
        print!(
            "{}",
            Report {
                ranks: world.size(),
                hosts: hosts.len(),
                model: arguments.variant.to_string(),
                measured,
                step: arguments.step,
                wire,
            }
        );
    }
    world.finish();
    Ok(())
}

fn parameters_of(variant: &Variant) -> Result<usize, Failure> {
    let subject = Subject::read(None, &[format!("model.variant=\"{variant}\"")])?;
    let config = &subject.experiment.model;
    let model = ViT::with_programs(config, &Default::default(), Seed::new(0), &Device::flex());
    let model = model.map_err(|problem| subject.locate(problem.into()))?;
    Ok(parameters::count(&model))
}

/// A sum over all ranks.
#[derive(Clone, Copy)]
struct Measured {
    values: usize,
    seconds: f64,
}

impl Measured {
    fn of(world: &World, values: usize, rounds: u32, wire: Wire) -> Self {
        let mut own = TreeSum::new(world.size());
        own.add(world.rank(), vec![world.rank() as f32; values]);
        let round = |_| {
            world.barrier();
            let start = Instant::now();
            // Its own part is what it has added.
            let sum = all_reduce(world, &own, wire).unwrap_or_default();
            let own = start.elapsed().as_secs_f64();
            let expected = (world.size() * (world.size() - 1) / 2) as f32;
            // In `bf16` it is rounded.
            if !sum.last().is_some_and(|sum| (sum - expected).abs() <= 0.01 * expected) {
                world.fail("has a wrong sum");
            }
            // It takes as long as it takes the last.
            let all = world.all_gather(&own.to_le_bytes());
            let seconds =
                all.iter().filter_map(|all| Some(f64::from_le_bytes(all[..].try_into().ok()?)));
            seconds.fold(own, f64::max)
        };
        // The first one makes connections.
        round(0);
        let mut seconds: Vec<f64> = (0..rounds).map(round).collect();
        seconds.sort_by(f64::total_cmp);
        Self { values, seconds: seconds[seconds.len() / 2] }
    }

    fn bytes(self) -> f64 {
        (self.values * size_of::<f32>()) as f64
    }

    fn size(self) -> String {
        match self.bytes() {
            bytes if bytes < f64::from(1 << 20) => format!("{:.1} KiB", bytes / f64::from(1 << 10)),
            bytes => format!("{:.1} MiB", bytes / f64::from(1 << 20)),
        }
    }

    /// Bytes that each rank sends in a second: all but its own part, and its own part of the sum, to all others.
    fn bandwidth(self, ranks: usize, wire: Wire) -> f64 {
        let share = if wire == Wire::Bf16 { 0.5 } else { 1.0 };
        2.0 * others(ranks) * share * self.bytes() / self.seconds
    }
}

/// The share of values that are other ranks'.
fn others(ranks: usize) -> f64 {
    (ranks - 1) as f64 / ranks as f64
}

struct Report {
    ranks: usize,
    hosts: usize,
    model: String,
    /// By size, the model's last.
    measured: Vec<Measured>,
    step: Option<f64>,
    wire: Wire,
}

impl Report {
    /// Seconds of summing the model's gradients over another number of ranks: more bytes for each, and more
    /// messages.
    fn predicted(&self, ranks: usize) -> f64 {
        let (Some(small), Some(model)) = (self.measured.first(), self.measured.last()) else {
            return 0.0;
        };
        let messages = ranks as f64 / self.ranks as f64;
        let transfer = (model.seconds - small.seconds).max(0.0);
        small.seconds * messages + transfer * others(ranks) / others(self.ranks)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = counted(self.hosts, "host", "hosts");
        let sent = if self.wire == Wire::Bf16 { ", sent as bf16," } else { "" };
        writeln!(f, "sums of f32{sent} over {} ranks on {hosts}", self.ranks)?;
        writeln!(f, "  {:>12}  {:>10}  {:>14}", "size", "time", "sent by a rank")?;
        for (index, measured) in self.measured.iter().enumerate() {
            let what = match index + 1 == self.measured.len() {
                true => format!("  gradients of {}, {} values", self.model, measured.values),
                false => String::new(),
            };
            writeln!(
                f,
                "  {:>12}  {:>7.2} ms  {:>9.2} GB/s{what}",
                measured.size(),
                1e3 * measured.seconds,
                measured.bandwidth(self.ranks, self.wire) / 1e9
            )?;
        }
        let Some(step) = self.step else { return Ok(()) };
        writeln!(
            f,
            "predicted for steps of {step} s on each rank, if no exchange overlaps with the \
             backward pass"
        )?;
        writeln!(f, "and the network is as fast for all ranks as it is between these")?;
        for ranks in [2, 4, 8, 16, 32, 64] {
            let efficiency = step / (step + self.predicted(ranks));
            writeln!(
                f,
                "  {ranks:>3} ranks  {:>6.2} times the images/s of one ({:.0}%)",
                ranks as f64 * efficiency,
                100.0 * efficiency
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_predicted_and_more_ranks_take_longer() {
        let measured = [(1 << 10, 1e-3), (25 << 18, 0.02), (80 << 20, 0.5)];
        let measured = measured.map(|(values, seconds)| Measured { values, seconds }).to_vec();
        let (model, step, wire) = ("B/16".into(), Some(1.0), Wire::F32);
        let report = Report { ranks: 2, hosts: 1, model, measured, step, wire };
        assert!((report.predicted(2) - 0.5).abs() < 1e-9);
        // Twice the messages, and 3/4 of the bytes from others instead of half.
        assert!((report.predicted(4) - (2e-3 + 0.499 * 1.5)).abs() < 1e-9);
        let shown = report.to_string();
        assert!(shown.contains("  2 ranks    1.33 times the images/s of one (67%)"), "{shown}");
        assert!(
            shown.contains("320.0 MiB") && shown.contains("4.0 KiB") && shown.contains("0.67 GB/s"),
            "{shown}"
        );
        let shown = Report { wire: Wire::Bf16, ..report }.to_string();
        assert!(shown.contains("sent as bf16") && shown.contains("0.34 GB/s"), "{shown}");
    }

    #[test]
    fn steps_take_time() {
        assert_eq!(positive("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "inf", "NaN", "x"] {
            assert!(positive(wrong).is_err(), "{wrong}");
        }
    }
}
