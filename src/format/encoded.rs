//! Texts as files have them: in UTF-8, or in UTF-16 as Windows' shells write it.

use std::string::FromUtf8Error;

/// The text of a file's bytes: UTF-8, or UTF-16 where a byte order mark says so; the mark is no part of it.
///
/// # Errors
/// When the bytes are no UTF-8, or no UTF-16 behind its mark.
pub fn text(bytes: Vec<u8>) -> Result<String, FromUtf8Error> {
    let wide = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).ok().filter(|_| rest.len().is_multiple_of(2))
    };
    let from_wide = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => None,
    };
    if let Some(text) = from_wide {
        return Ok(text);
    }
    let text = String::from_utf8(bytes)?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
