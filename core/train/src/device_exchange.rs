//! Values that ranks exchange while they stay on GPUs.

#[cfg(feature = "cuda")]
mod nccl;

use std::{ops::Range, rc::Rc};

use burn::tensor::{Device, FloatDType, Tensor};
use vitral_distributed::{Carrier, ReduceError, Wire};

#[cfg(feature = "cuda")]
pub(crate) use self::nccl::connect;
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
