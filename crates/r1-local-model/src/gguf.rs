//! The GGUF container: typed metadata, and tensors as byte ranges of a mapped file.
//!
//! Layout (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>): magic, version, two
//! counts, metadata pairs, tensor descriptions, padding, tensor data. Versions 2 and 3 are read;
//! both are little-endian here (a big-endian version 3 file shows itself by an absurd version
//! number and is refused).
//!
//! The file is hostile until proven otherwise: it comes from the network or from a user's disk.
//!
//! **Invariant:** [`Gguf::open`] returns only when every length, count, dimension and offset has
//! been checked against the file, so a [`Tensor`] always holds exactly the bytes that its shape
//! and kind need. No input makes this module panic or allocate more than a small multiple of
//! what is really in the file.

mod reader;
mod value;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::error::LoadError;
use reader::Reader;
pub use value::Value;

const MAGIC: &[u8] = b"GGUF";
const MAX_DIMENSIONS: u32 = 4;
const MAX_NAME_BYTES: usize = 256;

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorKind {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 4 bits around zero, one scale per 32 values.
    Q4_0,
    /// 4 bits with scale and minimum per 32 values.
    Q4_1,
    /// 8 bits around zero, one scale per 32 values.
    Q8_0,
    /// A kind that this engine does not run, by its number in the GGUF specification.
    Other(u32),
}

impl TensorKind {
    fn from_code(code: u32) -> Self {
        match code {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            8 => Self::Q8_0,
            other => Self::Other(other),
        }
    }

    /// Values and bytes per block; `None` for a kind that is not known.
    pub(crate) fn block(self) -> Option<(usize, usize)> {
        match self {
            Self::F32 => Some((1, 4)),
            Self::F16 => Some((1, 2)),
            Self::Q4_0 => Some((32, 18)),
            Self::Q4_1 => Some((32, 20)),
            Self::Q8_0 => Some((32, 34)),
            Self::Other(_) => None,
        }
    }

    fn describe(self) -> String {
        match self {
            Self::Other(code) => format!("tensor type {code}"),
            known => format!("tensor type {known:?}"),
        }
    }
}

#[derive(Debug)]
struct TensorInfo {
    kind: TensorKind,
    dims: Vec<usize>,
    offset: usize,
}

/// One tensor: its shape (innermost dimension first, as GGUF writes it) and its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    /// How the numbers are stored.
    pub kind: TensorKind,
    /// Innermost dimension first.
    pub dims: &'a [usize],
    /// Exactly the bytes that `dims` and `kind` need.
    pub bytes: &'a [u8],
}

enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// An opened model file.
pub struct Gguf {
    bytes: Bytes,
    metadata: HashMap<String, Value>,
    tensors: HashMap<String, TensorInfo>,
}

impl std::fmt::Debug for Gguf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gguf")
            .field("metadata", &self.metadata.len())
            .field("tensors", &self.tensors.len())
            .finish_non_exhaustive()
    }
}

impl Gguf {
    /// Maps `path` and checks its head and every tensor's place.
    ///
    /// # Errors
    /// [`LoadError`]: unreadable, not GGUF, truncated, malformed, or an unknown GGUF version.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let io = |source| LoadError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        if !file.metadata().map_err(io)?.is_file() {
            return Err(io(std::io::Error::other("not a regular file")));
        }
        #[expect(unsafe_code, reason = "mapping a file is unsafe in memmap2; see SAFETY")]
        // SAFETY: the mapping is private and read-only, and lives only while weights are copied
        // out of it. Someone who truncates or rewrites the file meanwhile can make this process
        // die (SIGBUS) or load garbage numbers; every length used was checked from a copy. It is
        // a child process that the supervisor restarts, and model files are renamed into place.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Self::parse(Bytes::Mapped(map))
    }

    /// Reads a file held in memory.
    ///
    /// # Errors
    /// As [`Gguf::open`], except for input and output.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, LoadError> {
        Self::parse(Bytes::Owned(bytes))
    }

    fn parse(bytes: Bytes) -> Result<Self, LoadError> {
        let mut reader = Reader::new(bytes.as_slice());
        if !bytes.as_slice().starts_with(MAGIC) {
            return Err(LoadError::NotGguf);
        }
        reader.take(MAGIC.len(), "the magic")?;
        let version = reader.u32("the version")?;
        if !(2..=3).contains(&version) {
            return Err(LoadError::unsupported(format!("GGUF version {version}")));
        }
        let tensor_count = reader.count("the tensor count", 24)?;
        let pair_count = reader.count("the metadata count", 13)?;

        let mut metadata = HashMap::new();
        for _ in 0..pair_count {
            let key = reader.string("a metadata key")?.to_owned();
            let value = Value::read(&mut reader)?;
            if metadata.insert(key, value).is_some() {
                return Err(LoadError::malformed("a metadata key appears twice"));
            }
        }

        let mut tensors = HashMap::new();
        for _ in 0..tensor_count {
            let (name, info) = read_tensor_info(&mut reader)?;
            if tensors.insert(name, info).is_some() {
                return Err(LoadError::malformed("a tensor name appears twice"));
            }
        }

        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(value) => value
                .as_usize()
                .filter(|a| a.is_power_of_two() && (8..=1 << 20).contains(a))
                .ok_or_else(|| LoadError::malformed("general.alignment is not a power of two"))?,
        };
        let data_start = reader.position().next_multiple_of(alignment);
        for (name, info) in &mut tensors {
            place_tensor(name, info, data_start, alignment, bytes.as_slice().len())?;
        }
        Ok(Self { bytes, metadata, tensors })
    }

    /// The value of `key`, if the file has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// A count or size; `None` when the key is absent.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] when it is there and not a non-negative integer.
    pub fn usize(&self, key: &str) -> Result<Option<usize>, LoadError> {
        self.typed(key, "a non-negative integer", Value::as_usize)
    }

    /// A finite number; `None` when the key is absent.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] when it is there and not a finite number.
    pub fn f32(&self, key: &str) -> Result<Option<f32>, LoadError> {
        self.typed(key, "a finite number", Value::as_f32)
    }

    /// A string; `None` when the key is absent.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] when it is there and not a string.
    pub fn str(&self, key: &str) -> Result<Option<&str>, LoadError> {
        self.typed(key, "a string", Value::as_str)
    }

    /// An array; `None` when the key is absent.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] when it is there and not an array.
    pub fn array(&self, key: &str) -> Result<Option<&[Value]>, LoadError> {
        self.typed(key, "an array", Value::as_array)
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        wanted: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, LoadError> {
        let Some(value) = self.metadata.get(key) else { return Ok(None) };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(LoadError::malformed(format!("{key} is not {wanted}"))),
        }
    }

    /// Every tensor's name, in no order.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor by name; `None` when the file has none of that name.
    ///
    /// # Errors
    /// [`LoadError::Unsupported`] when its kind is one this engine does not run.
    pub fn tensor(&self, name: &str) -> Result<Option<Tensor<'_>>, LoadError> {
        let Some(info) = self.tensors.get(name) else { return Ok(None) };
        let length = byte_length(info.kind, &info.dims)?
            .ok_or_else(|| LoadError::unsupported(format!("{} ({name})", info.kind.describe())))?;
        let bytes = self
            .bytes
            .as_slice()
            .get(info.offset..info.offset.saturating_add(length))
            .ok_or(LoadError::Truncated("a tensor"))?;
        Ok(Some(Tensor { kind: info.kind, dims: &info.dims, bytes }))
    }
}

fn read_tensor_info(reader: &mut Reader<'_>) -> Result<(String, TensorInfo), LoadError> {
    let name = reader.string("a tensor name")?;
    if name.len() > MAX_NAME_BYTES {
        return Err(LoadError::malformed("a tensor name is too long"));
    }
    let name = name.to_owned();
    let dimensions = reader.u32("a tensor's dimensions")?;
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        return Err(LoadError::malformed(format!("tensor {name} has {dimensions} dimensions")));
    }
    let mut dims = Vec::with_capacity(MAX_DIMENSIONS as usize);
    for _ in 0..dimensions {
        let size = usize::try_from(reader.u64("a tensor's dimensions")?).unwrap_or(0);
        if size == 0 {
            return Err(LoadError::malformed(format!("tensor {name} has an impossible dimension")));
        }
        dims.push(size);
    }
    let kind = TensorKind::from_code(reader.u32("a tensor's type")?);
    let offset = usize::try_from(reader.u64("a tensor's offset")?)
        .map_err(|_| LoadError::malformed(format!("tensor {name} starts beyond the file")))?;
    Ok((name, TensorInfo { kind, dims, offset }))
}

/// Turns the offset within the data section into one within the file, and checks both ends.
fn place_tensor(
    name: &str,
    info: &mut TensorInfo,
    data_start: usize,
    alignment: usize,
    file_length: usize,
) -> Result<(), LoadError> {
    if !info.offset.is_multiple_of(alignment) {
        return Err(LoadError::malformed(format!("tensor {name} is not aligned")));
    }
    // The length of an unknown kind is unknown too; such a tensor is refused when it is asked
    // for, with a better message than "truncated".
    let length = byte_length(info.kind, &info.dims)?.unwrap_or(0);
    let start = data_start.checked_add(info.offset);
    let end = start.and_then(|start| start.checked_add(length));
    match (start, end) {
        (Some(start), Some(end)) if end <= file_length => {
            info.offset = start;
            Ok(())
        }
        _ => Err(LoadError::Truncated("the tensor data")),
    }
}

/// Bytes of a tensor; `None` for an unknown kind.
fn byte_length(kind: TensorKind, dims: &[usize]) -> Result<Option<usize>, LoadError> {
    let Some((block_values, block_bytes)) = kind.block() else { return Ok(None) };
    if dims.first().is_none_or(|inner| !inner.is_multiple_of(block_values)) {
        let what = format!("{}: rows are not whole blocks of {block_values}", kind.describe());
        return Err(LoadError::malformed(what));
    }
    dims.iter()
        .try_fold(1usize, |product, size| product.checked_mul(*size))
        .map(|values| values / block_values)
        .and_then(|blocks| blocks.checked_mul(block_bytes))
        .map(Some)
        .ok_or_else(|| LoadError::malformed("a tensor is larger than memory"))
}
