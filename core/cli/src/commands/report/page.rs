//! A run as one HTML page, which needs nothing beside it.

use vitral_config::visible;

use super::{
    chart::Chart,
    metrics::{Data, Eval, Metrics, Step},
};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;color:#282c34;max-width:1180px;\
margin:24px auto;padding:0 16px}h1{font-size:22px}h2{font-size:17px;margin-top:28px}\
.charts{display:flex;flex-wrap:wrap;gap:12px}svg{max-width:100%;height:auto}\
table{border-collapse:collapse}td{padding:2px 18px 2px 0;vertical-align:top}\
pre{background:#f5f6f8;padding:12px;overflow:auto;font-size:13px}";

/// The page of a run: its name, what it noted, and its experiment's text.
///
/// # Errors
/// A chart cannot be drawn, in words.
pub fn page(name: &str, metrics: &Metrics, experiment: &str) -> Result<String, String> {
    let mut charts = String::new();
    for picture in charts_of(metrics).iter().filter_map(Chart::svg) {
        charts += &picture?;
    }
    let summary: String = summary(metrics)
        .iter()
        .map(|(what, figure)| format!("<tr><td>{what}</td><td>{}</td></tr>\n", escape(figure)))
        .collect();
    let notices: String = metrics
        .notices
        .iter()
        .map(|notice| {
            let (from, message) = (escape(&notice.from), escape(&notice.message));
            format!("<tr><td>step {}</td><td>{from}</td><td>{message}</td></tr>\n", notice.step)
        })
        .collect();
    let notices = match notices.as_str() {
        "" => String::new(),
        rows => format!("<h2>Notices</h2>\n<table>\n{rows}</table>\n"),
    };
    let experiment = escape(experiment);
    Ok(document(
        name,
        &format!(
            "<table>\n{summary}</table>\n<div class=\"charts\">\n{charts}</div>\n{notices}\
             <h2>Experiment</h2>\n<pre>{experiment}</pre>\n"
        ),
    ))
}

/// A page with a title and what is below it, in HTML.
pub fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         {body}</body>\n</html>\n"
    )
}

fn charts_of(metrics: &Metrics) -> [Chart; 6] {
    let of_steps = |figure: fn(&Step) -> Option<f64>| -> Vec<(f64, f64)> {
        let point = |step: &Step| Some((step.step as f64, figure(step)?));
        metrics.steps.iter().filter_map(point).collect()
    };
    let percent = |share: f64| share * 100.0;
    let val_loss = metrics.evals.iter().filter_map(|eval| Some((eval.step as f64, eval.loss?)));
    let top1 = metrics.evals.iter().map(|eval| (eval.step as f64, percent(eval.top1)));
    let accuracy = of_steps(|step| step.accuracy);
    let accuracy = accuracy.into_iter().map(|(step, share)| (step, percent(share))).collect();
    let waiting = of_steps(|step| step.data.as_ref()?.waiting_share());
    let waiting = waiting.into_iter().map(|(step, share)| (step, percent(share))).collect();
    [
        Chart {
            title: "loss",
            lines: vec![
                ("training", of_steps(|step| step.loss)),
                ("validation", val_loss.collect()),
            ],
        },
        Chart {
            title: "top-1 accuracy, %",
            lines: vec![("training", accuracy), ("validation", top1.collect())],
        },
        Chart {
            title: "learning rate",
            lines: vec![("training", of_steps(|step| Some(step.learning_rate)))],
        },
        Chart {
            title: "images per second",
            lines: vec![("training", of_steps(|step| Some(step.images_per_second)))],
        },
        Chart {
            title: "gradient norm before clipping",
            lines: vec![("training", of_steps(|step| step.gradient_norm))],
        },
        Chart { title: "waiting for data, % of the time", lines: vec![("training", waiting)] },
    ]
}

fn summary(metrics: &Metrics) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let logged = metrics.steps.last().map(|step| (step.step, step.epoch));
    let evaluated = metrics.evals.last().map(|eval| (eval.step, eval.epoch));
    let newest = logged.into_iter().chain(evaluated).max_by_key(|(step, _)| *step);
    rows.extend(newest.map(|(step, epoch)| ("steps", format!("{step} ({epoch:.2} epochs)"))));
    let show = |eval: &Eval| {
        let left_out = match eval.skipped {
            0 => String::new(),
            count => format!(" ({count} more could not be read)"),
        };
        format!(
            "top-1 {:.2}%, top-5 {:.2}% of {} images{left_out}, after step {}",
            eval.top1 * 100.0,
            eval.top5 * 100.0,
            eval.images,
            eval.step
        )
    };
    rows.extend(metrics.best().map(|eval| ("best evaluation", show(eval))));
    rows.extend(metrics.evals.last().map(|eval| ("last evaluation", show(eval))));
    if let Some(step) = metrics.steps.last().filter(|step| step.left_out > 0) {
        let count = format!("{} training images (repeats counted)", step.left_out);
        rows.push(("left out", count));
    }
    if let Some(data) = metrics.data() {
        let share = 100.0 * data.waiting_share().unwrap_or(0.0);
        rows.push(("waiting for data", format!("{share:.2}% of the steps' time")));
        rows.push(("work of the data path", stages(&data)));
    }
    rows
}

/// The stages' shares of the data workers' time, the longest first.
fn stages(data: &Data) -> String {
    let total: f64 = data.stages.values().sum();
    let mut stages: Vec<_> = data.stages.iter().collect();
    stages.sort_by(|one, other| other.1.total_cmp(one.1));
    let share = |(name, seconds): (&String, &f64)| {
        format!("{name} {:.1}%", 100.0 * seconds / total.max(f64::MIN_POSITIVE))
    };
    stages.into_iter().map(share).collect::<Vec<_>>().join(", ")
}

/// Text as HTML has it, of which nothing acts on what is around it.
pub fn escape(text: &str) -> String {
    visible(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::{super::metrics::Notice, *};

    #[test]
    fn stages_come_by_their_share() {
        let stages = [("decode", 3.0), ("read", 0.5), ("HorizontalFlip", 0.5)];
        let stages = stages.map(|(name, seconds)| (name.to_owned(), seconds)).into();
        let data = Data { seconds: 4.0, wait: 1.0, stages };
        assert_eq!(super::stages(&data), "decode 75.0%, HorizontalFlip 12.5%, read 12.5%");
    }

    #[test]
    fn what_a_run_says_cannot_break_its_page() {
        let eval = Eval {
            step: 5,
            epoch: 1.0,
            loss: Some(1.0),
            top1: 0.5,
            top5: 0.75,
            images: 8,
            skipped: 0,
        };
        let notice = Notice { step: 3, from: "a&b".into(), message: "<script>".into() };
        let metrics = Metrics { evals: vec![eval], notices: vec![notice], ..Metrics::default() };
        let text = page("<run>", &metrics, "(output: \"<x>\")").unwrap();
        for part in
            ["<h1>&lt;run&gt;</h1>", "&lt;script&gt;", "a&amp;b", "(output: &quot;&lt;x&gt;"]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("<script"));
        assert!(text.contains("top-1 50.00%, top-5 75.00% of 8 images, after step 5"));
        assert_eq!(
            text.matches("<svg").count(),
            2,
            "losses and accuracies; the others have no points"
        );
    }
}
