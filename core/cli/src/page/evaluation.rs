//! What an evaluation found, in HTML.

use super::{Pictures, calibration, escape, percent, row, table};
use crate::{commands::eval::Found, words::counted};

/// Classes of which a whole matrix is shown.
const MATRIX: usize = 40;
/// Pairs of classes that are taken for each other that are listed.
const PAIRS: usize = 30;

/// All that is known of a checkpoint but for what the summary has.
///
/// # Errors
/// A picture cannot be drawn, in words.
pub fn details(found: &Found, pictures: Option<&Pictures>) -> Result<String, String> {
    let calibration = calibration::html(&found.figures.calibration)?;
    let pictures = pictures.map_or_else(String::new, Pictures::html);
    Ok(format!(
        "{}{pictures}<div class=\"parts\">\n<div class=\"charts\"><div>\n<h3>Calibration</h3>\n{calibration}\
         </div></div>\n<div>{}</div>\n<div>{}</div>\n</div>\n",
        left_out(found),
        confusion(found),
        classes(found)
    ))
}

/// The figures of each checkpoint in a row.
pub fn summary(all: &[&Found]) -> String {
    let top_k = all.first().map(|found| &found.figures.top_k);
    let ks: Vec<usize> = top_k.into_iter().flat_map(|top_k| top_k.keys().copied()).collect();
    let mut header = ["step", "images", "loss", "top-1", "top-5"].map(str::to_owned).to_vec();
    header.extend(ks.iter().map(|k| format!("top-{k}")));
    let figures = ["balanced accuracy", "macro F1", "weighted F1", "ECE"];
    header.extend(figures.map(str::to_owned));
    let mut rows = row(&header, "th", "checkpoint");
    for &Found { checkpoint, step, flips, evaluation, figures } in all {
        let mut cells = vec![
            step.to_string(),
            evaluation.images.to_string(),
            format!("{:.4}", evaluation.loss),
            percent(evaluation.top1),
            percent(evaluation.top5),
        ];
        cells.extend(ks.iter().map(|k| percent(figures.top_k[k])));
        cells.push(percent(figures.balanced_accuracy));
        let rest = [figures.macro_f1, figures.weighted_f1, figures.calibration_error];
        cells.extend(rest.map(|figure| format!("{figure:.4}")));
        let flips = if *flips { " (with mirror images)" } else { "" };
        rows += &row(&cells, "td", &format!("{}{flips}", escape(checkpoint)));
    }
    table(&rows)
}

fn left_out(found: &Found) -> String {
    let named = found.evaluation.left_out.iter();
    let named = named.map(|image| format!("{}: {}", image.name, image.reason));
    let all: String = found
        .evaluation
        .notes
        .iter()
        .cloned()
        .chain(named)
        .map(|text| format!("<li>{}</li>\n", escape(&text)))
        .collect();
    match all.is_empty() {
        true => String::new(),
        false => format!("<h3>Left out</h3>\n<ul>\n{all}</ul>\n"),
    }
}

/// The matrix, or of many classes the pairs that are taken for each other most often.
fn confusion(found: &Found) -> String {
    let classes = &found.figures.classes;
    let title = "<h3>Confusion</h3>\n";
    if classes.len() > MATRIX {
        let mut pairs: Vec<_> =
            found.figures.confusion.iter().filter(|taken| taken.class != taken.predicted).collect();
        pairs.sort_by_key(|taken| std::cmp::Reverse(taken.images));
        let all = pairs.len();
        let mut rows = row(&["predicted as".into(), "images".into()], "th", "class");
        for taken in pairs.into_iter().take(PAIRS) {
            let cells = [escape(&classes[taken.predicted].name), taken.images.to_string()];
            rows += &row(&cells, "td", &escape(&classes[taken.class].name));
        }
        let all = counted(all, "pair", "pairs");
        return format!("{title}<p>The most frequent of {all}:</p>\n{}", table(&rows));
    }
    let header: String = (0..classes.len()).map(|index| format!("<th>{index}</th>")).collect();
    let mut rows = format!("<tr><th></th>{header}</tr>\n");
    let mut counts = vec![vec![0; classes.len()]; classes.len()];
    for taken in &found.figures.confusion {
        counts[taken.class][taken.predicted] = taken.images;
    }
    for (index, (class, counts)) in classes.iter().zip(counts).enumerate() {
        let cells: String = counts
            .iter()
            .enumerate()
            .map(|(predicted, count)| {
                let share = *count as f64 / class.images.max(1) as f64;
                let colour = if predicted == index { "60,150,90" } else { "200,80,40" };
                // So that a single mistake can be seen, too.
                let shade = if *count == 0 { 0.0 } else { 0.08 + 0.72 * share };
                let style = format!("background:rgba({colour},{shade:.2})");
                let count = if *count == 0 { String::new() } else { count.to_string() };
                format!("<td style=\"{style}\">{count}</td>")
            })
            .collect();
        let name = escape(&class.name);
        rows += &format!("<tr><th class=\"row\">{index} {name}</th>{cells}</tr>\n");
    }
    format!(
        "{title}<p>True classes in rows, predicted classes in columns.</p>\n\
         <div class=\"scroll\"><table class=\"matrix\">\n{rows}</table></div>\n"
    )
}

fn classes(found: &Found) -> String {
    let share = |figure: Option<f64>| figure.map_or_else(|| "-".into(), percent);
    let header = ["images", "correct", "accuracy", "predicted", "precision", "F1"];
    let mut rows = row(&header.map(str::to_owned), "th", "class");
    for class in &found.figures.classes {
        let cells = [
            class.images.to_string(),
            class.correct.to_string(),
            share(class.recall),
            class.predicted.to_string(),
            share(class.precision),
            class.f1.map_or_else(|| "-".into(), |f1| format!("{f1:.4}")),
        ];
        rows += &row(&cells, "td", &escape(&class.name));
    }
    format!("<h3>Classes</h3>\n{}", table(&rows))
}
