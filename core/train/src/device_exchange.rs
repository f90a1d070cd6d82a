//! Values that ranks exchange while they stay on GPUs.

use std::{ops::Range, rc::Rc};

use burn::tensor::{Device, FloatDType, Tensor};
use vitral_distributed::{Carrier, ReduceError, Wire};

use crate::{Error, learner::Gradient, ranks::Ranks};

/// What ranks exchange tensors by. All ranks make the same calls in the same order.
pub(crate) trait DeviceExchange {
    /// Which rank this is.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// Gives each rank its own values, of any type: `counts[r]` of `send`, `[n]`, in the order of ranks, go to rank
    /// `r`, and `from[r]` values come from it.
    ///
    /// # Errors
    /// They cannot be sent.
    fn all_to_all(
        &self,
        send: Tensor<1>,
        counts: &[usize],
        from: &[usize],
    ) -> Result<Tensor<1>, String>;

    /// The values of all ranks, in their order, of which rank `r` has `counts[r]`.
    ///
    /// # Errors
    /// They cannot be sent.
    fn all_gather(&self, own: Tensor<1>, counts: &[usize]) -> Result<Tensor<1>, String>;
}

/// Gradients on a device, sent in some type.
pub(crate) struct OnDevice<'a> {
    pub(crate) exchange: &'a dyn DeviceExchange,
    pub(crate) wire: Wire,
    pub(crate) device: &'a Device,
}

impl OnDevice<'_> {
    fn packed(&self, values: Tensor<1>) -> Tensor<1> {
        match self.wire {
            Wire::F32 => values,
            Wire::Bf16 => values.cast(FloatDType::BF16),
        }
    }
}

impl Carrier<Gradient> for OnDevice<'_> {
    fn rank(&self) -> usize {
        self.exchange.rank()
    }

    fn size(&self) -> usize {
        self.exchange.size()
    }

    /// No values are one that nobody reads: GPUs have no tensors without values.
    fn joined(&self, pieces: &[(&Gradient, Range<usize>)]) -> Gradient {
        let pieces = pieces.iter().filter(|(_, range)| !range.is_empty());
        let cut = |(list, range): &(&Gradient, Range<usize>)| list.0.clone().slice([range.clone()]);
        let mut pieces: Vec<Tensor<1>> = pieces.map(cut).collect();
        Gradient(match pieces.len() {
            0 => Tensor::zeros([1], self.device),
            1 => pieces.swap_remove(0),
            _ => Tensor::cat(pieces, 0),
        })
    }

    fn all_to_all(
        &self,
        send: Gradient,
        counts: &[usize],
        from: &[usize],
    ) -> Result<Gradient, ReduceError> {
        let received = self.exchange.all_to_all(self.packed(send.0), counts, from);
        Ok(Gradient(received.map_err(ReduceError::NotSent)?.cast(FloatDType::F32)))
    }

    fn all_gather(&self, own: Gradient, counts: &[usize]) -> Result<Gradient, ReduceError> {
        let gathered = self.exchange.all_gather(self.packed(own.0), counts);
        Ok(Gradient(gathered.map_err(ReduceError::NotSent)?.cast(FloatDType::F32)))
    }

    fn rounded(&self, values: Gradient) -> Gradient {
        Gradient(self.packed(values.0).cast(FloatDType::F32))
    }
}

/// Flat tensors of these lengths, whose values lie one after the other in one.
pub(crate) fn cut(all: &Tensor<1>, lengths: impl Iterator<Item = usize>) -> Vec<Tensor<1>> {
    let mut end = 0;
    let mut next = |length: usize| {
        let range = end..end + length;
        end = range.end;
        all.clone().slice([range])
    };
    lengths.map(&mut next).collect()
}

/// How the GPUs of ranks exchange values, if they can do so directly, and what there is to tell about it.
pub(crate) type Connection = (Option<Rc<dyn DeviceExchange>>, Option<String>);

/// Connects the GPUs of ranks, all of which come to the same.
///
/// # Errors
/// They do not reach each other.
#[cfg(not(feature = "cuda"))]
pub(crate) fn connect(_: &Ranks, _: &Device) -> Result<Connection, Error> {
    Ok((None, None))
}

#[cfg(feature = "cuda")]
pub(crate) use with_nccl::connect;

#[cfg(feature = "cuda")]
mod with_nccl {
    use serde::{Deserialize, Serialize};
    use std::time::Duration;

    use vitral_burn::nccl::{Gpu, Gpus, Id, Nccl, NcclError, gpu_of};
    use vitral_model::device::is_cpu;

    use super::*;

    /// How long others wait for a rank that joins them: NCCL looks for ways between all GPUs.
    const JOINING: Duration = Duration::from_secs(180);

    /// How long a first exchange may take, of a few bytes.
    const TRYING: Duration = Duration::from_secs(60);

    impl DeviceExchange for Gpus {
        fn rank(&self) -> usize {
            self.rank()
        }

        fn size(&self) -> usize {
            self.size()
        }

        fn all_to_all(
            &self,
            send: Tensor<1>,
            counts: &[usize],
            from: &[usize],
        ) -> Result<Tensor<1>, String> {
            self.all_to_all(send, counts, from).map_err(|error| error.to_string())
        }

        fn all_gather(&self, own: Tensor<1>, counts: &[usize]) -> Result<Tensor<1>, String> {
            self.all_gather(own, counts).map_err(|error| error.to_string())
        }
    }

    /// What a rank has to exchange values by.
    #[derive(Clone, Serialize, Deserialize)]
    struct Found {
        /// What tells its GPU from any other; none if it is not NVIDIA's.
        gpu: Option<String>,
        /// NCCL's version, or why there is none.
        nccl: Result<String, String>,
    }

    pub(crate) fn connect(ranks: &Ranks, device: &Device) -> Result<Connection, Error> {
        if ranks.size() < 2 {
            return Ok((None, None));
        }
        let failed = |error: NcclError| Error::Message(error.to_string());
        let number = (!is_cpu(device)).then(|| gpu_of(Tensor::zeros([1], device))).flatten();
        let gpu = ranks.all_succeed(number.map(Gpu::open).transpose().map_err(failed))?;
        let nccl = Nccl::open().and_then(|nccl| Ok((nccl.version()?, nccl)));
        let found = Found {
            gpu: gpu.as_ref().map(|gpu| gpu.uuid.clone()),
            nccl: nccl.as_ref().map(|(version, _)| version.clone()).map_err(ToString::to_string),
        };
        let all = ranks.gather(found)?;
        if all.iter().all(|found| found.gpu.is_none()) {
            return Ok((None, None));
        }
        if let Some(reason) = obstacle(ranks, &all) {
            let told = format!(
                "warning: gradients are exchanged through the memory of hosts, which is slower than from GPU to GPU: \
                 {reason}"
            );
            return Ok((None, Some(told)));
        }
        let (Ok((version, nccl)), Some(gpu)) = (nccl, gpu) else {
            return Err(Error::Message("ranks do not agree on what they have".into()));
        };
        let id = ranks.is_first().then(|| nccl.id().map(|id| id.0.to_vec())).transpose();
        let id = ranks.all_succeed(id.map_err(failed))?;
        let id: Vec<u8> = ranks.decide(id.unwrap_or_default())?;
        let id = <[u8; Id::BYTES]>::try_from(id).map_err(|_| {
            Error::Message("the first rank's NCCL identifier has another size".into())
        });
        let id = ranks.all_succeed(id)?;
        // One that cannot join leaves the others within NCCL, from where they do not come back.
        ranks.begin(format_args!("joining the other ranks by NCCL"), Some(JOINING));
        let joined = nccl.join(Id(id), ranks.rank(), ranks.size(), gpu).map_err(failed);
        if let Err(error) = &joined {
            tracing::error!("{} cannot join the other ranks: {error}", ranks.name(ranks.rank()));
        }
        let gpus = ranks.all_succeed(joined)?;
        ranks.all_succeed(gpus.within(TRYING, |gpus| try_out(gpus, device)))?;
        ranks.begin(format_args!("starting"), None);
        Ok((Some(Rc::new(gpus)), Some(format!("gradients are exchanged by NCCL {version}"))))
    }

    /// Why ranks cannot exchange values by NCCL, in a sentence that is the same on all of them.
    fn obstacle(ranks: &Ranks, all: &[Found]) -> Option<String> {
        for (rank, found) in all.iter().enumerate() {
            let name = ranks.name(rank);
            if found.gpu.is_none() {
                return Some(format!("{name} does not train on an NVIDIA GPU"));
            }
            match (&found.nccl, &all[0].nccl) {
                (Err(missing), _) => return Some(format!("on {name}: {missing}")),
                (Ok(own), Ok(first)) if own != first => {
                    return Some(format!("{name} has NCCL {own}, and {} {first}", ranks.name(0)));
                }
                _ => {}
            }
            if all[..rank].iter().any(|other| other.gpu == found.gpu) {
                return Some(format!(
                    "{name} shares its GPU with another rank, which NCCL does not allow; start one rank for each GPU"
                ));
            }
        }
        None
    }

    /// Has ranks tell each other their numbers, so that a connection that brings something else is found before the
    /// first step.
    fn try_out(gpus: &Gpus, device: &Device) -> Result<(), Error> {
        let of_rank =
            |count| Tensor::<1>::from_floats(&vec![gpus.rank() as f32; count][..], device);
        let counts = vec![1; gpus.size()];
        let failed = |error: NcclError| Error::Message(error.to_string());
        let sent = gpus.all_to_all(of_rank(gpus.size()), &counts, &counts).map_err(failed)?;
        let gathered = gpus.all_gather(of_rank(1), &counts).map_err(failed)?;
        for found in [sent, gathered] {
            let found = crate::flat::values_of(&found)?;
            let expected: Vec<f32> = (0..gpus.size()).map(|rank| rank as f32).collect();
            if found != expected {
                return Err(Error::Message(format!(
                    "NCCL brought {found:?} where ranks sent {expected:?}: set NCCL_DEBUG=INFO to see how it connects \
                     the GPUs"
                )));
            }
        }
        Ok(())
    }
}
