//! `--over`: a field, and the values that it is tried with.

use std::{ops::RangeInclusive, str::FromStr};

/// A field of the experiment that a search goes over.
#[derive(Clone, Debug, PartialEq)]
pub struct Over {
    /// Its path, as `train.learning_rate`.
    pub field: String,
    pub values: Values,
}

/// What a field is tried with.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Each of these, in RON.
    List(Vec<String>),
    /// Numbers from one to another.
    Range(Range),
}

/// Numbers from one to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    pub bounds: RangeInclusive<f64>,
    /// Whether values are spread by their order of magnitude.
    pub is_log: bool,
    /// Whether they are whole numbers.
    pub is_whole: bool,
}

impl FromStr for Over {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "as in `train.learning_rate=1e-4..1e-3:log` or `model.drop_path=0,0.1`";
        let (field, values) = text.split_once('=').unwrap_or((text, ""));
        let (field, values) = (field.trim(), values.trim());
        if field.is_empty() || values.is_empty() {
            return Err(format!("expected a field and its values, {FORM}"));
        }
        let is_range = values.contains("..") && !values.contains(['"', '[', '(', '{', ',']);
        let values = match is_range {
            true => Values::Range(values.parse()?),
            false => Values::List(list(values)?),
        };
        Ok(Self { field: field.to_owned(), values })
    }
}

/// Values with commas between them. Commas in brackets and quotes are a part of a value.
fn list(text: &str) -> Result<Vec<String>, String> {
    let mut values: Vec<String> = Vec::new();
    let (mut start, mut depth, mut quoted, mut escaped) = (0, 0_u32, false, false);
    for (at, character) in text.char_indices().chain([(text.len(), ',')]) {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth = depth.saturating_sub(1),
            ',' if at == text.len() || depth == 0 && !quoted => {
                let value = text[start..at].trim().to_owned();
                if value.is_empty() {
                    return Err("a value is missing beside a comma".into());
                }
                if values.contains(&value) {
                    return Err(format!("`{value}` is given twice"));
                }
                values.push(value);
                start = at + 1;
            }
            _ => {}
        }
    }
    match values.as_slice() {
        [one] => Err(format!(
            "`{one}` is a single value, so there is nothing to compare: give several with commas, \
             a range (`1..4`), or `--set`"
        )),
        _ => Ok(values),
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (text, is_log) = match text.rsplit_once(':') {
            Some((text, "log")) => (text, true),
            Some((_, other)) => {
                return Err(format!(
                    "unknown ending `:{other}`; `:log` spreads values by their magnitude"
                ));
            }
            None => (text, false),
        };
        let (from, to) = text.split_once("..").unwrap_or((text, ""));
        let (from, to) = (from.trim(), to.trim().trim_start_matches('='));
        let number = |text: &str| {
            let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
            value.ok_or_else(|| format!("`{text}` is not a number: a range is `1e-4..1e-3`"))
        };
        let (low, high) = (number(from)?, number(to)?);
        if low >= high {
            return Err(format!("a range goes upwards: `{to}..{from}`"));
        }
        if is_log && low <= 0.0 {
            return Err(format!("with `:log`, values must be above 0, and `{from}` is not"));
        }
        let is_whole = from.parse::<i64>().is_ok() && to.parse::<i64>().is_ok();
        Ok(Self { bounds: low..=high, is_log, is_whole })
    }
}

impl Range {
    /// The value at a place from 0 to 1, in RON, with no more digits than anybody would write.
    pub fn at(&self, place: f64) -> String {
        let (mut low, mut high) = (*self.bounds.start(), *self.bounds.end());
        if self.is_whole && !self.is_log {
            // Each number with the same share of the places.
            return (low + (place * (high - low + 1.0)).floor()).min(high).to_string();
        }
        if self.is_log {
            (low, high) = (low.ln(), high.ln());
        }
        let value = low + place * (high - low);
        let value = if self.is_log { value.exp() } else { value };
        let value = match self.is_whole {
            true => value.round(),
            // It was written by the same program.
            false => format!("{value:.2e}").parse().unwrap_or(value),
        };
        let value = value.clamp(*self.bounds.start(), *self.bounds.end());
        if self.is_whole { value.to_string() } else { format!("{value:?}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Over, String> {
        text.parse()
    }

    #[test]
    fn lists_and_ranges_are_told_apart() {
        let list = |text: &str| match read(text).unwrap().values {
            Values::List(values) => values,
            Values::Range(range) => panic!("{range:?}"),
        };
        assert_eq!(list("model.drop_path=0, 0.1"), ["0", "0.1"]);
        assert_eq!(
            list(r#"x=Sgd(momentum: 0.9, nesterov: true),AdamW(),"a,\"(b""#),
            ["Sgd(momentum: 0.9, nesterov: true)", "AdamW()", r#""a,\"(b""#]
        );
        assert_eq!(list(r#"x="../a","../b""#).len(), 2);
        let range = |text: &str| match read(text).unwrap().values {
            Values::Range(range) => range,
            Values::List(values) => panic!("{values:?}"),
        };
        let found = range("train.learning_rate=1e-4..1e-3:log");
        assert_eq!(found, Range { bounds: 1e-4..=1e-3, is_log: true, is_whole: false });
        assert!(range("model.depth=2..6").is_whole && !range("train.ema=0..1.0").is_whole);
    }

    #[test]
    fn what_is_no_search_is_refused_with_what_would_be_right() {
        for (text, said) in [
            ("train.batch", "as in `train.learning_rate="),
            ("=1,2", "a field and its values"),
            ("a=", "a field and its values"),
            ("a=3", "give several with commas"),
            ("a=1,,2", "missing beside a comma"),
            ("a=1,2,1", "`1` is given twice"),
            ("a=1..b", "`b` is not a number"),
            ("a=..3", "`` is not a number"),
            ("a=3..1", "goes upwards: `1..3`"),
            ("a=0..1:log", "above 0"),
            ("a=1..2:linear", "unknown ending `:linear`"),
            ("a=1..inf", "`inf` is not a number"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn values_of_a_range_are_short_and_within_it() {
        let at = |text: &str, place: f64| match read(text).unwrap().values {
            Values::Range(range) => range.at(place),
            Values::List(_) => panic!("a list"),
        };
        assert_eq!(at("a=1e-4..1e-2:log", 0.5), "0.001");
        assert_eq!(at("a=1e-6..1e-4:log", 0.25), "3.16e-6");
        assert_eq!(at("a=0.0..0.3", 0.5), "0.15");
        assert_eq!([0.0, 0.34, 0.99].map(|place| at("a=2..4", place)), ["2", "3", "4"]);
        assert_eq!(at("a=16..256:log", 0.5), "64");
        for place in [0.0, 0.123_456, 0.999_999] {
            let value: f64 = at("a=1.2345e-4..1.2346e-4", place).parse().unwrap();
            assert!((1.2345e-4..=1.2346e-4).contains(&value));
        }
    }
}
