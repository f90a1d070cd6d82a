//! The few messages of TensorBoard's event files, in Protocol Buffers, and the records that they lie in. Numbers
//! of fields are those of TensorFlow's `event.proto`, `summary.proto` and `tensor.proto`, and of TensorBoard's
//! `hparams/plugin_data.proto`.

/// A message that is being written.
#[derive(Clone, Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// One that was written before.
    pub fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// An integer, a truth value or a choice.
    pub fn varint(mut self, field: u32, value: u64) -> Self {
        self.put_varint(u64::from(field) << 3);
        self.put_varint(value);
        self
    }

    pub fn double(mut self, field: u32, value: f64) -> Self {
        self.put_varint(u64::from(field) << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn float(mut self, field: u32, value: f32) -> Self {
        self.put_varint(u64::from(field) << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.put_varint(u64::from(field) << 3 | 2);
        self.put_varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    /// Several of them, packed.
    pub fn doubles(self, field: u32, values: &[f64]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.bytes(field, &bytes)
    }

    pub fn text(self, field: u32, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub fn message(self, field: u32, value: Self) -> Self {
        self.bytes(field, &value.0)
    }

    /// Seven bits at a time, the lowest first.
    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// The message as a record of TFRecord: its length and itself, each with its checksum.
    pub fn record(&self) -> Vec<u8> {
        let length = (self.0.len() as u64).to_le_bytes();
        [&length[..], &masked(&length), &self.0, &masked(&self.0)].concat()
    }
}

/// CRC-32C, turned and moved so that a checksum of checksums is none of all zeros.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// A field of a message that is being read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(&'a [u8]),
}

/// The fields of a message with their numbers, until it ends or is none.
pub fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        let key = take_varint(&mut bytes)?;
        let field = match key & 7 {
            0 => Field::Varint(take_varint(&mut bytes)?),
            1 => Field::Fixed64(*take_array(&mut bytes)?),
            2 => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                Field::Bytes(bytes.split_off(..length)?)
            }
            5 => Field::Fixed32(*take_array(&mut bytes)?),
            _ => return None,
        };
        Some((key >> 3, field))
    })
}

/// The records of a file, until one is cut short or damaged.
pub fn records(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length: &[u8; 8] = take_array(&mut bytes)?;
        if *take_array(&mut bytes)? != masked(length) {
            return None;
        }
        let record = bytes.split_off(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        (*take_array(&mut bytes)? == masked(record)).then_some(record)
    })
}

fn take_array<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (array, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(array)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What TensorBoard 2.21 writes with its own `RecordWriter` and messages.
    #[test]
    fn an_event_has_the_bytes_that_tensorboard_gives_it() {
        let value = Message::default().text(1, "val/loss").float(2, 0.5);
        let summary = Message::default().message(1, value);
        let event = Message::default().double(1, 2.5).varint(2, 300).message(5, summary);
        let hex: String = event.record().iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = "1f00000000000000514b441809000000000000044010ac022a110a0f0a0876616c2f6c6f7373\
                        150000003f43df9ef0";
        assert_eq!(hex, expected);
    }

    #[test]
    fn what_is_written_is_read() {
        let inner = Message::default().text(1, "a").float(2, 0.5);
        let message = Message::default()
            .double(1, 2.0)
            .varint(2, 300)
            .varint(3, u64::MAX)
            .message(1000, inner.clone());
        let expected = [
            (1, Field::Fixed64(2.0_f64.to_le_bytes())),
            (2, Field::Varint(300)),
            (3, Field::Varint(u64::MAX)),
            (1000, Field::Bytes(&inner.0)),
        ];
        assert_eq!(fields(&message.0).collect::<Vec<_>>(), expected);
        let file = [message.record(), inner.record()].concat();
        assert_eq!(records(&file).collect::<Vec<_>>(), [&message.0, &inner.0]);
        // Cut short, and with a byte changed.
        assert_eq!(records(&file[..file.len() - 1]).count(), 1);
        let mut damaged = file;
        damaged[20] ^= 1;
        assert_eq!(records(&damaged).count(), 0);
        assert_eq!(fields(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").count(), 0);
    }
}
