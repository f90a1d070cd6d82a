//! What the lines of `metrics.jsonl` say of an event.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use serde_json::{Value, json};
use vitral_data::Skipped;

use crate::{
    DataReport, Evaluation,
    event::{Event, StepReport},
    logs::histogram,
};

/// The kind of an evaluation's line.
pub(crate) const EVALUATION: &str = "eval";
/// The kind of the line that ends a run which is over.
pub(crate) const END: &str = "end";

/// Who the user is told by what was pruned.
pub(crate) const PRUNE: &str = "prune";

/// What the data sets are called where it is said which of them something is about.
pub(crate) const TRAIN: &str = "data.train";
pub(crate) const VAL: &str = "data.val";

/// The lines of an event, in a run that has made `step` steps; `named` has the images of which a line says
/// that they are left out, with its step.
pub(crate) fn lines(event: &Event, step: u64, named: &mut HashMap<String, u64>) -> Vec<Value> {
    let mut left_out = |step: u64, from: &str, images: &[Skipped]| -> Vec<Value> {
        let new = images.iter().filter_map(|image| match named.entry(image.name.clone()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                place.insert(step);
                Some(left_out_line(step, from, image))
            }
        });
        new.collect()
    };
    match event {
        Event::Stepped(report) => step_line(report).into_iter().collect(),
        Event::Evaluated { step, epoch, evaluation, is_again, .. } => {
            let mut lines = vec![evaluation_line(*step, *epoch, evaluation)];
            if !is_again {
                lines.extend(left_out(*step, VAL, &evaluation.left_out));
            }
            lines
        }
        Event::Figure { step, monitor, name, value } => vec![json!({
            "kind": "monitor",
            "step": step,
            "monitor": monitor,
            "name": name,
            "value": value,
        })],
        Event::Statistics(report) => vec![histogram::line(report)],
        Event::Skipped { step, image } => left_out(*step, TRAIN, std::slice::from_ref(image)),
        Event::Pruned { step, epoch, pruned, run } => {
            let line = json!({
                "kind": "prune",
                "step": step,
                "epoch": epoch,
                "heads": pruned.after.iter().map(|size| size.heads).collect::<Vec<_>>(),
                "hidden": pruned.after.iter().map(|size| size.hidden).collect::<Vec<_>>(),
                "flops": pruned.share_of_whole(),
                "parameters": run.parameters,
            });
            vec![line, notice_line(*step, PRUNE, &pruned.words())]
        }
        Event::Notice { is_kept: false, .. } => Vec::new(),
        Event::Ended { reason, is_over: true } => {
            vec![json!({ "kind": END, "step": step, "reason": reason })]
        }
        told => told
            .words()
            .map(|(from, message)| notice_line(step, from, &message))
            .into_iter()
            .collect(),
    }
}

/// One line for a logged step.
fn step_line(report: &StepReport) -> Option<Value> {
    let figures = report.figures?;
    let mut line = json!({
        "kind": "step",
        "step": report.step,
        "epoch": report.epoch,
        "loss": figures.loss,
        "accuracy": figures.accuracy,
        "gradient_norm": figures.gradient_norm,
        "learning_rate": report.learning_rate,
        "images_per_second": report.images as f64 / report.time.as_secs_f64().max(1e-9),
        "data_wait": report.data_wait.as_secs_f64(),
        "left_out": report.left_out,
    });
    if let Some(scaling) = report.scaling {
        line["loss_scale"] = json!(scaling.scale);
        line["skipped_steps"] = json!(scaling.skipped_steps);
    }
    if let Some(communication) = report.communication {
        line["communication"] = json!(communication.waited.as_secs_f64());
        line["communication_hidden"] = json!(communication.hidden.as_secs_f64());
    }
    if let Some(images) = report.micro_batch {
        line["micro_batch"] = images.into();
    }
    if let Some(data) = &report.data {
        line["data"] = data_line(data);
    }
    Some(line)
}

/// What the data path did, in seconds; stages of one name are one.
fn data_line(data: &DataReport) -> Value {
    let mut stages = BTreeMap::new();
    for (name, time) in &data.stages {
        *stages.entry(name).or_insert(0.0) += time.as_secs_f64();
    }
    json!({
        "seconds": data.time.as_secs_f64(),
        "wait": data.wait.as_secs_f64(),
        "workers": data.workers,
        "prefetch": data.prefetch,
        "stages": stages,
    })
}

fn evaluation_line(step: u64, epoch: f64, found: &Evaluation) -> Value {
    json!({
        "kind": EVALUATION,
        "step": step,
        "epoch": epoch,
        "loss": found.loss,
        "top1": found.top1,
        "top5": found.top5,
        "images": found.images,
        "skipped": found.skipped,
        "classes": found.classes,
    })
}

/// An image that is left out of a data set.
fn left_out_line(step: u64, from: &str, Skipped { name, reason }: &Skipped) -> Value {
    json!({ "kind": "left_out", "step": step, "from": from, "image": name, "reason": reason })
}

/// Something that the user was told.
fn notice_line(step: u64, from: &str, message: &str) -> Value {
    json!({ "kind": "notice", "step": step, "from": from, "message": message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_once_however_often_it_is_left_out() {
        let mut named = HashMap::new();
        let image = Skipped { name: "a.png".into(), reason: "it is empty".into() };
        let skipped = |step| Event::Skipped { step, image: image.clone() };
        let line = left_out_line(3, TRAIN, &image);
        assert_eq!(lines(&skipped(3), 2, &mut named), [line]);
        assert!(lines(&skipped(8), 7, &mut named).is_empty());
    }

    #[test]
    fn what_is_told_in_words_is_a_notice_unless_it_is_not_kept() {
        let noted = |event: &Event| lines(event, 4, &mut HashMap::new());
        let (monitor, reason) = ("m".to_owned(), "a spike".to_owned());
        let event = Event::RolledBack { monitor, from: 3, to: Some(2), scale: 0.5, reason };
        let (from, words) = event.words().unwrap();
        assert_eq!(noted(&event), [notice_line(4, from, &words)]);
        assert_eq!(noted(&Event::notice("batch", "fits".into())).len(), 1);
        let (from, message) = ("resume".into(), "goes on".into());
        assert!(noted(&Event::Notice { from, message, is_kept: false }).is_empty());
    }
}
