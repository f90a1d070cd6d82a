//! Results as JSON.

use std::borrow::Cow;

use serde::Serialize;
use vitral_config::is_deceptive;

use crate::{failure::Failure, print::write_out};

/// Writes a result as JSON, whose texts stay what they are: they are escaped as JSON escapes.
pub fn print(value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(value).map_err(|error| {
        Failure::Other(format!("the figures cannot be written as JSON: {error}"))
    })?;
    write_out(&visible_json(&json), "\n");
    Ok(())
}

/// The writer of JSON escapes the first control characters, and leaves the others. Outside of texts it has
/// none of either.
fn visible_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_deceptive) {
        return json.into();
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        match is_deceptive(character) && character != '\n' {
            true => shown += &format!("\\u{:04x}", u32::from(character)),
            false => shown.push(character),
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_json_stay_what_they_are() {
        let value = serde_json::json!({ "a\u{9b}": "\x1b[2J\u{202e}\u{7f}ä" });
        let shown = visible_json(&value.to_string()).into_owned();
        assert!(!shown.contains(is_deceptive), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
