//! What a user of the program sees: errors that point at the line, help, and results.

use std::fs;

use crate::support::{
    images::{VAL_IMAGES, Workspace, write_image_folder},
    program::{Unread, vitral, vitral_unread, vitral_with},
    root,
};

/// Replaces something in the experiment and returns what `train` says about it.
fn complaint(from: &str, to: &str) -> String {
    let workspace = Workspace::new();
    let text = fs::read_to_string(workspace.join("experiment.ron")).unwrap();
    assert!(text.contains(from));
    workspace.write("experiment.ron", &text.replacen(from, to, 1));
    let said = vitral(workspace.path(), &["train", "experiment.ron"]).failed_with(2).stderr;
    assert!(!workspace.join("run").exists(), "nothing is written for an experiment that is wrong");
    said
}

#[test]
fn mistakes_in_an_experiment_are_underlined_with_what_would_be_right() {
    for (from, to, place, words) in [
        ("depth: 2", "dept: 2", "experiment.ron:9:9", vec!["unknown field", "dept", "depth"]),
        ("heads: 2", "heads: \"two\"", "experiment.ron:10:16", vec!["\"two\""]),
        ("batch: 16", "batch: 0", "experiment.ron:24:16", vec!["at least 1"]),
        ("ema: 0.9", "ema: 1.5", "experiment.ron:30:14", vec!["1.5"]),
        ("label_smoothing: 0.1", "label_smoothing: -0.1", "experiment.ron:29:26", vec!["-0.1"]),
        (
            "heads: 2",
            "heads: 3",
            "experiment.ron:10:16",
            vec!["3 heads do not divide a width of 16", "1, 2, 4, 8, 16"],
        ),
        (
            "patch_size: 2",
            "patch_size: 3",
            "experiment.ron:7:21",
            vec!["patches of 3 px do not fill"],
        ),
        (
            "accum_steps: 2",
            "accum_steps: 17",
            "experiment.ron:25:22",
            vec!["cannot be cut into 17"],
        ),
        ("HorizontalFlip()", "HorizontalFlop()", "experiment.ron:", vec!["HorizontalFlip"]),
        (
            "ema: 0.9",
            "groups: [(parameters: \"haed.*\")]",
            "experiment.ron:30:31",
            vec!["matches no parameter"],
        ),
        ("width: 16,", "width: 16", "experiment.ron:8:16", vec!["comma"]),
    ] {
        let said = complaint(from, to);
        assert!(said.contains(place), "{to}: {place} is not in\n{said}");
        for word in words {
            assert!(said.contains(word), "{to}: {word} is not in\n{said}");
        }
    }
}

#[test]
fn set_changes_fields_and_its_mistakes_are_shown_too() {
    let workspace = Workspace::new();
    let resolved = |set: &str| {
        vitral(workspace.path(), &["config", "resolved", "experiment.ron", "--set", set])
    };
    let text = resolved("train.optimizer=Lion(beta1: 0.95)").succeeded().stdout;
    assert!(text.contains("Lion(") && text.contains("beta1: 0.95"), "{text}");
    let said = resolved("train.bach=3").failed_with(2).stderr;
    assert!(said.contains("batch"), "{said}");
    let said = resolved("nonsense").failed_with(2).stderr;
    assert!(said.contains("nonsense"), "{said}");
}

#[test]
fn resolved_experiment_reads_back_as_itself() {
    let workspace = Workspace::new();
    let first =
        vitral(workspace.path(), &["config", "resolved", "experiment.ron"]).succeeded().stdout;
    workspace.write("again.ron", &first);
    let second = vitral(workspace.path(), &["config", "resolved", "again.ron"]).succeeded().stdout;
    assert_eq!(first, second);
}

#[test]
fn defaults_and_schema_describe_every_field() {
    let workspace = Workspace::new();
    let defaults = vitral(workspace.path(), &["config", "defaults"]).succeeded().stdout;
    assert!(defaults.contains("learning_rate: 0.0005"), "{defaults}");
    workspace.write("defaults.ron", &defaults);
    vitral(workspace.path(), &["config", "resolved", "defaults.ron"]).succeeded();
    let schema = vitral(workspace.path(), &["config", "schema"]).succeeded().stdout;
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    for definition in ["ViTConfig", "TrainConfig", "CheckpointConfig"] {
        let fields = schema["$defs"][definition]["properties"].as_object().unwrap();
        for (name, field) in fields {
            assert!(field["description"].is_string(), "{definition}.{name} is not described");
            assert!(field.get("default").is_some(), "{definition}.{name} has no default");
        }
    }
}

#[test]
fn examples_are_valid_experiments() {
    let mut examples = 0;
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ron") {
            let path = path.display().to_string();
            vitral(&root(), &["config", "resolved", &path]).succeeded();
            examples += 1;
        }
    }
    assert!(examples >= 6, "{examples} examples");
}

#[test]
fn a_device_that_is_not_there_is_one_sentence() {
    let workspace = Workspace::new();
    for (device, words) in [
        ("cuda", "without `cuda`"),
        ("cuda:7", "without `cuda`"),
        ("vulkan", "without `vulkan`"),
        ("tpu", "unknown device `tpu`"),
    ] {
        let said = vitral(workspace.path(), &["train", "experiment.ron", "--device", device])
            .failed_with(2)
            .stderr;
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with("error: ") && said.contains(words), "{said}");
    }
}

#[cfg(feature = "gpu-tests")]
#[test]
fn a_gpu_that_is_not_there_is_one_sentence() {
    let workspace = Workspace::new();
    let arguments = ["train", "experiment.ron", "--device", "wgpu:99"];
    let said = vitral(workspace.path(), &arguments).failed_with(2).stderr;
    assert!(said.lines().count() == 1 && said.contains("no wgpu device 99"), "{said}");
}

#[test]
fn auto_falls_back_to_what_is_there() {
    let workspace = Workspace::new();
    let arguments = ["train", "experiment.ron", "--device", "auto", "--set", "train.steps=1"];
    vitral(workspace.path(), &arguments).succeeded();
}

#[test]
fn doctor_lists_every_device() {
    let said = vitral(&root(), &["doctor"]).succeeded().stdout;
    for device in ["cpu", "cuda", "wgpu", "vulkan", "auto"] {
        assert!(said.contains(device), "{said}");
    }
}

/// The CPU against itself would tell nothing.
#[test]
fn doctor_tries_a_gpu_only_where_there_is_one() {
    for (device, words) in [
        ("--gpu=cpu", "name one, as in `--gpu cuda`"),
        ("--gpu=gpu:1", "`auto` uses a GPU if there is one"),
        ("--gpu=cuda:7", "cuda"),
    ] {
        let failed = vitral(&root(), &["doctor", device]).failed_with(2).stderr;
        assert!(failed.contains(words), "{failed}");
    }
}

#[test]
fn a_second_run_does_not_overwrite_the_first() {
    let workspace = Workspace::new();
    for _ in 0..2 {
        vitral(workspace.path(), &["train", "experiment.ron", "--set", "train.steps=2"])
            .succeeded();
    }
    assert!(
        workspace.join("run/config.ron").exists() && workspace.join("run-2/config.ron").exists()
    );
}

#[test]
fn training_ends_with_a_summary_and_what_to_try_next() {
    let workspace = Workspace::new();
    let said = vitral(workspace.path(), &["train", "experiment.ron"]).succeeded();
    for words in ["accuracy", "run/best", "metrics.jsonl", "eval run/best", "predict run/best"] {
        assert!(said.stdout.contains(words), "{}", said.stdout);
    }
    assert!(said.stderr.contains("top-1"), "{}", said.stderr);
}

#[test]
fn eval_covers_every_image_and_agrees_with_training() {
    let workspace = Workspace::new();
    vitral(workspace.path(), &["train", "experiment.ron"]).succeeded();
    let json = vitral(workspace.path(), &["eval", "run", "--json"]).succeeded().stdout;
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found["images"], VAL_IMAGES);
    let metrics = fs::read_to_string(workspace.join("run/metrics.jsonl")).unwrap();
    let last = metrics.lines().rfind(|line| line.contains("\"kind\":\"eval\"")).unwrap();
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    for figure in ["loss", "top1", "top5", "images"] {
        assert_eq!(found[figure], last[figure], "{figure}");
    }
    for (found, last) in
        found["classes"].as_array().unwrap().iter().zip(last["classes"].as_array().unwrap())
    {
        for figure in ["name", "images", "correct"] {
            assert_eq!(found[figure], last[figure], "{figure}");
        }
    }
    let of_classes: u64 =
        found["classes"].as_array().unwrap().iter().map(|c| c["images"].as_u64().unwrap()).sum();
    assert_eq!(of_classes, VAL_IMAGES as u64);
    let table = vitral(workspace.path(), &["eval", "run/best"]).succeeded().stdout;
    assert!(table.contains("top-1") && table.contains("accuracy of each class"), "{table}");
}

/// A checkpoint that knows nothing of fewer tokens is evaluated with some merged or left out.
#[test]
fn trained_models_go_on_with_fewer_tokens_where_the_command_line_says_so() {
    let workspace = Workspace::new();
    vitral(workspace.path(), &["train", "experiment.ron"]).succeeded();
    let loss = |arguments: &[&str]| {
        let said = vitral(workspace.path(), &[&["eval", "run", "--json"], arguments].concat());
        let found: serde_json::Value = serde_json::from_str(&said.succeeded().stdout).unwrap();
        assert_eq!(found["images"], VAL_IMAGES);
        found["loss"].as_f64().unwrap()
    };
    assert_eq!(loss(&["--token-merging", "0"]), loss(&[]));
    assert_ne!(loss(&["--token-merging", "4"]), loss(&[]));
    assert_eq!(loss(&["--keep-tokens", "1"]), loss(&[]));
    assert_ne!(loss(&["--keep-tokens", "0.5"]), loss(&[]));
    write_image_folder(&workspace.join("photos"), 1);
    let photo = "photos/class_2/000.png";
    vitral(workspace.path(), &["predict", "run", photo, "--token-merging", "4"]).succeeded();
    vitral(workspace.path(), &["predict", "run", photo, "--keep-tokens", "0.5"]).succeeded();
    let said = vitral(workspace.path(), &["eval", "run", "--keep-tokens", "1.5"]).failed_with(2);
    assert!(said.stderr.contains("from 0.01 to 1"), "{}", said.stderr);
    let both = ["eval", "run", "--keep-tokens", "0.5", "--token-merging", "4"];
    let said = vitral(workspace.path(), &both).failed_with(1).stderr;
    assert!(said.contains("--token-merging 4 --keep-tokens 0.5: tokens are either"), "{said}");
    let rope = ["train", "experiment.ron", "--set", "model.rope=100.0", "--set", "output=turned"];
    vitral(workspace.path(), &rope).succeeded();
    let said = vitral(workspace.path(), &["eval", "turned", "--token-merging", "4"]);
    assert!(!said.status.success());
    assert!(
        said.stderr.contains("token merging cannot be combined with `rope`"),
        "{}",
        said.stderr
    );
    let said = vitral(workspace.path(), &["eval", "turned", "--keep-tokens", "0.5"]).failed_with(1);
    assert!(said.stderr.contains("cannot be combined with `rope`"), "{}", said.stderr);
}

#[test]
fn predict_ranks_classes_and_names_files_that_it_cannot_read() {
    let workspace = Workspace::new();
    // Without flips, which would turn one class into another.
    let learned = [
        "train",
        "experiment.ron",
        "--set",
        "train.steps=150",
        "--set",
        "train.mix=()",
        "--set",
        "data.augment=[]",
    ];
    vitral(workspace.path(), &learned).succeeded();
    write_image_folder(&workspace.join("photos"), 1);
    workspace.write("broken.png", "this is not an image");
    let photo = "photos/class_2/000.png";
    let said =
        vitral(workspace.path(), &["predict", "run", photo, "broken.png", "--json", "-k", "4"])
            .failed_with(1);
    assert!(said.stderr.contains("broken.png"), "{}", said.stderr);
    let found: serde_json::Value = serde_json::from_str(said.stdout.trim()).unwrap();
    assert_eq!(found["image"], photo);
    let classes = found["classes"].as_array().unwrap();
    let sum: f64 = classes.iter().map(|class| class["probability"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5 && classes.len() == 4);
    assert_eq!(classes[0]["class"], "2", "{classes:?}");
    let said = vitral(workspace.path(), &["predict", "run", photo, "-k", "2"]).succeeded().stdout;
    assert_eq!(said.lines().count(), 3, "{said}");
}

/// As with `| head`, which reads a few lines and leaves.
#[test]
fn results_that_nobody_reads_any_more_end_without_a_word() {
    let workspace = Workspace::new();
    for arguments in [&["config", "schema"][..], &["data", "info", "experiment.ron"], &["doctor"]] {
        let said = vitral_unread(workspace.path(), arguments, Unread::Results).succeeded().stderr;
        assert!(!said.contains("panicked") && !said.contains("error"), "{arguments:?}: {said}");
    }
    // What else was asked for is done, and the exit code is that of the work.
    let sheet = ["data", "info", "experiment.ron", "--sheet", "sheet.png"];
    vitral_unread(workspace.path(), &sheet, Unread::Results).succeeded();
    assert!(workspace.join("sheet.png").exists());
    let nothing = ["data", "info", "nothing.txt"];
    vitral_unread(workspace.path(), &nothing, Unread::Results).failed_with(1);
}

#[test]
fn a_run_goes_on_when_nobody_reads_its_progress_any_more() {
    let workspace = Workspace::new();
    let train = ["train", "experiment.ron"];
    let said = vitral_unread(workspace.path(), &train, Unread::Messages).succeeded().stdout;
    assert!(said.contains("trained"), "{said}");
    let wrong = ["train", "experiment.ron", "--set", "model.depth=0"];
    vitral_unread(workspace.path(), &wrong, Unread::Messages).failed_with(2);
}

/// Every command that `--help` shows, as the words behind `vitral`.
fn commands(of: &[&str]) -> Vec<Vec<String>> {
    let help = vitral(&root(), &[of, &["-h"]].concat()).succeeded().stdout;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| line.starts_with("  "));
    let names = listed.filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    let names = names.filter(|name| *name != "help");
    names
        .flat_map(|name| {
            let words = [of, &[name]].concat();
            let own = words.iter().map(ToString::to_string).collect();
            std::iter::once(own).chain(commands(&words)).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_command_has_completions_and_a_manual_page() {
    let commands = commands(&[]);
    for known in [&["train"][..], &["plugin", "keygen"], &["bench", "step"], &["man"]] {
        assert!(commands.iter().any(|words| words == known), "{known:?}: {commands:?}");
    }
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = vitral(&root(), &["completions", shell]).succeeded().stdout;
        for words in &commands {
            let name = words.last().unwrap();
            assert!(script.contains(name), "{shell} does not know {words:?}");
        }
        assert!(script.contains("token-merging"), "{shell} does not know options");
        assert!(!script.contains("compile-plugin"), "{shell} shows what is hidden");
    }
    let workspace = Workspace::new();
    vitral(workspace.path(), &["man", "pages/man1"]).succeeded();
    for words in &commands {
        let page = workspace.join(&format!("pages/man1/vitral-{}.1", words.join("-")));
        let text = fs::read_to_string(&page).unwrap_or_default();
        assert!(text.contains("SYNOPSIS"), "{} is not there: {text}", page.display());
    }
    assert!(workspace.join("pages/man1/vitral.1").exists());
    #[cfg(unix)]
    {
        let page = workspace.join("pages/man1/vitral-train.1");
        let other = workspace.join("mine");
        fs::write(&other, "mine").unwrap();
        fs::remove_file(&page).unwrap();
        std::os::unix::fs::symlink(&other, &page).unwrap();
        vitral(workspace.path(), &["man", "pages/man1"]).succeeded();
        assert_eq!(
            fs::read_to_string(&other).unwrap(),
            "mine",
            "a page was written through a link"
        );
        assert!(fs::read_to_string(&page).unwrap().contains("SYNOPSIS"));
    }
    assert!(!workspace.join("pages/man1/vitral-compile-plugin.1").exists(), "it is hidden");
    let taken = ["man", "experiment.ron"];
    let said = vitral(workspace.path(), &taken).failed_with(1).stderr;
    assert!(said.contains("experiment.ron: "), "{said}");
}

#[test]
fn the_long_version_names_features_and_instruction_sets() {
    let short = vitral(&root(), &["-V"]).succeeded().stdout;
    let long = vitral(&root(), &["--version"]).succeeded().stdout;
    assert_eq!(short.lines().count(), 1, "{short}");
    assert_eq!(long.lines().next(), short.lines().next());
    for words in ["features  ", "CPU kernels  ", "portable"] {
        assert!(long.contains(words), "{words}: {long}");
    }
    let doctor = vitral(&root(), &["doctor"]).succeeded().stdout;
    let kernels = doctor.split("kernels on ").nth(1).unwrap().split(')').next().unwrap();
    assert!(long.contains(&format!("CPU kernels       {kernels} ")), "{long}{doctor}");
}

/// Every command that writes or computes for one process says so before it does anything.
#[test]
fn what_is_for_one_process_is_not_done_in_several_at_once() {
    let workspace = Workspace::new();
    let before = fs::read_dir(workspace.path()).unwrap().count();
    let srun = [
        ("SLURM_JOB_ID", Some("7")),
        ("SLURM_STEP_NUM_TASKS", Some("2")),
        ("SLURM_PROCID", Some("1")),
    ];
    let refused = [
        "quickstart new",
        "eval run",
        "predict run image.png",
        "average one two --output mean",
        "prune run --flops 0.5 --out small",
        "teach run experiment.ron --out logits.safetensors",
        "import weights.npz --out model",
        "export run --format onnx --out model.onnx",
        "report run",
        "tune experiment.ron --find-learning-rate",
        "plugin new blur --kind monitor",
        "data cache experiment.ron --out images.vcache",
        "bench tricks experiment.ron",
        "man pages",
    ];
    let repeated = [
        "inspect experiment.ron",
        "config explain train.mix",
        "doctor",
        "plugin list",
        "completions bash",
    ];
    for command in refused {
        let arguments: Vec<&str> = command.split(' ').collect();
        let said = vitral_with(workspace.path(), &arguments, &srun).failed_with(2).stderr;
        for part in ["srun started this process as rank 1 of 2", "--single-process"] {
            assert!(said.contains(part), "{command}: {part}: {said}");
        }
    }
    let after = fs::read_dir(workspace.path()).unwrap().count();
    assert_eq!(before, after, "something was written");
    for command in repeated {
        let arguments: Vec<&str> = command.split(' ').collect();
        vitral_with(workspace.path(), &arguments, &srun).succeeded();
    }
    // One process, be it of a job with several tasks, and whoever means it.
    let alone = ["man", "pages", "--single-process"];
    vitral_with(workspace.path(), &alone, &srun).succeeded();
    let batch = [("SLURM_JOB_ID", Some("7")), ("SLURM_NTASKS", Some("4"))];
    vitral_with(workspace.path(), &["man", "more"], &batch).succeeded();
}

/// As many equal runs as there are processes, in one folder, would be the result.
#[test]
fn one_of_several_processes_does_not_train_unless_it_is_meant() {
    let workspace = Workspace::new();
    let mpirun = [
        ("OMPI_COMM_WORLD_SIZE", Some("4")),
        ("OMPI_COMM_WORLD_RANK", Some("1")),
        ("OMPI_COMM_WORLD_LOCAL_RANK", Some("1")),
    ];
    let batch = [("SLURM_JOB_ID", Some("7")), ("SLURM_NTASKS", Some("4"))];
    for (variables, parts) in [
        (&mpirun[..], ["Open MPI's mpirun", "rank 1 of 4"]),
        (&batch[..], ["4 tasks", "`srun` has started none of them"]),
    ] {
        let run = |arguments: &[&str]| vitral_with(workspace.path(), arguments, variables);
        for start in [&["train", "experiment.ron"][..], &["train", "--resume", "run"]] {
            let said = run(start).failed_with(2).stderr;
            for part in parts.iter().chain(&["--single-process"]) {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
        assert!(!workspace.join("run").exists(), "something was written");
        let said = run(&["doctor"]).succeeded().stdout;
        let line = said.lines().find(|line| line.trim().starts_with("launcher")).unwrap();
        assert!(line.contains(parts[1].split_once(' ').unwrap().0), "{line}");
    }
    let alone = ["train", "experiment.ron", "--single-process"];
    vitral_with(workspace.path(), &alone, &mpirun).succeeded();
    assert!(workspace.join("run/last").exists());
}
