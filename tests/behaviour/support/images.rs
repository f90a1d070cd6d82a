//! Small data sets and experiments, made where a test needs them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rand::Rng as _;
use tempfile::TempDir;
use vitral_seed::Seed;

/// A folder with an experiment on a small data set of 8 px images: each class has its own quarter
/// bright, so that it can be learned.
pub struct Workspace {
    folder: TempDir,
}

const TRAIN_IMAGES: usize = 72;
/// Not a multiple of the batch, so that evaluation has a remainder.
pub const VAL_IMAGES: usize = 37;

impl Workspace {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        write_idx(folder.path(), "train", TRAIN_IMAGES);
        write_idx(folder.path(), "val", VAL_IMAGES);
        let workspace = Self { folder };
        workspace.write("experiment.ron", EXPERIMENT);
        workspace
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn join(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.join(name), text).unwrap();
    }
}

/// Every kind of randomness is on, so that resuming has something to get wrong.
const EXPERIMENT: &str = r#"(
    output: "run",
    device: "cpu",
    model: (
        image_size: 8,
        channels: 1,
        patch_size: 2,
        width: 16,
        depth: 2,
        heads: 2,
        mlp_ratio: 2.0,
        drop_path: 0.2,
        dropout: 0.1,
        patch_dropout: 0.25,
    ),
    data: (
        train: Idx(images: "train-images", labels: "train-labels"),
        val: Idx(images: "val-images", labels: "val-labels"),
        augment: [PadCrop(padding: 1), HorizontalFlip()],
        workers: 2,
    ),
    train: (
        steps: 12,
        batch: 16,
        accum_steps: 2,
        learning_rate: 2e-3,
        warmup_steps: 3,
        mix: (mixup: 0.2, cutmix: 0.5, probability: 0.5),
        label_smoothing: 0.1,
        ema: 0.9,
        eval_every: Steps(4),
        log_every: 1,
    ),
    checkpoints: (every: Steps(3), keep: 20),
)"#;

fn write_idx(folder: &Path, name: &str, count: usize) {
    let mut rng = Seed::new(5).named(name).rng();
    let mut images = vec![0, 0, 8, 3];
    let mut labels = vec![0, 0, 8, 1];
    for length in [count, 8, 8] {
        images.extend((length as u32).to_be_bytes());
    }
    labels.extend((count as u32).to_be_bytes());
    for index in 0..count {
        let class = index % 4;
        labels.push(class as u8);
        for pixel in 0..64 {
            let bright = (pixel / 32) * 2 + usize::from(pixel % 8 >= 4) == class;
            images.push(rng.random_range(0..100) + if bright { 150 } else { 0 });
        }
    }
    fs::write(folder.join(format!("{name}-images")), images).unwrap();
    fs::write(folder.join(format!("{name}-labels")), labels).unwrap();
}

/// The same kind of images as PNG files in folders `class_0` to `class_3`.
pub fn write_image_folder(folder: &Path, per_class: usize) {
    write_files(folder, per_class, 8, "png");
}

/// The same in JPEG files of another size than the experiment's.
pub fn write_jpeg_folder(folder: &Path, per_class: usize) {
    write_files(folder, per_class, 26, "jpg");
}

fn write_files(folder: &Path, per_class: usize, size: u32, extension: &str) {
    for class in 0..4usize {
        let path = folder.join(format!("class_{class}"));
        fs::create_dir_all(&path).unwrap();
        for index in 0..per_class {
            let image = image::GrayImage::from_fn(size, size, |x, y| {
                let bright =
                    2 * u32::from(2 * y >= size) + u32::from(2 * x >= size) == class as u32;
                image::Luma([(index * 3) as u8 + if bright { 180 } else { 10 }])
            });
            image.save(path.join(format!("{index:03}.{extension}"))).unwrap();
        }
    }
}
