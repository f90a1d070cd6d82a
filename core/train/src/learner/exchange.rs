//! Gradients that ranks sum while backward still runs: a bucket of parameters is exchanged as soon as it is complete.
//!
//! Buckets and their order follow from the model alone, so that all ranks exchange the same ones, whoever is done
//! with which first. Each value is summed in the order of the tree, so that nothing of this is seen in a result.

use std::{
    collections::HashMap,
    mem,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use burn::{module::ParamId, tensor::Tensor};
use vitral_burn::kernels::Taker;
use vitral_distributed::{
    BUCKET, Carrier, Exchange, OnHost, ReduceError, Segments, Summand, TreeSum, Wire,
    all_reduce_by, reduce_scatter_by,
};
use vitral_model::{device::Device, parameters::ParameterInfo};

use super::own_sum::{Gradient, joined};
use crate::{Error, flat::on_device};

/// The least that a bucket has where a model is small.
const LEAST: usize = (1 << 20) / size_of::<f32>();

/// How a model's gradients are exchanged.
pub(super) struct Plan {
    /// Neighbouring parameters, and where their values lie among all; in the order in which they are exchanged.
    buckets: Vec<(Range<usize>, Range<usize>)>,
    /// Each rank's values, where it keeps the sum of these alone.
    segments: Option<Segments>,
    wire: Wire,
}

impl Plan {
    /// Buckets of 25 MiB, or of a quarter of the model where that is less: first those of the blocks from the last
    /// one on, which backward comes to first, and then what lies behind and before the blocks.
    pub(super) fn new(infos: &[ParameterInfo], segments: Option<Segments>, wire: Wire) -> Self {
        let values: usize = infos.iter().map(ParameterInfo::elements).sum();
        Self { buckets: buckets(infos, (values / 4).clamp(LEAST, BUCKET)), segments, wire }
    }

    /// Neighbouring parameters, and where their values lie among all, in the order in which they are exchanged.
    pub(super) fn buckets(&self) -> &[(Range<usize>, Range<usize>)] {
        &self.buckets
    }

    /// The sum of a bucket, or this rank's values of it.
    pub(super) fn sum<V: Summand>(
        &self,
        bucket: usize,
        carrier: &impl Carrier<V>,
        own: &TreeSum<V>,
    ) -> Result<V, ReduceError> {
        let values = self.buckets[bucket].1.clone();
        match &self.segments {
            None => all_reduce_by(carrier, own, values.len()),
            Some(segments) => reduce_scatter_by(carrier, own, &segments.within(values)),
        }
    }
}

fn buckets(infos: &[ParameterInfo], enough: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let is_of_block = |info: &ParameterInfo| info.name.starts_with("blocks.");
    let first = infos.iter().position(is_of_block).unwrap_or(infos.len());
    let end = infos.iter().rposition(is_of_block).map_or(first, |last| last + 1);
    let mut starts = vec![0];
    for info in infos {
        starts.push(starts[starts.len() - 1] + info.elements());
    }
    let mut buckets = Vec::new();
    for range in [first..end, end..infos.len(), 0..first] {
        let (start, mut end) = (range.start, range.end);
        for at in range.rev() {
            if starts[end] - starts[at] >= enough || at == start {
                buckets.push((at..end, starts[at]..starts[end]));
                end = at;
            }
        }
    }
    buckets
}

/// Gradients of a step on their way.
pub(super) struct Exchanging {
    plan: Arc<Plan>,
    pending: Arc<Mutex<Pending>>,
    summed: Receiver<Summed>,
    thread: JoinHandle<()>,
}

/// The sum of a bucket, and how long it took to exchange it.
struct Summed {
    bucket: usize,
    values: Result<Vec<f32>, ReduceError>,
    time: Duration,
}

impl Exchanging {
    /// Starts with the sums over this rank's parts but its last one, whose number this is.
    ///
    /// # Errors
    /// No thread can be made.
    pub(super) fn start(
        plan: Plan,
        ids: &[ParamId],
        peers: Arc<dyn Exchange + Send + Sync>,
        sums: Vec<TreeSum<Gradient>>,
        last: usize,
    ) -> Result<Self, Error> {
        let plan = Arc::new(plan);
        let (jobs, received) = mpsc::channel();
        let (tell, summed) = mpsc::channel();
        let work = {
            let plan = Arc::clone(&plan);
            move || {
                for (bucket, own) in received {
                    let start = Instant::now();
                    let span = tracing::trace_span!("exchange", bucket).entered();
                    let carrier = OnHost { peers: &*peers, wire: plan.wire };
                    let values = plan.sum(bucket, &carrier, &own);
                    drop(span);
                    if tell.send(Summed { bucket, values, time: start.elapsed() }).is_err() {
                        return;
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("vitral-exchange".into()).spawn(work);
        let thread = thread.map_err(|error| {
            Error::Message(format!("cannot start the thread that exchanges gradients: {error}"))
        })?;
        let pending = Pending {
            plan: Arc::clone(&plan),
            numbers: ids.iter().copied().zip(0..).collect(),
            taken: vec![false; sums.len()],
            sums: sums.into_iter().map(Some).collect(),
            missing: plan.buckets.iter().map(|(parameters, _)| parameters.len()).collect(),
            last,
            sent: 0,
            jobs: Some(jobs),
            failed: None,
        };
        Ok(Self { plan, pending: Arc::new(Mutex::new(pending)), summed, thread })
    }

    /// What takes the gradients that backward of the last part hands over.
    pub(super) fn taker(&self) -> Taker {
        let pending = Arc::clone(&self.pending);
        Taker::new(move |id, gradient| {
            let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(parameter) = pending.numbers.get(&id).copied() {
                pending.add(parameter, gradient);
            }
        })
    }

    /// Takes those of the last part that were not handed over: zeros where there is none.
    ///
    /// # Errors
    /// One came after it was sent, or they cannot be read.
    pub(super) fn take_rest(
        &self,
        left: Vec<Option<Tensor<1>>>,
        infos: &[ParameterInfo],
        device: &Device,
    ) -> Result<(), Error> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        // In the order in which they are sent.
        let buckets = self.plan.buckets.iter().flat_map(|(parameters, _)| parameters.clone());
        let mut left: HashMap<usize, Tensor<1>> =
            left.into_iter().enumerate().filter_map(|(at, left)| Some((at, left?))).collect();
        for parameter in buckets {
            match (left.remove(&parameter), pending.taken[parameter]) {
                (None, true) => {}
                (Some(_), true) => {
                    let name = &infos[parameter].name;
                    return Err(Error::Message(format!(
                        "a part of the gradient of `{name}` came after it was sent to other ranks"
                    )));
                }
                (Some(gradient), false) => pending.add(parameter, gradient),
                (None, false) => {
                    let count = infos[parameter].elements();
                    pending.add(parameter, Tensor::zeros([count], device));
                }
            }
        }
        pending.failed.take().map_or(Ok(()), |failed| Err(Error::Message(failed)))
    }

    /// The sums over all ranks: of all parameters or, of each rank's own values, pieces of these lengths. With them,
    /// for how long others were waited for or exchanged with while this rank computed.
    ///
    /// # Errors
    /// There are none.
    pub(super) fn finish(
        self,
        infos: &[ParameterInfo],
        pieces: Option<Vec<usize>>,
        device: &Device,
    ) -> Result<(Vec<Tensor<1>>, Duration), Error> {
        let Self { plan, pending, summed, thread } = self;
        // All was sent, after which the thread ends.
        pending.lock().unwrap_or_else(PoisonError::into_inner).jobs = None;
        let (mut waited, mut exchanged) = (Duration::ZERO, Duration::ZERO);
        let mut values = vec![Vec::new(); plan.buckets.len()];
        let mut tensors: Vec<Option<Tensor<1>>> = infos.iter().map(|_| None).collect();
        for _ in 0..plan.buckets.len() {
            let waiting = Instant::now();
            let Ok(one) = summed.recv() else { break };
            waited += waiting.elapsed();
            exchanged += one.time;
            let found = one.values.map_err(|error| Error::Message(error.to_string()))?;
            if pieces.is_some() {
                values[one.bucket] = found;
                continue;
            }
            // To the device while others are still on their way.
            let parameters = plan.buckets[one.bucket].0.clone();
            let lengths = infos[parameters.clone()].iter().map(ParameterInfo::elements);
            for (at, tensor) in parameters.zip(on_device(&found, lengths, device)) {
                tensors[at] = Some(tensor);
            }
        }
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
        let hidden = exchanged.saturating_sub(waited);
        let Some(pieces) = pieces else {
            let all: Option<Vec<_>> = tensors.into_iter().collect();
            let unsent = || Error::Message("not all gradients were exchanged".into());
            return Ok((all.ok_or_else(unsent)?, hidden));
        };
        let mut order: Vec<usize> = (0..plan.buckets.len()).collect();
        order.sort_by_key(|bucket| plan.buckets[*bucket].1.start);
        let own: Vec<f32> =
            order.into_iter().flat_map(|bucket| mem::take(&mut values[bucket])).collect();
        Ok((on_device(&own, pieces.into_iter(), device), hidden))
    }
}

/// What is not complete yet.
struct Pending {
    plan: Arc<Plan>,
    numbers: HashMap<ParamId, usize>,
    /// Of each parameter, as long as it is not sent.
    sums: Vec<Option<TreeSum<Gradient>>>,
    /// Whether the last part of a parameter's gradient was taken.
    taken: Vec<bool>,
    /// Parameters that a bucket still waits for.
    missing: Vec<usize>,
    /// The number of the last part.
    last: usize,
    /// Buckets that were sent.
    sent: usize,
    jobs: Option<Sender<(usize, TreeSum)>>,
    failed: Option<String>,
}

impl Pending {
    /// Adds the last part of a parameter's gradient, and sends what is complete.
    fn add(&mut self, parameter: usize, gradient: Tensor<1>) {
        self.taken[parameter] = true;
        if let Some(sum) = &mut self.sums[parameter] {
            sum.add(self.last, Gradient(gradient));
        }
        let of = |(parameters, _): &(Range<usize>, Range<usize>)| parameters.contains(&parameter);
        if let Some(bucket) = self.plan.buckets.iter().position(of) {
            self.missing[bucket] -= 1;
        }
        while self.missing.get(self.sent) == Some(&0) {
            self.send(self.sent);
            self.sent += 1;
        }
    }

    fn send(&mut self, bucket: usize) {
        let (parameters, values) = self.plan.buckets[bucket].clone();
        let sums: Vec<_> = self.sums[parameters].iter_mut().filter_map(Option::take).collect();
        match (joined(&sums, values.len()), &self.jobs) {
            // Where the thread has ended, that is told by who waits for it.
            (Ok(own), Some(jobs)) => drop(jobs.send((bucket, own))),
            (Ok(_), None) => {}
            // The others wait for this bucket: nothing is sent behind it.
            (Err(error), _) => {
                self.failed = Some(error.to_string());
                self.jobs = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use vitral_distributed::{Peers as _, parts_of, threads::ranks};

    use super::*;

    fn infos(lengths: &[(&str, usize)]) -> Vec<ParameterInfo> {
        let info = |(name, length): &(&str, usize)| ParameterInfo {
            name: (*name).into(),
            shape: vec![*length],
            decay: None,
        };
        lengths.iter().map(info).collect()
    }

    fn model() -> Vec<ParameterInfo> {
        infos(&[("patch", 3), ("blocks.0.a", 4), ("blocks.0.b", 1), ("blocks.1.a", 4), ("head", 2)])
    }

    #[test]
    fn buckets_follow_backward_and_hold_enough() {
        let cut = |enough| -> Vec<Range<usize>> {
            buckets(&model(), enough).into_iter().map(|(parameters, _)| parameters).collect()
        };
        assert_eq!(cut(1), [3..4, 2..3, 1..2, 4..5, 0..1]);
        assert_eq!(cut(5), [2..4, 1..2, 4..5, 0..1]);
        assert_eq!(cut(99), [1..4, 4..5, 0..1]);
        assert_eq!(buckets(&model(), 5)[0], (2..4, 7..12));
        let without = infos(&[("stem", 3), ("head", 2)]);
        assert_eq!(buckets(&without, 1), [(1..2, 3..5), (0..1, 0..3)]);
        assert_eq!(Plan::new(&model(), None, Wire::F32).buckets.len(), 3);
    }

    /// What is complete is with the other ranks before the rest is, and sums are those of the tree.
    #[test]
    fn a_bucket_is_exchanged_before_the_next_is_complete() {
        const PARTS: usize = 4;
        let (infos, device) = (model(), Device::flex());
        let ids: Vec<ParamId> = infos.iter().map(|_| ParamId::new()).collect();
        let values = |part: usize, parameter: usize| -> Vec<f32> {
            let scale = 1e3_f32.powi(part as i32);
            let value = |at: usize| ((part * 31 + parameter * 7 + at) % 13) as f32 * scale;
            (0..infos[parameter].elements()).map(value).collect()
        };
        let tensor =
            |part, parameter| Tensor::<1>::from_floats(&values(part, parameter)[..], &device);
        let of_tree = |parameter: usize| {
            let mut sum = TreeSum::new(PARTS);
            (0..PARTS).for_each(|part| sum.add(part, values(part, parameter)));
            sum.finish().unwrap()
        };
        let expected: Vec<f32> = (0..infos.len()).flat_map(of_tree).collect();
        let uneven = Segments::between(4, &[0, 9, 10, 14]);
        let even = Segments::even(2, 14);
        for (size, segments) in [(2, None), (4, None), (2, Some(even)), (4, Some(uneven))] {
            let found = ranks(size, |rank| {
                let own = parts_of(rank.rank(), size, PARTS);
                let last = own.end - 1;
                let sum = |at: usize| {
                    let mut sum = TreeSum::new(PARTS);
                    (own.start..last).for_each(|part| sum.add(part, Gradient(tensor(part, at))));
                    sum
                };
                let sums = (0..infos.len()).map(sum).collect();
                let pieces = segments.as_ref().map(|all| vec![all.of(rank.rank()).len()]);
                let segments = segments.clone();
                let plan = Plan { buckets: buckets(&infos, 5), segments, wire: Wire::F32 };
                let peers = rank.beside().unwrap();
                let exchanging = Exchanging::start(plan, &ids, peers, sums, last).unwrap();
                let taker = exchanging.taker();
                taker.take(ids[2], tensor(last, 2));
                let sent = || exchanging.pending.lock().unwrap().sent;
                assert_eq!(sent(), 0, "half of a bucket");
                taker.take(ids[3], tensor(last, 3));
                assert_eq!(sent(), 1);
                let left = |at: usize| (at < 2 || at == 4).then(|| tensor(last, at));
                let left = (0..infos.len()).map(left).collect();
                exchanging.take_rest(left, &infos, &device).unwrap();
                let (sums, _) = exchanging.finish(&infos, pieces, &device).unwrap();
                sums.into_iter()
                    .flat_map(|sum| sum.try_into_vec_as::<f32>().unwrap())
                    .collect::<Vec<_>>()
            });
            match segments {
                None => assert!(found.iter().all(|found| *found == expected), "{size} ranks"),
                Some(_) => assert_eq!(found.concat(), expected, "{size} ranks"),
            }
        }
    }
}
