//! Sums over ranks whose values stay on GPUs: the same sums as through the memory of hosts, in the same order.

use std::ops::Range;

use burn::tensor::Tensor;
use vitral_distributed::{Carrier as _, Segments, TreeSum, Wire};
use vitral_model::parameters::ParameterInfo;

use super::{
    Learner,
    exchange::Plan,
    own_sum::{Gradient, joined_on_device},
};
use crate::{
    Error,
    device_exchange::{DeviceExchange, OnDevice, cut},
};

impl Learner {
    /// The sums over all ranks of what each has added up: those of all parameters or, of the rank's own values, pieces.
    ///
    /// # Errors
    /// Values cannot be exchanged.
    pub(super) fn summed_on_gpus(
        &self,
        exchange: &dyn DeviceExchange,
        mut sums: Vec<TreeSum<Gradient>>,
    ) -> Result<Vec<Tensor<1>>, Error> {
        self.meet();
        let device = self.device();
        let segments = self.shard.as_ref().map(|shard| shard.segments().clone());
        let plan = Plan::new(&self.infos, segments, self.wire());
        let carrier = OnDevice { exchange, wire: self.wire(), device: &device };
        let mut found = Vec::with_capacity(plan.buckets().len());
        for (bucket, (parameters, values)) in plan.buckets().iter().enumerate() {
            // What a bucket has joined takes the place of its gradients.
            let own: Vec<_> = sums[parameters.clone()]
                .iter_mut()
                .map(|sum| std::mem::replace(sum, TreeSum::new(0)))
                .collect();
            let own = joined_on_device(&own)?;
            let sum = plan.sum(bucket, &carrier, &own);
            let sum = sum.map_err(|error| Error::Message(error.to_string()))?;
            found.push((parameters.clone(), values.clone(), sum));
        }
        // Buckets follow backward; parameters and pieces have an order of their own.
        found.sort_by_key(|(parameters, ..)| parameters.start);
        if let Some(shard) = &self.shard {
            let own = shard.segments().of(self.ranks.rank());
            let within = found.iter().map(|(_, values, sum)| {
                let start = own.start.clamp(values.start, values.end);
                let end = own.end.clamp(values.start, values.end);
                (sum, 0..end - start)
            });
            let all = carrier.joined(&within.collect::<Vec<_>>());
            return Ok(cut(&all.0, shard.lengths()));
        }
        let of_bucket = |(parameters, _, sum): &(Range<usize>, Range<usize>, Gradient)| {
            cut(&sum.0, self.infos[parameters.clone()].iter().map(ParameterInfo::elements))
        };
        Ok(found.iter().flat_map(of_bucket).collect())
    }

    /// What all ranks have of something of which each has its segment, in pieces.
    ///
    /// # Errors
    /// Values cannot be exchanged.
    pub(super) fn gathered_on_gpus(
        &self,
        exchange: &dyn DeviceExchange,
        pieces: &[Tensor<1>],
        segments: &Segments,
    ) -> Result<Vec<Tensor<1>>, Error> {
        self.meet();
        let device = self.device();
        let carrier = OnDevice { exchange, wire: Wire::F32, device: &device };
        let pieces: Vec<Gradient> = pieces.iter().cloned().map(Gradient).collect();
        let whole = pieces.iter().map(|piece| (piece, 0..piece.0.dims()[0]));
        let own = carrier.joined(&whole.collect::<Vec<_>>());
        let all = carrier.all_gather(own, &segments.counts());
        let all = all.map_err(|error| Error::Message(error.to_string()))?;
        Ok(cut(&all.0, self.infos.iter().map(ParameterInfo::elements)))
    }

    /// Waits for all ranks by MPI, where one that does not come is found and named. Within NCCL it would not be.
    fn meet(&self) {
        if let Some(peers) = self.ranks.peers() {
            peers.barrier();
        }
    }
}
