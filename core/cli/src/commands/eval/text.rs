//! What an evaluation found, as text.

use vitral_data::Skipped;
use vitral_train::figures::ClassFigures;

use super::Found;
use crate::{
    page::percent,
    words::{aligned, columns, padded},
};

/// Images left out that are named.
const NAMED: usize = 10;

/// Everything of one checkpoint.
pub fn print(found: &Found, confusion: bool) {
    let Found { evaluation, figures, .. } = found;
    println!("{} (step {})", found.checkpoint, found.step);
    println!("  images  {}", evaluation.images);
    if evaluation.skipped > 0 {
        println!("  left out (unreadable)  {}", evaluation.skipped);
        for Skipped { name, reason } in evaluation.left_out.iter().take(NAMED) {
            println!("    {name}: {reason}");
        }
        if evaluation.left_out.len() > NAMED {
            println!(
                "    and {} more (`--json` lists them all)",
                evaluation.left_out.len() - NAMED
            );
        }
    }
    evaluation.notes.iter().for_each(|note| println!("  note    {note}"));
    println!("  loss    {:.4}", evaluation.loss);
    println!("  top-1   {}", percent(evaluation.top1));
    println!("  top-5   {}", percent(evaluation.top5));
    for (k, share) in &figures.top_k {
        println!("  {:<6}  {}", format!("top-{k}"), percent(*share));
    }
    println!("  F1      {:.4} (macro), {:.4} (weighted)", figures.macro_f1, figures.weighted_f1);
    println!("  ECE     {:.4} (expected calibration error)", figures.calibration_error);
    let width = figures.classes.iter().map(|class| columns(&class.name)).max().unwrap_or(0);
    println!("accuracy of each class");
    for (index, class) in figures.classes.iter().enumerate() {
        let name = padded(&class.name, width);
        match class.recall {
            Some(accuracy) => println!(
                "  {name}  {:>7}  ({} of {}), precision {}, F1 {:.4}{}",
                percent(accuracy),
                class.correct,
                class.images,
                class.precision.map_or_else(|| "-".into(), percent),
                class.f1.unwrap_or(0.0),
                taken_for(found, index)
            ),
            None => println!("  {name}  no images{}", taken_for_it(class)),
        }
    }
    if confusion {
        print_confusion(found);
    }
}

/// What a class is taken for most often, where it is not itself alone.
fn taken_for(found: &Found, class: usize) -> String {
    let others = found.figures.confusion.iter();
    let others = others.filter(|taken| taken.class == class && taken.predicted != class);
    match others.max_by_key(|taken| taken.images) {
        Some(most) => {
            let name = &found.figures.classes[most.predicted].name;
            format!(", {} predicted as {name}", most.images)
        }
        None => String::new(),
    }
}

fn taken_for_it(class: &ClassFigures) -> String {
    match class.predicted {
        0 => String::new(),
        count => format!(", {count} predicted as it"),
    }
}

/// Several checkpoints, a line each.
pub fn print_table(all: &[Found]) {
    for row in table(all) {
        println!("{row}");
    }
}

/// The lines of a table of checkpoints.
fn table(all: &[Found]) -> Vec<String> {
    let top_k = all.first().map(|found| &found.figures.top_k);
    let ks: Vec<usize> = top_k.into_iter().flat_map(|top_k| top_k.keys().copied()).collect();
    let mut header: Vec<String> =
        ["checkpoint", "step", "images", "loss", "top-1", "top-5"].map(str::to_owned).to_vec();
    header.extend(ks.iter().map(|k| format!("top-{k}")));
    header.extend(["macro F1", "weighted F1", "ECE"].map(str::to_owned));
    let mut rows = vec![header];
    for Found { checkpoint, step, evaluation, figures, .. } in all {
        let left_out = match evaluation.skipped {
            0 => String::new(),
            count => format!(" (-{count})"),
        };
        let mut row = vec![
            checkpoint.clone(),
            step.to_string(),
            format!("{}{left_out}", evaluation.images),
            format!("{:.4}", evaluation.loss),
            percent(evaluation.top1),
            percent(evaluation.top5),
        ];
        row.extend(ks.iter().map(|k| percent(figures.top_k[k])));
        let figures = [figures.macro_f1, figures.weighted_f1, figures.calibration_error];
        row.extend(figures.map(|figure| format!("{figure:.4}")));
        rows.push(row);
    }
    aligned(&rows)
}

/// How often each class is taken for each: a row for what images are, a column for what they are taken for.
pub fn print_confusion(found: &Found) {
    println!("{}: true classes in rows, predicted classes in columns", found.checkpoint);
    let classes = &found.figures.classes;
    let mut counts = vec![vec![0; classes.len()]; classes.len()];
    for taken in &found.figures.confusion {
        counts[taken.class][taken.predicted] = taken.images;
    }
    let mut rows = vec![vec![String::new()]];
    rows[0].extend((0..classes.len()).map(|index| index.to_string()));
    for (index, (class, counts)) in classes.iter().zip(counts).enumerate() {
        let mut row = vec![format!("{index} {}", class.name)];
        row.extend(counts.iter().map(|count| match count {
            0 => ".".to_owned(),
            count => count.to_string(),
        }));
        rows.push(row);
    }
    aligned(&rows).iter().for_each(|row| println!("  {row}"));
}
