//! Models that come from elsewhere and go elsewhere, as a user sees it: `import`, `export`,
//! `train --init`, `init` and `frozen` in experiments.

use std::{fs, path::Path};

use vitral_interchange::{Array, Hints, Pretrained};
use vitral_train::open_pretrained;

use crate::support::{
    images::{Workspace, write_image_folder},
    program::vitral,
    root,
};

fn oracle(name: &str) -> String {
    root().join("tests/fixtures/oracle").join(name).canonicalize().unwrap().display().to_string()
}

fn open(path: &Path) -> Pretrained {
    open_pretrained(path, &Hints::default()).unwrap()
}

#[test]
fn an_imported_model_predicts_and_goes_out_as_it_came() {
    let workspace = Workspace::new();
    let folder = workspace.path();
    let published = oracle("tiny_token.published.npz");
    let said = vitral(folder, &["import", &published, "--out", "model"]).succeeded().stdout;
    for words in [
        "published names",
        "ViT of width 32, depth 2, 4 heads, 8 px patches, 32 px images, 10 classes",
        "4 heads, by the shape of the projections",
        "does not say how images are normalised",
        "24234 parameters",
    ] {
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
    write_image_folder(&workspace.join("images"), 1);
    let image = "images/class_0/000.png";
    let of_import = vitral(folder, &["predict", "model", image, "--json"]).succeeded().stdout;
    assert!(of_import.contains("\"class\":\"0\""), "{of_import}");
    // Native: read by the same commands, with the same results.
    vitral(folder, &["export", "model", "--format", "native", "--out", "again"]).succeeded();
    let of_native = vitral(folder, &["predict", "again", image, "--json"]).succeeded().stdout;
    assert_eq!(of_import, of_native);
    // The archive has the very arrays that came in.
    vitral(folder, &["export", "again", "--format", "npz", "--out", "out.npz"]).succeeded();
    let (before, after) = (open(Path::new(&published)), open(&workspace.join("out.npz")));
    assert_eq!((before.tensors, before.config), (after.tensors, after.config));
    vitral(folder, &["export", "model", "--format", "timm", "--out", "timm"]).succeeded();
    let of_timm = open(&workspace.join("timm"));
    assert_eq!(of_timm.tensors, open(&workspace.join("out.npz")).tensors);
    assert_eq!(of_timm.config.heads(), 4, "config.json says so");
}

/// As the Hugging Face hub has large models: an index, and the tensors in several files.
#[test]
fn a_model_in_several_files_is_imported() {
    let workspace = Workspace::new();
    let folder = workspace.path();
    let import = ["import", &oracle("tiny_token.npz"), "--out", "model"];
    vitral(folder, &import).succeeded();
    vitral(folder, &["export", "model", "--format", "timm", "--out", "timm"]).succeeded();
    let whole = open(&workspace.join("timm"));
    let part = "model-00001-of-00001.safetensors";
    fs::rename(workspace.join("timm/model.safetensors"), workspace.join("timm").join(part))
        .unwrap();
    let content = fs::read(workspace.join("timm").join(part)).unwrap();
    let length = u64::from_le_bytes(content[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&content[8..8 + length]).unwrap();
    let names = header.as_object().unwrap().keys().filter(|name| *name != "__metadata__");
    let map: serde_json::Map<_, _> = names.map(|name| (name.clone(), part.into())).collect();
    let index = workspace.join("timm/model.safetensors.index.json");
    fs::write(&index, serde_json::json!({ "weight_map": map }).to_string()).unwrap();
    for (source, out) in [("timm", "one"), ("timm/model.safetensors.index.json", "two")] {
        vitral(folder, &["import", source, "--out", out]).succeeded();
        assert_eq!(open(&workspace.join(out)).tensors, whole.tensors);
    }
    let elsewhere = fs::read_to_string(&index).unwrap().replace(part, &format!("../{part}"));
    fs::write(&index, elsewhere).unwrap();
    let said = vitral(folder, &["import", "timm", "--out", "three"]).failed_with(1).stderr;
    assert!(said.contains("must be a .safetensors file beside the index"), "{said}");
}

#[test]
fn nothing_is_written_over_and_nothing_half() {
    let workspace = Workspace::new();
    let folder = workspace.path();
    let file = oracle("tiny_token.npz");
    fs::create_dir(workspace.join("there")).unwrap();
    let said = vitral(folder, &["import", &file, "--out", "there"]).failed_with(1).stderr;
    assert!(said.contains("something of that name already"), "{said}");
    let damaged = fs::read(&file).unwrap();
    fs::write(workspace.join("cut.npz"), &damaged[..damaged.len() / 2]).unwrap();
    let said = vitral(folder, &["import", "cut.npz", "--out", "model"]).failed_with(1).stderr;
    assert!(said.contains("cut.npz") && said.contains("damaged or cut short"), "{said}");
    let said = vitral(folder, &["import", &file, "--out", "model", "--set", "model.depth=3"]);
    let said = said.failed_with(1).stderr;
    assert!(said.contains("would change the model's parameters"), "{said}");
    assert!(!workspace.join("model").exists());
    vitral(folder, &["import", &file, "--out", "model"]).succeeded();
    // Weights that are not numbers are told by the name of their tensor.
    vitral(folder, &["export", "model", "--format", "timm", "--out", "nan"]).succeeded();
    let weights = workspace.join("nan/model.safetensors");
    let mut content = fs::read(&weights).unwrap();
    let last = content.len() - 4;
    content[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&weights, content).unwrap();
    let said = vitral(folder, &["import", "nan", "--out", "other"]).failed_with(1).stderr;
    assert!(said.contains("1 of the") && said.contains("are not finite"), "{said}");
    assert!(!workspace.join("other").exists());
    let said = vitral(folder, &["train", "--resume", "model"]).failed_with(1).stderr;
    assert!(said.contains("it is only a model") && said.contains("train --init"), "{said}");
}

#[test]
fn what_a_format_has_no_place_for_is_named() {
    let workspace = Workspace::new();
    let folder = workspace.path();
    let set = ["--set", "train.steps=1", "--set", "model.layer_scale=0.1"];
    vitral(folder, &[&["train", "experiment.ron"], &set[..]].concat()).succeeded();
    let export = |format| vitral(folder, &["export", "run", "--format", format, "--out", "out"]);
    let said = export("npz").failed_with(1).stderr;
    assert!(said.contains("no place for LayerScale (`layer_scale`)"), "{said}");
    assert!(!workspace.join("out").exists());
    export("timm").succeeded();
    // The moving average is the model.
    let of_timm = open_pretrained(&workspace.join("out"), &Hints::default()).unwrap();
    assert_eq!(of_timm.tensors, open(&workspace.join("run/last")).tensors);
    assert_eq!(of_timm.config.layer_scale, Some(1e-5));
    assert_eq!(of_timm.class_names, open(&workspace.join("run/last")).class_names);
}

/// A model for the workspace's images, but of another image size and with other classes.
fn write_pretrained(workspace: &Workspace) {
    let set = [
        "--set",
        "train.steps=3",
        "--set",
        "model.image_size=12",
        "--set",
        "output=before",
        "--set",
        "train.ema=0.5",
    ];
    vitral(workspace.path(), &[&["train", "experiment.ron"], &set[..]].concat()).succeeded();
}

/// The workspace's experiment with no noise in the model, so that nothing but what is tested counts.
fn fine_tuning(workspace: &Workspace, steps: u32, more: &[&str]) -> Vec<String> {
    let base = [
        "train".to_owned(),
        "experiment.ron".into(),
        "--set".into(),
        format!("train.steps={steps}"),
        "--set".into(),
        "train.warmup_steps=0".into(),
    ];
    assert!(workspace.join("experiment.ron").exists());
    base.into_iter().chain(more.iter().map(|&argument| argument.to_owned())).collect()
}

fn run(workspace: &Workspace, arguments: &[String]) -> crate::support::program::Finished {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    vitral(workspace.path(), &arguments)
}

#[test]
fn training_starts_from_a_model_of_another_size_and_frozen_layers_stay() {
    let workspace = Workspace::new();
    write_pretrained(&workspace);
    let before = open(&workspace.join("before"));
    let frozen = ["--set", r#"train.frozen=["blocks.0.*", "patch_embed.*"]"#];
    let arguments = fine_tuning(&workspace, 4, &[&["--init", "before"], &frozen[..]].concat());
    let said = run(&workspace, &arguments).succeeded();
    let said = said.stdout + &said.stderr;
    assert!(said.contains("positions were resized from 6 x 6 to 4 x 4"), "{said}");
    let after = open(&workspace.join("run/last"));
    for (name, array) in &after.tensors {
        let old = &before.tensors[name];
        if name.starts_with("blocks.0.") || name.starts_with("patch_embed.") {
            assert_eq!(array, old, "{name} is frozen, its average included");
        } else if array.shape == old.shape {
            assert_ne!(array, old, "{name} is trained");
        }
    }
    // Resumed, it is the same run: weights are not started from again.
    let halfway = fine_tuning(
        &workspace,
        4,
        &[&["--init", "before", "--set", "output=other"], &frozen[..]].concat(),
    );
    run(&workspace, &halfway).succeeded();
    fs::remove_dir_all(workspace.join("other/checkpoints/step-00000004")).unwrap();
    vitral(workspace.path(), &["train", "--resume", "other"]).succeeded();
    let resumed = open(&workspace.join("other/last"));
    assert_eq!(resumed.tensors, after.tensors);
}

#[test]
fn a_start_that_does_not_fit_lists_every_difference_before_anything_is_written() {
    let workspace = Workspace::new();
    write_pretrained(&workspace);
    let set = ["--set", "model.layer_scale=0.1", "--set", "model.class_token=false"];
    let pool = ["--set", "model.pool=Mean"];
    let arguments =
        fine_tuning(&workspace, 1, &[&["--init", "before"], &set[..], &pool[..]].concat());
    let said = run(&workspace, &arguments).failed_with(1).stderr;
    for words in ["missing     blocks.0.ls1.gamma [16]", "unexpected  cls_token [1, 1, 16]"] {
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
    assert!(!workspace.join("run").exists());
    let init = r#"init=Pretrained(path: "before", fresh: ["*.gamma"], ignore: ["cls_token"])"#;
    let arguments = fine_tuning(&workspace, 1, &[&["--set", init], &set[..], &pool[..]].concat());
    run(&workspace, &arguments).succeeded();
    for (field, words) in [
        (r#"init=Pretrained(path: "before", fresh: ["haed.*"])"#, "`haed.*` matches no parameter"),
        (r#"train.frozen=["block.0.*"]"#, "`block.0.*` matches no parameter"),
    ] {
        let said = run(&workspace, &fine_tuning(&workspace, 1, &["--set", field])).stderr;
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
}

#[test]
fn evaluating_with_other_classes_than_the_models_is_refused() {
    let workspace = Workspace::new();
    vitral(workspace.path(), &["import", &oracle("tiny_token.npz"), "--out", "model"]).succeeded();
    write_image_folder(&workspace.join("images"), 1);
    let images = workspace.join("images").display().to_string();
    let set = |field: &str| format!("data.{field}=ImageFolder(path: {images:?})");
    let (train, val) = (set("train"), set("val"));
    let arguments = ["eval", "model", "--set", &train, "--set", &val];
    let said = vitral(workspace.path(), &arguments).failed_with(2).stderr;
    assert!(said.contains("4 classes") && said.contains("10"), "{said}");
    let arguments = ["import", &oracle("tiny_token.npz"), "--out", "four", "--classes", "4"];
    vitral(workspace.path(), &arguments).succeeded();
    assert_eq!(open(&workspace.join("four")).tensors["head.bias"], Array::zeros([4]));
    let arguments = ["eval", "four", "--set", &train, "--set", &val];
    let said = vitral(workspace.path(), &arguments).succeeded().stderr;
    assert!(said.contains("the model does not name its 4 classes"), "{said}");
}

/// PyTorch's files are read, and run nothing.
#[test]
fn a_file_of_pytorchs_is_imported_and_what_could_run_code_is_refused() {
    let workspace = Workspace::new();
    let fixture = |name: &str| {
        let path = root().join("tests/fixtures/torch").join(name).canonicalize().unwrap();
        path.display().to_string()
    };
    let import = |name: &str, more: &[&str]| {
        let file = fixture(name);
        let arguments = [&["import", &file, "--heads", "2", "--out", "model"], more].concat();
        let finished = vitral(workspace.path(), &arguments);
        let model = workspace.join("model");
        let imported = model.exists().then(|| open(&model).tensors);
        if imported.is_some() {
            fs::remove_dir_all(model).unwrap();
        }
        (finished, imported)
    };
    let right = import("model.npz", &[]).1.unwrap();
    let (finished, tensors) = import("model.pth", &[]);
    let said = finished.succeeded().stdout;
    assert!(said.contains("`steps` is left out: no weights are int64"), "{said}");
    assert_eq!(tensors, Some(right));
    // A training script's checkpoint: its average is taken, unless another part is asked for.
    let (finished, averaged) = import("checkpoint.pth", &[]);
    let said = finished.succeeded().stdout;
    assert!(
        said.contains("under `state_dict_ema.`") && said.contains("--part module.module"),
        "{said}"
    );
    let (finished, trained) = import("checkpoint.pth", &["--part", "module.module"]);
    finished.succeeded();
    assert_ne!(averaged, trained);
    for (name, words) in
        [("module.pth", "torch.nn.modules.linear.Linear"), ("old.pth", "PyTorch's old format")]
    {
        let (finished, model) = import(name, &[]);
        let said = finished.failed_with(1).stderr;
        assert!(said.contains(words) && model.is_none(), "{said}");
    }
}

#[test]
fn an_experiment_takes_over_what_it_does_not_set_of_the_model_it_starts_from() {
    let workspace = Workspace::new();
    let set = ["mlp=Gelu", "norm_eps=1e-5", "register_tokens=2", "layer_scale=0.1"];
    let normalize = "data.normalize=Custom(mean: [0.25], std: [0.125])";
    let set = set.map(|field| format!("model.{field}"));
    let mut arguments =
        vec!["train", "experiment.ron", "--set", "output=before", "--set", "train.steps=1"];
    set.iter().for_each(|field| arguments.extend(["--set", field]));
    arguments.extend(["--set", normalize]);
    vitral(workspace.path(), &arguments).succeeded();
    let before = open(&workspace.join("before"));

    let said =
        run(&workspace, &fine_tuning(&workspace, 1, &["--init", "before"])).succeeded().stderr;
    for words in ["model.mlp=Gelu", "model.register_tokens=2", "model.layer_scale=", "mean [0.25]"]
    {
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
    assert!(!said.contains("warning"), "{said}");
    let after = open(&workspace.join("run/last"));
    assert_eq!(after.config.norm_eps, 1e-5);
    assert_eq!((after.config.mlp, after.config.register_tokens), (before.config.mlp, 2));
    assert_eq!(after.normalization, before.normalization);

    // Where both speak and differ, the experiment is right, and says what would be as before.
    let own =
        ["--init", "before", "--set", "model.mlp=GeluTanh", "--set", "data.normalize=Inception"];
    let said = run(&workspace, &fine_tuning(&workspace, 1, &own)).succeeded().stderr;
    for words in [
        "warning: init: `model.mlp` is GeluTanh, but the file's model has Gelu (`--set 'model.mlp=Gelu'`)",
        "--set 'data.normalize=Custom(mean: [0.25], std: [0.125])'",
    ] {
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
}

/// timm's `crop_pct`, `crop_mode` and `interpolation` decide what an evaluation sees.
#[test]
fn images_are_evaluated_as_the_file_says() {
    let workspace = Workspace::new();
    let folder = workspace.path();
    let published = oracle("tiny_token.published.npz");
    vitral(folder, &["import", &published, "--out", "model"]).succeeded();
    vitral(folder, &["export", "model", "--format", "timm", "--out", "timm"]).succeeded();
    let path = workspace.join("timm/config.json");
    let read = |path: &Path| -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let mut config = read(&path);
    let cfg = &mut config["pretrained_cfg"];
    assert_eq!((&cfg["crop_pct"], &cfg["interpolation"]), (&0.875.into(), &"bilinear".into()));
    cfg["crop_pct"] = 0.9.into();
    cfg["interpolation"] = "bicubic".into();
    fs::write(&path, config.to_string()).unwrap();
    let transforms = "[ResizeShorter(to: 35, interpolation: Bicubic), CenterCrop()]";
    let said = vitral(folder, &["import", "timm", "--out", "cropped"]).succeeded().stdout;
    assert!(said.contains(&format!("`data.eval_transforms: {transforms}`")), "{said}");
    // They go out again, and a run that starts from the model evaluates by them.
    vitral(folder, &["export", "cropped", "--format", "timm", "--out", "again"]).succeeded();
    let again = read(&workspace.join("again/config.json"));
    let share = again["pretrained_cfg"]["crop_pct"].as_f64().unwrap();
    assert_eq!((32.0 / share).floor(), 35.0, "as timm rounds it");
    assert_eq!(again["pretrained_cfg"]["interpolation"], "bicubic");
    write_image_folder(&workspace.join("photos"), 4);
    let experiment = "(output: \"run\", data: Folder(\"photos\"), model: (image_size: 32), train: (steps: 1, batch: 4))";
    workspace.write("own.ron", experiment);
    let said = vitral(folder, &["train", "own.ron", "--init", "cropped"]).succeeded().stderr;
    assert!(said.contains(&format!("data.eval_transforms={transforms}")), "{said}");
    // Of a run whose transforms are not a resize and a crop, that is told.
    let first = ["train", "own.ron", "--set", "data.eval_transforms=[CenterCrop()]"];
    vitral(folder, &[&first[..], &["--set", "output=\"first\""]].concat()).succeeded();
    let second = ["train", "own.ron", "--init", "first", "--set", "output=\"second\""];
    let said = vitral(folder, &second).succeeded().stderr;
    assert!(said.contains("/first: its `data.eval_transforms`"), "{said}");
    let set = ["--set", "output=\"third\"", "--set", "data.eval_transforms=[]"];
    let said = vitral(folder, &[&second[..4], &set].concat()).succeeded().stderr;
    assert!(!said.contains("not taken"), "{said}");
    // What has no place here is told.
    config["pretrained_cfg"]["interpolation"] = "lanczos".into();
    fs::write(&path, config.to_string()).unwrap();
    let said = vitral(folder, &["import", "timm", "--out", "other"]).succeeded().stdout;
    assert!(said.contains("`interpolation` lanczos has no place here"), "{said}");
}

/// Of the architecture of its own model an experiment needs to say nothing, and what it says must fit.
#[test]
fn another_width_than_the_initial_models_is_refused_at_its_field() {
    let workspace = Workspace::new();
    let folder = workspace.path();
    vitral(folder, &["import", &oracle("tiny_token.published.npz"), "--out", "model"]).succeeded();
    write_image_folder(&workspace.join("photos"), 4);
    let experiment = |model: &str| {
        format!(
            "(output: \"run\",\ndata: Folder(\"photos\"),\nmodel: ({model}),\ntrain: (steps: 1, batch: 4))"
        )
    };
    workspace.write("own.ron", &experiment("image_size: 32, width: 48, depth: 2"));
    for command in [&["train"][..], &["tune", "--over", "seed=1,2"]] {
        let arguments =
            [command, &["own.ron", "--set", "init=Pretrained(path: \"model\")"]].concat();
        let said = vitral(folder, &arguments).failed_with(2).stderr;
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in
            ["own.ron:3:32", "a width of 48", "one of 32", "leave out model.width, model.depth"]
        {
            assert!(said.contains(words), "`{words}` is not in {said}");
        }
    }
    assert!(!workspace.join("run").exists());
    workspace.write("own.ron", &experiment("image_size: 32"));
    let init = "init=Pretrained(path: \"model\")";
    let said = vitral(folder, &["inspect", "own.ron", "--set", init]).succeeded().stdout;
    assert!(said.contains("17 x 32"), "{said}");
}
