//! A look at a file's schema before the library sees it: that follows the tree of columns however deep it
//! is, and makes room for as many of them as a group says it has.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::problem::Problem;

/// The length of the metadata, and the mark behind it.
const END: u64 = 8;

/// Columns in columns that are followed. Images lie two deep.
const MAX_DEPTH: usize = 100;

/// Kinds of values in thrift's compact protocol.
const BOOLEANS: [u8; 2] = [1, 2];
const BYTE: u8 = 3;
const INTEGERS: [u8; 3] = [4, 5, 6];
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LISTS: [u8; 2] = [9, 10];
const STRUCT: u8 = 12;

/// Refuses a schema that no writer makes. What cannot be followed, the library refuses.
pub(super) fn check(mut file: &File) -> Result<(), Problem> {
    let size = file.metadata()?.len();
    let mut end = [0; END as usize];
    if size < END {
        return Ok(());
    }
    file.seek(SeekFrom::Start(size - END))?;
    file.read_exact(&mut end)?;
    let length = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
    let Some(start) = (size - END).checked_sub(length) else { return Ok(()) };
    let mut metadata = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(length).read_to_end(&mut metadata)?;
    check_metadata(&metadata)
}

fn check_metadata(metadata: &[u8]) -> Result<(), Problem> {
    let mut reader = Compact(metadata);
    let mut field = 0;
    while let Some(kind) = reader.field(&mut field) {
        let followed = match (field, LISTS.contains(&kind)) {
            // The schema: all columns in the order of their tree, with the number of those in each.
            (2, true) => match reader.children() {
                Some(children) => Some(check_tree(&children)?),
                None => None,
            },
            _ => reader.skip(kind, MAX_DEPTH),
        };
        if followed.is_none() {
            break;
        }
    }
    Ok(())
}

/// Checks a tree, of which each node's number of children is known, in the order of a walk through it.
fn check_tree(children: &[u64]) -> Result<(), Problem> {
    // Nodes of each level that are still to come.
    let mut levels: Vec<u64> = Vec::new();
    for &count in children {
        if count > children.len() as u64 {
            let columns = children.len();
            return Err(format!("a group of its columns has {count} of all {columns}").into());
        }
        if let Some(left) = levels.last_mut() {
            *left -= 1;
        }
        if count > 0 {
            levels.push(count);
        }
        if levels.len() > MAX_DEPTH {
            return Err(format!("its columns lie more than {MAX_DEPTH} deep").into());
        }
        while levels.last() == Some(&0) {
            levels.pop();
        }
    }
    Ok(())
}

/// Bytes in thrift's compact protocol, as far as they are needed.
struct Compact<'a>(&'a [u8]);

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn bytes(&mut self, count: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// The kind of the next field, and its number behind the one before; nothing at a struct's end.
    fn field(&mut self, number: &mut i64) -> Option<u8> {
        let header = self.byte()?;
        let (step, kind) = (header >> 4, header & 0xf);
        if kind == 0 {
            return None;
        }
        *number = match step {
            0 => zigzag(self.varint()?),
            step => number.checked_add(step.into())?,
        };
        Some(kind)
    }

    /// How many values a list has, and their kind.
    fn list(&mut self) -> Option<(u64, u8)> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.varint()?,
            count => count.into(),
        };
        Some((count, header & 0xf))
    }

    /// The number of children of each element of a schema.
    fn children(&mut self) -> Option<Vec<u64>> {
        let (count, kind) = self.list()?;
        let mut all = Vec::new();
        for _ in 0..count {
            (kind == STRUCT).then_some(())?;
            let (mut field, mut children) = (0, 0);
            // An element ends with a byte; without it, nothing more can be followed.
            while self.0.first()? & 0xf != 0 {
                let kind = self.field(&mut field)?;
                if field == 5 && INTEGERS.contains(&kind) {
                    children = u64::try_from(zigzag(self.varint()?)).ok()?;
                } else {
                    self.skip(kind, MAX_DEPTH)?;
                }
            }
            self.byte()?;
            all.push(children);
        }
        Some(all)
    }

    /// Passes over a value; nothing if it cannot be followed.
    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            kind if BOOLEANS.contains(&kind) => Some(()),
            BYTE => self.bytes(1),
            kind if INTEGERS.contains(&kind) => self.varint().map(|_| ()),
            DOUBLE => self.bytes(8),
            BINARY => {
                let length = self.varint()?;
                self.bytes(length)
            }
            kind if LISTS.contains(&kind) => {
                let (count, kind) = self.list()?;
                match BOOLEANS.contains(&kind) {
                    true => self.bytes(count),
                    false => (0..count).try_for_each(|_| self.skip(kind, depth)),
                }
            }
            STRUCT => {
                let mut field = 0;
                while self.0.first()? & 0xf != 0 {
                    let kind = self.field(&mut field)?;
                    self.skip(kind, depth)?;
                }
                self.bytes(1)
            }
            _ => None,
        }
    }
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    /// Metadata of a version 1 with a schema of elements named "x", each with so many children.
    fn metadata(children: &[u64]) -> Vec<u8> {
        let mut bytes = vec![0x15, 2, 0x19, 0xfc];
        bytes.extend(varint(children.len() as u64));
        for &count in children {
            bytes.extend([0x48, 1, b'x']); // field 4: its name
            bytes.push(0x15); // field 5
            bytes.extend(varint(count << 1));
            bytes.push(0);
        }
        bytes.push(0);
        bytes
    }

    #[test]
    fn schemas_that_no_writer_makes_are_refused() {
        let problem = |children: &[u64]| {
            check_metadata(&metadata(children)).err().map(|Problem(problem)| problem)
        };
        assert_eq!(problem(&[2, 2, 0, 0, 0]), None);
        let wide = problem(&[1 << 30, 0]).unwrap();
        assert!(wide.contains("a group of its columns has 1073741824 of all 2"), "{wide}");
        let deep = problem(&[1; 200]).unwrap();
        assert!(deep.contains("more than 100 deep"), "{deep}");
        // Wide and flat is fine, and so is what ends early: the library says what is wrong with it.
        let mut flat = vec![0; 1000];
        flat[0] = 999;
        assert_eq!(problem(&flat), None);
        let whole = metadata(&[2, 0, 0]);
        (0..whole.len()).for_each(|end| assert!(check_metadata(&whole[..end]).is_ok()));
    }
}
