//! How many images a step has, and how it is said how much memory it may take.

use std::{collections::BTreeMap, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, IgnoredAny},
};

/// The images of one step (the effective batch): a number, or `Auto(effective: 1024)`, which finds
/// out how many of them fit into memory at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum BatchSize {
    /// Cut into the largest micro-batches that fit into memory. The results are those of the whole
    /// batch at once, up to the rounding of sums, whatever fits.
    Auto {
        /// Images of one step.
        #[schemars(range(min = 1, max = 1_048_576))]
        effective: usize,
        /// Memory that the process may take on the CPU, such as `"8 GiB"`; by default 80% of what
        /// is free. On a GPU its own memory is the limit.
        #[serde(default)]
        memory: Option<MemorySize>,
    },
    /// Images of one step, which `accum_steps` cuts into micro-batches.
    #[serde(untagged)]
    Fixed(#[schemars(range(min = 1, max = 1_048_576))] usize),
}

impl BatchSize {
    /// Images of one step.
    pub const fn effective(self) -> usize {
        match self {
            Self::Auto { effective, .. } | Self::Fixed(effective) => effective,
        }
    }

    /// Whether micro-batches are found and not given.
    pub const fn is_auto(self) -> bool {
        matches!(self, Self::Auto { .. })
    }
}

/// What stands in an experiment, before it is known to be right.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "must be a number of images, or `Auto(effective: 1024)` with `memory: \"8 GiB\"` if need be"
)]
enum Written {
    Images(u64),
    Named(BTreeMap<String, BTreeMap<String, Option<Part>>>),
}

/// The value of a field.
#[derive(Deserialize)]
#[serde(untagged)]
enum Part {
    Number(u64),
    Text(String),
    Other(IgnoredAny),
}

// Derived, a mistake inside of `Auto` would be told as one in `batch` as a whole.
impl<'de> Deserialize<'de> for BatchSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let images = |count: u64| {
            usize::try_from(count)
                .map_err(|_| D::Error::custom(format!("{count} images are too many")))
        };
        let named = match Written::deserialize(deserializer)? {
            Written::Images(count) => return images(count).map(Self::Fixed),
            Written::Named(named) => named,
        };
        let (mut effective, mut memory) = (None, None);
        for (name, fields) in named {
            if name != "Auto" {
                return Err(D::Error::unknown_variant(&name, &["Auto"]));
            }
            for (field, part) in fields {
                match (field.as_str(), part) {
                    ("effective", Some(Part::Number(count))) => effective = Some(images(count)?),
                    ("effective", _) => {
                        return Err(D::Error::custom("`effective` must be a number of images"));
                    }
                    ("memory", None) => memory = None,
                    ("memory", Some(Part::Text(text))) => {
                        memory = Some(text.parse().map_err(D::Error::custom)?);
                    }
                    ("memory", Some(_)) => {
                        return Err(D::Error::custom(
                            "`memory` must be text with a number and a unit, such as \"8 GiB\"",
                        ));
                    }
                    _ => {
                        return Err(D::Error::custom(format!(
                            "`Auto` has no field `{field}`; it has `effective` and `memory`"
                        )));
                    }
                }
            }
        }
        let effective = effective.ok_or_else(|| {
            D::Error::custom("`effective`, the images of one step, is missing in `Auto`")
        })?;
        Ok(Self::Auto { effective, memory })
    }
}

impl From<usize> for BatchSize {
    fn from(images: usize) -> Self {
        Self::Fixed(images)
    }
}

/// An amount of memory in bytes, written like `"8 GiB"` or `"512 MiB"`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct MemorySize(u64);

/// Units, largest first.
const UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

/// Binary units, which [`MemorySize`] is shown in.
const BINARY: usize = 4;

impl MemorySize {
    /// So many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// With two decimals, for people.
    pub fn rounded(self) -> String {
        let unit = UNITS[..BINARY].iter().find(|(_, factor)| self.0 >= *factor);
        match unit {
            Some((unit, factor)) => format!("{:.2} {unit}", self.0 as f64 / *factor as f64),
            None => format!("{} B", self.0),
        }
    }
}

/// Text that is no amount of memory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an amount of memory: write a number and a unit, such as \"8 GiB\" or \"512 MiB\""
)]
pub struct NoMemorySize(String);

impl FromStr for MemorySize {
    type Err = NoMemorySize;

    fn from_str(text: &str) -> Result<Self, NoMemorySize> {
        let wrong = || NoMemorySize(text.to_owned());
        let digits = text.trim().find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, unit) = text.trim().split_at(digits.ok_or_else(wrong)?);
        let unit = unit.trim();
        let factor = match UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
            Some((_, factor)) => *factor,
            None if unit == "B" => 1,
            None => return Err(wrong()),
        };
        // Whole numbers exactly, others to the nearest byte.
        let bytes = match number.parse::<u64>() {
            Ok(number) => number.checked_mul(factor).ok_or_else(wrong)?,
            Err(_) => {
                let number: f64 = number.parse().map_err(|_| wrong())?;
                (number * factor as f64).round() as u64
            }
        };
        if bytes == 0 { Err(wrong()) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for MemorySize {
    /// Exactly, in the largest unit that has no fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS[..BINARY].iter().find(|(_, factor)| self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{} {unit}", self.0 / factor),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl TryFrom<String> for MemorySize {
    type Error = NoMemorySize;

    fn try_from(text: String) -> Result<Self, NoMemorySize> {
        text.parse()
    }
}

impl From<MemorySize> for String {
    fn from(size: MemorySize) -> Self {
        size.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Holder {
        batch: BatchSize,
    }

    fn read(text: &str) -> Result<BatchSize, String> {
        let document = vitral_config::Document::new("test", format!("(batch: {text})"));
        document.parse::<Holder>().map(|holder| holder.batch).map_err(|error| error.to_string())
    }

    #[test]
    fn amounts_of_memory_read_as_they_are_written() {
        for (text, bytes) in [
            ("8 GiB", 8 << 30),
            ("512MiB", 512 << 20),
            ("0.5 gib", 1 << 29),
            ("1.5 MB", 1_500_000),
            ("1023 B", 1023),
            (" 3 kB ", 3000),
        ] {
            let size: MemorySize = text.parse().unwrap();
            assert_eq!(size.bytes(), bytes, "{text}");
            assert_eq!(size.to_string().parse(), Ok(size), "{text}");
        }
        assert_eq!(MemorySize::new(3 << 29).rounded(), "1.50 GiB");
        for text in ["", "8", "GiB", "8 GiX", "-1 GiB", "1.2.3 GiB", "0 MiB", "99999999999 TiB"] {
            assert!(text.parse::<MemorySize>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_and_auto_read_back_as_themselves() {
        let auto = |memory: Option<u64>| BatchSize::Auto {
            effective: 1024,
            memory: memory.map(MemorySize::new),
        };
        for (text, expected) in [
            ("64", BatchSize::Fixed(64)),
            ("Auto(effective: 1024)", auto(None)),
            ("Auto(effective: 1024, memory: None)", auto(None)),
            ("Auto(effective: 1024, memory: \"8 GiB\")", auto(Some(8 << 30))),
            ("Auto(memory: Some(\"8 GiB\"), effective: 1_024)", auto(Some(8 << 30))),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
            let written = vitral_config::to_ron(&Holder { batch: expected }).unwrap();
            let document = vitral_config::Document::new("written", written);
            assert_eq!(document.parse::<Holder>().unwrap().batch, expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (text, words) in [
            ("0", "at least 1"),
            ("\"many\"", "Auto(effective: 1024)"),
            ("Auto(effective: 0)", "at least 1"),
            ("Auto(efective: 8)", "has no field `efective`"),
            ("Auto(memory: \"8 GiB\")", "`effective`, the images"),
            ("Auto(effective: \"8\")", "`effective` must be a number"),
            ("Auto(effective: -8)", "`effective` must be a number"),
            ("Auto(8)", "Auto(effective: 1024)"),
            ("Auto(effective: 8, memory: \"lots\")", "`lots` is not an amount of memory"),
            ("Auto(effective: 8, memory: 8)", "`memory` must be text"),
            ("Aut(effective: 8)", "Auto"),
        ] {
            let error = read(text).unwrap_err();
            println!("{text}: {error}");
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn the_schema_shows_both_forms() {
        let schema = serde_json::to_value(schemars::schema_for!(BatchSize)).unwrap();
        println!("{schema:#}");
        let forms: Vec<String> =
            schema["anyOf"].as_array().unwrap().iter().map(ToString::to_string).collect();
        assert!(forms.iter().any(|form| form.contains("\"Auto\"") && form.contains("effective")));
        assert!(forms.iter().any(|form| form.contains("\"integer\"") && form.contains("1048576")));
    }
}
