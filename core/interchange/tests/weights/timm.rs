//! timm: logits of every kind of model, and the way back.

use tempfile::TempDir;
use vitral_interchange::{
    Hints, Resize, read, resize_positions, resize_relative_bias, write_published, write_timm,
};

use crate::support::{arrays, largest_difference, logits, python};

/// Kinds that google-research/vision_transformer has, too.
const PUBLISHED: [&str; 6] = ["class-token", "gelu-tanh", "grey", "Ti-16", "S-16", "B-16"];

/// Kinds that there are, MLP-Mixers among them.
const KINDS: usize = 23;

#[test]
fn logits_equal_timms_and_weights_come_back_bit_for_bit() {
    let folder = TempDir::new().unwrap();
    let at = folder.path().display().to_string();
    python("timm_models.py", &["make", &at]);
    let mut largest = 0.0;
    let mut kinds = 0;
    for kind in std::fs::read_dir(folder.path()).unwrap() {
        let path = kind.unwrap().path();
        let kind = path.file_name().unwrap().to_string_lossy().into_owned();
        // Tiny models have heads of 16, which no tensor tells; full ones are recognised.
        let heads = (!kind.ends_with("-16")).then_some(4);
        let hints = Hints { heads, ..Hints::default() };
        let model = read(&path, &hints).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let io = arrays(&path.join("io.npz"));
        let found = logits(&model, &io["input_nhwc"]);
        let difference = largest_difference(&found, &io["logits"].values);
        println!("{kind}: logits differ by at most {difference:e}");
        assert!(difference < 1e-5, "{kind}: {difference}");
        largest = f32::max(largest, difference);
        write_timm(&model, &path.join("timm")).unwrap();
        if PUBLISHED.contains(&kind.as_str()) {
            write_published(&model, &path.join("published.npz")).unwrap();
        }
        kinds += 1;
    }
    assert_eq!(kinds, KINDS);
    println!("{kinds} models: logits differ by at most {largest:e}");
    println!("{}", python("timm_models.py", &["check", &at]));
}

#[test]
fn positions_are_resized_as_timm_does() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("positions.npz");
    python("timm_positions.py", &[&path.display().to_string()]);
    let cases = arrays(&path);
    let mut compared = 0;
    for (name, source) in &cases {
        let numbers: Vec<usize> = name.split(' ').filter_map(|word| word.parse().ok()).collect();
        let (to, kept) = (numbers[1], numbers[2]);
        let (found, wanted) = if let Some(case) = name.strip_suffix(" positions") {
            let found = resize_positions(source, kept, to, Resize::Bicubic);
            (found, &cases[&format!("{case} resized")])
        } else if let Some(case) = name.strip_suffix("resized table") {
            let source = &cases[&format!("{case}table")];
            (resize_relative_bias(source, kept, to), &cases[name])
        } else {
            continue;
        };
        assert_eq!(found.shape, wanted.shape, "{name}");
        let difference = largest_difference(&found.values, &wanted.values);
        println!("{name}: differ by at most {difference:e}");
        // timm's weights are in f32, ours in f64; the values are around 1.
        assert!(difference < 1e-5, "{name}: {difference}");
        compared += 1;
    }
    assert_eq!(compared, 7);
}
