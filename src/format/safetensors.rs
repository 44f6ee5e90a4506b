//! safetensors: the directory of one file. Its header is a 64-bit length and that much JSON, which names each
//! tensor with its type, shape and place; the data follows at once. Weights are not touched.

use super::directory::{in_file, shown};
use super::{Directory, Format, Source, Stored, TensorInfo};
use crate::error::{Error, Result};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// The format's own limit.
const LONGEST_HEADER: u64 = 100_000_000;
/// How much of the header is read at a time, so that memory grows only with bytes that are there.
const PIECE: u64 = 1 << 20;
/// A file of the official V4-Pro has about three thousand, and all its files together about 140 thousand.
const MOST_TENSORS: usize = 1 << 18;
const MOST_DIMENSIONS: usize = 8;

/// The advice for numbers that make no sense.
const DAMAGED: &str = "The file is damaged: download or convert it again.";
/// The advice for a file that ends too early.
const CUT_SHORT: &str = "The file is cut short: download it again.";

/// What the header of a safetensors file says.
#[derive(Clone, Debug)]
pub struct Safetensors {
    /// The strings under `__metadata__`.
    pub metadata: BTreeMap<String, String>,
    /// The tensors. Types that are not used, such as F8_E4M3, are kept under the file's name for them.
    pub directory: Directory,
}

/// Reads the header of a safetensors file. `source_index` goes into every [`TensorInfo`].
///
/// Every tensor returned lies inside the source, apart from every other, with as many bytes as shape and type ask
/// for. Holes between tensors are let pass.
pub async fn read(source: &dyn Source, source_index: usize) -> Result<Safetensors> {
    let json = read_json(source).await?;
    let data_begin = 8 + json.len() as u64;
    // Some fill the header up with zeros.
    let text = &json[..json.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)];
    let header: Header = serde_json::from_slice(text).map_err(|error| {
        Error::file(format!("{}: the header", source.name()), error.to_string())
            .expected("the JSON of a safetensors file")
            .advice(DAMAGED)
    })?;
    let room = Room { data_begin, file_bytes: source.bytes(), source_index };
    let tensors = header.entries.into_iter().map(|(name, entry)| room.place(name, entry));
    let directory = tensors.collect::<Result<Vec<_>>>().and_then(Directory::new);
    Ok(Safetensors { metadata: header.metadata, directory: directory.map_err(|error| in_file(source.name(), error))? })
}

/// Reads the length and the text of the header.
async fn read_json(source: &dyn Source) -> Result<Vec<u8>> {
    let file_bytes = source.bytes();
    if file_bytes < 8 {
        return Err(Error::file(source.name(), format!("{file_bytes} bytes long"))
            .expected("at least the 8 bytes of a header's length")
            .advice(CUT_SHORT));
    }
    let mut len = [0; 8];
    source.read_at(0, &mut len).await?;
    let len = u64::from_le_bytes(len);
    if len > LONGEST_HEADER || len > file_bytes - 8 {
        return Err(Error::file(source.name(), format!("a header of {len} bytes"))
            .expected(format!("at most {}, what follows in the file", LONGEST_HEADER.min(file_bytes - 8)))
            .advice("The file is cut short, or no safetensors file: download it again."));
    }
    let mut json = Vec::new();
    while (json.len() as u64) < len {
        let at = json.len();
        let piece = PIECE.min(len - at as u64) as usize;
        json.resize(at + piece, 0);
        source.read_at(8 + at as u64, &mut json[at..]).await?;
    }
    Ok(json)
}

/// A tensor as the JSON describes it.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    /// First byte and the one after the last, from where the data begins.
    data_offsets: [u64; 2],
}

/// The header: its entries in the order of the file, so that two of one name are still two.
struct Header {
    metadata: BTreeMap<String, String>,
    entries: Vec<(String, Entry)>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with an entry for each tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header { metadata: BTreeMap::new(), entries: Vec::new() };
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                // Whatever else stands there is nobody's.
                let found: Option<BTreeMap<String, Value>> = map.next_value()?;
                let texts = found.unwrap_or_default().into_iter();
                header.metadata = texts.filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect();
            } else if header.entries.len() < MOST_TENSORS {
                header.entries.push((name, map.next_value()?));
            } else {
                return Err(A::Error::custom(format!("more than {MOST_TENSORS} tensors")));
            }
        }
        Ok(header)
    }
}

/// The elements' type, and their size in bits where it is known.
fn stored_as(dtype: &str) -> (Stored, Option<u64>) {
    let supported = match dtype {
        "F32" => Format::F32,
        "F16" => Format::F16,
        "BF16" => Format::BF16,
        "I32" => Format::I32,
        "I64" => Format::I64,
        other => {
            let bits = match other {
                "F4" => Some(4),
                "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" | "F8_E8M0" => Some(8),
                "I16" | "U16" => Some(16),
                "U32" => Some(32),
                "F64" | "U64" | "C64" => Some(64),
                _ => None,
            };
            // The name goes into messages, and it comes from outside.
            return (Stored::Other(other.escape_default().take(32).collect()), bits);
        }
    };
    (Stored::Supported(supported), Some(8 * supported.block_bytes() as u64))
}

/// Where tensors may lie.
struct Room {
    data_begin: u64,
    file_bytes: u64,
    source_index: usize,
}

impl Room {
    /// The tensor of an entry, its place and size checked.
    fn place(&self, name: String, entry: Entry) -> Result<TensorInfo> {
        let wrong = |found: String| Error::file(format!("tensor {}", shown(&name)), found);
        let Entry { dtype, shape, data_offsets: [begin, end] } = entry;
        let (stored, bits) = stored_as(&dtype);
        if shape.len() > MOST_DIMENSIONS {
            return Err(wrong(format!("{} dimensions", shape.len()))
                .expected(format!("at most {MOST_DIMENSIONS}"))
                .advice(DAMAGED));
        }
        let data_bytes = self.file_bytes - self.data_begin;
        if begin > end || end > data_bytes {
            return Err(wrong(format!("bytes {begin} to {end} of the data"))
                .expected(format!("a range inside the {data_bytes} bytes of data"))
                .advice(CUT_SHORT));
        }
        let elements = super::directory::elements_of(&shape);
        let needed = elements.and_then(|elements| elements.checked_mul(bits.unwrap_or(0))).map(|bits| bits.div_ceil(8));
        let bytes = end - begin;
        if needed.is_none() || bits.is_some() && needed != Some(bytes) {
            let expected =
                needed.map_or_else(|| "a product that fits in 64 bits".to_owned(), |needed| format!("{needed} bytes"));
            return Err(wrong(format!("{bytes} bytes for shape {shape:?} of {}", stored.name()))
                .expected(expected)
                .advice(DAMAGED));
        }
        Ok(TensorInfo { name, stored, shape, offset: self.data_begin + begin, bytes, source_index: self.source_index })
    }
}
