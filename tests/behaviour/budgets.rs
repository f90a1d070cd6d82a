//! What a stranger supplies takes no more memory and time than it may.

use std::{fmt::Write as _, fs, path::Path};

use sha2::{Digest as _, Sha256};

use crate::support::{
    images::Workspace,
    program::{vitral, vitral_with},
};

/// Replaces a part of a checkpoint's experiment.
fn reword(checkpoint: &Path, from: &str, to: &str) {
    let path = checkpoint.join("config.ron");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
    seal(checkpoint);
}

/// A tiny run of one step, whose second layer's attention is a plugin's.
fn run(workspace: &Workspace) -> std::path::PathBuf {
    let attention = r#"model.attention=[(layers: (1, 1), attention: Plugin(name: "window", settings: {"size": 2}))]"#;
    let sets = ["output=run", "train.steps=1", "model.patch_dropout=0", attention];
    let sets = sets.into_iter().flat_map(|set| ["--set", set]);
    let arguments: Vec<_> = ["train", "experiment.ron"].into_iter().chain(sets).collect();
    vitral(workspace.path(), &arguments).succeeded();
    let last = fs::read_to_string(workspace.join("run/last")).unwrap();
    workspace.join("run").join(last.trim())
}

/// Makes a changed checkpoint's list of checksums right again.
fn seal(checkpoint: &Path) {
    let list = fs::read_to_string(checkpoint.join("SHA256SUMS")).unwrap();
    let mut sealed = String::new();
    for name in list.lines().filter_map(|line| line.split_once("  ")).map(|(_, name)| name) {
        let digest = Sha256::digest(fs::read(checkpoint.join(name)).unwrap());
        digest.iter().for_each(|byte| write!(sealed, "{byte:02x}").unwrap());
        writeln!(sealed, "  {name}").unwrap();
    }
    fs::write(checkpoint.join("SHA256SUMS"), sealed).unwrap();
}

#[test]
fn a_checkpoint_whose_programs_would_take_gigabytes_is_refused_before_it_runs() {
    let workspace = Workspace::new();
    let checkpoint = run(&workspace);
    let path = checkpoint.join("attention-01.program.ron");
    let honest = fs::read_to_string(&path).unwrap();
    let kind = honest.split('"').find(|text| text.starts_with("f32[B,")).unwrap();
    let dims: Vec<usize> =
        kind["f32[B,".len()..kind.len() - 1].split(',').map(|dim| dim.parse().unwrap()).collect();
    // Each tensor is far below the limit of any one.
    let wide = 1 << 20;
    let mut nodes = format!(
        r#"(op: "reduceSum", operands: [0], attributes: [("axes", Ints([1, 2, 3])), ("keepDimensions", Bool(true))], types: ["f32[B,1,1,1]"], label: "one"),
        (op: "expand", operands: [3], attributes: [("newShape", Text("[B, 1, 1, {wide}]"))], types: ["f32[B,1,1,{wide}]"], label: "wide"),"#
    );
    for value in 4..4000 {
        write!(
            nodes,
            r#"(op: "exp", operands: [{value}], types: ["f32[B,1,1,{wide}]"], label: "again"),"#
        )
        .unwrap();
    }
    write!(
        nodes,
        r#"(op: "reduceSum", operands: [4000], attributes: [("axes", Ints([3])), ("keepDimensions", Bool(true))], types: ["f32[B,1,1,1]"]),
        (op: "expand", operands: [4001], attributes: [("newShape", Text("[B, {}, {}, {}]"))], types: ["{kind}"]),"#,
        dims[0], dims[1], dims[2]
    )
    .unwrap();
    let input = |name: &str| format!(r#"(name: "{name}", type: "{kind}"),"#);
    let inputs: String = ["query", "key", "value"].map(input).concat();
    let hostile = format!(
        r#"(format: 1, name: "window", inputs: [{inputs}], parameters: [], nodes: [{nodes}], outputs: [(name: "output", value: 4002)])"#
    );
    fs::write(&path, hostile).unwrap();
    seal(&checkpoint);
    for arguments in [&["eval", "run"][..], &["train", "--resume", "run"]] {
        let shown = vitral(workspace.path(), arguments).failed_with(1).stderr;
        assert!(
            shown.contains(
                "attention-01.program.ron: node 2, exp `again`: it takes 4.0 MiB of memory"
            ),
            "{shown}"
        );
        assert!(shown.contains("the limit is 4."), "{shown}");
    }
}

#[test]
fn a_checkpoint_that_says_it_is_of_another_model_is_refused_before_there_is_any_of_that() {
    let workspace = Workspace::new();
    let checkpoint = run(&workspace);
    reword(&checkpoint, "width: 16,", "width: 65536,");
    let out = ["export", "run", "--format", "npz", "--out", "out.npz"];
    for arguments in [&["eval", "run"][..], &["train", "--resume", "run"], &out] {
        let shown = vitral(workspace.path(), arguments).failed_with(1).stderr;
        assert!(
            shown.contains("`blocks.0.attn.proj.bias` is [16], but the model has [65536]"),
            "{shown}"
        );
    }
}

#[test]
fn a_model_that_memory_has_no_room_for_is_refused_with_its_bytes() {
    let workspace = Workspace::new();
    for (set, field, wanted) in [
        (["model.width=65536", "model.depth=1000"], "model", "and what training keeps beside them"),
        (["model.image_size=8192", "model.position=SinCos2d"], "model", "its tables of positions"),
        (
            ["train.batch=1000000", "model.image_size=1024"],
            "batch",
            "1000000 images at once, at least",
        ),
    ] {
        let arguments = ["train", "experiment.ron", "--set", set[0], "--set", set[1]];
        let shown = vitral(workspace.path(), &arguments).failed_with(2).stderr;
        // As it is wrapped to a terminal's width.
        let words: Vec<_> = shown.split_whitespace().filter(|word| *word != "\u{2502}").collect();
        let shown = words.join(" ");
        assert!(shown.contains("GiB of memory (its parameters"), "{shown}");
        assert!(shown.contains(wanted) && shown.contains(field), "{shown}");
        assert!(!workspace.join("run").exists());
    }
}

#[test]
fn an_import_for_more_classes_than_there_can_be_is_refused() {
    let workspace = Workspace::new();
    let arguments = ["train", "experiment.ron", "--set", "train.steps=1"];
    vitral(workspace.path(), &arguments).succeeded();
    let arguments = ["import", "run", "--classes", "1000000000", "--out", "model"];
    let shown = vitral(workspace.path(), &arguments).failed_with(2).stderr;
    assert!(shown.contains("at most 1000000"), "{shown}");
}

#[test]
fn verifying_an_export_runs_nothing_of_the_folder_that_it_happens_in() {
    let workspace = Workspace::new();
    let arguments = ["train", "experiment.ron", "--set", "train.steps=1"];
    vitral(workspace.path(), &arguments).succeeded();
    for module in ["numpy", "onnxruntime", "site", "sitecustomize"] {
        workspace
            .write(&format!("{module}.py"), "open('executed', 'w').write(__name__)\nexit(9)\n");
    }
    let python = ["--verify", "--python", "python3"];
    let arguments = [&["export", "run", "--format", "onnx", "--out", "run.onnx"][..], &python];
    let path = workspace.path().to_str();
    let finished = vitral_with(workspace.path(), &arguments.concat(), &[("PYTHONPATH", path)]);
    assert!(!workspace.join("executed").exists(), "{}{}", finished.stdout, finished.stderr);
    // It got as far as looking for the runtime.
    let said = finished.stdout + &finished.stderr;
    assert!(said.contains("has no onnxruntime") || said.contains("verified:"), "{said}");
}

/// A number as WebAssembly writes it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], &leb(content.len())[..], content].concat()
}

/// A component of 16 KB: loops in loops, in which every variable changes, so that a compiler has to ask for
/// each in each of them.
fn made_for_the_compiler() -> Vec<u8> {
    const DEPTH: usize = 1000;
    let starts = [0x03, 0x40].repeat(DEPTH);
    let add_one = |local| [&[0x20], &leb(local)[..], &[0x41, 1, 0x6a, 0x21], &leb(local)].concat();
    let adds: Vec<u8> = (0..DEPTH).flat_map(add_one).collect();
    let ends = [0x20, 0, 0x0d, 0, 0x0b].repeat(DEPTH);
    let body = [&leb(1), &leb(DEPTH)[..], &[0x7f], &starts, &adds, &ends, &[0x0b]].concat();
    let code = [&[1], &leb(body.len())[..], &body].concat();
    let module = [
        &b"\0asm\x01\0\0\0"[..],
        &section(1, &[1, 0x60, 0, 0]),
        &section(3, &[1, 0]),
        &section(10, &code),
    ];
    [&b"\0asm\x0d\0\x01\0"[..], &section(1, &module.concat())].concat()
}

/// In this program's own process it took gigabytes, and half a minute.
#[cfg(target_os = "linux")]
#[test]
fn a_component_that_is_made_for_the_compiler_has_it_end() {
    let workspace = Workspace::new();
    let component = made_for_the_compiler();
    assert!(component.len() < 16_000);
    fs::write(workspace.join("bomb.wasm"), component).unwrap();
    let shown = vitral(workspace.path(), &["plugin", "check", "bomb.wasm"]);
    let shown = shown.failed_with(1).stdout;
    assert!(shown.contains("compiling its 16 KiB takes"), "{shown}");
    assert!(shown.contains("limit of"), "{shown}");
}
