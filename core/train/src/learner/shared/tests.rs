//! Any number of ranks, however they exchange values, comes to what one comes to.

use burn::tensor::FloatDType;
use vitral_data::Shard;
use vitral_distributed::threads::{Rank, ranks};
use vitral_model::ViTConfig;
use vitral_seed::Seed;

use super::*;
use crate::{
    batch_size::BatchSize,
    experiment::TrainConfig,
    mix::{Mix, MixMode},
    schedule::{Decay, Schedule},
};

const BATCH: usize = 16;

fn model() -> ViTConfig {
    ViTConfig {
        image_size: 8,
        patch_size: Some(4),
        // More than a piece of the norm in one parameter.
        width: Some(80),
        depth: Some(2),
        heads: Some(2),
        classes: 3,
        dropout: 0.1,
        drop_path: 0.2,
        ..ViTConfig::default()
    }
}

fn train(accum_steps: usize) -> TrainConfig {
    TrainConfig {
        batch: BatchSize::Fixed(BATCH),
        accum_steps,
        ema: Some(0.9),
        clip_norm: Some(0.5),
        frozen: vec!["blocks.0.mlp.fc1.bias".into()],
        mix: Mix { mixup: 0.8, cutmix: 1.0, ..Mix::default() },
        ..TrainConfig::default()
    }
}

fn learner(train: &TrainConfig) -> Learner {
    let schedule = Schedule {
        decay: Decay::Constant,
        peak: 1e-2,
        floor: 0.0,
        warmup: 0,
        total: 9,
        ..Schedule::default()
    };
    Learner::new(&model(), train, schedule, Seed::new(3), &Device::flex()).unwrap()
}

/// The images of a step with these places.
fn images(step: u64, places: &[u32]) -> (Tensor<4>, Tensor<2>) {
    let model = model();
    let values = model.image_size * model.image_size * model.channels;
    let value = |place: u32, at: usize| {
        ((step as usize * 31 + place as usize * 7 + at * 13) % 97) as f32 / 97.0
    };
    let pixels = places.iter().flat_map(|&place| (0..values).map(move |at| value(place, at)));
    let shape = [places.len(), model.image_size, model.image_size, model.channels];
    let pixels = burn::tensor::TensorData::new(pixels.collect::<Vec<f32>>(), shape);
    let labels: Vec<u32> = places.iter().map(|place| place % 3).collect();
    let device = Device::flex();
    (Tensor::from_data(pixels, &device), crate::loss::targets(&labels, 3, 0.1, &device))
}

/// Ranks whose tensors are exchanged as GPUs would.
struct BetweenDevices(Rank);

impl BetweenDevices {
    fn tensor(values: Vec<f32>, like: &Tensor<1>) -> Tensor<1> {
        // GPUs have no tensors without values.
        let values = if values.is_empty() { vec![f32::NAN] } else { values };
        Tensor::from_floats(&values[..], &like.device()).cast(like.dtype())
    }
}

impl DeviceExchange for BetweenDevices {
    fn rank(&self) -> usize {
        Exchange::rank(&self.0)
    }

    fn size(&self) -> usize {
        Exchange::size(&self.0)
    }

    fn all_to_all(
        &self,
        send: Tensor<1>,
        counts: &[usize],
        from: &[usize],
    ) -> Result<Tensor<1>, String> {
        let mut values = send.clone().cast(FloatDType::F32).try_into_vec_as::<f32>().unwrap();
        values.truncate(counts.iter().sum());
        let received = Exchange::all_to_all(&self.0, &values, counts, from);
        Ok(Self::tensor(received, &send))
    }

    fn all_gather(&self, own: Tensor<1>, counts: &[usize]) -> Result<Tensor<1>, String> {
        let mut values = own.clone().cast(FloatDType::F32).try_into_vec_as::<f32>().unwrap();
        values.truncate(counts[self.rank()]);
        Ok(Self::tensor(self.0.all_gather_values(&values, counts), &own))
    }
}

/// All that a few steps leave: losses, norms, weights, averages; `lost` are the places that cannot be read.
fn trained(size: usize, train: &TrainConfig, lost: &[u32]) -> Vec<f32> {
    trained_by(size, train, lost, |_| None)
}

/// The same, where tensors are exchanged without the memory of hosts.
fn trained_between_devices(size: usize, train: &TrainConfig) -> Vec<f32> {
    trained_by(size, train, &[], |rank| Some(Rc::new(BetweenDevices(rank.clone()))))
}

fn trained_by(
    size: usize,
    train: &TrainConfig,
    lost: &[u32],
    exchange: impl Fn(&Rank) -> Option<Rc<dyn DeviceExchange>> + Sync,
) -> Vec<f32> {
    let all = ranks(size, |rank| {
        let shared = Ranks::new(Rc::new(rank.clone()));
        let mut learner = learner(train);
        learner.join(&shared);
        learner.exchange_by(exchange(rank));
        let mut found = Vec::new();
        for step in 0..3 {
            let own = |part: Range<usize>| -> Vec<u32> {
                part.map(|place| place as u32).filter(|place| !lost.contains(place)).collect()
            };
            let places = |rank: usize| {
                let shard = Shard::new(rank as u32, size as u32).unwrap();
                let is_paired = train.batch.is_auto() && train.mix.is_on();
                let shard = if is_paired { shard.paired() } else { shard };
                shard.places(BATCH).map(own)
            };
            let count = |rank: usize| places(rank).map(|own| own.len());
            let counts: Vec<[usize; 2]> = (0..size).map(count).collect();
            let places = places(shared.rank()).concat();
            let share = Share::new(&shared, train.accum_steps, BATCH, &places, &counts);
            let (images, targets) = images(step, &places);
            let own = learner.own_gradients(step, &share, images, targets).unwrap();
            let learned = learner.apply(step, learner.summed(own).unwrap().0, 1.0).unwrap();
            for figure in [learned.loss, learned.correct, learned.gradient_norm] {
                found.push(scalar(figure).unwrap());
            }
        }
        let tensors = learner.export().unwrap();
        let ema = tensors.ema.unwrap();
        for tensor in tensors.model.iter().chain(&ema).chain(&tensors.optimizer) {
            found.extend(&tensor.values);
        }
        found
    });
    assert!(all.iter().all(|one| *one == all[0]), "ranks have other results");
    all.into_iter().next().unwrap()
}

#[test]
fn any_number_of_ranks_comes_to_the_same_bytes() {
    let train = train(4);
    let one = trained(1, &train, &[]);
    assert!(one.iter().all(|value| value.is_finite()));
    for size in [2, 4] {
        assert!(trained(size, &train, &[]) == one, "{size} ranks");
    }
    let sharded = TrainConfig { shard_optimizer: true, ..train };
    for size in [1, 2, 4] {
        assert!(trained(size, &sharded, &[]) == one, "{size} ranks with a part of the optimizer");
    }
}

/// What GPUs exchange directly is summed in the order in which hosts sum it.
#[test]
fn devices_that_exchange_tensors_come_to_the_same_bytes() {
    for communication in [Communication::F32, Communication::BF16] {
        for shard_optimizer in [false, true] {
            let train = TrainConfig { communication, shard_optimizer, ..train(4) };
            for size in [2, 4] {
                let on_hosts = trained(size, &train, &[]);
                assert!(
                    trained_between_devices(size, &train) == on_hosts,
                    "{size} ranks, {communication:?}, part of the optimizer: {shard_optimizer}"
                );
            }
        }
    }
    // Where each rank's part is cut freely, too.
    let auto = BatchSize::Auto { effective: BATCH, memory: None };
    let train = TrainConfig { batch: auto, mix: Mix::default(), ..train(1) };
    assert!(trained_between_devices(2, &train) == trained(2, &train, &[]));
}

#[test]
fn gradients_in_bf16_come_to_nearly_the_same_on_all_ranks() {
    let exact = trained(2, &train(4), &[]);
    let train = TrainConfig { communication: Communication::BF16, ..train(4) };
    let rounded = trained(2, &train, &[]);
    assert!(rounded != exact, "nothing was rounded");
    assert!(rounded == trained(2, &train, &[]), "the same ranks come to something else");
    let sharded = TrainConfig { shard_optimizer: true, ..train.clone() };
    assert!(rounded == trained(2, &sharded, &[]), "with a part of the optimizer each");
    // The losses of the first steps, and the norms.
    for (rounded, exact) in rounded.iter().zip(&exact).take(9) {
        assert!((rounded - exact).abs() <= 0.02 * exact.abs(), "{rounded} for {exact}");
    }
}

#[test]
fn images_that_cannot_be_read_change_no_others_place() {
    let train = train(4);
    // Some of a micro-batch, and all of another.
    let lost = [1, 8, 9, 10, 11, 15];
    let one = trained(1, &train, &lost);
    assert!(one != trained(1, &train, &[]));
    for size in [2, 4] {
        assert!(trained(size, &train, &lost) == one, "{size} ranks");
    }
}

/// The noise of a batch that is cut freely is that of the whole; only the order of the sum differs.
#[test]
fn ranks_that_cut_their_part_freely_come_to_the_whole() {
    let mode = MixMode::Element;
    let elements = Mix { mixup: 0.8, cutmix: 1.0, mode, ..Mix::default() };
    for mix in [Mix::default(), train(1).mix, elements] {
        let auto = BatchSize::Auto { effective: BATCH, memory: None };
        let train = TrainConfig { batch: auto, mix, ..train(1) };
        let one = trained(1, &train, &[]);
        for size in [2, 3] {
            let found = trained(size, &train, &[]);
            for (found, one) in found.iter().zip(&one).take(9) {
                let near = (found - one).abs() < 1e-3 * one.abs().max(1.0);
                assert!(near, "{found} for {one} with {mix:?} in {size} ranks");
            }
        }
        // What is left is mixed with what is left in the rank.
        assert!(trained(2, &train, &[1, 8, 15]).iter().all(|value| value.is_finite()));
    }
}

#[test]
fn a_part_of_the_optimizer_is_less_and_is_saved_whole() {
    let train = TrainConfig { shard_optimizer: true, ..train(2) };
    let bytes = ranks(2, |rank| {
        let shared = Ranks::new(Rc::new(rank.clone()));
        let mut learner = learner(&train);
        let whole = learner.optimizer_bytes();
        learner.join(&shared);
        let mut tensors = learner.export().unwrap();
        tensors.optimizer.iter_mut().for_each(|tensor| tensor.values.fill(0.25));
        learner.import(&tensors, &Device::flex()).unwrap();
        assert!(learner.export().unwrap().optimizer == tensors.optimizer);
        (learner.optimizer_bytes(), whole)
    });
    let ((first, whole), (second, _)) = (bytes[0], bytes[1]);
    assert_eq!(first + second, whole);
    assert!(first.abs_diff(second) < whole / 10, "{first} and {second} of {whole}");
}
