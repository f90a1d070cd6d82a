//! What an evaluation found, as one HTML page, which needs nothing beside it.

use super::Found;
use crate::page::{Pictures, details, document, escape, summary};

/// The page of one checkpoint or several.
///
/// # Errors
/// A picture cannot be drawn, in words.
pub fn page(all: &[Found], pictures: &[Pictures]) -> Result<String, String> {
    let title = match all {
        [found] => found.checkpoint.clone(),
        _ => format!("{} checkpoints", all.len()),
    };
    let mut body = summary(&all.iter().collect::<Vec<_>>());
    body += "<div class=\"runs\">\n";
    for (found, pictures) in all.iter().zip(pictures) {
        let name = match all.len() {
            1 => String::new(),
            _ => format!("<h2>{}</h2>\n", escape(&found.checkpoint)),
        };
        body += &format!("<section>\n{name}{}</section>\n", details(found, Some(pictures))?);
    }
    Ok(document(&title, &format!("{body}</div>\n")))
}
