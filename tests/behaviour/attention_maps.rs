//! `predict --attention-maps`.

use std::fs;

use crate::support::{
    images::{Workspace, write_image_folder, write_jpeg_folder},
    program::{Finished, vitral},
};

fn train(workspace: &Workspace, sets: &[&str]) {
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let arguments: Vec<&str> = ["train", "experiment.ron"].into_iter().chain(sets).collect();
    vitral(workspace.path(), &arguments).succeeded();
}

fn draw(workspace: &Workspace, run: &str, more: &[&str]) -> Finished {
    let maps = format!("maps-{run}");
    let arguments = ["predict", run, "photos", "--attention-maps", &maps];
    vitral(workspace.path(), &[&arguments[..], more].concat())
}

#[test]
fn each_image_has_its_rollout_and_a_sheet_of_heads() {
    let workspace = Workspace::new();
    train(&workspace, &["train.steps=3"]);
    write_image_folder(&workspace.join("photos"), 1);
    write_jpeg_folder(&workspace.join("photos/more"), 1);
    let said = draw(&workspace, "run", &["--json"]).succeeded().stdout;
    assert!(said.ends_with("maps-run\n"), "{said}");
    // Every file is called 000, in folders of their own.
    let names = |place: &str| {
        let files = fs::read_dir(workspace.join(place)).unwrap();
        let mut names: Vec<String> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let found = names("maps-run");
    assert_eq!(found.len(), 16, "{found:?}");
    let size = |name: &str| image::image_dimensions(workspace.join("maps-run").join(name)).unwrap();
    // Two heads in each of two layers.
    assert_eq!([size("000.rollout.png"), size("000.heads.png")], [(224, 224), (236, 236)]);
    assert!(found.contains(&"000-8.rollout.png".to_owned()), "{found:?}");
    // The classes are the same as without, and nothing that is there is replaced.
    let plain = vitral(workspace.path(), &["predict", "run", "photos", "--json"]).succeeded();
    let classes = |text: &str| -> Vec<serde_json::Value> {
        let lines = text.lines().filter(|line| line.starts_with('{'));
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    for (with, without) in classes(&said).iter().zip(classes(&plain.stdout)) {
        let probability = |line: &serde_json::Value| line["classes"][0]["probability"].as_f64();
        assert_eq!(with["classes"][0]["class"], without["classes"][0]["class"]);
        assert!((probability(with).unwrap() - probability(&without).unwrap()).abs() < 1e-4);
    }
    assert_eq!(classes(&said).len(), 8);
    draw(&workspace, "run", &[]).failed_with(1);
}

#[test]
fn attention_that_has_no_map_is_refused_by_name_and_that_of_plugins_drawn_where_it_has_one() {
    let workspace = Workspace::new();
    write_image_folder(&workspace.join("photos"), 1);
    for (plugin, has_map) in [
        ("window", true),
        ("linear", true),
        ("pooled", true),
        ("talking-heads", false),
        ("differential", false),
    ] {
        let attention =
            format!(r#"model.attention=[(layers: (1, 1), attention: Plugin(name: "{plugin}"))]"#);
        let output = format!("output={plugin}");
        // Far enough from where it starts, which is softmax attention for some.
        let learned = ["train.steps=3", "train.warmup_steps=0", "train.learning_rate=0.05"];
        let own = ["model.patch_dropout=0", &attention, &output];
        train(&workspace, &[&learned[..], &own].concat());
        let drawn = draw(&workspace, plugin, &[]);
        match has_map {
            true => drop(drawn.succeeded()),
            false => {
                let said = drawn.failed_with(1).stderr;
                let named = format!("layer 1 (plugin `{plugin}`) has no map");
                assert!(said.contains(&named), "{said}");
                assert!(!workspace.join(&format!("maps-{plugin}")).exists());
            }
        }
    }
    train(&workspace, &["train.steps=1"]);
    let said = draw(&workspace, "run", &["--token-merging", "2"]).failed_with(1).stderr;
    assert!(said.contains("merges tokens") && said.contains("`--token-merging 0`"), "{said}");
    let said = draw(&workspace, "run", &["--keep-tokens", "0.5"]).failed_with(1).stderr;
    assert!(said.contains("leaves out tokens") && said.contains("`--keep-tokens 1`"), "{said}");
    assert!(!workspace.join("maps-run").exists());
}
