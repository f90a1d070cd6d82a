//! Hugging Face's transformers, by fixtures that it has made (tests/fixtures/huggingface/make.py).

use vitral_interchange::{Array, Hints, Resize, read, to_task};
use vitral_model::{mlp::Mlp, pool::Pool};

use crate::support::{arrays, largest_difference, logits, root};

#[test]
fn classifiers_give_their_logits() {
    let folder = root().join("tests/fixtures/huggingface/vit");
    let model = read(&folder, &Hints::default()).unwrap();
    assert_eq!(model.class_names, ["cat", "dog", "emu"]);
    assert_eq!(
        (model.config.heads(), model.config.mlp, model.config.norm_eps),
        (3, Mlp::Gelu, 1e-12)
    );
    let io = arrays(&folder.join("io.npz"));
    let difference = largest_difference(&logits(&model, &io["input_nhwc"]), &io["output"].values);
    println!("ViTForImageClassification: logits differ by at most {difference:e}");
    assert!(difference < 1e-5, "{difference}");
}

/// DINOv2 has no head; one that hands through makes logits of its class token.
#[test]
fn dinov2_gives_its_features_with_and_without_registers() {
    for (name, registers, mlp) in [("dinov2", 0, Mlp::Gelu), ("dinov2-registers", 3, Mlp::SwiGlu)] {
        let folder = root().join("tests/fixtures/huggingface").join(name);
        let model = read(&folder, &Hints::default()).unwrap();
        assert_eq!((model.config.classes, model.config.register_tokens), (0, registers));
        assert_eq!(model.config.mlp, mlp);
        let left_out = |note: &String| note.contains("`embeddings.mask_token` is left out");
        assert!(model.notes.iter().any(left_out), "{:?}", model.notes);
        let mut model = to_task(model, None, Some(24), Resize::Zoom).unwrap();
        let mut identity = Array::zeros([24, 24]);
        identity.values.iter_mut().step_by(25).for_each(|value| *value = 1.0);
        model.tensors.insert("head.weight".into(), identity);
        let io = arrays(&folder.join("io.npz"));
        let found = logits(&model, &io["input_nhwc"]);
        let difference = largest_difference(&found, &io["output"].values);
        println!("{name}: features differ by at most {difference:e}");
        assert!(difference < 1e-5, "{name}: {difference}");
    }
}

/// Their head reads the class token, and the mean of the patches without the registers.
#[test]
fn dinov2_classifiers_give_their_logits() {
    for (name, registers, classes) in
        [("dinov2-classifier", 0, 3), ("dinov2-registers-classifier", 3, 5)]
    {
        let folder = root().join("tests/fixtures/huggingface").join(name);
        let model = read(&folder, &Hints::default()).unwrap();
        let config = &model.config;
        assert_eq!((config.classes, config.register_tokens), (classes, registers));
        assert_eq!((config.pool, config.pooled_width()), (Pool::ClassTokenAndMean, 48));
        let io = arrays(&folder.join("io.npz"));
        let found = logits(&model, &io["input_nhwc"]);
        let difference = largest_difference(&found, &io["output"].values);
        println!("{name}: logits differ by at most {difference:e}");
        assert!(difference < 1e-5, "{name}: {difference}");
    }
}
