//! What `vitral bench` reports. How fast anything is has no place in a test.

use std::{collections::HashMap, fs};

use serde_json::Value;

use crate::support::{images::Workspace, program::vitral};

const TINY: [&str; 6] =
    ["--set", "model.width=16", "--set", "model.depth=2", "--set", "model.heads=2"];

/// Runs `bench step --json` on a tiny model.
fn bench(arguments: &[&str]) -> Value {
    let workspace = Workspace::new();
    let arguments = [&["bench", "step", "--json", "--device", "cpu"], arguments].concat();
    let said = vitral(workspace.path(), &arguments).succeeded().stdout;
    assert!(!workspace.join("run").exists(), "a benchmark starts no run");
    serde_json::from_str(&said).unwrap()
}

/// A published model, made tiny.
fn preset(arguments: &[&str]) -> Value {
    let size = ["--image-size", "32", "--classes", "10", "--batch", "4"];
    bench(&[&size, &TINY, arguments].concat())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// The median of a figure, which lies between its least and its most.
fn median(spread: &Value) -> f64 {
    let [median, least, most] = ["median", "least", "most"].map(|name| number(&spread[name]));
    assert!(0.0 < least && least <= median && median <= most, "{spread}");
    median
}

fn assert_close(found: f64, expected: f64) {
    assert!((found / expected - 1.0).abs() < 1e-6, "{found} is not {expected}");
}

#[test]
fn training_is_measured_stage_by_stage() {
    let found = preset(&["--steps", "3", "--warmup", "1"]);
    assert_eq!(found["what"], "training");
    assert_eq!(found["model"], "Ti/16");
    assert_eq!(found["optimizer"], "AdamW");
    for (field, value) in
        [("image_size", 32), ("channels", 3), ("classes", 10), ("batch", 4), ("warmup", 1)]
    {
        assert_eq!(found[field], value, "{field}");
    }
    let samples = found["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 3);
    for sample in samples {
        let stages = ["forward", "backward", "update"].map(|stage| number(&sample[stage]));
        assert!(stages.iter().all(|&seconds| seconds > 0.0), "{sample}");
        assert_close(stages.iter().sum(), number(&sample["step"]));
    }
    for stage in ["step", "forward", "backward", "update"] {
        let mut times: Vec<f64> = samples.iter().map(|sample| number(&sample[stage])).collect();
        times.sort_by(f64::total_cmp);
        assert_close(median(&found["milliseconds"][stage]), times[1] * 1e3);
    }
}

#[test]
fn figures_of_a_benchmark_agree() {
    let found = preset(&["--steps", "3", "--warmup", "0"]);
    let speed = median(&found["images_per_second"]);
    assert_close(speed, 4e3 / median(&found["milliseconds"]["step"]));
    let gflops = number(&found["gflops"]);
    assert_close(gflops, speed * number(&found["gflop_per_image"]));
    let share = number(&found["share_of_sgemm_limit"]);
    assert_close(share, gflops / number(&found["sgemm_limit_gflops"]));
    assert!(number(&found["threads"]) >= 1.0);
    if cfg!(target_os = "linux") {
        assert!(number(&found["process_peak_bytes"]) > 1e6);
        assert!(number(&found["cpu_seconds_per_step"]) >= 0.0);
    }
}

#[test]
fn inference_is_a_third_of_training_and_has_one_stage() {
    let training = preset(&["--steps", "1", "--warmup", "0"]);
    let inference = preset(&["--steps", "2", "--warmup", "0", "--infer"]);
    assert_eq!(inference["what"], "inference");
    assert_close(3.0 * number(&inference["gflop_per_image"]), number(&training["gflop_per_image"]));
    for sample in inference["samples"].as_array().unwrap() {
        assert_eq!(sample["step"], sample["forward"]);
    }
    for field in ["/optimizer", "/accum_steps", "/samples/0/backward", "/milliseconds/update"] {
        assert!(training.pointer(field).is_some() && inference.pointer(field).is_none(), "{field}");
    }
}

#[test]
fn an_experiment_is_measured_as_it_would_train() {
    let found = bench(&["experiment.ron", "--steps", "2", "--warmup", "0"]);
    assert_eq!(found["model"], "experiment.ron");
    // Of the experiment; the number of classes is the data's.
    for (field, value) in
        [("image_size", 8), ("channels", 1), ("batch", 16), ("accum_steps", 2), ("classes", 4)]
    {
        assert_eq!(found[field], value, "{field}");
    }
    let changed = [
        "experiment.ron",
        "--optimizer",
        "Sgd(momentum: 0.8)",
        "--batch",
        "6",
        "--classes",
        "7",
        "--set",
        "model.patch_dropout=0.0",
        "--set",
        "model.attention=[(layers: (0, 1), attention: Plugin(name: \"linear\"))]",
        "--steps",
        "1",
    ];
    let found = bench(&changed);
    assert_eq!((&found["optimizer"], &found["batch"]), (&"Sgd".into(), &6.into()));
    assert_eq!(found["classes"], 7);
}

#[test]
fn a_benchmark_is_read_by_people_too() {
    let workspace = Workspace::new();
    let arguments =
        [&["bench", "step", "--device", "cpu", "--image-size", "32", "--steps", "2"], &TINY[..]]
            .concat();
    let said = vitral(workspace.path(), &arguments).succeeded();
    assert!(said.stderr.contains("training of Ti/16 at 32 px"), "{}", said.stderr);
    for words in [
        "1000 classes, batch 16, f32, AdamW",
        "kernels on",
        "img/s",
        "forward",
        "backward",
        "update",
        "sgemm limit",
    ] {
        assert!(said.stdout.contains(words), "{words} is not in\n{}", said.stdout);
    }
}

#[test]
fn mistakes_in_a_benchmark_are_shown_with_what_would_be_right() {
    let workspace = Workspace::new();
    for (arguments, words) in [
        (&["--batch", "0"][..], "at least 1"),
        (&["--steps", "0"], "--steps"),
        (&["--variant", "X/16"], "Ti/16"),
        (&["--image-size", "225"], "224 or 240"),
        (&["--optimizer", "Adamm"], "did you mean `AdamW`"),
        (&["--optimizer", "Sgd", "--infer"], "cannot be used with"),
        (&["experiment.ron", "--variant", "S/16"], "cannot be used with"),
        (&["nothing.ron"], "cannot read this file"),
        (&["--device", "tpu"], "unknown device `tpu`"),
    ] {
        let said = vitral(workspace.path(), &[&["bench", "step"], arguments].concat());
        let said = said.failed_with(2).stderr;
        assert!(said.contains(words), "{arguments:?}: {words} is not in\n{said}");
    }
}

#[test]
fn a_step_in_bf16_is_measured_against_what_the_machine_does_in_bf16() {
    let short = ["--steps", "1", "--warmup", "0"];
    let exact = preset(&short);
    assert_eq!(exact["precision"], "f32");
    assert!(exact["instruction_set"].is_string() && exact.get("bf16_limit_gflops").is_none());
    let found = preset(&[&short[..], &["--set", "train.precision=BF16"]].concat());
    assert_eq!(found["precision"], "bf16");
    let [speed, limit, share] =
        ["gflops", "bf16_limit_gflops", "share_of_bf16_limit"].map(|name| number(&found[name]));
    assert_close(share, speed / limit);
}

/// Perfetto reads it: complete events that nest within each thread, whose stages make up the step.
#[test]
fn steps_are_written_as_a_trace() {
    let workspace = Workspace::new();
    let of = |more: &[&str]| {
        let profile = ["bench", "profile", "experiment.ron", "--output", "trace.json"];
        vitral(workspace.path(), &[&profile, more].concat())
    };
    let said = of(&["--steps", "6"]).succeeded().stdout;
    for words in
        ["6 steps of experiment.ron on CPU", "a step", "forward", "https://ui.perfetto.dev"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let trace = fs::read(workspace.join("trace.json")).unwrap();
    let trace: Value = serde_json::from_slice(&trace).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let (named, spans): (Vec<&Value>, Vec<&Value>) =
        events.iter().partition(|event| event["ph"] == "M");
    assert!(spans.iter().all(|event| event["ph"] == "X" && event["pid"].is_u64()));
    let threads: Vec<&Value> = named
        .iter()
        .filter(|event| event["name"] == "thread_name")
        .map(|event| &event["tid"])
        .collect();
    let mut open: HashMap<u64, Vec<f64>> = HashMap::new();
    let mut begun: HashMap<u64, f64> = HashMap::new();
    for span in &spans {
        assert!(threads.contains(&&span["tid"]), "{span}");
        let (begin, length) = (number(&span["ts"]), number(&span["dur"]));
        let thread = span["tid"].as_u64().unwrap();
        assert!(begun.insert(thread, begin).is_none_or(|before| before <= begin), "{span}");
        let open = open.entry(thread).or_default();
        // Of a clock in nanoseconds, in microseconds.
        while open.pop_if(|end| *end <= begin + 1e-3).is_some() {}
        assert!(open.last().is_none_or(|end| begin + length <= end + 1e-3), "{span} does not nest");
        open.push(begin + length);
    }
    let of_kind = |kind: &'static str| spans.iter().filter(move |span| span["cat"] == kind);
    let time = |name: &str| -> f64 {
        of_kind("stage").filter(|span| span["name"] == name).map(|span| number(&span["dur"])).sum()
    };
    let steps = of_kind("stage").filter(|span| span["name"] == "step").count();
    assert_eq!(steps, 6);
    let parts = ["wait for images", "upload", "forward", "backward", "update", "figures", "tell"];
    let sum: f64 = parts.map(time).iter().sum();
    let whole = time("step");
    assert!(sum <= whole * 1.001 && sum > 0.7 * whole, "{sum} of {whole}");
    // Two micro-batches each.
    let forward = of_kind("stage").filter(|span| span["name"] == "forward").count();
    assert_eq!(forward, 2 * steps);
    for kind in ["kernel", "data"] {
        assert!(of_kind(kind).count() > 0, "no {kind}");
    }
    let said = of(&["--warmup", "12"]).failed_with(2).stderr;
    assert!(said.contains("makes 12 steps") && said.contains("train.steps=13"), "{said}");
    assert!(!workspace.join("run").exists(), "it is not a run");
}
