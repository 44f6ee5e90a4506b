//! GGUF, versions 2 and 3, little-endian: metadata and directory. The header is read in bounded pieces from any
//! source; weights are not touched. Refused by name: version 1, big-endian files, arrays of arrays.
//!
//! Layout: `"GGUF"`, u32 version, u64 tensors, u64 keys; the keys with their values; the tensors, each with name,
//! dimensions (innermost first), type and offset; then, at the next multiple of the alignment, the data.

mod header;
mod metadata;
mod parts;
mod tensors;
mod value;
mod write;

pub use metadata::Metadata;
pub use parts::{in_order, read_parts};
pub use tensors::type_id;
pub use value::{Scalar, ScalarKind, Scalars, Texts, Value};
pub use write::{NewTensor, head, padding};

use super::directory::in_file;
use super::{Directory, Source};
use crate::error::{Error, Result};
use header::Header;

/// More keys than this no real file has; they have about sixty.
const MOST_KEYS: u64 = 1 << 16;
/// More tensors than this no real file has; the largest DeepSeek has about three thousand.
const MOST_TENSORS: u64 = 1 << 16;
/// Where the data of tensors begins, unless the file says otherwise.
const DEFAULT_ALIGNMENT: u64 = 32;
/// A larger alignment would be padding and nothing else.
const LARGEST_ALIGNMENT: u64 = 1 << 20;

/// What the header of a GGUF file says.
#[derive(Clone, Debug)]
pub struct Gguf {
    /// 2 or 3; they differ in nothing that matters here.
    pub version: u32,
    /// The keys and their values.
    pub metadata: Metadata,
    /// The tensors.
    pub directory: Directory,
}

/// Reads the header of a GGUF file. `source_index` goes into every [`super::TensorInfo`].
///
/// Reads at most 64 MiB, and allocates no more than a small multiple of the bytes that were there to read. Every
/// tensor returned lies inside the source, aligned, and apart from every other.
pub async fn read(source: &dyn Source, source_index: usize) -> Result<Gguf> {
    let mut header = Header::new(source);
    let version = read_version(&mut header).await?;
    let n_tensors = header.u64("the number of tensors").await?;
    let n_keys = header.u64("the number of keys").await?;
    check_count(&header, "tensors", n_tensors, MOST_TENSORS, tensors::SMALLEST)?;
    check_count(&header, "keys", n_keys, MOST_KEYS, metadata::SMALLEST)?;

    let metadata = metadata::read(&mut header, n_keys).await?;
    let alignment = read_alignment(&metadata)?;
    let tensors = tensors::read(&mut header, n_tensors, source_index).await?;
    let data_begin = header.at().next_multiple_of(alignment);
    let tensors = tensors::place(source, tensors, data_begin, alignment)?;
    let directory = Directory::new(tensors).map_err(|error| in_file(source.name(), error))?;
    Ok(Gguf { version, metadata, directory })
}

/// Reads the magic number and the version, and says what the file is where it is not ours.
async fn read_version(header: &mut Header<'_>) -> Result<u32> {
    let magic = header.bytes::<4>("the magic number").await?;
    if &magic != b"GGUF" {
        let found = match &magic {
            b"vers" => "a Git LFS pointer, a line of text in place of the file",
            b"<!DO" | b"<!do" | b"<htm" | b"<HTM" => "a web page",
            b"PK\x03\x04" => "a zip archive, perhaps a PyTorch checkpoint",
            b"ggml" | b"lmgg" | b"tjgg" | b"fmgg" => "a GGML file from before GGUF",
            _ => return Err(header.error("not a GGUF file", format!("the first bytes are {magic:02x?}"))),
        };
        return Err(header.error("not a GGUF file", format!("this is {found}")));
    }
    let version = header.u32("the version").await?;
    match version {
        2 | 3 => Ok(version),
        1 => Err(header.error("a GGUF file of version 1", "only versions 2 and 3 are read")),
        _ if matches!(version.swap_bytes(), 1..=3) => {
            Err(header.error("a big-endian GGUF file", "only little-endian files are read"))
        }
        _ => Err(header.error(format!("GGUF version {version}"), "only versions 2 and 3 are read")),
    }
    .map_err(|error| error.advice("Get a current GGUF of the model, or convert it again."))
}

/// Fails for a count that no file has, or for which the bytes are not there.
fn check_count(header: &Header<'_>, what: &str, count: u64, most: u64, smallest: u64) -> Result<()> {
    if count > most {
        return Err(header.error(format!("{count} {what}"), format!("at most {most}")).advice(header::DAMAGED));
    }
    header.check_room(what, count, smallest)
}

fn read_alignment(metadata: &Metadata) -> Result<u64> {
    let key = "general.alignment";
    let alignment = metadata.get_u32(key)?.map_or(DEFAULT_ALIGNMENT, u64::from);
    if alignment.is_power_of_two() && alignment <= LARGEST_ALIGNMENT {
        return Ok(alignment);
    }
    Err(Error::file(format!("{}: key \"{key}\"", metadata.file()), format!("{alignment}"))
        .expected(format!("a power of two up to {LARGEST_ALIGNMENT}"))
        .advice(header::DAMAGED))
}
