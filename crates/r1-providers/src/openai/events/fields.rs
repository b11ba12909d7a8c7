//! Objects, lists and texts, read without minding which of them comes.
//!
//! serde's own readers of structs refuse an object for one value of another type, or for a key that stands twice. These
//! take whatever comes: of a key the last value counts, and a value of another shape is nothing.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::content::Key;

/// The value of a key, unless it is null.
pub(super) fn filled<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<&'de RawValue>, A::Error> {
    let raw: &'de RawValue = map.next_value()?;
    Ok(Some(raw).filter(|raw| raw.get() != "null"))
}

pub(super) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

/// What is read from an object, a list or a text, whichever comes; from anything else nothing.
pub(super) trait Fields<'de>: Default {
    /// What is due here, for the parser.
    const NAME: &'static str;

    /// Takes the value of this key.
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;

    /// Takes the next element, if there is one.
    fn element<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        Ok(list.next_element::<IgnoredAny>()?.is_some())
    }

    /// Takes a text.
    fn text(&mut self, _: &str) {}
}

/// What may be null.
impl<'de, T: Fields<'de>> Fields<'de> for Option<T> {
    const NAME: &'static str = T::NAME;

    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        self.get_or_insert_default().field(key, map)
    }

    fn element<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        self.get_or_insert_default().element(list)
    }

    fn text(&mut self, text: &str) {
        self.get_or_insert_default().text(text);
    }
}

/// A [`Fields`] as serde reads it.
pub(super) struct Any<T>(pub(super) T);

impl<'de, T: Fields<'de>> Deserialize<'de> for Any<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading(PhantomData))
    }
}

struct Reading<T>(PhantomData<T>);

/// Reads an object, and nothing else.
pub(super) fn object<'de, T: Fields<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Reading(PhantomData)).map(|Any(read)| read)
}

impl<'de, T: Fields<'de>> Visitor<'de> for Reading<T> {
    type Value = Any<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::NAME)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Any<T>, A::Error> {
        let mut read = T::default();
        while let Some(key) = map.next_key::<Key<'de>>()? {
            read.field(&key.0, &mut map)?;
        }
        Ok(Any(read))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Any<T>, A::Error> {
        let mut read = T::default();
        while read.element(&mut list)? {}
        Ok(Any(read))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Any<T>, E> {
        let mut read = T::default();
        read.text(text);
        Ok(Any(read))
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Any<T>, E> {
        Ok(Any(T::default()))
    }

    fn visit_unit<E: Error>(self) -> Result<Any<T>, E> {
        Ok(Any(T::default()))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Any<T>, E> {
        Ok(Any(T::default()))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Any<T>, E> {
        Ok(Any(T::default()))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Any<T>, E> {
        Ok(Any(T::default()))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Any<T>, E> {
        Ok(Any(T::default()))
    }
}
