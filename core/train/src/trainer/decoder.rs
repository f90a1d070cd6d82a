//! Where the JPEG files of training batches are decoded; with `decoder: Auto`, where that measures faster.

use std::time::{Duration, Instant};

use vitral_data::{DataConfig, Decoder, ImageBatch};
use vitral_model::device::is_cpu;

use super::{
    Trainer,
    feed::{DeviceBatch, Upload},
};
use crate::{Error, Event, Observer, read_back::scalar};

/// Who the user is told these things by.
const FROM: &str = "decoder";

/// Batches that are timed, after a first one.
const TIMED: u64 = 2;

/// What a step takes with a decoder.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// A worker's time for a batch, shared among all workers.
    workers: Duration,
    /// Upload of a batch, and what of the decoder is the device's.
    device: Duration,
    /// Forward and backward.
    compute: Duration,
}

impl Times {
    /// Workers prepare the next batch while the device is at this one.
    fn step(self) -> Duration {
        self.workers.max(self.device + self.compute)
    }
}

/// The faster one; the processor's where it makes no difference, as it leaves the device's memory alone.
fn faster(cpu: Times, hybrid: Times) -> Decoder {
    if hybrid.step().mul_f64(1.02) < cpu.step() { Decoder::Hybrid } else { Decoder::Cpu }
}

impl Trainer {
    /// The decoder of training batches.
    pub(super) fn decoder(&self) -> Decoder {
        match self.experiment.data.decoder {
            Decoder::Auto => self.state.decoder.unwrap_or_default(),
            chosen => chosen,
        }
    }

    /// Finds the decoder, unless it is given, or was found before. `batch` is the first of the batches so far,
    /// which nothing has been computed with.
    pub(super) fn choose_decoder(
        &mut self,
        batch: &DeviceBatch,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let data = &self.experiment.data;
        if data.decoder != Decoder::Auto {
            // A resumed run may have had one before its experiment was changed.
            self.state.decoder = None;
            return Ok(());
        }
        if self.state.decoder.is_some() {
            return Ok(());
        }
        if is_cpu(&self.device) || data.check_hybrid().is_err() {
            self.state.decoder = Some(Decoder::Cpu);
            return Ok(());
        }
        let start = Instant::now();
        self.emit(Event::MeasuringDecoders, observer)?;
        let compute = self.time_gradients(batch)?;
        let (cpu, hybrid) =
            (self.measure(Decoder::Cpu, compute)?, self.measure(Decoder::Hybrid, compute)?);
        let chosen = faster(cpu, hybrid);
        let show = |times: Times| {
            let milliseconds = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
            format!(
                "{} ms a step (workers {}, device {})",
                milliseconds(times.step()),
                milliseconds(times.workers),
                milliseconds(times.device + times.compute)
            )
        };
        let message = format!("{chosen:?}; Cpu would take {}, Hybrid {}", show(cpu), show(hybrid));
        self.state.decoder = Some(chosen);
        self.state.seconds += start.elapsed().as_secs_f64();
        self.notice(FROM, message, observer)
    }

    /// Time of a step's forward and backward, which leave no trace.
    fn time_gradients(&mut self, batch: &DeviceBatch) -> Result<Duration, Error> {
        if let Some(images) = self.known_micro_batch() {
            self.learner.set_micro_batch(images);
        }
        let mut time = Duration::ZERO;
        // The first one has kernels compiled.
        for _ in 0..2 {
            let start = Instant::now();
            let (images, targets) = (batch.images.clone(), batch.targets.clone());
            // It waits for the result.
            match self.learner.gradients_within_memory(self.state.step, images, targets) {
                Ok(_) => time = start.elapsed(),
                // The step itself goes on in smaller micro-batches; this only counts its parts less well.
                Err(Error::OutOfMemory(_)) => return Ok(time),
                Err(error) => return Err(error),
            }
        }
        Ok(time)
    }

    fn measure(&self, decoder: Decoder, compute: Duration) -> Result<Times, Error> {
        let data = &self.experiment.data;
        let workers = match data.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let one = DataConfig { decoder, workers: 1, prefetch: 1, ..data.clone() };
        let mut loader = self.train_loader_with(one)?;
        let upload = self.upload();
        let mut first = loader.next().transpose()?;
        let mut device = Duration::ZERO;
        if let Some(batch) = &mut first {
            // The first time has kernels compiled.
            for _ in 0..=TIMED {
                device = time_upload(&upload, batch)?;
            }
        }
        // What was made ahead during the uploads does not count.
        let _ = loader.next().transpose()?;
        let start = Instant::now();
        let made = loader.take(TIMED as usize).collect::<Result<Vec<_>, _>>()?;
        let a_batch = start.elapsed() / made.len().max(1) as u32;
        Ok(Times { workers: a_batch / workers as u32, device, compute })
    }
}

/// Time until a batch is on the device.
fn time_upload(upload: &Upload, batch: &mut ImageBatch) -> Result<Duration, Error> {
    let start = Instant::now();
    let uploaded = upload.batch(batch)?;
    // Reading something back waits for all of it.
    scalar(uploaded.images.sum())?;
    Ok(start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decoder_that_makes_steps_shorter_is_taken() {
        let times = |workers, device, compute| {
            let [workers, device, compute] = [workers, device, compute].map(Duration::from_millis);
            Times { workers, device, compute }
        };
        // Workers are what is waited for.
        assert_eq!(faster(times(100, 1, 50), times(60, 10, 50)), Decoder::Hybrid);
        // The device has no time left for it.
        assert_eq!(faster(times(100, 1, 95), times(60, 10, 95)), Decoder::Cpu);
        // Nothing is waited for.
        assert_eq!(faster(times(20, 1, 50), times(10, 1, 50)), Decoder::Cpu);
        assert_eq!(times(100, 1, 50).step(), Duration::from_millis(100));
        assert_eq!(times(20, 5, 50).step(), Duration::from_millis(55));
    }
}
