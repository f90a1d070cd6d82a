//! Requests and answers of MLflow's REST API, version 2.0.

use serde_json::{Value, json};

use crate::{
    book::{Metric, Status},
    http::Answer,
};

/// The most metrics and parameters of one request; MLflow takes 1000 and 100.
pub(crate) const MAX_METRICS: usize = 500;
pub(crate) const MAX_PARAMETERS: usize = 100;
/// The longest name and value of a parameter that MLflow takes, in bytes.
const MAX_NAME: usize = 250;
const MAX_VALUE: usize = 6000;

/// A request: its path, and its body if it has one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub path: String,
    pub body: Option<String>,
}

fn post(what: &str, body: &Value) -> Request {
    Request { path: format!("/api/2.0/mlflow/{what}"), body: Some(body.to_string()) }
}

/// Asks for an experiment by its name.
pub(crate) fn find_experiment(name: &str) -> Request {
    let mut path = String::from("/api/2.0/mlflow/experiments/get-by-name?experiment_name=");
    for byte in name.bytes() {
        match byte.is_ascii_alphanumeric() {
            true => path.push(char::from(byte)),
            false => path.push_str(&format!("%{byte:02X}")),
        }
    }
    Request { path, body: None }
}

pub(crate) fn create_experiment(name: &str) -> Request {
    post("experiments/create", &json!({ "name": name }))
}

pub(crate) fn create_run(experiment: &str, name: &str, start: u64) -> Request {
    let tags = json!([{ "key": "mlflow.source.name", "value": "vitral train" }]);
    post(
        "runs/create",
        &json!({ "experiment_id": experiment, "run_name": name, "start_time": start, "tags": tags }),
    )
}

/// Says that a run goes on, or that it has ended at a time.
pub(crate) fn update_run(run: &str, status: Status, end: Option<u64>) -> Request {
    let mut body = json!({ "run_id": run, "status": status.name() });
    if let Some(end) = end {
        body["end_time"] = end.into();
    }
    post("runs/update", &body)
}

pub(crate) fn log_parameters<'p>(
    run: &str,
    parameters: impl Iterator<Item = &'p (String, String)>,
) -> Request {
    let parameter = |(name, value): &(String, String)| json!({ "key": parameter_name(name), "value": cut(value, MAX_VALUE) });
    let parameters: Vec<Value> = parameters.map(parameter).collect();
    post("runs/log-batch", &json!({ "run_id": run, "params": parameters }))
}

pub(crate) fn log_metrics<'m>(run: &str, metrics: impl Iterator<Item = Metric<'m>>) -> Request {
    let metric = |Metric { name, value, time, step }: Metric<'m>| {
        // JSON has no word for numbers that are none, and MLflow these.
        let value = match value {
            value if value.is_nan() => json!("NaN"),
            f64::INFINITY => json!("Infinity"),
            f64::NEG_INFINITY => json!("-Infinity"),
            value => json!(value),
        };
        json!({ "key": name, "value": value, "timestamp": time, "step": step })
    };
    let metrics: Vec<Value> = metrics.map(metric).collect();
    post("runs/log-batch", &json!({ "run_id": run, "metrics": metrics }))
}

/// A name of letters, digits and a few signs, as MLflow has it.
fn parameter_name(name: &str) -> String {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "_-. /".contains(c);
    let name = name.chars().map(|c| if is_fine(c) { c } else { '_' }).collect::<String>();
    cut(&name, MAX_NAME).to_owned()
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// What MLflow says in its answer.
pub(crate) enum Said {
    /// What was asked for.
    Done(Value),
    /// There is no such thing.
    Absent,
    /// There is such a thing already.
    Exists,
    /// It cannot now, in words.
    Busy(String),
    /// It will not, in words.
    Refused(String),
}

impl Said {
    pub fn of(answer: &Answer) -> Self {
        let body = serde_json::from_slice::<Value>(&answer.body);
        let code = body.as_ref().ok().and_then(|body| body["error_code"].as_str());
        match (answer.status, code, &body) {
            (200..300, None, Ok(body)) => return Self::Done(body.clone()),
            (_, Some("RESOURCE_DOES_NOT_EXIST"), _) => return Self::Absent,
            (_, Some("RESOURCE_ALREADY_EXISTS"), _) => return Self::Exists,
            _ => {}
        }
        let status = answer.status;
        let words = match body.as_ref().ok().and_then(|body| body["message"].as_str()) {
            Some(message) => format!("{status}, {}", cut(message, 300)),
            None => format!("{status}, as no MLflow does"),
        };
        match status {
            429 | 500.. => Self::Busy(words),
            _ => Self::Refused(words),
        }
    }
}

/// The id at a place of an answer.
pub(crate) fn id(body: &Value, pointer: &str) -> Option<String> {
    let id = body.pointer(pointer)?.as_str()?;
    let is_id = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    is_id.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_mlflow_takes() {
        let parameters = [("plugins.é:\"x\"".to_owned(), "v".repeat(7000))];
        let request = log_parameters("r", parameters.iter());
        let body: Value = serde_json::from_str(&request.body.unwrap()).unwrap();
        assert_eq!(body["params"][0]["key"], "plugins.___x_");
        assert_eq!(body["params"][0]["value"].as_str().unwrap().len(), MAX_VALUE);
        let path = find_experiment("fine flowers/é").path;
        assert!(path.ends_with("=fine%20flowers%2F%C3%A9"), "{path}");
    }

    #[test]
    fn numbers_that_are_none_are_words() {
        let metric = |value| Metric { name: "loss", value, time: 7, step: 3 };
        let metrics = [1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(metric);
        let request = log_metrics("r", metrics.into_iter());
        let body: Value = serde_json::from_str(&request.body.unwrap()).unwrap();
        let values: Vec<&Value> = (0..4).map(|at| &body["metrics"][at]["value"]).collect();
        assert_eq!(values, [&json!(1.5), &json!("NaN"), &json!("Infinity"), &json!("-Infinity")]);
    }

    #[test]
    fn an_answer_is_done_busy_or_a_refusal_in_its_words() {
        let said = |status, body: &str| Said::of(&Answer { status, body: body.into() });
        assert!(matches!(said(200, "{}"), Said::Done(_)));
        let absent = r#"{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "m"}"#;
        assert!(matches!(said(404, absent), Said::Absent));
        assert!(matches!(said(503, "<html>"), Said::Busy(words) if words.contains("503")));
        let wrong = r#"{"error_code": "INVALID_PARAMETER_VALUE", "message": "no such key"}"#;
        assert!(matches!(said(400, wrong), Said::Refused(words) if words.contains("no such key")));
        assert!(matches!(said(200, "<html>"), Said::Refused(words) if words.contains("no MLflow")));
        for (body, expected) in [(r#"{"id": "a-1"}"#, Some("a-1")), (r#"{"id": "a 1"}"#, None)] {
            let body = serde_json::from_str(body).unwrap();
            assert_eq!(id(&body, "/id").as_deref(), expected);
        }
    }
}
