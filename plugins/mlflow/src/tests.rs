//! Runs that are logged to a server of these tests.

use std::{cell::RefCell, rc::Rc, time::Duration};

use serde_json::{Value, json};
use vitral_sdk::prelude::*;
use vitral_testkit::{check_monitor, events};

use crate::{
    Logger, Mlflow, Settings,
    server::Server,
    transport::{Connection, Progress, Transport},
};

/// A server and the time, which only tests let pass.
#[derive(Default)]
struct World {
    time: Duration,
    /// Whether nobody listens.
    is_away: bool,
    /// How many calls it takes for an answer.
    delay: u32,
    /// Connections that were tried, and the longest that one was waited for.
    tried: u32,
    longest_wait: Duration,
    experiments: Vec<String>,
    runs: Vec<String>,
    parameters: Vec<(String, String)>,
    metrics: Vec<(String, f64, u64)>,
    statuses: Vec<String>,
    /// The name of a parameter that it refuses.
    refuses: Option<String>,
    is_deleted: bool,
}

impl World {
    fn answer(&mut self, request: &str) -> (u16, Value) {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let path = head.split(' ').nth(1).unwrap();
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        let wrong = |code: &str| json!({ "error_code": code, "message": "it is so" });
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        match path.strip_prefix("/api/2.0/mlflow/").unwrap() {
            "experiments/get-by-name" => {
                let name = query.split_once('=').unwrap().1;
                match self.experiments.iter().position(|known| known == name) {
                    Some(id) => {
                        let stage = if self.is_deleted { "deleted" } else { "active" };
                        let id = id.to_string();
                        (
                            200,
                            json!({ "experiment": { "experiment_id": id, "lifecycle_stage": stage } }),
                        )
                    }
                    None => (404, wrong("RESOURCE_DOES_NOT_EXIST")),
                }
            }
            "experiments/create" => {
                self.experiments.push(text("name"));
                (200, json!({ "experiment_id": (self.experiments.len() - 1).to_string() }))
            }
            "runs/create" => {
                self.runs.push(text("run_name"));
                (200, json!({ "run": { "info": { "run_id": format!("r{}", self.runs.len()) } } }))
            }
            "runs/update" => {
                self.statuses.push(text("status"));
                (200, json!({}))
            }
            "runs/log-batch" => {
                let list = |name: &str| body[name].as_array().cloned().unwrap_or_default();
                let parameters = list("params");
                assert!(parameters.len() <= 100);
                if parameters.iter().any(|it| it["key"].as_str() == self.refuses.as_deref()) {
                    return (400, wrong("INVALID_PARAMETER_VALUE"));
                }
                let part = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
                self.parameters
                    .extend(parameters.iter().map(|it| (part(it, "key"), part(it, "value"))));
                self.metrics.extend(list("metrics").iter().map(|it| {
                    let value = it["value"].as_f64().unwrap_or(f64::NAN);
                    (part(it, "key"), value, it["step"].as_u64().unwrap())
                }));
                (200, json!({}))
            }
            other => panic!("{other}"),
        }
    }

    fn steps_of(&self, name: &str) -> Vec<u64> {
        self.metrics.iter().filter(|(of, ..)| of == name).map(|(.., step)| *step).collect()
    }
}

#[derive(Clone, Default)]
struct Fake(Rc<RefCell<World>>);

struct Wire {
    fake: Fake,
    request: Vec<u8>,
    left: u32,
}

impl Transport for Fake {
    type Connection = Wire;

    fn connect(&mut self, _: &Server, request: Vec<u8>) -> Result<Wire, String> {
        let mut world = self.0.borrow_mut();
        world.tried += 1;
        match world.is_away {
            true => Err("nothing listens there".into()),
            false => Ok(Wire { fake: self.clone(), request, left: world.delay }),
        }
    }

    fn time_of_day(&self) -> u64 {
        self.0.borrow().time.as_millis() as u64
    }

    fn time(&self) -> Duration {
        self.0.borrow().time
    }
}

impl Connection for Wire {
    fn go_on(&mut self, wait: Duration, received: &mut Vec<u8>) -> Result<Progress, String> {
        let mut world = self.fake.0.borrow_mut();
        world.longest_wait = world.longest_wait.max(wait);
        if self.left > 0 {
            // Whoever waits has the answer soon, unless it never comes.
            let takes = Duration::from_millis(10);
            let is_soon = self.left < u32::MAX && wait >= takes;
            world.time += if is_soon { takes } else { wait };
            if !is_soon {
                self.left = self.left.saturating_sub(u32::from(self.left < u32::MAX));
                return Ok(Progress::Waiting);
            }
        }
        let (status, body) = world.answer(std::str::from_utf8(&self.request).unwrap());
        let body = body.to_string();
        let length = body.len();
        received.extend(
            format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}").bytes(),
        );
        Ok(Progress::Received)
    }
}

impl Fake {
    fn logger(&self) -> Logger<Self> {
        self.logger_that_keeps(500)
    }

    fn logger_that_keeps(&self, keep: u32) -> Logger<Self> {
        let settings = Settings {
            server: "http://lab:5000".into(),
            experiment: "flowers".into(),
            run: String::new(),
            keep,
            end_wait_ms: 800,
        };
        Logger::new(settings, self.clone()).unwrap()
    }

    /// Tells of something after a second, and gives the warnings that come of it.
    fn tell(&self, logger: &mut Logger<Self>, event: impl Into<Event>) -> Vec<String> {
        self.0.borrow_mut().time += Duration::from_secs(1);
        let warning = |action| match action {
            Action::Warn(text) => text,
            other => panic!("{other:?}"),
        };
        logger.observe(&event.into()).into_iter().map(warning).collect()
    }

    fn start(&self, logger: &mut Logger<Self>) -> Vec<String> {
        let mut said = self.tell(logger, events::started());
        said.extend(self.tell(logger, events::configured(&[("train.learning_rate", "0.001")])));
        said
    }

    fn step(&self, logger: &mut Logger<Self>, step: u64) -> Vec<String> {
        self.tell(logger, events::step(step).loss(1.0 / step as f64))
    }
}

#[test]
fn it_does_what_any_monitor_must() {
    check_monitor::<Mlflow>();
}

#[test]
fn a_run_is_logged_from_its_parameters_to_its_end() {
    let fake = Fake::default();
    fake.0.borrow_mut().delay = 1;
    let mut logger = fake.logger();
    fake.start(&mut logger);
    for step in 1..=30 {
        assert!(fake.step(&mut logger, step).is_empty());
    }
    assert!(fake.tell(&mut logger, events::evaluation(30).loss(f64::NAN).top1(0.5)).is_empty());
    assert!(fake.tell(&mut logger, events::ended("done")).is_empty());
    let world = fake.0.borrow();
    assert_eq!(
        (&world.experiments[..], &world.runs[..]),
        (&["flowers".into()][..], &["run".into()][..])
    );
    assert!(world.parameters.contains(&("train.learning_rate".into(), "0.001".into())));
    assert!(world.parameters.iter().any(|(name, _)| name == "run.device"));
    assert_eq!(world.steps_of("train/loss"), (1..=30).collect::<Vec<_>>());
    assert!(world.metrics.contains(&("train/loss".into(), 0.5, 2)));
    assert!(world.metrics.iter().any(|(name, value, _)| name == "val/loss" && value.is_nan()));
    assert_eq!(world.statuses, ["FINISHED"]);
}

#[test]
fn parameters_are_sent_in_as_many_requests_as_mlflow_needs() {
    let (fake, fields) = (Fake::default(), (0..250).map(|at| (format!("f{at}"), "1".to_owned())));
    let fields: Vec<_> = fields.collect();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    let mut logger = fake.logger();
    fake.tell(&mut logger, events::started());
    fake.tell(&mut logger, events::configured(&fields));
    fake.tell(&mut logger, events::ended("interrupted"));
    assert!(fake.0.borrow().parameters.len() > 250);
    assert_eq!(fake.0.borrow().statuses, ["KILLED"]);
}

#[test]
fn a_server_that_is_away_is_told_of_once_and_has_everything_when_it_is_back() {
    let fake = Fake::default();
    fake.0.borrow_mut().is_away = true;
    let mut logger = fake.logger();
    let mut said = fake.start(&mut logger);
    for step in 1..=100 {
        said.extend(fake.step(&mut logger, step));
    }
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("lab:5000") && said[0].contains("nothing listens there"), "{said:?}");
    let tried = fake.0.borrow().tried;
    assert!((3..=10).contains(&tried), "in 102 seconds it was tried {tried} times");
    fake.0.borrow_mut().is_away = false;
    for step in 101..=170 {
        assert!(fake.step(&mut logger, step).is_empty());
    }
    assert!(fake.tell(&mut logger, events::ended("done")).is_empty());
    assert_eq!(fake.0.borrow().steps_of("train/loss"), (1..=170).collect::<Vec<_>>());
}

#[test]
fn what_a_server_has_not_got_is_told_at_the_end() {
    let fake = Fake::default();
    fake.0.borrow_mut().is_away = true;
    let mut logger = fake.logger_that_keeps(10);
    fake.start(&mut logger);
    for step in 1..=30 {
        fake.step(&mut logger, step);
    }
    let said = fake.tell(&mut logger, events::ended("done"));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("30 log points are not in MLflow"), "{said:?}");
    assert!(said[0].ends_with(": nothing listens there"), "{said:?}");
}

#[test]
fn a_server_that_hangs_is_waited_for_at_the_end_alone() {
    let fake = Fake::default();
    fake.0.borrow_mut().delay = u32::MAX;
    let mut logger = fake.logger();
    fake.start(&mut logger);
    let mut said = Vec::new();
    for step in 1..=60 {
        said.extend(fake.step(&mut logger, step));
    }
    assert!(fake.0.borrow().longest_wait < Duration::from_millis(6), "0.5% of a step");
    assert!(said.len() == 1 && said[0].contains("no answer in 20 s"), "{said:?}");
    let before = fake.0.borrow().time;
    let said = fake.tell(&mut logger, events::ended("done"));
    assert!(said.len() == 1 && said[0].starts_with("60 log points"), "{said:?}");
    let took = fake.0.borrow().time - before - Duration::from_secs(1);
    assert!(took <= Duration::from_millis(800), "{took:?}");
}

#[test]
fn a_resumed_run_goes_on_in_mlflow() {
    let fake = Fake::default();
    let mut logger = fake.logger();
    fake.start(&mut logger);
    fake.step(&mut logger, 1);
    // What waits for the server is kept, too.
    fake.0.borrow_mut().is_away = true;
    fake.step(&mut logger, 2);
    let state = logger.book.save();
    fake.tell(&mut logger, events::ended("interrupted"));
    fake.0.borrow_mut().is_away = false;
    let parameters = fake.0.borrow().parameters.len();
    let mut logger = fake.logger();
    logger.book.restore(&state).unwrap();
    fake.start(&mut logger);
    fake.step(&mut logger, 3);
    // A smaller model starts, which is the same run.
    fake.tell(&mut logger, events::started());
    fake.tell(&mut logger, events::ended("failed: the loss is NaN"));
    let world = fake.0.borrow();
    assert_eq!((world.runs.len(), world.parameters.len()), (1, parameters));
    assert_eq!(world.steps_of("train/loss"), [1, 2, 3]);
    assert_eq!(world.statuses, ["RUNNING", "FAILED"]);
}

#[test]
fn what_the_server_refuses_is_told_and_the_rest_is_logged() {
    let fake = Fake::default();
    fake.0.borrow_mut().refuses = Some("train.learning_rate".into());
    let mut logger = fake.logger();
    let said = fake.start(&mut logger);
    assert!(said.len() == 1 && said[0].contains("parameters: 400, it is so"), "{said:?}");
    assert!(fake.step(&mut logger, 1).is_empty());
    assert!(fake.tell(&mut logger, events::ended("done")).is_empty());
    assert_eq!(fake.0.borrow().steps_of("train/loss"), [1]);
}

#[test]
fn a_deleted_experiment_is_not_asked_for_again() {
    let fake = Fake::default();
    fake.0.borrow_mut().experiments.push("flowers".into());
    fake.0.borrow_mut().is_deleted = true;
    let mut logger = fake.logger();
    assert!(fake.start(&mut logger)[0].contains("the experiment is deleted there"));
    let tried = fake.0.borrow().tried;
    fake.step(&mut logger, 1);
    let said = fake.tell(&mut logger, events::ended("done"));
    assert!(said[0].contains("1 log points") && said[0].contains("deleted"), "{said:?}");
    assert_eq!(fake.0.borrow().tried, tried);
}
