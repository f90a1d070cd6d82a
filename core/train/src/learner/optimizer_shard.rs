//! The part of the weights that a rank keeps averages of and moves (ZeRO, stage 1: Rajbhandari et al. 2020).

use std::ops::Range;

use burn::tensor::Tensor;
use vitral_burn::kernels::{covers, lasting};
use vitral_distributed::{Segments, all_gather};
use vitral_kernels::optimizer::PIECE;
use vitral_model::parameters::{self, ParameterInfo};

use super::Learner;
use crate::{
    Error,
    flat::{flat, on_device, values_of},
    optimizer::OptimizerState,
    ranks::Ranks,
};

/// What of each parameter is whose, all parameters being one vector.
pub(crate) struct OptimizerShard {
    segments: Segments,
    /// This rank's: of which parameters, and which of their values.
    pieces: Vec<(usize, Range<usize>)>,
}

impl OptimizerShard {
    /// About as many values for each rank, cut where the norm of all gradients begins another of its sums.
    fn new(infos: &[ParameterInfo], rank: usize, size: usize) -> Self {
        let mut places = vec![0];
        let mut end = 0;
        for info in infos {
            places.extend((PIECE..info.elements()).step_by(PIECE).map(|at| end + at));
            end += info.elements();
            places.push(end);
        }
        let segments = Segments::between(size, &places);
        let own = segments.of(rank);
        let mut start = 0;
        let mut pieces = Vec::new();
        for (parameter, info) in infos.iter().enumerate() {
            let within = |at: usize| at.clamp(start, start + info.elements()) - start;
            let range = within(own.start)..within(own.end);
            if !range.is_empty() {
                pieces.push((parameter, range));
            }
            start += info.elements();
        }
        Self { segments, pieces }
    }

    /// Which values of all parameters are whose.
    pub(super) fn segments(&self) -> &Segments {
        &self.segments
    }

    /// How long this rank's pieces are.
    pub(super) fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        self.pieces.iter().map(|(_, range)| range.len())
    }

    /// This rank's pieces of something that all parameters have.
    pub(super) fn pieces_of(&self, whole: &[Tensor<1>]) -> Result<Vec<Tensor<1>>, Error> {
        let piece = |(parameter, range): &(usize, Range<usize>)| {
            let whole = &whole[*parameter];
            if !covers(whole) {
                return Ok(whole.clone().slice([range.clone()]));
            }
            let values = values_of(whole)?;
            Ok(lasting(&values[range.clone()], [range.len()], &whole.device()))
        };
        self.pieces.iter().map(piece).collect()
    }

    /// What all ranks have of something that all parameters have.
    pub(super) fn whole_of(
        &self,
        ranks: &Ranks,
        pieces: &[Tensor<1>],
        infos: &[ParameterInfo],
        device: &burn::tensor::Device,
    ) -> Result<Vec<Tensor<1>>, Error> {
        let own = flat(pieces)?;
        let all = match ranks.peers() {
            Some(peers) => all_gather(peers, &own, &self.segments),
            None => own,
        };
        Ok(on_device(&all, infos.iter().map(ParameterInfo::elements), device))
    }
}

impl Learner {
    /// Lets go of all averages but this rank's.
    pub(super) fn shard_optimizer(&mut self) {
        let shard = OptimizerShard::new(&self.infos, self.ranks.rank(), self.ranks.size());
        let info = |(parameter, range): &(usize, Range<usize>)| ParameterInfo {
            shape: vec![range.len()],
            ..self.infos[*parameter].clone()
        };
        let infos: Vec<ParameterInfo> = shard.pieces.iter().map(info).collect();
        let device = self.device();
        let values: Vec<Tensor<1>> =
            infos.iter().map(|info| Tensor::zeros([info.elements()], &device)).collect();
        self.groups = shard.pieces.iter().map(|(parameter, _)| self.groups[*parameter]).collect();
        self.optimizer = OptimizerState::new(self.config.optimizer, &infos, &values);
        self.shard = Some(shard);
        let values = parameters::values(&self.model);
        self.restart_average(values);
    }

    /// Has the moving average start from the weights.
    pub(super) fn restart_average(&mut self, values: Vec<Tensor<1>>) {
        let Some(ema) = &mut self.ema else { return };
        ema.values = match &self.shard {
            None => values,
            // Weights that cannot be read back now cannot be trained either, which the first step tells.
            Some(shard) => shard.pieces_of(&values).unwrap_or(values),
        };
    }

    /// Whole parameters of what the optimizer has: the same, unless it has a part.
    pub(super) fn whole(&self, moved: &[Tensor<1>]) -> Result<Vec<Tensor<1>>, Error> {
        match &self.shard {
            None => Ok(moved.to_vec()),
            Some(shard) => match self.ranks.device_exchange() {
                Some(by) => self.gathered_on_gpus(by, moved, shard.segments()),
                None => shard.whole_of(&self.ranks, moved, &self.infos, &self.device()),
            },
        }
    }

    /// What the optimizer has of whole parameters.
    pub(super) fn moved(&self, whole: Vec<Tensor<1>>) -> Result<Vec<Tensor<1>>, Error> {
        match &self.shard {
            None => Ok(whole),
            Some(shard) => shard.pieces_of(&whole),
        }
    }

    /// Bytes of the averages that this rank keeps: the optimizer's, and that of the weights.
    pub(crate) fn optimizer_bytes(&self) -> usize {
        let averages = self.optimizer.slots.iter().flatten();
        let ema = self.ema.iter().flat_map(|ema| &ema.values);
        averages.chain(ema).map(|tensor| tensor.dims()[0] * size_of::<f32>()).sum()
    }
}
