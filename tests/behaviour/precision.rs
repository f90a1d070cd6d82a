//! Mixed precision: a model that computes in `bf16` or `f16` gives what it gives in `f32`, as far as
//! these types can tell, and trains; steps that overflow `f16` leave no trace but a lower loss scale.

use std::{collections::BTreeSet, fs};

use burn::{
    module::Module as _,
    tensor::{DType, Device, Tensor, TensorData},
};
use rand::Rng as _;
use vitral_model::{
    Mode, ViTConfig,
    config::{AttentionKind, LayerAttention},
    mlp::Mlp,
    parameters,
    pool::Pool,
    position::Position,
    token_mixing::TokenMixing,
};
use vitral_seed::Seed;
use vitral_train::{
    Learner,
    experiment::TrainConfig,
    loss::targets,
    precision::Precision,
    schedule::{Decay, Schedule},
};

use crate::support::{
    images::{Workspace, write_image_folder},
    program::vitral,
    values,
};

fn base() -> ViTConfig {
    ViTConfig {
        image_size: 8,
        channels: 1,
        classes: 5,
        patch_size: Some(2),
        width: Some(16),
        depth: Some(2),
        heads: Some(2),
        mlp_ratio: 2.0,
        ..ViTConfig::default()
    }
}

fn f16(initial_scale: f64, growth_interval: u64) -> Precision {
    Precision::F16 { initial_scale, growth_factor: 2.0, backoff_factor: 0.5, growth_interval }
}

/// A learner with random weights, each large enough to matter; they are the same for any precision.
fn learner(model: &ViTConfig, train: &TrainConfig) -> Learner {
    let device = Device::flex();
    let schedule = Schedule {
        decay: Decay::Constant,
        peak: 0.01,
        floor: 0.0,
        warmup: 0,
        total: 100,
        ..Schedule::default()
    };
    let mut learner = Learner::new(model, train, schedule, Seed::new(7), &device).unwrap();
    let start = learner.parameters().iter().map(|info| {
        let around =
            if info.name.contains("norm") && info.name.ends_with("weight") { 1.0 } else { 0.0 };
        let mut rng = Seed::new(7).named(&info.name).rng();
        let values: Vec<f32> =
            (0..info.elements()).map(|_| around + rng.random_range(-0.3..0.3)).collect();
        Tensor::from_floats(values.as_slice(), &device)
    });
    let start = start.collect();
    learner.set_values(start);
    learner
}

fn batch() -> (Tensor<4>, Tensor<2>) {
    let device = Device::flex();
    let mut rng = Seed::new(7).named("images").rng();
    let images: Vec<f32> = (0..8 * 64).map(|_| rng.random_range(-1.0..1.0)).collect();
    let images = Tensor::from_data(TensorData::new(images, [8, 8, 8, 1]), &device);
    (images, targets(&[0, 3, 1, 4, 2, 2, 0, 1], 5, 0.1, &device))
}

fn norm<'a>(values: impl IntoIterator<Item = &'a f32>) -> f64 {
    values.into_iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

/// The distance of two vectors.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    norm(&difference)
}

struct Computed {
    logits: Vec<f32>,
    gradients: Vec<Vec<f32>>,
}

fn computed(model: &ViTConfig, precision: Precision) -> Computed {
    let train = TrainConfig { precision, accum_steps: 2, ..TrainConfig::default() };
    let mut learner = learner(model, &train);
    let (images, targets) = batch();
    let logits = learner.model().valid().forward(images.clone(), Mode::Eval);
    assert_eq!(logits.dtype(), DType::F32);
    let batch = learner.gradients(0, images, targets);
    assert!(!learner.overflowed(&batch).unwrap());
    assert!(batch.gradients.iter().all(|gradient| gradient.dtype() == DType::F32));
    Computed {
        logits: values(logits),
        gradients: batch.gradients.into_iter().map(values).collect(),
    }
}

/// Each value is rounded with a relative error of at most 2^-8 (`bf16`) or 2^-11 (`f16`). From image
/// to logit lie about twenty roundings, and as many on the way back. Their errors are independent and
/// so add up as a root of their number, to six or so; 16 leaves room for what the layers make of them.
/// In a parameter whose gradients nearly cancel out, what is left is the rounding of larger values:
/// they are compared with half the root mean square of all gradients.
#[test]
fn logits_and_gradients_agree_with_f32_within_the_precision_of_the_type() {
    let map = ViTConfig { pool: Pool::Map, class_token: false, ..base() };
    let by_layer = vec![LayerAttention {
        layers: (1, 1),
        attention: AttentionKind::Softmax { heads: Some(4), qk_norm: Some(true) },
    }];
    let mixer = ViTConfig {
        class_token: false,
        pool: Pool::Mean,
        position: Position::None,
        token_mixing: TokenMixing::Mlp { hidden: None },
        heads: None,
        ..base()
    };
    let options: Vec<(&str, ViTConfig)> = vec![
        ("class token", base()),
        ("mean", ViTConfig { pool: Pool::Mean, fc_norm: true, class_token: false, ..base() }),
        ("map", map),
        ("registers", ViTConfig { register_tokens: 3, ..base() }),
        ("sincos2d", ViTConfig { position: Position::SinCos2d, ..base() }),
        ("rope", ViTConfig { rope: Some(100.0), position: Position::None, ..base() }),
        ("mixer", mixer),
        ("relative bias", ViTConfig { relative_position_bias: true, ..base() }),
        ("layer scale", ViTConfig { layer_scale: Some(0.1), ..base() }),
        ("exact gelu", ViTConfig { mlp: Mlp::Gelu, ..base() }),
        ("swiglu", ViTConfig { mlp: Mlp::SwiGlu, ..base() }),
        ("pre-logits", ViTConfig { representation_size: Some(12), ..base() }),
        ("drop path", ViTConfig { drop_path: 0.5, ..base() }),
        ("dropout", ViTConfig { dropout: 0.3, attention_dropout: 0.3, ..base() }),
        ("patch dropout", ViTConfig { patch_dropout: 0.5, rope: Some(10.0), ..base() }),
        ("attention by layer", ViTConfig { attention: by_layer, qkv_bias: false, ..base() }),
    ];
    let types =
        [("bf16", Precision::BF16, 2f64.powi(-8)), ("f16", f16(256.0, 100), 2f64.powi(-11))];
    for (name, precision, rounding) in types {
        let (mut logits, mut gradients) = (0f64, 0f64);
        for (option, model) in &options {
            let (found, exact) = (computed(model, precision), computed(model, Precision::F32));
            let error = distance(&found.logits, &exact.logits) / norm(&exact.logits) / rounding;
            assert!(error > 1e-3, "{name}, {option}: this was computed in f32");
            assert!(error < 16.0, "{name}, {option}: logits are {error} roundings off");
            logits = logits.max(error);
            let all = exact.gradients.iter().flatten();
            let typical = norm(all.clone()) / (all.count() as f64).sqrt();
            let infos = learner(model, &TrainConfig::default()).parameters().to_vec();
            for ((info, found), exact) in infos.iter().zip(&found.gradients).zip(&exact.gradients) {
                let size = norm(exact).max(0.5 * typical * (exact.len() as f64).sqrt());
                let error = distance(found, exact) / size / rounding;
                assert!(error < 16.0, "{name}, {option}, {}: {error} roundings off", info.name);
                gradients = gradients.max(error);
            }
        }
        println!("{name}: logits {logits:.1}, gradients {gradients:.1} roundings off at most");
    }
}

/// What was skipped is as if it had not been: weights, their average, and the optimizer's averages
/// with their correction for being young.
#[test]
fn steps_that_overflow_leave_no_trace_but_a_lower_scale() {
    let train = |scale: f64| TrainConfig {
        precision: f16(scale, 1000),
        ema: Some(0.9),
        ..TrainConfig::default()
    };
    let (images, targets) = batch();
    let all = |learner: &Learner| -> Vec<Vec<f32>> {
        let average = parameters::values(&learner.evaluated().unwrap());
        parameters::values(learner.model()).into_iter().chain(average).map(values).collect()
    };
    let highest = 2f64.powi(40);
    let mut overflowing = learner(&base(), &train(highest));
    let start = all(&overflowing);
    let mut step = 0;
    loop {
        let gradients = overflowing.gradients(step, images.clone(), targets.clone());
        if !overflowing.overflowed(&gradients).unwrap() {
            break;
        }
        overflowing.skip(gradients);
        step += 1;
        assert!(all(&overflowing) == start, "a skipped step changed something");
        assert_eq!(overflowing.skipped_steps(), step);
        assert_eq!(overflowing.loss_scale().unwrap().scale, highest * 0.5f64.powi(step as i32));
    }
    println!("{step} steps overflowed");
    assert!((5..40).contains(&step), "{step} steps overflowed");
    let mut fitting = learner(&base(), &train(overflowing.loss_scale().unwrap().scale));
    for good in 0..3 {
        overflowing.step(step + good, images.clone(), targets.clone()).unwrap();
        fitting.step(good, images.clone(), targets.clone()).unwrap();
        assert!(all(&overflowing) == all(&fitting), "step {good} differs");
    }
    assert!(all(&overflowing) != start);
    assert_eq!(overflowing.skipped_steps(), step);
}

/// A global norm that is 256 times larger would be clipped 256 times as much.
#[test]
fn gradients_are_clipped_and_reported_without_their_scale() {
    let (images, targets) = batch();
    let norm = |precision| -> f32 {
        let train = TrainConfig { precision, clip_norm: Some(0.5), ..TrainConfig::default() };
        let learned = learner(&base(), &train).step(0, images.clone(), targets.clone()).unwrap();
        learned.gradient_norm.into_scalar()
    };
    let (exact, found) = (norm(Precision::F32), norm(f16(256.0, 100)));
    assert!((found / exact - 1.0).abs() < 0.01, "{found} is not {exact}");
    let moved = |precision| -> Vec<f32> {
        let optimizer = vitral_train::optimizer::Optimizer::Sgd { momentum: 0.0, nesterov: false };
        let train = TrainConfig {
            precision,
            optimizer,
            clip_norm: Some(0.5),
            weight_decay: 0.0,
            ..TrainConfig::default()
        };
        let mut learner = learner(&base(), &train);
        let start: Vec<Tensor<1>> = parameters::values(learner.model());
        learner.step(0, images.clone(), targets.clone()).unwrap();
        let now = parameters::values(learner.model());
        now.into_iter().zip(start).flat_map(|(now, start)| values(now - start)).collect()
    };
    let (exact, found) = (moved(Precision::F32), moved(f16(256.0, 100)));
    let error = distance(&found, &exact) / self::norm(&exact);
    assert!(error < 0.01, "the update differs by {error}");
}

/// The steps that a run logged.
fn steps(workspace: &Workspace, run: &str) -> Vec<serde_json::Value> {
    let metrics = fs::read_to_string(workspace.join(run).join("metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.filter(|line: &serde_json::Value| line["kind"] == "step").collect()
}

#[test]
fn runs_in_bf16_and_f16_learn_as_runs_in_f32_do() {
    let mut reached = Vec::new();
    for precision in ["F32", "BF16", "F16()"] {
        let workspace = Workspace::new();
        let precision_field = format!("train.precision={precision}");
        let changes = [
            "train.steps=60",
            "train.mix=()",
            "train.label_smoothing=0.0",
            "train.learning_rate=1e-2",
            "model.dropout=0.0",
            "model.patch_dropout=0.0",
            &precision_field,
        ];
        let mut arguments = vec!["train", "experiment.ron"];
        changes.iter().for_each(|change| arguments.extend(["--set", change]));
        let said = vitral(workspace.path(), &arguments).succeeded().stdout;
        let steps = steps(&workspace, "run");
        let mean = |steps: &[serde_json::Value]| {
            steps.iter().map(|step| step["loss"].as_f64().unwrap()).sum::<f64>()
                / steps.len() as f64
        };
        let (first, last) = (mean(&steps[..5]), mean(&steps[55..]));
        println!("{precision}: loss {first:.3} to {last:.3}");
        assert!(last < 0.8 * first, "{precision}: from {first} to {last}");
        reached.push(last);
        let scaled = precision == "F16()";
        assert_eq!(steps[0].get("loss_scale").is_some(), scaled);
        // Whether a step overflows at 65536 hangs on the last digit; each that does halves the scale.
        let told = (0..=2).any(|skipped: u32| {
            let scale = 65536 >> skipped;
            let line =
                format!("{skipped} steps that overflowed f16 (loss scale {scale} at the end)");
            said.contains(&line)
        });
        assert_eq!(told, scaled);
        // Evaluated again in the same type, and so with the same result.
        let json = vitral(workspace.path(), &["eval", "run", "--json"]).succeeded().stdout;
        let found = serde_json::from_str::<serde_json::Value>(&json).unwrap()["loss"].clone();
        let metrics = fs::read_to_string(workspace.join("run/metrics.jsonl")).unwrap();
        let last = metrics.lines().rfind(|line| line.contains("\"eval\"")).unwrap();
        let logged = serde_json::from_str::<serde_json::Value>(last).unwrap()["loss"].clone();
        assert_eq!(found, logged, "{precision}");
    }
    assert!((reached[1] / reached[0] - 1.0).abs() < 0.1, "{reached:?}");
    assert!((reached[2] / reached[0] - 1.0).abs() < 0.1, "{reached:?}");
}

#[test]
fn skipped_steps_are_counted_and_reported() {
    let workspace = Workspace::new();
    let scale = "train.precision=F16(initial_scale: 1099511627776)";
    let arguments = ["train", "experiment.ron", "--set", "train.steps=40", "--set", scale];
    let said = vitral(workspace.path(), &arguments).succeeded().stdout;
    let steps = steps(&workspace, "run");
    let skipped = steps.last().unwrap()["skipped_steps"].as_u64().unwrap();
    assert!(skipped > 5, "{skipped} steps were skipped");
    let scale = 2f64.powi(40 - skipped as i32);
    assert_eq!(steps.last().unwrap()["loss_scale"].as_f64(), Some(scale));
    let line = format!("{skipped} steps that overflowed f16 (loss scale {scale} at the end)");
    assert!(said.contains(&line), "{said}");
    assert_eq!(steps[0]["skipped_steps"], 1);
    assert_eq!(steps[0]["loss_scale"].as_f64(), Some(2f64.powi(39)));
}

#[test]
fn a_scale_out_of_range_is_shown_with_its_line() {
    let workspace = Workspace::new();
    let scale = "train.precision=F16(initial_scale: 0.0)";
    let failed = vitral(workspace.path(), &["train", "experiment.ron", "--set", scale]);
    assert!(!failed.status.success());
    assert!(failed.stderr.contains("initial_scale"), "{}", failed.stderr);
}

/// Infinite gradients that no weight ever sees are nothing to warn of, or to roll back for.
#[test]
fn monitors_do_not_hear_of_gradients_that_were_skipped() {
    let workspace = Workspace::new();
    let arguments = [
        "train",
        "experiment.ron",
        "--set",
        "train.steps=36",
        "--set",
        "train.precision=F16(initial_scale: 1099511627776)",
        // With a head of zeros, the first step would have no gradients, which is a warning.
        "--set",
        "model.init=Timm",
        "--set",
        r#"monitors=[(name: "gradient-health", settings: {"every": 1, "explode": 1000000.0, "vanish": 0.0, "tiny": 1.0}), (name: "loss-spike")]"#,
    ];
    vitral(workspace.path(), &arguments).succeeded();
    let metrics = fs::read_to_string(workspace.join("run/metrics.jsonl")).unwrap();
    let alarms: Vec<&str> = metrics.lines().filter(|line| line.contains("\"notice\"")).collect();
    assert!(alarms.is_empty(), "{alarms:#?}");
    // They did look, at every step that was not skipped and at no other.
    let mut before = 0;
    let mut is_skipped = |step: &serde_json::Value| {
        let skipped = step["skipped_steps"].as_u64().unwrap();
        std::mem::replace(&mut before, skipped) < skipped
    };
    let steps = steps(&workspace, "run").into_iter().filter(|step| !is_skipped(step));
    let expected: BTreeSet<u64> = steps.map(|step| step["step"].as_u64().unwrap()).collect();
    let lines = metrics.lines().filter(|line| line.contains("gradient-health"));
    let lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let looked: BTreeSet<u64> = lines.map(|line| line["step"].as_u64().unwrap()).collect();
    assert!((2..31).contains(&looked.len()), "{looked:?}");
    assert_eq!(looked, expected);
}

/// A learning rate this high makes activations infinite in `f16`, and no scale of the loss helps.
#[test]
fn a_run_that_no_loss_scale_saves_ends_and_says_what_helps() {
    let workspace = Workspace::new();
    let changes = [
        "train.steps=100",
        "train.precision=F16()",
        "train.optimizer=Sgd()",
        "train.learning_rate=100.0",
        "train.clip_norm=None",
    ];
    let mut arguments = vec!["train", "experiment.ron"];
    changes.iter().for_each(|change| arguments.extend(["--set", change]));
    let failed = vitral(workspace.path(), &arguments);
    assert!(!failed.status.success(), "{}", failed.stdout);
    let said = failed.stderr.replace(['\n', '│'], " ");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("not finite in f16 even with a loss scale of"), "{said}");
    assert!(said.contains("`train.precision: BF16`"), "{said}");
}

/// A run in `f32`, evaluated and asked for classes in each type: close to `f32`, not equal to it, and
/// the same as what a run of that type is evaluated to by `--set`.
#[test]
fn trained_models_compute_in_the_type_that_is_asked_for() {
    let workspace = Workspace::new();
    vitral(workspace.path(), &["train", "experiment.ron"]).succeeded();
    let found = |arguments: &[&str], field: &str| -> f64 {
        let said = vitral(workspace.path(), arguments).succeeded().stdout;
        let json = serde_json::from_str::<serde_json::Value>(&said).unwrap();
        json.pointer(field).and_then(serde_json::Value::as_f64).unwrap()
    };
    write_image_folder(&workspace.join("photos"), 1);
    let image = "photos/class_0/000.png";
    let commands: [(&[&str], &str); 2] = [
        (&["eval", "run", "--json"], "/loss"),
        (&["predict", "run", image, "--json"], "/classes/0/probability"),
    ];
    for (command, field) in commands {
        let exact = found(command, field);
        assert_eq!(found(&[command, &["--precision", "f32"]].concat(), field), exact);
        for name in ["bf16", "f16"] {
            let rounded = found(&[command, &["--precision", name]].concat(), field);
            let error = (rounded / exact - 1.0).abs();
            assert!((1e-9..0.02).contains(&error), "{command:?} in {name}: {rounded}, not {exact}");
        }
    }
    let asked = found(&["eval", "run", "--json", "--precision", "bf16"], "/loss");
    let set = found(&["eval", "run", "--json", "--set", "train.precision=BF16"], "/loss");
    assert_eq!(asked, set);
    let twice = ["eval", "run", "--precision", "bf16", "--set", "train.precision=F32"];
    let refused = vitral(workspace.path(), &twice);
    assert!(
        !refused.status.success() && refused.stderr.contains("give only one"),
        "{}",
        refused.stderr
    );
    let refused = vitral(workspace.path(), &["predict", "run", image, "--precision", "fp8"]);
    assert!(!refused.status.success() && refused.stderr.contains("bf16"), "{}", refused.stderr);
}
