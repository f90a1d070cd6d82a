//! Steps that the ranks of a job share: each computes the gradients of its micro-batches, and their sum is the
//! same to the byte however many ranks there are.

use std::{ops::Range, rc::Rc, sync::Arc, time::Duration};

use burn::tensor::Tensor;
use vitral_distributed::{
    Exchange, ReduceError, Summand as _, TreeSum, Wire, all_reduce, parts_of, reduce_scatter,
};
use vitral_model::{
    device::{Device, is_cpu},
    parameters::{self, ParameterInfo},
};

use super::{
    BatchGradients, Learner,
    batch_gradients::{AtHand, Cut, Figures, PartGradients},
    exchange::{Exchanging, Plan},
    own_sum::{Gradient, OwnGradients, OwnSum, joined, sums, wait_for_sums},
    within_memory::{wait_for, within_memory},
};
use crate::{
    Error,
    device_exchange::DeviceExchange,
    experiment::Communication,
    flat::on_device,
    gradients::{global_norm, squared_norms},
    ranks::Ranks,
    read_back::scalar,
};

/// A rank's part of a step.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    /// Images of the whole step that can be used.
    pub(crate) batch: usize,
    /// Images at hand that are neighbours in the whole step, and the place there of the first of them.
    pub(crate) neighbours: [(usize, Range<usize>); 2],
    /// The most neighbours that any rank has.
    pub(crate) most_neighbours: usize,
    /// How many micro-batches the step has, where the experiment says so.
    pub(crate) micro_batches: usize,
    /// Those of this rank: the number of each in the step, and which of the images at hand it has.
    pub(crate) own: Vec<(usize, Range<usize>)>,
}

impl Share {
    /// The part of one rank of several, whose images have these places among the `planned` ones of a step. Of these,
    /// each rank has so many images that could be read, in each of the two rows of neighbours that it has.
    pub(crate) fn new(
        ranks: &Ranks,
        micro_batches: usize,
        planned: usize,
        places: &[u32],
        images: &[[usize; 2]],
    ) -> Self {
        let rank = ranks.rank();
        // The second rows lie in the opposite order behind all of the first ones.
        let firsts = |images: &[[usize; 2]]| images.iter().map(|[first, _]| first).sum::<usize>();
        let seconds =
            |images: &[[usize; 2]]| images.iter().map(|[_, second]| second).sum::<usize>();
        let [first, second] = images[rank];
        let neighbours = [
            (firsts(&images[..rank]), 0..first),
            (firsts(images) + seconds(&images[rank + 1..]), first..first + second),
        ];
        let most_neighbours = images.iter().flatten().copied().max().unwrap_or(0);
        let batch = firsts(images) + seconds(images);
        // It has been made sure that they divide the batch.
        let size = planned.div_ceil(micro_batches);
        let before = |place: usize| places.partition_point(|own| (*own as usize) < place);
        let own = parts_of(ranks.rank(), ranks.size(), micro_batches);
        let own = own.map(|number| (number, before(number * size)..before((number + 1) * size)));
        Self { batch, neighbours, most_neighbours, micro_batches, own: own.collect() }
    }
}

impl Learner {
    /// Has this learner be that of one rank, which has as much of the optimizer as the experiment says.
    pub(crate) fn join(&mut self, ranks: &Ranks) {
        self.ranks = ranks.clone();
        if self.config.shard_optimizer && ranks.size() > 1 {
            self.shard_optimizer();
        }
    }

    /// Has the GPUs of ranks exchange values in this way.
    pub(crate) fn exchange_by(&mut self, by: Option<Rc<dyn DeviceExchange>>) {
        self.ranks = std::mem::take(&mut self.ranks).with_device_exchange(by);
    }

    /// The gradients of a rank's part of a step. Where others wait for them they are there when this returns, so
    /// that what a GPU takes for them is not taken for the time that it waits for others.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] where the cut is open, after which everything is as it was before; or the device
    /// fails.
    pub(crate) fn own_gradients(
        &mut self,
        step: u64,
        share: &Share,
        images: Tensor<4>,
        targets: Tensor<2>,
    ) -> Result<OwnSum, Error> {
        let at_hand = AtHand { images, targets, batch: share.batch, is_augmented_whole: false };
        let parameters = self.infos.len();
        let here =
            |(gradients, figures)| OwnSum { gradients: OwnGradients::Here(gradients), figures };
        let Some(size) = self.micro_batch else {
            let beside = self.beside();
            let mut parts = |own: &[(usize, Range<usize>)]| {
                let part = |(number, range): &(usize, Range<usize>)| {
                    let cut = Cut { number: *number, place: range.start, range: range.clone() };
                    let part = match range.is_empty() {
                        true => self.nothing(),
                        false => self.part_or_repeated(step, cut, &at_hand, true, &mut |_| {}),
                    };
                    (*number, part)
                };
                sums(parameters, share.micro_batches, own.iter().map(part))
            };
            if let (Some(peers), Some(((last, range), before))) = (beside, share.own.split_last()) {
                let before = parts(before);
                return self.exchanging(step, peers, before, (*last, range), &at_hand);
            }
            let own = parts(&share.own);
            if self.ranks.size() > 1 {
                wait_for_sums(&own.0, &own.1)?;
            }
            return Ok(here(own));
        };
        within_memory(|| {
            // However it is cut, what a rank has is one part of the sum.
            let mut own: Option<PartGradients> = None;
            for (first, all) in &share.neighbours {
                for start in all.clone().step_by(size) {
                    let range = start..all.end.min(start + size);
                    let cut = Cut { number: 0, place: first + start - all.start, range };
                    let next = self.part(step, cut, &at_hand, &mut |_| {});
                    match &mut own {
                        Some(own) => own.add(next),
                        None => own = Some(next),
                    }
                }
            }
            let own = own.unwrap_or_else(|| self.nothing());
            wait_for(&own.gradients, &own.figures.loss)?;
            let own = [(self.ranks.rank(), own)].into_iter();
            Ok(here(sums(parameters, self.ranks.size(), own)))
        })
    }

    /// By what gradients are exchanged while backward runs, where that can be: on the processor, which has computed
    /// a gradient when it hands it over.
    fn beside(&self) -> Option<Arc<dyn Exchange + Send + Sync>> {
        if self.ranks.device_exchange().is_some() {
            return None;
        }
        let peers = self.ranks.peers().filter(|peers| peers.size() > 1);
        peers.filter(|_| is_cpu(&self.device()))?.beside()
    }

    /// Has the sums over a rank's parts but the last one be exchanged with those over it, while it is computed.
    fn exchanging(
        &self,
        step: u64,
        peers: Arc<dyn Exchange + Send + Sync>,
        (gradients, mut figures): (Vec<TreeSum<Gradient>>, TreeSum<Figures>),
        (last, range): (usize, &Range<usize>),
        at_hand: &AtHand,
    ) -> Result<OwnSum, Error> {
        let device = self.device();
        let segments = self.shard.as_ref().map(|shard| shard.segments().clone());
        let plan = Plan::new(&self.infos, segments, self.wire());
        let ids = parameters::ids(&self.model);
        let exchanging = Exchanging::start(plan, &ids, peers, gradients, last)?;
        let (left, of_last) = match range.is_empty() {
            true => (self.infos.iter().map(|_| None).collect(), self.no_figures()),
            false => {
                let model = self.model.clone().handing_over(exchanging.taker());
                let part = Cut { number: last, place: range.start, range: range.clone() };
                let (mut left, of_last) = self.backward(&model, step, part, at_hand, &mut |_| {});
                (parameters::gradients_left(&self.model, &mut left), of_last)
            }
        };
        exchanging.take_rest(left, &self.infos, &device)?;
        figures.add(last, of_last);
        Ok(OwnSum { gradients: OwnGradients::Exchanging(exchanging), figures })
    }

    pub(super) fn wire(&self) -> Wire {
        match self.config.communication {
            Communication::F32 => Wire::F32,
            Communication::BF16 => Wire::Bf16,
        }
    }

    /// The gradients of a step of which each rank has computed its own, and for how long they were exchanged, or others
    /// were waited for, while this rank computed.
    ///
    /// # Errors
    /// The device fails.
    pub(crate) fn summed(&self, own: OwnSum) -> Result<(BatchGradients, Duration), Error> {
        let _span = tracing::trace_span!("sum over ranks").entered();
        let (device, OwnSum { gradients, figures }) = (self.device(), own);
        let summed = |error: ReduceError| Error::Message(error.to_string());
        let peers = self.ranks.peers().filter(|peers| peers.size() > 1);
        let (gradients, hidden) = match (gradients, peers) {
            (OwnGradients::Exchanging(exchanging), _) => {
                let pieces = self.shard.as_ref().map(|shard| shard.lengths().collect());
                exchanging.finish(&self.infos, pieces, &device)?
            }
            (OwnGradients::Here(sums), None) => {
                let own: Option<Vec<_>> = sums.into_iter().map(TreeSum::finish).collect();
                let own = own.map(|own| own.into_iter().map(|Gradient(own)| own).collect());
                (own.unwrap_or_else(|| self.nothing().gradients), Duration::ZERO)
            }
            (OwnGradients::Here(sums), Some(_)) if let Some(by) = self.ranks.device_exchange() => {
                (self.summed_on_gpus(by, sums)?, Duration::ZERO)
            }
            (OwnGradients::Here(sums), Some(peers)) => {
                let count = self.infos.iter().map(ParameterInfo::elements).sum();
                let values = joined(&sums, count)?;
                drop(sums);
                let gradients = match &self.shard {
                    None => {
                        let all = all_reduce(peers, &values, self.wire()).map_err(summed)?;
                        on_device(&all, self.infos.iter().map(ParameterInfo::elements), &device)
                    }
                    Some(shard) => {
                        let own = reduce_scatter(peers, &values, shard.segments(), self.wire());
                        on_device(&own.map_err(summed)?, shard.lengths(), &device)
                    }
                };
                (gradients, Duration::ZERO)
            }
        };
        // After the gradients: one thread at a time meets the others.
        let Figures { loss, correct } = match peers {
            None => figures.finish().unwrap_or_else(|| self.no_figures()),
            Some(peers) => {
                let own = figures.try_map(|figures| {
                    let Figures { loss, correct } = figures;
                    Ok::<_, Error>(vec![scalar(loss.clone())?, scalar(correct.clone())?])
                })?;
                let all = all_reduce(peers, &own, Wire::F32).map_err(summed)?;
                let figure = |value: f32| Tensor::from_floats([value], &device);
                Figures { loss: figure(all[0]), correct: figure(all[1]) }
            }
        };
        let gradients = self.unscaled(gradients);
        let norm = match &self.shard {
            None if self.scaler.is_none() => None,
            None => Some(global_norm(&gradients)),
            Some(_) => Some(self.norm_of_all(&gradients)?),
        };
        Ok((BatchGradients { gradients, norm, loss, correct }, hidden))
    }

    /// The global norm where each rank has a part of the gradients: the same as where each has all of them.
    fn norm_of_all(&self, gradients: &[Tensor<1>]) -> Result<Tensor<1>, Error> {
        let own = squared_norms(gradients)?;
        let all = match self.ranks.peers() {
            Some(peers) => {
                let counts = self.ranks.gather(own.len())?;
                peers.all_gather_values(&own, &counts)
            }
            None => own,
        };
        let squared: f64 = all.iter().map(|&sum| f64::from(sum)).sum();
        Ok(Tensor::from_floats([squared.sqrt() as f32], &self.device()))
    }

    /// What a micro-batch adds of which no image could be read.
    fn nothing(&self) -> PartGradients {
        let device = self.device();
        let zeros = |info: &ParameterInfo| Tensor::zeros([info.elements()], &device);
        PartGradients {
            gradients: self.infos.iter().map(zeros).collect(),
            figures: self.no_figures(),
        }
    }

    fn no_figures(&self) -> Figures {
        let zero = Tensor::zeros([1], &self.device());
        Figures { loss: zero.clone(), correct: zero }
    }

    pub(super) fn device(&self) -> Device {
        self.model.head.weight.val().device().without_autodiff()
    }
}

#[cfg(test)]
mod tests;
