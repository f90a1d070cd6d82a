//! What a step means, and what becomes of it when a run goes on with another experiment or other data.

use vitral_data::{DataConfig, Fingerprint, Fingerprints, Loader};
use vitral_model::ConfigProblem;

use crate::{
    experiment::{Experiment, TrainConfig},
    place::Place,
    plan::Plan,
    schedule::Decay,
};

/// What the next step of a run means by an experiment and its data.
pub(super) struct Meaning<'a> {
    train: &'a TrainConfig,
    place: Place,
    plan: Plan,
    step: u64,
}

impl<'a> Meaning<'a> {
    /// Of a run that has made so many steps, and is at this place.
    pub(super) fn of(experiment: &'a Experiment, place: Place, step: u64) -> Self {
        let train = &experiment.train;
        Self { train, place, plan: train.plan(place, step), step }
    }

    fn epoch(&self) -> f64 {
        self.plan.epoch(self.step)
    }

    fn rates(&self) -> [(&'static str, f64); 2] {
        let (schedule, train) = (&self.plan.schedule, self.train);
        let decay = schedule.weight_decay(train.weight_decay, train.weight_decay_end, self.step);
        [("learning rate", schedule.learning_rate(self.step)), ("weight decay", decay)]
    }
}

/// What changes for a run that goes on, in sentences; nothing if nothing does.
///
/// # Errors
/// The run is already beyond its end.
pub(super) fn changes(
    before: &Meaning<'_>,
    now: &Meaning<'_>,
) -> Result<Vec<String>, ConfigProblem> {
    let (step, total) = (now.step, now.plan.total);
    let (field, end) = now.train.length();
    let is_other_length = (field, end) != before.train.length();
    // With the same length, it can be beyond its end by no more than a rounded batch.
    if total < step && is_other_length {
        let made = match now.train.steps {
            Some(_) => format!("{step} steps"),
            None => epochs(now.epoch()),
        };
        return Err(ConfigProblem {
            field: field.into(),
            message: format!(
                "nothing left to do: `{field}` is {}, but the run has made {made}",
                round(end)
            ),
            help: format!(
                "give `{field}` more than that, or resume an earlier checkpoint of the run"
            ),
        });
    }
    let mut said = Vec::new();
    let steps = |meaning: &Meaning<'_>| meaning.plan.steps_per_epoch;
    if now.place.images != before.place.images {
        said.push(format!(
            "`data.train` has {} images, but had {} before",
            now.place.images, before.place.images
        ));
    }
    if now.place.batch != before.place.batch {
        said.push(format!("`train.batch` is {}, and was {}", now.place.batch, before.place.batch));
    }
    if steps(now) != steps(before) {
        said.push(format!("an epoch is now {}, not {}", count(steps(now)), steps(before)));
    }
    if is_other_length {
        let (field_before, end_before) = before.train.length();
        let was = if field_before == field { String::new() } else { format!("`{field_before}` ") };
        said.push(format!("`{field}` is {}, and {was}was {}", round(end), round(end_before)));
    }
    let is_changed = !said.is_empty();
    if total <= step {
        said.push(format!(
            "nothing left to do: all {} ({}) are made; to train longer, set `{field}` to more",
            count(step),
            epochs(now.epoch())
        ));
        return Ok(said);
    }
    if is_changed {
        said.push(format!(
            "resumes after {} of {} epochs, with {} to make",
            round(now.epoch()),
            round(now.plan.epoch(total)),
            count(total - step)
        ));
    }
    for ((what, rate), (_, rate_before)) in now.rates().into_iter().zip(before.rates()) {
        if (rate - rate_before).abs() > 0.01 * rate.abs().max(rate_before.abs()) {
            said.push(format!("the {what} jumps from {rate_before:.2e} to {rate:.2e}"));
        }
    }
    said.extend(doubts(now).into_iter().filter(|doubt| !doubts(before).contains(doubt)));
    Ok(said)
}

/// What is different of a run's data, by an experiment before and now, in sentences.
pub(super) fn other_data(
    before: &Fingerprints,
    now: &Fingerprints,
    [written, experiment]: [&DataConfig; 2],
) -> Vec<String> {
    let sets = [
        ("data.train", &before.train, &now.train, written.train == experiment.train),
        ("data.val", &before.val, &now.val, written.val == experiment.val),
    ];
    let differing = |(field, before, now, is_same_field): (
        &str,
        &Fingerprint,
        &Fingerprint,
        bool,
    )| {
        // How many images there are to train with is told with what it changes.
        let is_told = field == "data.train" && before.images != now.images;
        let difference = before.difference(now).filter(|_| !is_told)?;
        Some(match is_same_field {
            true => format!(
                "warning: `{field}` has changed since the checkpoint was written: it {difference}"
            ),
            false => format!("`{field}` {difference}"),
        })
    };
    sets.into_iter().filter_map(differing).collect()
}

/// What is most likely not meant, in sentences.
pub(super) fn doubts(run: &Meaning<'_>) -> Vec<String> {
    let (train, Place { batch, images, .. }) = (run.train, run.place);
    let mut said = Vec::new();
    if batch > images {
        said.push(format!(
            "`train.batch` is {batch}, but there are {images} training images: each step is an epoch of \
             them all"
        ));
    }
    let length = run.plan.schedule.total;
    let epoch = Loader::batches_per_epoch(images, batch) as f64;
    let (field, warmup, steps) = match train.warmup_steps {
        Some(steps) => ("train.warmup_steps", steps as f64, steps as f64),
        None => ("train.warmup_epochs", train.warmup_epochs, (train.warmup_epochs * epoch).round()),
    };
    if steps >= length as f64 && length > 1 {
        said.push(format!(
            "`{field}` is {}, but the run is {} ({}) long: the learning rate rises to the end, and does \
             not fall",
            round(warmup),
            count(length),
            epochs(length as f64 / epoch)
        ));
    } else if let Decay::WarmupStableDecay { epochs: cooldown, .. } = train.decay
        && (cooldown * epoch).round() > length as f64 - steps
    {
        said.push(format!(
            "`train.decay` falls over the last {}, but the run is {} ({}) long: the learning rate falls as \
             soon as the warm-up ends",
            epochs(cooldown),
            count(length),
            epochs(length as f64 / epoch)
        ));
    }
    said
}

fn count(steps: u64) -> String {
    if steps == 1 { "1 step".into() } else { format!("{steps} steps") }
}

fn epochs(epochs: f64) -> String {
    let number = round(epochs);
    if number == "1" { "1 epoch".into() } else { format!("{number} epochs") }
}

/// Up to two decimals, without trailing zeros.
fn round(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 36 images in batches of 8 are 4 steps an epoch, of which 6 are to be.
    fn experiment(change: impl FnOnce(&mut TrainConfig)) -> Experiment {
        let text = r#"(
            data: (train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])),
            train: (epochs: 6, batch: 8, learning_rate: 1e-3),
        )"#;
        let mut experiment: Experiment =
            vitral_config::Document::new("test", text).parse().unwrap();
        change(&mut experiment.train);
        experiment
    }

    const SECOND_EPOCH: Place = Place { batch: 8, images: 36, batches: 8 };

    fn told(images: usize, change: impl FnOnce(&mut TrainConfig)) -> Result<String, ConfigProblem> {
        let (before, now) = (experiment(|_| {}), experiment(change));
        let place = SECOND_EPOCH.with(now.train.batch.effective(), images);
        let now = Meaning::of(&now, place, 8);
        changes(&Meaning::of(&before, SECOND_EPOCH, 8), &now).map(|said| said.join("\n"))
    }

    #[test]
    fn nothing_is_told_where_nothing_changes() {
        assert_eq!(told(36, |_| {}), Ok(String::new()));
        assert_eq!(told(36, |train| train.log_every = 1), Ok(String::new()));
    }

    #[test]
    fn another_batch_goes_on_at_the_same_place() {
        for (batch, per_epoch, left) in [(16, "2 steps", "8 steps"), (4, "9 steps", "36 steps")] {
            let said = told(36, |train| train.batch = batch.into()).unwrap();
            for words in [
                format!("`train.batch` is {batch}, and was 8"),
                format!("an epoch is now {per_epoch}, not 4"),
                format!("after 2 of 6 epochs, with {left} to make"),
            ] {
                assert!(said.contains(&words), "{words} is not in\n{said}");
            }
            assert!(!said.contains("jumps"), "{said}");
        }
    }

    #[test]
    fn other_images_and_other_ends_are_told_with_what_jumps() {
        let said = told(72, |_| {}).unwrap();
        assert!(said.contains("has 72 images, but had 36 before"), "{said}");
        assert!(said.contains("after 2 of 6 epochs, with 36 steps to make"), "{said}");
        let said = told(36, |train| train.epochs = 12.0).unwrap();
        assert!(said.contains("`train.epochs` is 12, and was 6"), "{said}");
        assert!(said.contains("the learning rate jumps from 9."), "{said}");
        let said = told(36, |train| (train.steps, train.weight_decay_end) = (Some(30), Some(0.4)));
        let said = said.unwrap();
        assert!(said.contains("`train.steps` is 30, and `train.epochs` was 6"), "{said}");
        assert!(said.contains("the weight decay jumps from 5.00e-2 to "), "{said}");
    }

    #[test]
    fn a_run_at_its_end_has_nothing_left_to_do_and_one_beyond_it_is_refused() {
        let said = told(36, |train| train.epochs = 2.0).unwrap();
        assert!(said.contains("nothing left to do: all 8 steps (2 epochs) are made"), "{said}");
        for (field, problem) in [
            ("train.epochs", told(36, |train| train.epochs = 1.0)),
            ("train.steps", told(36, |train| train.steps = Some(7))),
        ] {
            let problem = problem.unwrap_err();
            assert_eq!(problem.field, field);
            assert!(problem.message.contains("nothing left to do"), "{}", problem.message);
        }
    }

    #[test]
    fn other_data_is_a_warning_unless_the_experiment_has_it() {
        let of = |images, index| Fingerprint { images, labels: 7, index };
        let before = Fingerprints { train: of(36, 1), val: of(9, 2) };
        let now = Fingerprints { train: of(36, 3), val: of(8, 4) };
        let experiment = experiment(|_| {}).data;
        let said = other_data(&before, &now, [&experiment, &experiment]);
        assert!(said[0].contains("warning: `data.train` has changed since"), "{said:?}");
        assert!(said[0].contains("it still has 36 images, but not the same ones"), "{said:?}");
        assert!(
            said[1].ends_with(
                "`data.val` has changed since the checkpoint was written: it has 8 images, but had \
                                   9 before"
            ),
            "{said:?}"
        );
        let set = DataConfig { val: experiment.train.clone(), ..experiment.clone() };
        let said = other_data(&before, &now, [&experiment, &set]);
        assert_eq!(said[1], "`data.val` has 8 images, but had 9 before");
        // The number of images to train with is told by `changes`.
        let fewer = Fingerprints { train: of(30, 3), val: of(9, 2) };
        assert!(other_data(&before, &fewer, [&experiment, &experiment]).is_empty());
        assert!(other_data(&before, &before, [&experiment, &experiment]).is_empty());
    }

    #[test]
    fn what_is_most_likely_not_meant_is_told() {
        let doubts = |change: fn(&mut TrainConfig)| {
            let experiment = experiment(change);
            let place = Place { batch: experiment.train.batch.effective(), images: 36, batches: 0 };
            doubts(&Meaning::of(&experiment, place, 0)).join("\n")
        };
        assert_eq!(doubts(|_| {}), "");
        assert!(doubts(|train| train.batch = 37.into()).contains("there are 36 training images"));
        assert_eq!(doubts(|train| train.batch = 36.into()), "");
        for said in [
            doubts(|train| train.warmup_epochs = 30.0),
            doubts(|train| train.warmup_steps = Some(24)),
        ] {
            assert!(said.contains("24 steps (6 epochs) long"), "{said}");
        }
        assert_eq!(doubts(|train| train.warmup_steps = Some(23)), "");
        let cooldown = |epochs| Decay::WarmupStableDecay { epochs, shape: Default::default() };
        let whole = |train: &mut TrainConfig| train.decay = Decay::Constant;
        assert_eq!(doubts(whole), "");
        let said = |epochs| {
            let experiment = experiment(|train| train.decay = cooldown(epochs));
            let place = Place { batch: 8, images: 36, batches: 0 };
            super::doubts(&Meaning::of(&experiment, place, 0)).join("\n")
        };
        assert_eq!(said(5.0), "");
        assert!(said(6.0).contains("falls over the last 6 epochs"), "{}", said(6.0));
    }
}
