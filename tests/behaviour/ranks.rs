//! Several ranks train one model: the result of one, whatever happens. Here they are threads of one process;
//! `tests/mpi/train` has `mpirun` start them.

use std::{
    fs,
    path::Path,
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
};

use burn::tensor::Device;
use serde_json::Value;
use vitral_distributed::threads::ranks;
use vitral_train::{
    Error, Event, Experiment, Outcome, Ranks, Trainer,
    batch_size::BatchSize,
    checkpoint::{self, Checkpoint},
    mix::Mix,
    plugins::Registry,
    prune::PruneConfig,
};

use crate::support::images::Workspace;

/// The workspace's experiment, in which every kind of noise is on, in four micro-batches.
fn experiment(workspace: &Workspace, output: &str) -> Experiment {
    let text = fs::read_to_string(workspace.join("experiment.ron")).unwrap();
    let mut experiment: Experiment =
        vitral_config::Document::new("experiment.ron", text).parse().unwrap();
    experiment.resolve_paths(workspace.path());
    experiment.output = workspace.join(output);
    experiment.train.accum_steps = 4;
    experiment
}

/// Without plugins.
fn registry() -> Registry {
    Registry::new(Vec::new(), vitral_bundle::Trust::default(), None)
}

/// Trains in so many ranks: each from what `begin` gives, with its own signal.
fn train(
    size: usize,
    begin: impl Fn(&Ranks) -> Result<Trainer, Error> + Sync,
    signal: Option<(usize, u64)>,
) -> Vec<Result<Outcome, String>> {
    let stops: Vec<AtomicBool> = (0..size).map(|_| AtomicBool::new(false)).collect();
    ranks(size, |rank| {
        let shared = Ranks::new(Rc::new(rank.clone()));
        let own = shared.rank();
        let mut trainer = begin(&shared).map_err(|error| error.to_string())?;
        let mut observer = |event: &Event| {
            assert_eq!(own, 0, "another rank tells of {event:?}");
            if let (Event::Stepped(report), Some((to, step))) = (event, signal)
                && report.step == step
            {
                stops[to].store(true, Ordering::SeqCst);
            }
        };
        trainer.run(&mut observer, &stops[own]).map_err(|error| error.to_string())
    })
}

fn train_new(size: usize, experiment: &Experiment) -> Vec<Result<Outcome, String>> {
    let begin =
        |ranks: &Ranks| Trainer::new_among(ranks, experiment.clone(), &registry(), &Device::flex());
    train(size, begin, None)
}

fn go_on(size: usize, run: &Path, steps: u64, signal: Option<(usize, u64)>) {
    let begin = |ranks: &Ranks| {
        let mut checkpoint = Checkpoint::load(&checkpoint::find(run).unwrap()).unwrap();
        checkpoint.experiment.train.steps = Some(steps);
        Trainer::resume_among(ranks, checkpoint, &registry(), &Device::flex())
    };
    train(size, begin, signal).into_iter().for_each(|outcome| drop(outcome.unwrap()));
}

/// The tensors of a run's last checkpoint, and its metrics without what depends on time.
fn result(run: &Path) -> (Vec<Vec<u8>>, Vec<Value>) {
    let last = run.join(fs::read_to_string(run.join("last")).unwrap().trim());
    let files = ["model.safetensors", "ema.safetensors", "optimizer.safetensors"];
    let tensors = files.map(|file| fs::read(last.join(file)).unwrap()).to_vec();
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let fields = line.as_object_mut().unwrap();
        for of_time in
            ["images_per_second", "data_wait", "data", "communication", "communication_hidden"]
        {
            fields.remove(of_time);
        }
        line
    });
    (tensors, lines.filter(|line| line["kind"] != "notice").collect())
}

#[track_caller]
fn assert_same(found: &Path, expected: &Path) {
    let (found, expected) = (result(found), result(expected));
    assert!(found.0 == expected.0, "the tensors differ");
    assert_eq!(found.1, expected.1, "the metrics differ");
}

#[test]
fn any_number_of_ranks_trains_the_same_model() {
    let workspace = Workspace::new();
    for (size, is_sharded) in [(1, false), (2, false), (4, false), (2, true), (4, true)] {
        let mut experiment = experiment(&workspace, &format!("{size}-{is_sharded}"));
        experiment.train.shard_optimizer = is_sharded;
        for outcome in train_new(size, &experiment) {
            assert_eq!(outcome.unwrap().step, 12);
        }
        assert_same(&experiment.output, &workspace.join("1-false"));
    }
    let figures = result(&workspace.join("4-false")).1;
    let evaluated = figures.iter().find(|line| line["kind"] == "eval").unwrap();
    assert_eq!(evaluated["images"], crate::support::images::VAL_IMAGES, "each counts once");
}

#[test]
fn ranks_prune_one_model() {
    let workspace = Workspace::new();
    let prune = PruneConfig {
        heads: 0.5,
        neurons: 0.5,
        flops: None,
        from_epoch: 0.5,
        until_epoch: 2.0,
        events: 3,
        importance: Default::default(),
        keep: 0.0,
        round_to: 4,
    };
    for (size, is_sharded) in [(1, false), (2, false), (4, false), (2, true)] {
        let mut experiment = experiment(&workspace, &format!("{size}-{is_sharded}"));
        (experiment.train.prune, experiment.train.shard_optimizer) = (Some(prune), is_sharded);
        train_new(size, &experiment).into_iter().for_each(|outcome| drop(outcome.unwrap()));
        assert_same(&experiment.output, &workspace.join("1-false"));
    }
    let figures = result(&workspace.join("4-false")).1;
    let events = figures.iter().filter(|line| line["kind"] == "prune").count();
    assert!(events > 1, "{events} prunings");
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let workspace = Workspace::new();
    let mut experiment = experiment(&workspace, "whole");
    experiment.train.decay = vitral_train::schedule::Decay::Constant;
    train_new(1, &experiment);
    experiment.output = workspace.join("moved");
    experiment.train.steps = Some(4);
    experiment.train.shard_optimizer = true;
    train_new(4, &experiment);
    let moved = workspace.join("moved");
    go_on(2, &moved, 8, None);
    go_on(1, &moved, 12, None);
    assert!(result(&moved).0 == result(&workspace.join("whole")).0);
}

#[test]
fn a_signal_to_one_rank_stops_all_with_one_checkpoint() {
    let workspace = Workspace::new();
    let experiment = experiment(&workspace, "whole");
    train_new(2, &experiment);
    for to in [0, 1] {
        let stopped = Experiment { output: workspace.join(&format!("{to}")), ..experiment.clone() };
        let begin = |ranks: &Ranks| {
            Trainer::new_among(ranks, stopped.clone(), &registry(), &Device::flex())
        };
        for outcome in train(2, begin, Some((to, 5))) {
            let outcome = outcome.unwrap();
            // One step later at most, where another rank than the first has it.
            assert!(outcome.interrupted && (5..=6).contains(&outcome.step), "{outcome:?}");
        }
        go_on(2, &stopped.output, 12, None);
        assert_same(&stopped.output, &experiment.output);
    }
}

#[test]
fn ranks_that_differ_do_not_begin() {
    let workspace = Workspace::new();
    let begin = |size: usize, change: &(dyn Fn(&mut Experiment) + Sync)| -> Vec<String> {
        let begin = |ranks: &Ranks| {
            let mut experiment = experiment(&workspace, "run");
            if ranks.rank() == 1 {
                change(&mut experiment);
            }
            Trainer::new_among(ranks, experiment, &registry(), &Device::flex())
        };
        train(size, begin, None).into_iter().map(|outcome| outcome.unwrap_err()).collect()
    };
    let found = begin(3, &|_| ());
    assert!(found.iter().all(|said| said.contains("cannot be shared out among 3")), "{found:?}");
    let found = begin(2, &|experiment| experiment.train.learning_rate = 0.25);
    let said = "rank 1 has a different `train.learning_rate` from rank 0: 0.25 instead of 0.002";
    assert_eq!(found, [said, said]);
    let found = begin(2, &|experiment| experiment.data.val = experiment.data.train.clone());
    assert!(
        found[0].starts_with("rank 1 has a different data.val from rank 0: 72 images"),
        "{found:?}"
    );
    let found = begin(2, &|experiment| experiment.train.accum_steps = 99);
    assert!(found[0].starts_with("rank 1: "), "{found:?}");
    assert!(!workspace.join("run").exists(), "something was written");
}

#[test]
fn memory_that_runs_out_on_one_rank_has_all_make_the_step_again() {
    let workspace = Workspace::new();
    let mut experiment = experiment(&workspace, "auto");
    experiment.train.batch = BatchSize::Auto { effective: 16, memory: None };
    experiment.train.accum_steps = 1;
    experiment.train.mix = Mix::default();
    let begin = |ranks: &Ranks| {
        let mut trainer =
            Trainer::new_among(ranks, experiment.clone(), &registry(), &Device::flex())?;
        if ranks.rank() == 1 {
            trainer.set_memory_fault(Box::new(|step, images| step == 3 && images > 2));
        }
        Ok(trainer)
    };
    for outcome in train(2, begin, None) {
        assert_eq!(outcome.unwrap().step, 12);
    }
    let metrics = fs::read_to_string(experiment.output.join("metrics.jsonl")).unwrap();
    assert!(metrics.contains("ran out of memory; the step is repeated with 2"), "{metrics}");
}

/// Each image is mixed with the one that it is mixed with in one process, though both are cut freely.
#[test]
fn ranks_that_cut_a_batch_freely_mix_it_as_a_whole() {
    let workspace = Workspace::new();
    let losses = |size: usize| -> Vec<f64> {
        let mut experiment = experiment(&workspace, &format!("auto-{size}"));
        experiment.train.batch = BatchSize::Auto { effective: 16, memory: None };
        experiment.train.accum_steps = 1;
        experiment.train.mix = Mix { mixup: 0.8, cutmix: 1.0, ..Mix::default() };
        train_new(size, &experiment).into_iter().for_each(|outcome| drop(outcome.unwrap()));
        let figures = result(&experiment.output).1;
        let steps = figures.iter().filter(|line| line["kind"] == "step");
        steps.map(|line| line["loss"].as_f64().unwrap()).collect()
    };
    let one = losses(1);
    assert!(one.len() > 5);
    for size in [2, 3] {
        for (found, one) in losses(size).iter().zip(&one) {
            assert!((found - one).abs() < 1e-3, "{found} for {one} in {size} ranks");
        }
    }
}
