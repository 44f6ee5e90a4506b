//! A report as a short text for a link's fragment: `1.` and then its compact JSON, deflated, in the alphabet of
//! addresses. Nothing is sent anywhere: the link is the report.

use super::Report;
use super::read::{Entry, MAX_BYTES, read};
use crate::error::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};
use std::io::Read;

/// Which packing it is; raised when the way of packing changes.
const PREFIX: &str = "1.";
/// The longest link that is looked at, in characters.
const MAX_LINK: usize = 1 << 20;

/// A report as text of the characters `A–Z a–z 0–9 - _ .`.
#[must_use]
pub fn pack(report: &Report) -> String {
    let json = serde_json::to_vec(report).unwrap_or_default();
    let mut packed = Vec::new();
    // Neither reading from memory nor writing to it can fail.
    let _ = DeflateEncoder::new(&json[..], Compression::best()).read_to_end(&mut packed);
    PREFIX.to_owned() + &URL_SAFE_NO_PAD.encode(packed)
}

/// The report of a link.
///
/// # Errors
/// A text that [`pack`] did not make, or made of a report that [`read`] refuses; the error says which.
pub fn unpack(link: &str) -> Result<Report> {
    let fault = |found: String| Error::file("report in the link", found).advice("Copy the whole link once more.");
    let Some(packed) = link.strip_prefix(PREFIX) else {
        let begin: String = link.chars().take(8).collect();
        return Err(fault(format!("it begins with {begin:?}")).expected(format!("{PREFIX:?}, this program's packing")));
    };
    if packed.len() > MAX_LINK {
        return Err(fault(format!("{} characters", packed.len())).expected(format!("at most {MAX_LINK}")));
    }
    let packed = URL_SAFE_NO_PAD.decode(packed).map_err(|error| fault(format!("no base64url: {error}")))?;
    let mut json = String::new();
    // A little text can unpack to very much: no more is taken than may be read.
    let most = MAX_BYTES as u64 + 1;
    DeflateDecoder::new(&packed[..])
        .take(most)
        .read_to_string(&mut json)
        .map_err(|error| fault(format!("it does not unpack: {error}")))?;
    match <[Entry; 1]>::try_from(read(&json)?) {
        Ok([Entry::Measured(report)]) => Ok(*report),
        _ => Err(fault("no report".into()).expected("one measured report")),
    }
}
