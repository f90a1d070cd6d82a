//! What a stranger's experiment, run or bundle may do by itself: nothing that the user has not allowed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use vitral_bundle::{PackInput, SourceManifest, pack};
use vitral_host::{Description, Kind};

use crate::support::{
    images::Workspace,
    program::{vitral, vitral_at_terminal, vitral_with},
    root,
};

/// An unsigned bundle of a monitor that once was built, in both forms.
fn early_stop() -> PathBuf {
    let path = "tests/fixtures/plugins/contract-1.0.0/early-stop-1.0.0.vitral";
    root().join(path).canonicalize().unwrap()
}

/// Has an experiment use it, in one of its forms.
fn with_early_stop(workspace: &Workspace, more: &str) {
    let text = fs::read_to_string(workspace.join("experiment.ron")).unwrap();
    let bundle = early_stop();
    let plugins = format!(
        r#"monitors: [(name: "early-stop")], plugins: {{"early-stop": (bundle: {bundle:?}, {more})}}, )"#
    );
    let end = text.rfind(')').unwrap();
    workspace.write("experiment.ron", &format!("{}{plugins}", &text[..end]));
}

/// What a shell has to be told, of what was shown.
fn offered(shown: &str) -> &str {
    let (_, command) = shown.split_once("to allow it, run:\n").unwrap();
    command.trim()
}

#[test]
fn an_experiment_cannot_have_unsigned_or_native_code_run() {
    for (form, would, permit) in
        [("Wasm", "run its code in the sandbox", "run"), ("Native", "run native code", "native")]
    {
        let workspace = Workspace::new();
        with_early_stop(&workspace, &format!("run: {form}"));
        let shown = vitral(workspace.path(), &["train", "experiment.ron"]).failed_with(2).stderr;
        assert!(shown.contains(would) && shown.contains("it is not signed"), "{shown}");
        assert!(shown.contains("early-stop-1.0.0.vitral"), "{shown}");
        assert!(!workspace.join("run").exists(), "a run that may not start leaves nothing");
        let command = offered(&shown);
        assert!(command.ends_with(&format!(":{permit}")), "{command}");
        let arguments: Vec<&str> = command.split(' ').skip(1).collect();
        vitral(workspace.path(), &arguments).succeeded();
        // A run's folder may be a stranger's, too.
        let resume = ["train", "--resume", "run/checkpoints/step-00000006"];
        let shown = vitral(workspace.path(), &resume).failed_with(2).stderr;
        assert!(shown.contains(would), "{shown}");
        let arguments: Vec<&str> = offered(&shown).split(' ').skip(1).collect();
        vitral(workspace.path(), &arguments).succeeded();
        // What was allowed for this content holds for no other.
        let digest = "0".repeat(64);
        let allow = format!("--allow=early-stop@{digest}:{permit}");
        vitral(workspace.path(), &["train", "experiment.ron", &allow]).failed_with(2);
    }
}

#[test]
fn limits_above_the_usual_ones_need_the_users_word() {
    let workspace = Workspace::new();
    with_early_stop(&workspace, "run: Wasm, memory_mib: 4096, call_ms: 3600000");
    let run = ["train", "experiment.ron", "--allow=early-stop:run"];
    let shown = vitral(workspace.path(), &run).failed_with(2).stderr;
    for words in ["take 4096 MiB", "take 3600000 ms", ":memory_mib=4096,call_ms=3600000"] {
        assert!(shown.contains(words), "{shown}");
    }
    let less = "--allow=early-stop:run,memory_mib=4095,call_ms=3600000";
    vitral(workspace.path(), &["train", "experiment.ron", less]).failed_with(2);
    let enough = "--allow=early-stop:run,memory_mib=4096,call_ms=3600000";
    vitral(workspace.path(), &["train", "experiment.ron", enough]).succeeded();
}

/// A bundle whose library leaves a file when it is loaded, whatever it says of itself.
#[cfg(unix)]
fn telltale(folder: &Path) -> (PathBuf, PathBuf) {
    let (source, library) = (folder.join("telltale.c"), folder.join("telltale.so"));
    let loaded = folder.join("loaded");
    let code = format!(
        "#include <stdio.h>\n__attribute__((constructor)) static void tell(void) {{ \
         fclose(fopen({:?}, \"w\")); }}\n",
        loaded.display().to_string()
    );
    fs::write(&source, code).unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .unwrap();
    assert!(status.success());
    let description = Description {
        name: "telltale".into(),
        version: "1.0.0".into(),
        summary: "Tells when it is loaded".into(),
        parameters: Vec::new(),
        examples: Vec::new(),
    };
    let input = PackInput::new(Kind::ImageAugmentation, description, SourceManifest::default());
    let vitral_bundle::Target::Native(triple) = vitral_bundle::Target::host() else {
        panic!("a machine has native code")
    };
    let input = input.native(&triple, "telltale.so", fs::read(&library).unwrap());
    let bundle = folder.join("telltale.vitral");
    fs::write(&bundle, pack(&input, None).unwrap()).unwrap();
    (bundle, loaded)
}

#[cfg(unix)]
#[test]
fn no_command_loads_a_library_that_the_user_has_not_allowed() {
    let workspace = Workspace::new();
    let (bundle, loaded) = telltale(workspace.path());
    vitral(workspace.path(), &["train", "experiment.ron"]).succeeded();
    let text = fs::read_to_string(workspace.join("experiment.ron")).unwrap();
    let text = text.replace(
        "augment: [PadCrop(padding: 1), HorizontalFlip()]",
        r#"augment: [Plugin(name: "telltale"), PadCrop(padding: 1)]"#,
    );
    let plugins = format!(r#"plugins: {{"telltale": (bundle: {bundle:?}, run: Native)}}, )"#);
    let end = text.rfind(')').unwrap();
    workspace.write("stranger.ron", &format!("{}{plugins}", &text[..end]));
    // A stranger's run: what its checkpoints say is what the experiment says.
    for folder in fs::read_dir(workspace.join("run/checkpoints")).unwrap() {
        let config = folder.unwrap().path().join("config.ron");
        let text = fs::read_to_string(&config).unwrap();
        let path = bundle.display().to_string();
        let plugins = format!(r#"plugins: {{"telltale": (bundle: {path:?}, run: Native)}},"#);
        let text = text.replace("plugins: {},", &plugins);
        let text = text.replacen("augment: [", r#"augment: [Plugin(name: "telltale"), "#, 1);
        assert!(text.contains("Plugin(") && text.contains("run: Native"), "{text}");
        fs::write(&config, text).unwrap();
        resum(config.parent().unwrap());
    }
    image::GrayImage::from_pixel(8, 8, image::Luma([90]))
        .save(workspace.join("image.png"))
        .unwrap();
    let checkpoint = "run/checkpoints/step-00000006";
    for (arguments, is_fine) in [
        (&["config", "resolved", "stranger.ron"][..], true),
        (&["data", "info", "stranger.ron"], true),
        (&["data", "info", "stranger.ron", "--sheet", "sheet.png"], true),
        (&["eval", checkpoint], true),
        (&["predict", checkpoint, "image.png"], true),
        (&["export", checkpoint, "--format", "native", "--out", "exported"], true),
        (&["plugin", "inspect", "telltale.vitral"], true),
        (&["plugin", "verify", "telltale.vitral"], true),
        (&["train", "stranger.ron", "--set", "output=other"], false),
        (&["train", "--resume", checkpoint], false),
        (&["bench", "data", "stranger.ron"], false),
        (&["bench", "tricks", "stranger.ron"], false),
    ] {
        let finished = vitral(workspace.path(), arguments);
        assert!(!loaded.exists(), "{arguments:?} has loaded it");
        match is_fine {
            true => drop(finished.succeeded()),
            false => {
                let shown = finished.failed_with(2).stderr;
                assert!(shown.contains("run native code"), "{arguments:?}\n{shown}");
            }
        }
    }
    let sheet = ["data", "info", "stranger.ron", "--sheet", "sheet.png"];
    let shown = vitral(workspace.path(), &sheet).succeeded().stderr;
    assert!(shown.contains("\"telltale\" is left out"), "{shown}");
    // It would tell.
    let allowed = ["train", "stranger.ron", "--set", "output=other", "--allow=telltale:native"];
    let shown = vitral(workspace.path(), &allowed);
    assert!(loaded.exists(), "{}", shown.stderr);
}

/// Makes the checksums of a checkpoint right again.
#[cfg(unix)]
fn resum(checkpoint: &Path) {
    let sums = checkpoint.join("SHA256SUMS");
    let text = fs::read_to_string(&sums).unwrap();
    let line = |line: &str| {
        let (_, name) = line.split_once("  ").unwrap();
        let digest = vitral_bundle::Digest::of(&fs::read(checkpoint.join(name)).unwrap());
        format!("{digest}  {name}\n")
    };
    fs::write(&sums, text.lines().map(line).collect::<String>()).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn at_a_terminal_the_user_is_asked_once() {
    let workspace = Workspace::new();
    with_early_stop(&workspace, "run: Native");
    let run = ["train", "experiment.ron"];
    let no = vitral_at_terminal(workspace.path(), &run, "n\n").failed_with(2);
    assert!(no.stdout.contains("allow this, for exactly these files"), "{}", no.stdout);
    assert!(no.stdout.contains("run native code"), "{}", no.stdout);
    let yes = vitral_at_terminal(workspace.path(), &run, "y\n").succeeded();
    assert!(yes.stdout.contains("allow this"), "{}", yes.stdout);
    // It is kept, for this content, for whoever runs it, and can be taken back.
    vitral(workspace.path(), &["train", "experiment.ron", "--set", "output=second"]).succeeded();
    vitral(workspace.path(), &["train", "--resume", "run/checkpoints/step-00000006"]).succeeded();
    let shown = vitral(workspace.path(), &["plugin", "keys"]).succeeded().stdout;
    assert!(shown.contains("early-stop 1.0.0") && shown.contains("native"), "{shown}");
    let digest = shown.lines().find(|line| line.contains("early-stop")).unwrap();
    let digest = digest.trim().split(' ').next().unwrap();
    vitral(workspace.path(), &["plugin", "distrust", &digest[..12]]).succeeded();
    vitral(workspace.path(), &["train", "experiment.ron"]).failed_with(2);
}

#[test]
fn nothing_takes_the_place_of_the_programs_own_plugins() {
    let workspace = Workspace::new();
    let run = |arguments: &[&str]| vitral(workspace.path(), arguments);
    fs::copy(early_stop(), workspace.join("early-stop.vitral")).unwrap();
    run(&["plugin", "keygen", "me"]).succeeded();
    run(&["plugin", "sign", "early-stop.vitral", "--key", "me.key"]).succeeded();
    run(&["plugin", "trust", "me.pub"]).succeeded();
    let shown = run(&["plugin", "install", "early-stop.vitral"]).failed_with(2).stderr;
    assert!(shown.contains("the name of a plugin that comes with Vitral"), "{shown}");
    run(&["plugin", "install", "early-stop.vitral", "--allow=early-stop:run"]).succeeded();
    let monitors = r#"monitors=[(name: "early-stop")]"#;
    let lock = |more: &[&str]| {
        let _ = fs::remove_dir_all(workspace.join("run"));
        run(&[&["train", "experiment.ron", "--set", monitors], more].concat()).succeeded();
        fs::read_to_string(workspace.join("run/plugins.lock.ron")).unwrap()
    };
    assert!(lock(&[]).contains("origin: CompiledIn"));
    let asked = r#"plugins={"early-stop": (run: Wasm)}"#;
    assert!(lock(&["--set", asked]).contains("origin: Wasm"));
}

#[cfg(unix)]
#[test]
fn a_store_that_others_may_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt;

    let workspace = Workspace::new();
    let run = |arguments: &[&str]| vitral(workspace.path(), arguments);
    fs::copy(early_stop(), workspace.join("early-stop.vitral")).unwrap();
    run(&["plugin", "install", "early-stop.vitral", "--allow=early-stop:run"]).succeeded();
    let store = workspace.join(".plugins");
    fs::set_permissions(&store, fs::Permissions::from_mode(0o777)).unwrap();
    for arguments in [
        &["plugin", "list"][..],
        &["plugin", "keys"],
        &["plugin", "verify", "early-stop"],
        &["plugin", "install", "early-stop.vitral", "--allow=early-stop:run"],
    ] {
        let shown = run(arguments).failed_with(1).stderr;
        assert!(
            shown.contains("others may write to it") && shown.contains("chmod go-w"),
            "{shown}"
        );
    }
    let monitors = r#"monitors=[(name: "early-stop")]"#;
    let wasm = r#"plugins={"early-stop": (run: Wasm)}"#;
    let train = ["train", "experiment.ron", "--set", monitors, "--set", wasm];
    let shown = run(&train).failed_with(2).stderr;
    // A long message is broken into lines, with a bar before each.
    let words: Vec<&str> = shown.split_whitespace().filter(|word| *word != "│").collect();
    assert!(words.join(" ").contains("others may write to it"), "{shown}");
    // What comes with the program needs no store.
    run(&["train", "experiment.ron", "--set", monitors]).succeeded();
}

/// What a folder has in it, by name.
fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// As of a service, or in a container.
#[cfg(unix)]
#[test]
fn without_a_home_nothing_is_kept_and_nothing_is_written_elsewhere() {
    let nowhere = [("VITRAL_PLUGINS", None), ("XDG_DATA_HOME", None), ("XDG_CACHE_HOME", None)];
    for home in [None, Some(""), Some("relative")] {
        let workspace = Workspace::new();
        with_early_stop(&workspace, "run: Native");
        let temporary = workspace.join("temporary");
        fs::create_dir(&temporary).unwrap();
        let variables = [&nowhere[..], &[("HOME", home), ("TMPDIR", temporary.to_str())]].concat();
        let run = |arguments: &[&str]| vitral_with(workspace.path(), arguments, &variables);
        let (before, root) = (entries(workspace.path()), entries(Path::new("/")));
        let shown = run(&["train", "experiment.ron"]).failed_with(2).stderr;
        assert!(shown.contains("run native code"), "{shown}");
        let bundle = early_stop().display().to_string();
        for arguments in [&["plugin", "keys"][..], &["plugin", "install", &bundle]] {
            let shown = vitral_with(workspace.path(), arguments, &variables).failed_with(1).stderr;
            assert!(shown.contains("set VITRAL_PLUGINS, XDG_DATA_HOME or HOME"), "{shown}");
        }
        assert_eq!(entries(workspace.path()), before);
        // In both forms, of which one is unpacked and the other compiled.
        run(&["train", "experiment.ron", "--allow=early-stop:native"]).succeeded();
        let wasm = format!(r#"plugins={{"early-stop": (bundle: {bundle:?}, run: Wasm)}}"#);
        let other = ["--set", &wasm, "--set", "output=run", "--allow=early-stop:run"];
        run(&[&["train", "experiment.ron"][..], &other].concat()).succeeded();
        let made: Vec<String> =
            entries(workspace.path()).into_iter().filter(|name| !before.contains(name)).collect();
        assert_eq!(made, ["run", "run-2"], "{home:?}");
        assert_eq!(entries(&temporary), [""; 0], "the library is gone");
        assert_eq!(entries(Path::new("/")), root);
    }
}

/// The same plugin as another version of itself.
fn early_stop_as(version: &str) -> Vec<u8> {
    let bundle = vitral_bundle::Bundle::open(&early_stop()).unwrap();
    let (kind, mut description) = bundle.declared();
    description.version = version.into();
    let component = bundle.artifact(&vitral_bundle::Target::Wasm).unwrap();
    let mut component = component.to_vec();
    let own = b"1.0.0";
    let is_own =
        |at: usize| component[at..].starts_with(own) && at > 0 && component[at - 1] != b'@';
    let places: Vec<usize> = (0..component.len()).filter(|at| is_own(*at)).collect();
    assert!(!places.is_empty());
    for at in places {
        component[at..at + own.len()].copy_from_slice(version.as_bytes());
    }
    let input = PackInput::new(kind, description, SourceManifest::default()).wasm(component);
    pack(&input, None).unwrap()
}

#[test]
fn a_run_that_goes_on_takes_the_version_of_its_lock_or_says_which_is_gone() {
    let workspace = Workspace::new();
    let run = |arguments: &[&str]| vitral(workspace.path(), arguments);
    let install = |version: &str| {
        let name = format!("{version}.vitral");
        fs::write(workspace.join(&name), early_stop_as(version)).unwrap();
        run(&["plugin", "install", &name, "--allow=early-stop:run"]).succeeded();
    };
    let train = |output: &str| {
        let changes = [
            r#"monitors=[(name: "early-stop")]"#,
            r#"plugins={"early-stop": (run: Wasm)}"#,
            &format!("output={output}"),
        ];
        let changes = changes.iter().flat_map(|change| ["--set", *change]);
        let arguments: Vec<&str> = ["train", "experiment.ron"].into_iter().chain(changes).collect();
        run(&arguments).succeeded();
        fs::read_to_string(workspace.join(output).join("plugins.lock.ron")).unwrap()
    };
    install("1.0.0");
    assert!(train("older").contains("1.0.0"));
    install("1.0.1");
    assert!(train("newer").contains("1.0.1"), "a new run takes the newest");
    let resume = ["train", "--resume", "older/checkpoints/step-00000006"];
    run(&resume).succeeded();
    let lock = fs::read_to_string(workspace.join("older/plugins.lock.ron")).unwrap();
    assert!(lock.contains("1.0.0") && !lock.contains("1.0.1"), "{lock}");
    run(&["plugin", "remove", "early-stop@1.0.0"]).succeeded();
    let shown = run(&resume).failed_with(1).stderr;
    for part in ["plugin `early-stop`", "started with: that was 1.0.0", "its version 1.0.0 again"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    install("1.0.0");
    run(&resume).succeeded();
}
