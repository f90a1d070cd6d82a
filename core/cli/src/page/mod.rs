//! HTML pages that need nothing beside them: what a run's report and an evaluation have in common.

mod calibration;
mod chart;
mod evaluation;
mod gallery;

use vitral_config::visible;

pub use self::{
    chart::{Chart, Line, SERIES, smoothed},
    evaluation::{details, summary},
    gallery::{Picture, Pictures, jpeg},
};

const STYLE: &str = include_str!("style.css");

/// A page with a title and what is below it, in HTML.
pub fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         {body}</body>\n</html>\n"
    )
}

/// Text as HTML has it, of which nothing acts on what is around it.
pub fn escape(text: &str) -> String {
    visible(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A table of rows in HTML, which scrolls where there is too little room.
pub fn table(rows: &str) -> String {
    format!("<div class=\"scroll\"><table>\n{rows}</table></div>\n")
}

/// A row of a table: what it is about, and figures, all of them HTML.
pub fn row(cells: &[String], tag: &str, start: &str) -> String {
    let cell = |cell: &String| format!("<{tag} class=\"n\">{cell}</{tag}>");
    let cells: String = cells.iter().map(cell).collect();
    format!("<tr><{tag}>{start}</{tag}>{cells}</tr>\n")
}

/// A share in percent.
pub fn percent(share: f64) -> String {
    format!("{:.2}%", share * 100.0)
}
