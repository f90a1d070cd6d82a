//! Which fields of a struct a text gives, for defaults that depend on other fields.

use std::{cell::RefCell, fmt};

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// Deserialises a struct, and returns the names of the fields that were given beside it.
///
/// # Errors
/// Those of the format, and of the struct.
pub fn with_given<'de, T, D>(deserializer: D) -> Result<(T, Vec<String>), D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let given = RefCell::new(Vec::new());
    let value = T::deserialize(Recording { inner: deserializer, given: &given })?;
    Ok((value, given.into_inner()))
}

/// Passes everything on, and writes names of fields down.
struct Recording<'g, I> {
    inner: I,
    given: &'g RefCell<Vec<String>>,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Recording<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = Recording { inner: visitor, given: self.given };
        self.inner.deserialize_struct(name, fields, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Recording<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Recording { inner: map, given: self.given })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(seq)
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Recording<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let Some(Name(name)) = self.inner.next_key()? else { return Ok(None) };
        self.given.borrow_mut().push(name.clone());
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(seed)
    }
}

/// The name of a field.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl Visitor<'_> for Any {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(Name(name.to_owned()))
            }
        }

        deserializer.deserialize_identifier(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        depth: u32,
        width: Option<u32>,
        name: String,
    }

    impl Default for Inner {
        fn default() -> Self {
            Self { depth: 12, width: None, name: "ViT".into() }
        }
    }

    fn parse(text: &str) -> Result<(Inner, Vec<String>), ron::error::SpannedError> {
        let mut source = ron::Deserializer::from_str(text)?;
        with_given(&mut source).map_err(|error| source.span_error(error))
    }

    #[test]
    fn fields_that_a_text_gives_are_named_even_at_their_default() {
        let (inner, given) = parse(r#"(name: "x", depth: 12)"#).unwrap();
        assert_eq!(inner, Inner { name: "x".into(), ..Inner::default() });
        assert_eq!(given, ["name", "depth"]);
        assert_eq!(parse("()").unwrap().1, [""; 0]);
    }

    #[test]
    fn errors_are_those_of_the_struct_itself() {
        for text in ["(dept: 3)", "(depth: -1)", "(depth: 1, depth: 2)", "(depth: \"1\")", "[1]"] {
            let plain = ron::from_str::<Inner>(text).unwrap_err();
            let recorded = parse(text).unwrap_err();
            assert_eq!(recorded.to_string(), plain.to_string(), "{text}");
        }
    }
}
