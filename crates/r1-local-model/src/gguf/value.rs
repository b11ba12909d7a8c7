//! Metadata values, widened to the few types that a reader of models cares about.

use super::reader::Reader;
use crate::error::LoadError;

/// Elements in one array; the largest vocabularies have under 300,000 tokens and merges.
const MAX_ELEMENTS: usize = 1 << 21;

/// One metadata value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Any unsigned integer.
    Unsigned(u64),
    /// Any signed integer.
    Signed(i64),
    /// Any float.
    Float(f64),
    /// A flag.
    Bool(bool),
    /// Text, always UTF-8.
    String(String),
    /// Values of one type; never an array of arrays.
    Array(Vec<Value>),
}

const ARRAY: u32 = 9;

impl Value {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        match reader.u32("a metadata type")? {
            ARRAY => Self::read_array(reader),
            code => Self::read_scalar(reader, code),
        }
    }

    fn read_array(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        const WHAT: &str = "a metadata array";
        let code = reader.u32(WHAT)?;
        let size =
            scalar_size(code).ok_or_else(|| LoadError::malformed(format!("metadata array of unknown type {code}")))?;
        let count = reader.count(WHAT, size)?;
        if count > MAX_ELEMENTS {
            return Err(LoadError::malformed(format!("metadata array of {count} elements")));
        }
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(Self::read_scalar(reader, code)?);
        }
        Ok(Self::Array(values))
    }

    fn read_scalar(reader: &mut Reader<'_>, code: u32) -> Result<Self, LoadError> {
        const WHAT: &str = "a metadata value";
        Ok(match code {
            0 => Self::Unsigned(u8::from_le_bytes(reader.array(WHAT)?).into()),
            1 => Self::Signed(i8::from_le_bytes(reader.array(WHAT)?).into()),
            2 => Self::Unsigned(u16::from_le_bytes(reader.array(WHAT)?).into()),
            3 => Self::Signed(i16::from_le_bytes(reader.array(WHAT)?).into()),
            4 => Self::Unsigned(u32::from_le_bytes(reader.array(WHAT)?).into()),
            5 => Self::Signed(i32::from_le_bytes(reader.array(WHAT)?).into()),
            6 => Self::Float(f32::from_le_bytes(reader.array(WHAT)?).into()),
            7 => Self::Bool(u8::from_le_bytes(reader.array(WHAT)?) != 0),
            8 => Self::String(reader.string(WHAT)?.to_owned()),
            10 => Self::Unsigned(u64::from_le_bytes(reader.array(WHAT)?)),
            11 => Self::Signed(i64::from_le_bytes(reader.array(WHAT)?)),
            12 => Self::Float(f64::from_le_bytes(reader.array(WHAT)?)),
            _ => return Err(LoadError::malformed(format!("unknown metadata type {code}"))),
        })
    }

    /// A non-negative integer of either sign's type.
    pub fn as_usize(&self) -> Option<usize> {
        match self {
            Self::Unsigned(n) => usize::try_from(*n).ok(),
            Self::Signed(n) => usize::try_from(*n).ok(),
            _ => None,
        }
    }

    /// A number that is finite as f32.
    pub fn as_f32(&self) -> Option<f32> {
        let number = match self {
            Self::Unsigned(n) => *n as f32,
            Self::Signed(n) => *n as f32,
            Self::Float(n) => *n as f32,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    /// A flag.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// Text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }
}

/// The fewest bytes a scalar takes; `None` for an unknown type and for arrays.
fn scalar_size(code: u32) -> Option<usize> {
    match code {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        8 | 10..=12 => Some(8),
        _ => None,
    }
}
