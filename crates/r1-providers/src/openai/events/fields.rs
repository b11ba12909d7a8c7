//! Objects, lists and texts, read without minding which of them comes.
//!
//! serde's own readers of structs refuse an object for one value of another type, or for a key that stands twice. These
//! take whatever comes: of a key the last value counts, and a value of another shape is nothing.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
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

/// Fills one in place: what these hold is large, and is not to be moved from level to level.
pub(super) struct Fill<'a, T>(pub(super) &'a mut T);

/// Reads an object, and nothing else.
pub(super) fn object<'de, T: Fields<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let mut read = T::default();
    deserializer.deserialize_map(Fill(&mut read))?;
    Ok(read)
}

impl<'de, T: Fields<'de>> DeserializeSeed<'de> for Fill<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // Of a key that stands twice the last value counts.
        *self.0 = T::default();
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Fields<'de>> Visitor<'de> for Fill<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::NAME)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Key<'de>>()? {
            self.0.field(&key.0, &mut map)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while self.0.element(&mut list)? {}
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.text(text);
        Ok(())
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
}
