//! Paths to a value: `model.heads`, `data.augment[2].probability`, `limits["a key"]`.

use std::fmt;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// A field of a struct, or a key of a map.
    Field(String),
    /// An item of a list or a tuple, from 0.
    Index(usize),
}

/// Steps from the whole document to a value; empty for the document itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Path(pub Vec<Segment>);

impl Path {
    /// Reads a path, or says at which byte and why it is none.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut segments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let at = text.len() - rest.len();
            let (segment, after) = if let Some(inside) = rest.strip_prefix('[') {
                bracketed(inside)
            } else {
                field(rest, segments.is_empty())
            }
            .map_err(|message| (at, message.to_owned()))?;
            segments.push(segment);
            rest = after;
        }
        Ok(Self(segments))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn field(rest: &str, first: bool) -> Result<(Segment, &str), &'static str> {
    let rest = match rest.strip_prefix('.') {
        Some(after) if !first => after,
        None if first => rest,
        _ => return Err("a path is field names with dots between them"),
    };
    let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
    let name = rest[..end].trim();
    if name.is_empty() {
        return Err("a field's name is missing here");
    }
    Ok((Segment::Field(name.to_owned()), &rest[end..]))
}

fn bracketed(inside: &str) -> Result<(Segment, &str), &'static str> {
    if let Some(quoted) = inside.strip_prefix('"') {
        let (key, after) = quoted.split_once("\"]").ok_or("`\"]` is missing")?;
        return Ok((Segment::Field(key.to_owned()), after));
    }
    let (index, after) = inside.split_once(']').ok_or("`]` is missing")?;
    let index = index.trim().parse();
    let index = index.map_err(|_| "expected an item's number in `[ ]`, from 0")?;
    Ok((Segment::Index(index), after))
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Field(name) if is_plain(name) => {
                    let dot = if position == 0 { "" } else { "." };
                    write!(f, "{dot}{name}")?;
                }
                Segment::Field(name) => write!(f, "[\"{name}\"]")?,
            }
        }
        Ok(())
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| ".[]\"=".contains(c) || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_and_print_alike() {
        for text in ["a", "a.b_c", "a[2].p", "a[0][1]", "m[\"x.y\"].z", "[3]", ""] {
            assert_eq!(Path::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_malformed_path_names_the_byte() {
        for (text, at) in [(".a", 0), ("a..b", 1), ("a.", 1), ("a[x]", 1), ("a[1", 1)] {
            assert_eq!(Path::parse(text).unwrap_err().0, at, "{text}");
        }
    }
}
