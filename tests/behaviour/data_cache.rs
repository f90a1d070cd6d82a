//! `vitral data cache`: a run on a cache is the run on its source, a killed attempt is gone on with,
//! and a cache that was altered is refused.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use rand::Rng as _;
use vitral_seed::Seed;

use crate::support::{
    images::{Workspace, write_image_folder},
    program::{start, vitral},
};

/// The losses of a run's steps, as they were written.
fn losses(workspace: &Workspace, run: &str) -> Vec<String> {
    let metrics = fs::read_to_string(workspace.join(run).join("metrics.jsonl")).unwrap();
    let lines =
        metrics.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter_map(|line| line.get("loss").map(ToString::to_string)).collect()
}

#[test]
fn a_run_on_a_cache_is_the_run_on_its_source() {
    let workspace = Workspace::new();
    write_image_folder(&workspace.join("train"), 12);
    write_image_folder(&workspace.join("val"), 3);
    let folders = ["ImageFolder(path: \"train\")", "ImageFolder(path: \"val\")"];
    let caches = ["Cache(path: \"train.vcache\")", "Cache(path: \"val.vcache\")"];
    let sets = |run: &str, [train, val]: [&str; 2]| {
        [format!("output={run:?}"), format!("data.train={train}"), format!("data.val={val}")]
    };
    let with_sets = |command: &[&str], sets: &[String]| {
        let mut arguments = command.to_vec();
        arguments.extend(sets.iter().flat_map(|set| ["--set", set.as_str()]));
        vitral(workspace.path(), &arguments)
    };
    let folder_sets = sets("folder", folders);
    for split in ["train", "val"] {
        let out = format!("{split}.vcache");
        let command = ["data", "cache", "experiment.ron", "--split", split, "--out", &out];
        let said = with_sets(&command, &folder_sets).succeeded().stdout;
        assert!(said.contains("as pixels, 0 encoded"), "{said}");
    }
    with_sets(&["train", "experiment.ron"], &folder_sets).succeeded();
    with_sets(&["train", "experiment.ron"], &sets("cached", caches)).succeeded();
    let expected = losses(&workspace, "folder");
    assert!(expected.len() >= 12, "{expected:?}");
    assert_eq!(losses(&workspace, "cached"), expected);
}

/// Processes that train at the same time map the same file, and each has the batches that it would have
/// alone.
#[test]
fn several_runs_share_a_cache() {
    let workspace = Workspace::new();
    write_image_folder(&workspace.join("train"), 12);
    vitral(workspace.path(), &["data", "cache", "train", "--out", "x.vcache"]).succeeded();
    let before = fs::read(workspace.join("x.vcache")).unwrap();
    let cache = "Cache(path: \"x.vcache\")";
    let sets = |run: &str| {
        [format!("output={run:?}"), format!("data.train={cache}"), format!("data.val={cache}")]
    };
    let start_run = |run: &str| {
        let sets = sets(run);
        let mut arguments = vec!["train", "experiment.ron"];
        arguments.extend(sets.iter().flat_map(|set| ["--set", set.as_str()]));
        start(workspace.path(), &arguments)
    };
    let runs = ["first", "second", "third"];
    let children = runs.map(start_run);
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let [first, second, third] = runs.map(|run| losses(&workspace, run));
    assert!(first.len() >= 12 && first == second && second == third, "{first:?} {second:?}");
    assert!(fs::read(workspace.join("x.vcache")).unwrap() == before);
}

/// So many images that a cache of them is written in several parts.
fn write_many_images(workspace: &Workspace) {
    let class = workspace.join("images/class");
    fs::create_dir_all(&class).unwrap();
    for number in 0..1600_u32 {
        let image = image::RgbImage::from_fn(128, 128, |x, y| {
            image::Rgb([(x * y + number) as u8, (x * 2) as u8, (y ^ number) as u8])
        });
        image.save(class.join(format!("{number:04}.png"))).unwrap();
    }
}

#[test]
fn an_attempt_that_was_killed_is_gone_on_with_to_the_same_bytes() {
    let workspace = Workspace::new();
    write_many_images(&workspace);
    let command = |out: &'static str| ["data", "cache", "images", "--out", out];
    vitral(workspace.path(), &command("whole.vcache")).succeeded();
    let mut child = start(workspace.path(), &command("killed.vcache"));
    // Until the first part has reached the disk and is noted, or the whole if this machine is that fast. A note that is
    // cut off does not count.
    let (journal, out) = (workspace.join("killed.vcache.journal"), workspace.join("killed.vcache"));
    let noted = || fs::metadata(&journal).map_or(0, |file| file.len());
    while !out.exists() {
        let before = noted();
        thread::sleep(Duration::from_millis(2));
        if before > 16 && noted() == before {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    if !out.exists() {
        let said = vitral(workspace.path(), &command("killed.vcache")).succeeded().stderr;
        assert!(said.contains("continuing after"), "{said}");
    }
    assert!(fs::read(&out).unwrap() == fs::read(workspace.join("whole.vcache")).unwrap());
    assert!(!journal.exists() && !workspace.join("killed.vcache.partial").exists());
}

/// The first attempt is killed as soon as it is there, others after times that are spread over what a
/// whole one takes.
#[test]
fn attempts_that_are_killed_at_any_time_end_in_the_same_bytes() {
    let workspace = Workspace::new();
    write_many_images(&workspace);
    let mut rng = Seed::new(4).rng();
    for kind in ["pixels", "encoded"] {
        let command = |out: &'static str| {
            let mut command = vec!["data", "cache", "images", "--out", out];
            command.extend((kind == "encoded").then_some("--encoded"));
            command
        };
        let start_time = Instant::now();
        vitral(workspace.path(), &command("whole.vcache")).succeeded();
        let whole_time = start_time.elapsed();
        let out = workspace.join("killed.vcache");
        let mut kills = 0;
        while kills < 8 && !out.exists() {
            let share = if kills == 0 { 0.0 } else { rng.random_range(0.0..0.5) };
            let mut child = start(workspace.path(), &command("killed.vcache"));
            thread::sleep(whole_time.mul_f64(share));
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
        }
        if !out.exists() {
            vitral(workspace.path(), &command("killed.vcache")).succeeded();
            assert!(!workspace.join("killed.vcache.journal").exists(), "the journal is left");
        }
        let whole = fs::read(workspace.join("whole.vcache")).unwrap();
        assert!(fs::read(&out).unwrap() == whole, "{kind}, after {kills} kills");
        vitral(workspace.path(), &["data", "verify", "killed.vcache"]).succeeded();
        assert!(!workspace.join("killed.vcache.partial").exists(), "a part is left");
        println!("{kind}: {kills} kills within {whole_time:?} of work");
        for file in ["whole.vcache", "killed.vcache"] {
            fs::remove_file(workspace.join(file)).unwrap();
        }
    }
}

#[test]
fn a_cache_that_was_altered_or_cut_short_is_refused() {
    let workspace = Workspace::new();
    write_image_folder(&workspace.join("images"), 3);
    let run = |arguments: &[&str]| vitral(workspace.path(), arguments);
    run(&["data", "cache", "images", "--out", "x.vcache"]).succeeded();
    let verified = run(&["data", "verify", "x.vcache"]).succeeded().stdout;
    assert!(verified.contains("all 12 images"), "{verified}");
    let again = run(&["data", "cache", "images", "--out", "x.vcache"]).failed_with(1).stderr;
    assert!(again.contains("x.vcache: something of that name already exists"), "{again}");

    let whole = fs::read(workspace.join("x.vcache")).unwrap();
    let mut altered = whole.clone();
    altered[4096 + 7 * 64] ^= 1;
    fs::write(workspace.join("x.vcache"), altered).unwrap();
    let said = run(&["data", "verify", "x.vcache"]).failed_with(1).stderr;
    assert!(said.contains("x.vcache, image 7"), "{said}");
    fs::write(workspace.join("x.vcache"), &whole[..whole.len() - 100]).unwrap();
    for command in [["data", "verify", "x.vcache"], ["data", "info", "x.vcache"]] {
        let said = run(&command).failed_with(1).stderr;
        assert!(said.contains("cut short"), "{said}");
    }
    let budget = ["data", "cache", "images", "--out", "y.vcache", "--budget", "100 B"];
    let said = run(&budget).failed_with(1).stderr;
    assert!(said.contains("budget: is 100 bytes") && said.contains("at least"), "{said}");
}

/// Whoever makes a cache anew in its place, or a disk that fails, takes pages away from those that read it.
#[cfg(unix)]
#[test]
fn a_cache_that_is_cut_short_ends_a_run_with_a_checkpoint_and_its_name() {
    let workspace = Workspace::new();
    let cache = ["data", "cache", "experiment.ron", "--split", "train", "--out", "x.vcache"];
    vitral(workspace.path(), &cache).succeeded();
    let whole = fs::read(workspace.join("x.vcache")).unwrap();
    let sets = ["data.train=Cache(path: \"x.vcache\")", "train.steps=1000000"];
    let more = ["checkpoints.every=Epochs(100000)", "train.eval_every=Epochs(100000)"];
    let mut arguments = vec!["train", "experiment.ron"];
    arguments.extend(sets.iter().chain(&more).flat_map(|set| ["--set", set]));
    let child = start(workspace.path(), &arguments);
    let metrics = workspace.join("run/metrics.jsonl");
    let begun = Instant::now();
    while fs::metadata(&metrics).map_or(0, |metrics| metrics.len()) < 1000 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no step is made");
        thread::sleep(Duration::from_millis(5));
    }
    fs::File::options().write(true).open(workspace.join("x.vcache")).unwrap().set_len(0).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("x.vcache: was cut short while it was in use"), "{said}");
    let last = fs::read_to_string(workspace.join("run/last")).unwrap();
    // It goes on from there when the cache is whole again.
    fs::write(workspace.join("x.vcache"), whole).unwrap();
    let step: u64 = last.trim().rsplit('-').next().unwrap().parse().unwrap();
    let steps = format!("train.steps={}", step + 1);
    vitral(workspace.path(), &["train", "--resume", "run", "--set", &steps]).succeeded();
}
