//! Writes protocol buffers: as much of the encoding as ONNX's and TensorFlow's files need.
//!
//! Messages are built from the inside out, as bytes; large ones end with a field whose length is known
//! before its content is there ([`Message::header`]), so that weights are never copied.

/// A message under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(Vec<u8>);

const VARINT: u64 = 0;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

impl Message {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An integer, an enum or a bool, also if it is 0.
    pub(crate) fn int(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3 | VARINT);
        // Negative numbers take ten bytes, as the format wants it.
        self.varint(value as u64);
        self
    }

    pub(crate) fn float(mut self, field: u64, value: f32) -> Self {
        self.varint(field << 3 | FIXED32);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn fixed32(mut self, field: u64, value: u32) -> Self {
        self.varint(field << 3 | FIXED32);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self = self.header(field, value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub(crate) fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    pub(crate) fn messages<'m>(
        self,
        field: u64,
        values: impl IntoIterator<Item = &'m Self>,
    ) -> Self {
        values.into_iter().fold(self, |message, value| message.message(field, value))
    }

    /// Integers side by side in one field.
    pub(crate) fn packed(self, field: u64, values: &[i64]) -> Self {
        let mut packed = Self::new();
        for &value in values {
            packed.varint(value as u64);
        }
        self.message(field, &packed)
    }

    /// The start of a field whose `length` bytes are written after this message.
    pub(crate) fn header(mut self, field: u64, length: u64) -> Self {
        self.varint(field << 3 | BYTES);
        self.varint(length);
        self
    }

    /// An entry of a map from text to messages.
    pub(crate) fn entry(self, field: u64, key: &str, value: &Self) -> Self {
        self.message(field, &Self::new().text(1, key).message(2, value))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    #[cfg(test)]
    fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, value: u64) {
        varint(&mut self.0, value);
    }
}

/// Appends an integer in as few groups of seven bits as it needs, the lowest first.
pub(crate) fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the format's own documentation.
    #[test]
    fn messages_are_encoded_as_documented() {
        assert_eq!(Message::new().int(1, 150).into_bytes(), [0x08, 0x96, 0x01]);
        assert_eq!(
            Message::new().text(2, "testing").into_bytes(),
            [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]
        );
        let inner = Message::new().int(1, 150);
        assert_eq!(Message::new().message(3, &inner).into_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(
            Message::new().packed(6, &[3, 270, 86942]).into_bytes(),
            [0x32, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05]
        );
        assert_eq!(Message::new().int(1, -2).into_bytes().len(), 11);
    }
}
