//! Writes what fuzzing starts from: valid files of each kind, made of the project's fixtures and code.
//!
//! ```text
//! seeds ROOT OUT        # OUT/<target>/<name>, ROOT being the repository
//! ```

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

// Instrumented code needs the library, although nothing is fuzzed here.
use libfuzzer_sys as _;
use serde_json::json;
use vitral_bundle::{Bundle, PackInput, SourceManifest};
use vitral_data::{Idx, Image, Keep, OnError, PackOptions, ReadError, Source, Stored, pack};
use vitral_fuzz::joined;
use vitral_program::{Initializer, Limits, Tracer, ops};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let (Some(root), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err("usage: seeds ROOT OUT".into());
    };
    let seeds = Seeds { root, out };
    seeds.idx()?;
    seeds.cifar()?;
    seeds.cache()?;
    seeds.copy("web_dataset", "tests/fixtures/sources", &["tar"])?;
    seeds.copy("parquet", "tests/fixtures/sources", &["parquet"])?;
    seeds.copy("image", "core/data/src/decode/fixtures", &["jpg", "png"])?;
    seeds.copy("image", "examples/data/fashion-mnist-subset/images", &["png"])?;
    seeds.images()?;
    seeds.jpeg()?;
    seeds.config()?;
    seeds.experiment()?;
    seeds.bundles()?;
    seeds.copy("weights", "tests/fixtures/huggingface/vit", &["safetensors"])?;
    seeds.copy("weights", "tests/fixtures/oracle", &["npz"])?;
    seeds.copy("weights", "tests/fixtures/torch", &["pth"])?;
    seeds.weights()?;
    seeds.pickles()?;
    seeds.weights_index()?;
    seeds.programs()?;
    seeds.journal()?;
    seeds.checkpoint()
}

struct Seeds {
    root: PathBuf,
    out: PathBuf,
}

impl Seeds {
    fn write(&self, target: &str, name: &str, bytes: &[u8]) -> Fallible<()> {
        let folder = self.out.join(target);
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(name), bytes)?)
    }

    /// The files of a folder of the repository that have one of the extensions, unless they are large.
    fn copy(&self, target: &str, folder: &str, extensions: &[&str]) -> Fallible<()> {
        for path in files(&self.root.join(folder))? {
            let extension = path.extension().and_then(|extension| extension.to_str());
            let bytes = fs::read(&path)?;
            if extension.is_some_and(|extension| extensions.contains(&extension))
                && bytes.len() < 1 << 16
            {
                self.write(target, &name(&path), &bytes)?;
            }
        }
        Ok(())
    }

    fn idx(&self) -> Fallible<()> {
        let (images, labels) = idx_files();
        self.write("idx", "plain", &joined(&labels, &images))?;
        let colour = [&[0, 0, 8, 4, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3][..], &[7; 12]];
        self.write("idx", "colour", &joined(&idx(&[2], &[0, 1]), &colour.concat()))?;
        self.write("idx", "compressed", &joined(&gzip(&labels)?, &gzip(&images)?))
    }

    fn cifar(&self) -> Fallible<()> {
        let ten = [&[3][..], &[9; 3072], &[9], &[200; 3072]].concat();
        let names = "a b c d e f g h i j\n".replace(' ', "\n");
        self.write("cifar", "ten", &[&[0][..], &joined(names.as_bytes(), &ten)].concat())?;
        let hundred = [&[19, 99][..], &[9; 3072]].concat();
        self.write("cifar", "fine", &[&[1][..], &joined(b"", &hundred)].concat())?;
        self.write("cifar", "coarse", &[&[2][..], &joined(b"", &hundred)].concat())
    }

    fn cache(&self) -> Fallible<()> {
        let (images, labels) = idx_files();
        let (images, labels) = (vitral_fuzz::file("i", &images), vitral_fuzz::file("l", &labels));
        let raw = Idx::open(&images, &labels, None)?;
        let encoded = Encoded(encoded()?);
        let sources: [(&str, &dyn Source); 2] = [("raw", &raw), ("encoded", &encoded)];
        for (name, source) in sources {
            for (kind, keep) in [("pixels", Keep::Pixels), ("stored", Keep::Stored)] {
                let path = vitral_fuzz::file("x.vcache", b"");
                fs::remove_file(&path)?;
                let options = PackOptions { keep, max_side: None, on_error: OnError::Stop };
                // What has no encoded form is kept as pixels.
                pack(source, &path, &options, &|_| {})?;
                self.write("cache", &format!("{name}-{kind}"), &fs::read(&path)?)?;
            }
        }
        Ok(())
    }

    /// Kinds of image files that the fixtures lack.
    fn images(&self) -> Fallible<()> {
        for (number, bytes) in encoded()?.iter().enumerate() {
            self.write("image", &format!("made-{number}"), bytes)?;
        }
        Ok(())
    }

    /// Files after six bytes that choose parts, limits, a scale and colours.
    fn jpeg(&self) -> Fallible<()> {
        let choices: [[u8; 6]; 4] = [
            [0, 255, 0, 255, 255, 0],
            [90, 120, 60, 200, 0xc9, 1],
            [200, 10, 0, 255, 0x40, 6],
            [20, 99, 130, 80, 0x15, 3],
        ];
        let folders = ["core/jpeg/src/fixtures", "core/data/src/decode/fixtures"];
        let mut choices = choices.iter().cycle();
        let files = files_of(&folders.map(|folder| self.root.join(folder)))?;
        for (number, path) in files.iter().enumerate() {
            let bytes = fs::read(&path)?;
            if path.extension().is_some_and(|extension| extension == "jpg") && bytes.len() < 1 << 15
            {
                for choice in choices.by_ref().take(2) {
                    let name = format!("{number}-{}-{}", choice[5], name(path));
                    self.write("jpeg", &name, &[&choice[..], &bytes].concat())?;
                }
            }
        }
        Ok(())
    }

    fn config(&self) -> Fallible<()> {
        for path in files(&self.root.join("examples"))? {
            if path.extension().is_some_and(|extension| extension == "ron") {
                let text = fs::read_to_string(&path)?;
                let set = "data.augment[0].probability=0.25\n";
                self.write("config", &name(&path), (set.to_owned() + &text).as_bytes())?;
            }
        }
        let sources = [
            r#"Idx(images: "a", labels: "b", classes: ["x", "y"])"#,
            r#"ImageFolder(path: "a")"#,
            r#"Cifar100(files: ["a", "b"], coarse: true)"#,
            r#"WebDataset(shards: ["{0..9}.tar"], label_key: "l", shuffle_buffer: 8)"#,
            r#"Parquet(files: ["*.parquet"], image: "i", label: "l")"#,
            r#"Cache(path: "x.vcache")"#,
        ];
        let augment = "[RandomResizedCrop(scale: (0.1, 1.0)), HorizontalFlip(probability: 0.3), \
            PadCrop(padding: 4), Resize(), ResizeShorter(to: 9), CenterCrop(), \
            Plugin(name: \"randaugment\", settings: {\"magnitude\": 9, \"list\": [1.5, \"a\"]})]";
        for (number, source) in sources.iter().enumerate() {
            let data = format!(
                "train: {source}, /* a */ val: {source},\n augment: {augment}, // b\n \
                 normalize: ImageNet, workers: 2, on_error: Skip"
            );
            let name = format!("source-{number}");
            self.write(
                "config",
                &name,
                format!("seed=0x10\n(data: ({data}), seed: 3)").as_bytes(),
            )?;
            let set = format!("normalize=Custom(mean: [0.5], std: [0.2])\n({data})");
            self.write("config", &format!("{name}-alone"), set.as_bytes())?;
        }
        Ok(())
    }

    /// The examples, and two that name what these leave out.
    fn experiment(&self) -> Fallible<()> {
        for path in files(&self.root.join("examples"))? {
            if path.extension().is_some_and(|extension| extension == "ron") {
                let text = "train.learning_rate=1e-3\n".to_owned() + &fs::read_to_string(&path)?;
                self.write("experiment", &name(&path), text.as_bytes())?;
            }
        }
        let data = r#"data: (train: Cache(path: "a"), val: Parquet(files: ["b"]))"#;
        for (name, fields) in [("rare", RARE), ("others", OTHERS)] {
            let text = format!("model.variant=\"Mixer-B/16\"\n({data}, {fields})");
            self.write("experiment", name, text.as_bytes())?;
        }
        Ok(())
    }

    /// A program of ops of several families, and calls of each op.
    fn programs(&self) -> Fallible<()> {
        let mut trace = Tracer::new("seed", Limits::default());
        let x = trace.input("x", "f32[B,2,3,4]".parse()?);
        let gain = Initializer::Normal { std: 0.02 };
        let gain = trace.parameter("gain", "[4,4]".parse()?, gain, true);
        let mixed = trace.apply(ops::Linear {}, &[x, gain], "mixed");
        let attended = ops::ScaledDotProductAttention { scale: 0.5 };
        let attended = trace.apply(attended, &[mixed, x, x], "attended");
        let half = trace.apply(ops::Constant::scalar(0.5), &[], "half");
        let scaled = trace.apply(ops::Mul {}, &[attended, half], "scaled");
        let weights = trace.apply(ops::Softmax { axis: 3 }, &[scaled], "weights");
        let splits = vec![1.into(), 3.into()];
        let parts = trace.apply_all(ops::Split { splits, axis: 3 }, &[weights], "parts");
        let joined = trace.apply(ops::Concat { axis: 3 }, &parts, "joined");
        let program = trace.finish(&[("output", joined)]).map_err(|error| error.to_string())?;
        self.write("program", "several", &program.to_bytes())?;
        for op in 0..ops::all().len() as u8 {
            self.write("calls", &op.to_string(), &[op, 1, 0, 1, 3, 1, 2, 1, 1, 1, op, 2, 0, 1, 3])?;
        }
        Ok(())
    }

    /// A record of one image, and the file that has it.
    fn journal(&self) -> Fallible<()> {
        let numbers = [1_u64, 4096 + 64, 1].map(u64::to_le_bytes).concat();
        let entry = [&4096_u64.to_le_bytes()[..], &16_u32.to_le_bytes(), &[0; 20]].concat();
        let record = [&numbers[..], &entry, &[0; 8]].concat();
        self.write("journal", "one", &joined(&record, &[7; 4096 + 64]))?;
        self.write("journal", "none", &joined(&[], &[]))
    }

    /// The smallest run of a single step.
    fn checkpoint(&self) -> Fallible<()> {
        let shapes: [(&str, &[usize]); 20] = [
            ("blocks.0.attn.proj.bias", &[4]),
            ("blocks.0.attn.proj.weight", &[4, 4]),
            ("blocks.0.attn.qkv.bias", &[12]),
            ("blocks.0.attn.qkv.weight", &[4, 12]),
            ("blocks.0.mlp.fc1.bias", &[16]),
            ("blocks.0.mlp.fc1.weight", &[4, 16]),
            ("blocks.0.mlp.fc2.bias", &[4]),
            ("blocks.0.mlp.fc2.weight", &[16, 4]),
            ("blocks.0.norm1.bias", &[4]),
            ("blocks.0.norm1.weight", &[4]),
            ("blocks.0.norm2.bias", &[4]),
            ("blocks.0.norm2.weight", &[4]),
            ("cls_token", &[1, 1, 4]),
            ("head.bias", &[2]),
            ("head.weight", &[4, 2]),
            ("norm.bias", &[4]),
            ("norm.weight", &[4]),
            ("patch_embed.proj.bias", &[4]),
            ("patch_embed.proj.weight", &[16, 4]),
            ("pos_embed", &[1, 2, 4]),
        ];
        let (mut header, mut end) = (serde_json::Map::new(), 0);
        for (name, shape) in shapes {
            let start = end;
            end += 4 * shape.iter().product::<usize>();
            let tensor = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
            header.insert(name.to_owned(), tensor);
        }
        let model = safetensors(&header.into(), &vec![0; end]);
        let size =
            "image_size: 4, channels: 1, patch_size: 4, width: 4, depth: 1, heads: 1, classes: 2";
        let config =
            format!(r#"(model: ({size}), data: (train: Cache(path: "a"), val: Cache(path: "b")))"#);
        let state = r#"(format: 1, step: 1, best: None, seconds: 1.5, skipped: 0, class_names: ["a", "b"])"#;
        let parts: [&[u8]; 6] = [
            b"checkpoints/step-00000001\n",
            state.as_bytes(),
            config.as_bytes(),
            b"",
            b"()",
            &model,
        ];
        let whole = parts.iter().rev().fold(Vec::new(), |rest, part| joined(part, &rest));
        self.write("checkpoint", "smallest", &whole)
    }

    fn bundles(&self) -> Fallible<()> {
        for path in files(&self.root.join("tests/fixtures/plugins/contract-1.0.0"))? {
            let bytes = fs::read(&path)?;
            let bundle = Bundle::from_bytes(&name(&path), &bytes)?;
            let manifest = bundle.file("plugin.ron").ok_or("a bundle has a manifest")?;
            self.write("manifest", &name(&path), manifest)?;
            // Real components are too large to be changed by chance: a few bytes stand for one.
            let (kind, description) = bundle.declared();
            let small = PackInput::new(kind, description, SourceManifest::default())
                .wasm(b"\0asm".to_vec())
                .document("README.md", b"Text\n".to_vec());
            let small = vitral_bundle::pack(&small, None)?;
            self.write("bundle", &name(&path), &small)?;
            let archive = zstd::decode_all(&small[..])?;
            self.write("bundle", &format!("{}.tar", name(&path)), &archive)?;
        }
        let lock = "(plugins: [])";
        self.write("manifest", "lock", lock.as_bytes())
    }

    fn weights(&self) -> Fallible<()> {
        let values: Vec<u8> = [1.5f32, -2.0, 0.25].iter().flat_map(|v| v.to_le_bytes()).collect();
        let halves: Vec<u8> = values.chunks_exact(4).flat_map(|v| [v[2], v[3]]).collect();
        let header = json!({
            "__metadata__": {"format": "pt"},
            "a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]},
            "b": {"dtype": "BF16", "shape": [3, 1], "data_offsets": [12, 18]},
        });
        let file = safetensors(&header, &[&values[..], &halves].concat());
        self.write("weights", "small.safetensors", &file)?;
        for compression in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
            let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
            for (name, kind, shape, values) in [
                ("a.npy", "<f4", "(3,)", &values),
                ("b/c.npy", "<f2", "(1, 3)", &halves),
                ("d.npy", "|V2", "(3, 1)", &halves),
            ] {
                let options =
                    zip::write::SimpleFileOptions::default().compression_method(compression);
                archive.start_file(name, options)?;
                let header =
                    format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
                let magic =
                    [&b"\x93NUMPY\x01\0"[..], &(header.len() as u16).to_le_bytes()].concat();
                let array = [&magic[..], header.as_bytes(), values].concat();
                std::io::Write::write_all(&mut archive, &array)?;
            }
            let bytes = archive.finish()?.into_inner();
            self.write("weights", &format!("small-{compression}.npz"), &bytes)?;
        }
        Ok(())
    }

    /// The pickles of PyTorch's files.
    fn pickles(&self) -> Fallible<()> {
        for path in files(&self.root.join("tests/fixtures/torch"))? {
            let Ok(mut archive) = zip::ZipArchive::new(fs::File::open(&path)?) else { continue };
            for index in 0..archive.len() {
                let mut entry = archive.by_index(index)?;
                if entry.name()?.ends_with("/data.pkl") {
                    let mut pickle = Vec::new();
                    std::io::Read::read_to_end(&mut entry, &mut pickle)?;
                    self.write("pickle", &name(&path), &pickle)?;
                }
            }
        }
        Ok(())
    }

    fn weights_index(&self) -> Fallible<()> {
        let values: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let tensor =
            |from: u8| json!({"dtype": "F32", "shape": [1], "data_offsets": [from, from + 4]});
        let first = safetensors(&json!({"a": tensor(0), "b": tensor(4)}), &values);
        let second = safetensors(&json!({"c": tensor(0)}), &values[4..]);
        let (one, two) = ("1.safetensors", "2.safetensors");
        for (name, map) in [
            ("whole", json!({"a": one, "b": one, "c": two})),
            ("wrong", json!({"a": one, "b": two, "c": two})),
            ("one", json!({"a": one, "b": one})),
            ("outside", json!({"a": "../1.safetensors"})),
        ] {
            let index = json!({"metadata": {"total_size": 12}, "weight_map": map}).to_string();
            let bytes = joined(index.as_bytes(), &joined(&first, &second));
            self.write("weights_index", name, &bytes)?;
        }
        Ok(())
    }
}

/// Fields of experiments that the examples do not have.
const RARE: &str = r#"seed: 7, device: "cuda:1", output: "runs/x",
    model: (variant: "R50+ViT-B/16", image_size: 64, channels: 1, qk_norm: true, mlp: SwiGlu,
        pool: Map, register_tokens: 4, distillation_token: true, position: SinCos2d, rope: Some((theta: 100.0)),
        attention: [(layers: (0, 3), attention: Plugin(name: "window", settings: {"size": 7}))],
        token_merging: Some((r: Layers([4, 3, 2]))), patch_dropout: 0.5, drop_path: 0.1),
    init: Pretrained(path: "vit.npz"),
    train: (batch: Auto(effective: 1024, memory: "8 GiB"), precision: F16(initial_scale: 1024),
        activation_checkpointing: EveryNth(2), image_size: [(until_epoch: 3, size: 32)],
        patch_dropout_epochs: 2.5, optimizer: Lamb(), decay: Linear, loss: Sigmoid, ema: 0.999,
        target_threshold: 0.1, teacher: (checkpoint: "runs/large", temperature: 2),
        groups: [(parameters: ["blocks.*"], learning_rate: 0.1)], frozen: ["head.*"],
        batch_augment: [(name: "token-mix")], eval_every: Minutes(5)),
    checkpoints: (every: Steps(100), keep: 2, best: Loss),
    monitors: [(name: "early-stop", settings: {"patience": 5})],
    plugins: {"blur": (bundle: "blur.vitral", run: Native, on_error: Skip)}"#;
const OTHERS: &str = r#"model: (variant: "Mixer-S/32", token_mixing: Mlp(hidden: 64), depth: 2),
    train: (batch: 64, accum_steps: 8, activation_checkpointing: Fit(mib: 512), precision: BF16,
        optimizer: Muon(update_scale: Original), steps: 100, warmup_steps: 5,
        decay: WarmupStableDecay(epochs: 2, shape: Root), warmup_learning_rate: 1e-6,
        mix: (mixup: 0.8, cutmix: 1.0), layer_decay: 0.75, weight_decay_end: 0.4,
        clip_norm: None, label_smoothing: 0.1, min_learning_rate: 1e-5)"#;

/// A file of weights: its header, then the values.
fn safetensors(header: &serde_json::Value, values: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), values].concat()
}

fn files_of(folders: &[PathBuf]) -> Fallible<Vec<PathBuf>> {
    let mut all = Vec::new();
    for folder in folders {
        all.extend(files(folder)?);
    }
    Ok(all)
}

fn files(folder: &Path) -> Fallible<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    files.retain(|path| path.is_file());
    files.sort();
    Ok(files)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn idx(dimensions: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    bytes.extend(dimensions.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(values);
    bytes
}

fn idx_files() -> (Vec<u8>, Vec<u8>) {
    (idx(&[3, 2, 4], &(0..24).collect::<Vec<_>>()), idx(&[3], &[1, 0, 1]))
}

fn gzip(bytes: &[u8]) -> Fallible<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes)?;
    Ok(encoder.finish()?)
}

/// Small images in every format and colour type.
fn encoded() -> Fallible<Vec<Vec<u8>>> {
    let colour = image::RgbaImage::from_fn(9, 7, |x, y| {
        image::Rgba([x as u8 * 20, y as u8 * 30, 90, 255 - x as u8])
    });
    let colour = image::DynamicImage::from(colour);
    let mut files = Vec::new();
    for format in [image::ImageFormat::Jpeg, image::ImageFormat::Png, image::ImageFormat::WebP] {
        for kind in [colour.to_rgb8().into(), colour.to_luma8().into(), colour.clone()] {
            if format == image::ImageFormat::Jpeg
                && matches!(kind, image::DynamicImage::ImageRgba8(_))
            {
                continue;
            }
            let mut bytes = Cursor::new(Vec::new());
            kind.write_to(&mut bytes, format)?;
            files.push(bytes.into_inner());
        }
    }
    for deep in [colour.to_luma_alpha16().into(), image::DynamicImage::from(colour.to_rgb16())] {
        let mut bytes = Cursor::new(Vec::new());
        deep.write_to(&mut bytes, image::ImageFormat::Png)?;
        files.push(bytes.into_inner());
    }
    Ok(files)
}

/// A source of encoded images.
struct Encoded(Vec<Vec<u8>>);

impl Source for Encoded {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn class_names(&self) -> &[String] {
        static NAMES: std::sync::LazyLock<[String; 1]> =
            std::sync::LazyLock::new(|| ["one".into()]);
        &*NAMES
    }

    fn label(&self, _: usize) -> u32 {
        0
    }

    fn read(&self, index: usize) -> Result<Image, ReadError> {
        let decoded = Stored::Encoded(&self.0[index]).decode();
        decoded.map_err(|error| ReadError { name: self.name(index), reason: error.to_string() })
    }

    fn load<'a>(&'a self, index: usize, _: &'a mut Vec<u8>) -> Result<Stored<'a>, ReadError> {
        Ok(Stored::Encoded(&self.0[index]))
    }

    fn name(&self, index: usize) -> String {
        format!("image {index}")
    }

    fn hash_index(&self, _: &mut dyn std::hash::Hasher) {}
}
