//! Runs that are logged to MLflow by a sandboxed monitor. `tests/mlflow/run` does the same with a real server.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::built;
use crate::support::{
    images::Workspace,
    program::{Finished, vitral},
};

/// A server that answers as MLflow does, and keeps what it was asked.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                // Whoever goes away in the middle is no matter here.
                let _ = serve(stream.unwrap(), &noted);
            }
        });
        Self { port, asked }
    }

    fn asked(&self, what: &str) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        let of = asked.iter().filter(|(path, _)| path.split('?').next() == Some(what));
        of.map(|(_, body)| body.clone()).collect()
    }

    /// What was logged in batches: the name, value and step of metrics, or the name and value of parameters.
    fn logged(&self, list: &str) -> Vec<Value> {
        let batches = self.asked("runs/log-batch");
        batches.iter().flat_map(|it| it[list].as_array().cloned().unwrap_or_default()).collect()
    }

    fn statuses(&self) -> Vec<Value> {
        self.asked("runs/update").iter().map(|it| it["status"].clone()).collect()
    }
}

fn serve(stream: TcpStream, noted: &Mutex<Vec<(String, Value)>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(&stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let length = head.iter().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body)?;
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let path = path.strip_prefix("/api/2.0/mlflow/").unwrap_or_default().to_owned();
    let (status, answer) = match path.split('?').next() {
        Some("experiments/get-by-name") => (404, json!({"error_code": "RESOURCE_DOES_NOT_EXIST"})),
        Some("experiments/create") => (200, json!({"experiment_id": "7"})),
        Some("runs/create") => (200, json!({"run": {"info": {"run_id": "0a"}}})),
        _ => (200, json!({})),
    };
    noted.lock().unwrap().push((path, serde_json::from_slice(&body).unwrap_or_default()));
    let answer = answer.to_string();
    let length = answer.len();
    write!(&stream, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{answer}")
}

/// Trains with what is granted to the plugin, and what the user allows it beside running.
fn train(workspace: &Workspace, server: &str, peer: &str, changes: &[&str]) -> Finished {
    let bundle = built::bundle("plugins/mlflow");
    let settings = format!(r#"{{"server": "{server}", "experiment": "flowers"}}"#);
    let monitors = format!(r#"monitors=[(name: "mlflow", settings: {settings})]"#);
    let take = format!(
        r#"plugins={{"mlflow": (bundle: "{}", grant: (network: ["{peer}"], clock: true))}}"#,
        bundle.display()
    );
    let allow = format!("--allow=mlflow:run,clock,network={peer}");
    let mut arguments = vec!["train"];
    if !changes.contains(&"--resume") {
        arguments.push("experiment.ron");
        arguments.extend(["--set", &monitors, "--set", &take]);
    }
    arguments.push(&allow);
    arguments.extend(changes);
    vitral(workspace.path(), &arguments)
}

#[test]
fn a_run_and_what_goes_on_of_it_are_one_run_in_mlflow() {
    let (workspace, server) = (Workspace::new(), Server::start());
    // A name has to be looked up first.
    let peer = format!("localhost:{}", server.port);
    let finished = train(&workspace, &format!("http://{peer}"), &peer, &[]).succeeded();
    assert!(!finished.stderr.contains("MLflow"), "{}", finished.stderr);
    assert_eq!(server.asked("experiments/create"), [json!({"name": "flowers"})]);
    let runs = server.asked("runs/create");
    assert_eq!(
        (runs.len(), &runs[0]["run_name"], &runs[0]["experiment_id"]),
        (1, &json!("run"), &json!("7"))
    );
    assert!(
        runs[0]["start_time"].as_u64().is_some_and(|time| time > 1_700_000_000_000),
        "{runs:?}"
    );
    let parameters = server.logged("params");
    assert!(
        parameters.contains(&json!({"key": "train.learning_rate", "value": "0.002"})),
        "{parameters:?}"
    );
    let steps = |name: &str| -> Vec<u64> {
        let metrics = server.logged("metrics");
        let of = metrics.iter().filter(|metric| metric["key"] == name);
        of.map(|metric| metric["step"].as_u64().unwrap()).collect()
    };
    assert_eq!(steps("train/loss"), (1..=12).collect::<Vec<_>>());
    assert_eq!(steps("val/top1"), [4, 8, 12]);
    assert_eq!(server.statuses(), ["FINISHED"]);

    let changes = ["--resume", "run/checkpoints/step-00000009"];
    train(&workspace, "", &peer, &changes).succeeded();
    assert_eq!(server.asked("runs/create").len(), 1);
    assert_eq!(server.logged("params").len(), parameters.len());
    assert_eq!(server.statuses(), ["FINISHED", "RUNNING", "FINISHED"]);
    // What the server had not confirmed when the checkpoint was written is sent again, too.
    let again = steps("train/loss").split_off(12);
    assert!(again.ends_with(&[10, 11, 12]) && again.len() <= 5, "{again:?}");
}

#[test]
fn a_run_that_fails_has_failed_in_mlflow() {
    let (workspace, server) = (Workspace::new(), Server::start());
    let peer = format!("127.0.0.1:{}", server.port);
    let changes = [
        "train.learning_rate=100",
        "train.optimizer=Sgd()",
        "train.clip_norm=None",
        "train.warmup_steps=0",
        "train.steps=200",
    ];
    let changes: Vec<&str> = changes.iter().flat_map(|change| ["--set", change]).collect();
    train(&workspace, &format!("http://{peer}"), &peer, &changes).failed_with(1);
    assert_eq!(server.statuses(), ["FAILED"]);
}

#[test]
fn no_other_host_or_port_is_reached_than_the_granted_one() {
    let (workspace, granted, other) = (Workspace::new(), Server::start(), Server::start());
    let peer = format!("127.0.0.1:{}", granted.port);
    for (host, refused) in [
        (format!("127.0.0.1:{}", other.port), format!("connect to 127.0.0.1:{}", other.port)),
        (format!("localhost:{}", granted.port), "look up \"localhost\"".into()),
    ] {
        let output = format!("output=\"{}\"", host.replace(':', "-"));
        let server = format!("http://{host}");
        let shown = train(&workspace, &server, &peer, &["-v", "--set", &output]).succeeded().stderr;
        for part in [&*refused, &format!("not granted `{host}`"), "15 log points are not in MLflow"]
        {
            assert!(shown.contains(part), "{part}:\n{shown}");
        }
        assert_eq!(shown.matches("does not log this run").count(), 1, "{shown}");
    }
    for server in [granted, other] {
        assert!(server.asked.lock().unwrap().is_empty());
    }
}

#[test]
fn what_the_experiment_grants_the_user_must_allow() {
    let workspace = Workspace::new();
    let bundle = built::bundle("plugins/mlflow");
    let with = |grant: &str, allow: &str| {
        let bundle = bundle.display();
        let take = format!(r#"plugins={{"mlflow": (bundle: "{bundle}", grant: ({grant}))}}"#);
        let monitors = r#"monitors=[(name: "mlflow")]"#;
        let arguments = ["train", "experiment.ron", "--set", monitors, "--set", &take, allow];
        let shown = vitral(workspace.path(), &arguments).failed_with(2).stderr;
        shown.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let shown = with("clock: true", "--allow=mlflow:run,clock");
    assert!(shown.contains("asks for the network"), "{shown}");
    assert!(shown.contains(r#"network: ["HOST:PORT"]"#), "{shown}");
    let grant = r#"clock: true, network: ["lab:5000"]"#;
    for allow in ["--allow=mlflow:run,clock", "--allow=mlflow:run,clock,network=lab:5001"] {
        let shown = with(grant, allow);
        assert!(shown.contains("connect to lab:5000"), "{shown}");
        assert!(shown.contains("network=lab:5000"), "{shown}");
    }
    let shown = with("clock: true, network: [\"lab\"]", "--allow=mlflow:run");
    assert!(shown.contains("a host and a port"), "{shown}");
}

/// One is not there, and the other takes connections and says nothing.
#[test]
fn a_server_that_is_away_or_hangs_neither_stops_nor_slows_a_run() {
    let workspace = Workspace::new();
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (output, port) in [("away", away), ("hangs", hangs.local_addr().unwrap().port())] {
        let peer = format!("127.0.0.1:{port}");
        let output = format!("output={output:?}");
        let start = Instant::now();
        let shown = train(&workspace, &format!("http://{peer}"), &peer, &["--set", &output]);
        let shown = shown.succeeded().stderr;
        assert!(shown.contains("15 log points are not in MLflow"), "{shown}");
        assert!(shown.matches("does not log this run").count() <= 1, "{shown}");
        // What building the bundle takes does not count; the end waits for 0.8 s at most.
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    }
}
