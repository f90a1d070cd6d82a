//! Steps that fit into memory, where the experiment leaves open how a batch is cut.

use std::time::{Duration, Instant};

use burn::tensor::Tensor;
use vitral_model::{
    ConfigProblem,
    device::{is_cpu, release_memory},
};

use super::{Trainer, together::on_this_host};
use crate::{
    BatchGradients, CommunicationReport, Error, Event, MemoryFault, Observer,
    batch_size::{BatchSize, MemorySize},
    event::images_of,
    learner::Share,
    memory::{Peak, available, memory},
    micro_batch::{Conditions, Found, MicroBatch, Probe, search},
};

/// Who the user is told these things by.
const FROM: &str = "batch";

impl Trainer {
    /// Has memory run out where `fault` says so, for tests of what happens then. Probes count as
    /// step 0, as the first step does.
    #[doc(hidden)]
    pub fn set_memory_fault(&mut self, fault: MemoryFault) {
        self.learner.set_memory_fault(fault);
    }

    /// The micro-batch, where the experiment leaves it open and it has been found.
    pub fn micro_batch(&self) -> Option<&MicroBatch> {
        self.state.micro_batch.as_ref()
    }

    /// Finds the micro-batch, unless it is given, or was found for the same before.
    ///
    /// Called when the first batch is there, so that what workers prepare meanwhile counts, too.
    pub(super) fn choose_micro_batch(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        let Some(conditions) = self.conditions() else {
            // A resumed run may have had one before its experiment was changed.
            self.state.micro_batch = None;
            return Ok(());
        };
        if self.known_micro_batch().is_some() {
            return Ok(());
        }
        let Conditions { effective, memory, on_cpu } = conditions;
        let start = Instant::now();
        let sharers = on_this_host(&self.ranks) as u64;
        let limit = if on_cpu { Some(limit(memory, sharers)?) } else { None };
        let is_fresh = self.state.step == 0;
        let found = search(effective, limit, &mut |size| {
            self.emit(Event::Probing { images: size }, observer)?;
            release_memory(&self.device);
            let peak = on_cpu.then(Peak::watch);
            let result = self.learner.rehearse(effective, size, is_fresh);
            let peak = peak.and_then(Peak::finish);
            match result {
                Ok(()) => Ok(Probe::Fits(peak)),
                Err(Error::OutOfMemory(reason)) => {
                    self.emit(Event::ProbeFailed { images: size, reason }, observer)?;
                    Ok(Probe::OutOfMemory)
                }
                Err(error) => Err(error),
            }
        });
        release_memory(&self.device);
        let found = found.map_err(explain)?;
        // What fits on every rank.
        let sizes = self.ranks.gather(found.size)?;
        let found = Found { size: sizes.into_iter().min().unwrap_or(found.size), ..found };
        let micro_batch = MicroBatch::new(found.size, conditions);
        let mut message = describe(&found, &micro_batch, limit);
        if !on_cpu && memory.is_some() {
            message += "; `memory` is for the CPU and was not used";
        }
        self.state.micro_batch = Some(micro_batch);
        self.state.seconds += start.elapsed().as_secs_f64();
        self.notice(FROM, message, observer)
    }

    /// What a micro-batch is to be found for, where the experiment leaves it open.
    fn conditions(&self) -> Option<Conditions> {
        let BatchSize::Auto { effective, memory } = self.experiment.train.batch else {
            return None;
        };
        // Each of several ranks has a part.
        let effective = effective.min(self.datasets.train.len()).div_ceil(self.ranks.size());
        Some(Conditions { effective, memory, on_cpu: is_cpu(&self.device) })
    }

    /// Images of a micro-batch that was found for the same before.
    pub(super) fn known_micro_batch(&self) -> Option<usize> {
        let known = self.state.micro_batch.as_ref()?;
        self.conditions().is_some_and(|conditions| known.is_for(conditions)).then(|| known.size())
    }

    /// A step's gradients. Where the cut is open and memory runs out, the step is made again in
    /// smaller micro-batches, with the same data and noise.
    pub(super) fn gradients(
        &mut self,
        step: u64,
        images: Tensor<4>,
        targets: Tensor<2>,
        observer: &mut dyn Observer,
    ) -> Result<BatchGradients, Error> {
        let Some(mut micro_batch) = self.state.micro_batch.take() else {
            return Ok(self.learner.gradients(step, images, targets));
        };
        let result = loop {
            let size = micro_batch.size();
            self.learner.set_micro_batch(size);
            let result =
                self.learner.gradients_within_memory(step, images.clone(), targets.clone());
            let Err(Error::OutOfMemory(reason)) = result else { break result };
            if !micro_batch.failed(images.dims()[0]) {
                break Err(Error::OutOfMemory(reason));
            }
            release_memory(&self.device);
            let smaller = micro_batch.size();
            self.emit(Event::OutOfMemory { images: size, smaller, reason }, observer)?;
        };
        let tries_larger = result.is_ok() && micro_batch.succeeded();
        let images = micro_batch.size();
        self.state.micro_batch = Some(micro_batch);
        if tries_larger {
            self.emit(Event::LargerMicroBatch { images }, observer)?;
        }
        result
    }

    /// The gradients of a step that ranks share, and how long it was exchanged. Where memory runs out on
    /// one of them, all make the step again.
    pub(super) fn shared_gradients(
        &mut self,
        step: u64,
        share: &Share,
        images: Tensor<4>,
        targets: Tensor<2>,
        observer: &mut dyn Observer,
    ) -> Result<(BatchGradients, Option<CommunicationReport>), Error> {
        let mut communication = Duration::ZERO;
        let own = loop {
            if let Some(micro_batch) = &self.state.micro_batch {
                self.learner.set_micro_batch(micro_batch.size());
            }
            let own = self.learner.own_gradients(step, share, images.clone(), targets.clone());
            let Some(mut micro_batch) = self.state.micro_batch.take() else { break own? };
            let failed = match &own {
                Err(Error::OutOfMemory(reason)) => Some(reason.clone()),
                _ => None,
            };
            let communicating = Instant::now();
            let failed = self.ranks.gather(failed)?.into_iter().flatten().next();
            communication += communicating.elapsed();
            let Some(reason) = failed else {
                let tries_larger = micro_batch.succeeded();
                let images = micro_batch.size();
                self.state.micro_batch = Some(micro_batch);
                if tries_larger {
                    self.emit(Event::LargerMicroBatch { images }, observer)?;
                }
                break own?;
            };
            let size = micro_batch.size();
            // The same on all ranks. No micro-batch has had more than that.
            if !micro_batch.failed(share.most_neighbours) {
                return Err(Error::OutOfMemory(reason));
            }
            release_memory(&self.device);
            let smaller = micro_batch.size();
            self.state.micro_batch = Some(micro_batch);
            self.emit(Event::OutOfMemory { images: size, smaller, reason }, observer)?;
        };
        let communicating = Instant::now();
        let (gradients, hidden) = self.learner.summed(own)?;
        let waited = communication + communicating.elapsed();
        Ok((gradients, Some(CommunicationReport { waited, hidden })))
    }
}

/// Bytes that the process may take on the CPU, where so many share what is free.
fn limit(stated: Option<MemorySize>, sharers: u64) -> Result<u64, Error> {
    let problem = |message: &str, help: &str| ConfigProblem {
        field: "train.batch".into(),
        message: message.into(),
        help: help.into(),
    };
    let used = memory().host;
    if used == 0 {
        return Err(Error::Experiment(problem(
            "this system does not report how much memory the process uses, so `Auto` cannot work \
             here",
            "give `batch` as a number, and cut it by `accum_steps`",
        )));
    }
    if let Some(stated) = stated {
        return Ok(stated.bytes());
    }
    let available = available().ok_or_else(|| {
        problem(
            "this system does not report how much memory is free",
            "say how much training may take: `Auto(effective: 1024, memory: \"8 GiB\")`",
        )
    })?;
    Ok(used + available / sharers.max(1) / 5 * 4)
}

/// Points to the field where even one image is too much.
fn explain(error: Error) -> Error {
    match error {
        Error::OutOfMemory(message) => Error::Experiment(ConfigProblem {
            field: "train.batch".into(),
            message,
            help:
                "give it more `memory`, or take a smaller model, smaller images or a smaller batch"
                    .into(),
        }),
        other => other,
    }
}

fn describe(found: &Found, micro_batch: &MicroBatch, limit: Option<u64>) -> String {
    let show = |bytes: f64| MemorySize::new(bytes.max(0.0) as u64).rounded();
    let mut message = format!(
        "micro-batches of {}, {} per step",
        images_of(micro_batch.size()),
        micro_batch.accum_steps()
    );
    if let (Some(peak), Some(limit)) = (found.peak, limit) {
        message += &format!("; {} of {}", show(peak as f64), show(limit as f64));
    }
    if let (Some(line), Some(_)) = (found.line, limit) {
        message += &format!(" ({} and {} per image)", show(line.base), show(line.per_image));
    }
    message
}
