//! MLP-Mixers and hybrids through the program: they train, resume, predict, come in and go out, and
//! say what they have no place for.

use std::fs;

use vitral_interchange::Hints;
use vitral_train::open_pretrained;

use crate::support::{
    images::{Workspace, write_image_folder},
    program::vitral,
    root,
};

const MODELS: [(&str, &str); 2] = [
    (
        "mixer",
        r#"variant: "Mixer-S/16", image_size: 8, channels: 1, patch_size: 2, width: 16, depth: 2,
           token_mixing: Mlp(hidden: 12), drop_path: 0.2, dropout: 0.1"#,
    ),
    (
        "hybrid",
        r#"variant: "R50+ViT-Ti/16", image_size: 8, channels: 1, width: 16, depth: 2, heads: 2,
           stem: ResNet(layers: [2], width: 32), drop_path: 0.2, dropout: 0.1"#,
    ),
];

/// A workspace with an experiment for the model.
fn workspace(model: &str) -> Workspace {
    let workspace = Workspace::new();
    let text = fs::read_to_string(workspace.join("experiment.ron")).unwrap();
    let (start, end) = (text.find("model: (").unwrap(), text.find("data: (").unwrap());
    let text = format!("{}model: ({model}),\n    {}", &text[..start], &text[end..]);
    workspace.write("experiment.ron", &text);
    workspace
}

#[test]
fn resumed_run_of_other_models_equals_uninterrupted_run() {
    for (name, model) in MODELS {
        let workspace = workspace(model);
        let folder = workspace.path();
        vitral(folder, &["train", "experiment.ron"]).succeeded();
        vitral(
            folder,
            &[
                "train",
                "experiment.ron",
                "--set",
                "output=\"stopped\"",
                "--set",
                "checkpoints=(every: Steps(6), keep: 20)",
            ],
        )
        .succeeded();
        let checkpoint = "stopped/checkpoints/step-00000006";
        vitral(folder, &["train", "--resume", checkpoint]).succeeded();
        for file in ["model.safetensors", "ema.safetensors", "optimizer.safetensors"] {
            let read = |run: &str| {
                fs::read(workspace.join(run).join("checkpoints/step-00000012").join(file)).unwrap()
            };
            assert!(read("run") == read("stopped"), "{name}: {file} differs");
        }
        let said = vitral(folder, &["eval", "run", "--json"]).succeeded().stdout;
        assert!(said.contains("top1"), "{said}");
        // As other formats have it, and back.
        vitral(folder, &["export", "run", "--format", "npz", "--out", "out.npz"]).succeeded();
        let open = |path: &str| open_pretrained(&workspace.join(path), &Hints::default()).unwrap();
        assert_eq!(open("out.npz").tensors, open("run").tensors, "{name}");
        // The experiment with every default written out is the same experiment.
        let resolved = fs::read_to_string(workspace.join("run/config.ron")).unwrap();
        let kept = if name == "mixer" { "Mlp(" } else { "ResNet(" };
        assert!(resolved.contains(kept), "{resolved}");
        assert_eq!(open("run").config.check(), Ok(()));
    }
}

#[test]
fn imported_mixers_and_hybrids_predict_and_go_out_as_they_came() {
    for (name, words) in [
        ("tiny_mixer.npz", "MLP-Mixer of width 24, depth 2, 8 px patches, 32 px images, 5 classes"),
        (
            "tiny_resnet.npz",
            "ViT of width 16, depth 1, 2 heads, 8 px patches, 32 px images behind a ResNet",
        ),
    ] {
        let workspace = Workspace::new();
        let folder = workspace.path();
        let file = root().join("tests/fixtures/oracle").join(name).canonicalize().unwrap();
        let file = file.display().to_string();
        let said = vitral(folder, &["import", &file, "--out", "model"]).succeeded().stdout;
        assert!(said.contains(words), "`{words}` is not in\n{said}");
        write_image_folder(&workspace.join("images"), 1);
        let image = "images/class_0/000.png";
        let said = vitral(folder, &["predict", "model", image, "--json"]).succeeded().stdout;
        assert!(said.contains("\"class\":"), "{said}");
        vitral(folder, &["export", "model", "--format", "npz", "--out", "out.npz"]).succeeded();
        let open = |path: &std::path::Path| open_pretrained(path, &Hints::default()).unwrap();
        assert_eq!(open(&workspace.join("out.npz")).tensors, open(file.as_ref()).tensors);
        let timm = vitral(folder, &["export", "model", "--format", "timm", "--out", "timm"]);
        let said = timm.failed_with(1).stderr;
        let words = match name {
            "tiny_mixer.npz" => "no place for an MLP-Mixer of other sizes than its S, B and L",
            _ => "no place for a ResNet before the patches",
        };
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn what_an_mlp_mixer_lacks_is_shown_with_its_line() {
    let workspace =
        workspace(r#"variant: "Mixer-B/16", image_size: 8, channels: 1, patch_size: 2"#);
    for (set, words) in [
        ("model.class_token=true", "an MLP-Mixer has no `class_token`"),
        ("model.position=Learned", "an MLP-Mixer has no `position`"),
        ("model.heads=12", "an MLP-Mixer has no `heads`"),
        ("model.pool=Map", "an MLP-Mixer does not pool by `Map`"),
        ("model.token_merging=(r: Constant(2))", "an MLP-Mixer has no `token_merging`"),
        ("train.image_size=[(until_epoch: 1, size: 4)]", "cannot be combined with an MLP-Mixer"),
        ("model.token_mixing=Mlp(hidden: 0)", "must be at least 1"),
        ("model.variant=\"Mixer-Ti/16\"", "`Mixer-Ti/16` is not a variant"),
        ("model.variant=\"R26+ViT-S/16\"", "`R26+ViT-S/16` is not a variant"),
        ("model.stem=ResNet(layers: [1], width: 40)", "40 channels do not fall into the 32 groups"),
    ] {
        let said = vitral(workspace.path(), &["train", "experiment.ron", "--set", set]);
        assert!(!said.status.success(), "{set}");
        let text = said.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(words), "{set}: {}", said.stderr);
    }
    let said = vitral(workspace.path(), &["bench", "kernels", "--variant", "Mixer-B/16"]);
    assert!(said.failed_with(1).stderr.contains("bench step --variant Mixer-B/16"));
}
