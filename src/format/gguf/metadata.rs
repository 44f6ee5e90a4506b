//! The keys of a GGUF header. An accessor gives `None` for a key that is not there, and an error for one that is
//! but holds something else: a default must not hide a damaged file.

use super::super::directory::shown;
use super::header::{DAMAGED, Header};
use super::value::{Scalar, ScalarKind, Scalars, Texts, Value};
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// The bytes of the shortest key with its value: the length of an empty key, a type, one byte.
pub(super) const SMALLEST: u64 = 8 + 4 + 1;
/// As the format's description says.
const LONGEST_KEY: u64 = 65_535;
/// Texts are bounded by the header; this keeps the ends inside [`Texts`] in 32 bits.
const LONGEST_TEXT: u64 = 64 << 20;
/// The type numbers of what is no single value.
pub(super) const TEXT_ID: u32 = 8;
pub(super) const ARRAY_ID: u32 = 9;
/// No model has more layers than this; a scalar that stands for all of them is not repeated further.
const MOST_REPEATED: usize = 1 << 16;

/// The keys of a file with their values.
#[derive(Clone, Debug)]
pub struct Metadata {
    file: String,
    values: BTreeMap<String, Value>,
}

impl Metadata {
    /// The file that the keys come from.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The keys with their values, in the order of the alphabet.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of a key, of whatever type.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// A whole number. An array that repeats one number counts as that number.
    pub fn get_u32(&self, key: &str) -> Result<Option<u32>> {
        self.scalar(key, "a whole number of 32 bits", Scalar::to_u32)
    }

    /// A token's id; a number below zero means that there is none.
    pub fn get_id(&self, key: &str) -> Result<Option<u32>> {
        match self.get(key) {
            Some(Value::Scalar(_, Scalar::Signed(..0) | Scalar::Unsigned(0x1_0000_0000..))) => Ok(None),
            _ => self.get_u32(key),
        }
    }

    /// A whole number; as [`Self::get_u32`].
    pub fn get_u64(&self, key: &str) -> Result<Option<u64>> {
        self.scalar(key, "a whole number of 64 bits", Scalar::to_u64)
    }

    /// A finite number. An array that repeats one number counts as that number.
    pub fn get_f32(&self, key: &str) -> Result<Option<f32>> {
        self.scalar(key, "a finite number", Scalar::to_f32)
    }

    /// A truth value.
    pub fn get_bool(&self, key: &str) -> Result<Option<bool>> {
        self.scalar(key, "true or false", Scalar::to_bool)
    }

    /// A string.
    pub fn get_str(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, other, "a string")),
        }
    }

    /// An array of strings.
    pub fn get_strs(&self, key: &str) -> Result<Option<&Texts>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Texts(texts)) => Ok(Some(texts)),
            Some(other) => Err(self.wrong(key, other, "an array of strings")),
        }
    }

    /// An array of strings, in which U+FFFD stands for what is no UTF-8; and how many strings had such.
    pub fn get_strs_lossily(&self, key: &str) -> Result<Option<(Vec<String>, usize)>> {
        if let Some(Value::NoUtf8(ARRAY_ID, bytes)) = self.get(key) {
            let texts = raw_texts(bytes);
            let n_wrong = texts.iter().filter(|text| std::str::from_utf8(text).is_err()).count();
            let texts = texts.into_iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
            return Ok(Some((texts, n_wrong)));
        }
        Ok(self.get_strs(key)?.map(|texts| (texts.iter().map(str::to_owned).collect(), 0)))
    }

    /// An array of whole numbers, of any length.
    pub fn get_u32s(&self, key: &str) -> Result<Option<Vec<u32>>> {
        self.scalars(key, "an array of whole numbers of 32 bits", Scalar::to_u32)
    }

    /// An array of numbers, the nearest finite ones: converters fill up with infinities.
    pub fn get_nearest_f32s(&self, key: &str) -> Result<Option<Vec<f32>>> {
        self.scalars(key, "an array of numbers", Scalar::to_nearest_f32)
    }

    /// One whole number for each of `n` layers: an array of at least `n`, of which the first `n` are given, or one
    /// number for all. `n` is at most 65 536.
    pub fn get_u32_for_each(&self, key: &str, n: usize) -> Result<Option<Vec<u32>>> {
        self.for_each(key, n, "whole number", Scalar::to_u32)
    }

    /// One finite number for each of `n` layers; as [`Self::get_u32_for_each`].
    pub fn get_f32_for_each(&self, key: &str, n: usize) -> Result<Option<Vec<f32>>> {
        self.for_each(key, n, "finite number", Scalar::to_f32)
    }

    /// True or false for each of `n` layers; as [`Self::get_u32_for_each`].
    pub fn get_bool_for_each(&self, key: &str, n: usize) -> Result<Option<Vec<bool>>> {
        self.for_each(key, n, "true or false", Scalar::to_bool)
    }

    /// A whole number that must be there.
    pub fn require_u32(&self, key: &str) -> Result<u32> {
        self.get_u32(key)?.ok_or_else(|| self.missing(key))
    }

    /// A finite number that must be there.
    pub fn require_f32(&self, key: &str) -> Result<f32> {
        self.get_f32(key)?.ok_or_else(|| self.missing(key))
    }

    /// A string that must be there.
    pub fn require_str(&self, key: &str) -> Result<&str> {
        self.get_str(key)?.ok_or_else(|| self.missing(key))
    }

    /// An array of strings that must be there.
    pub fn require_strs(&self, key: &str) -> Result<&Texts> {
        self.get_strs(key)?.ok_or_else(|| self.missing(key))
    }

    /// The error for a key that must be there and is not.
    #[must_use]
    pub fn missing(&self, key: &str) -> Error {
        Error::file(self.thing(key), "missing").advice("The file is not complete, or not of this architecture.")
    }

    /// The error for a key whose value makes no sense.
    #[must_use]
    pub fn wrong(&self, key: &str, found: &Value, expected: &str) -> Error {
        Error::file(self.thing(key), found.description()).expected(expected).advice(DAMAGED)
    }

    fn thing(&self, key: &str) -> String {
        format!("{}: key {}", self.file, shown(key))
    }

    fn scalar<T>(&self, key: &str, expected: &str, convert: fn(Scalar) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let scalar = match value {
            Value::Scalar(_, scalar) => Some(*scalar),
            Value::Scalars(scalars) => {
                let first = scalars.iter().next();
                first.filter(|&first| scalars.iter().all(|other| other == first))
            }
            Value::Text(_) | Value::Texts(_) | Value::NoUtf8(..) => None,
        };
        scalar.and_then(convert).map(Some).ok_or_else(|| self.wrong(key, value, expected))
    }

    fn scalars<T>(&self, key: &str, expected: &str, convert: fn(Scalar) -> Option<T>) -> Result<Option<Vec<T>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let converted = match value {
            Value::Scalars(scalars) => scalars.iter().map(convert).collect::<Option<Vec<T>>>(),
            _ => None,
        };
        converted.map(Some).ok_or_else(|| self.wrong(key, value, expected))
    }

    fn for_each<T: Clone>(
        &self,
        key: &str,
        n: usize,
        what: &str,
        convert: fn(Scalar) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let converted = match value {
            Value::Scalar(_, scalar) if n <= MOST_REPEATED => convert(*scalar).map(|one| vec![one; n]),
            Value::Scalars(scalars) if scalars.len() >= n => scalars.iter().take(n).map(convert).collect(),
            _ => None,
        };
        let expected = || format!("a {what}, or an array of {n} of them");
        converted.map(Some).ok_or_else(|| self.wrong(key, value, &expected()))
    }
}

/// Reads the keys and their values.
pub(super) async fn read(header: &mut Header<'_>, count: u64) -> Result<Metadata> {
    let mut values = BTreeMap::new();
    for index in 0..count {
        let key = header.text(&format!("the name of key {index}"), LONGEST_KEY).await?;
        let what = format!("key {}", shown(&key));
        let value = read_value(header, &what).await?;
        // Twice the same does no harm.
        if values.get(&key).is_some_and(|before| *before != value) {
            let found = format!("{what} for the second time, with another value");
            return Err(header.error(found, "every key once").advice(DAMAGED));
        }
        values.insert(key, value);
    }
    Ok(Metadata { file: header.file().to_owned(), values })
}

async fn read_value(header: &mut Header<'_>, what: &str) -> Result<Value> {
    match header.u32(what).await? {
        TEXT_ID => {
            let mut bytes = Vec::new();
            header.extend_string(what, LONGEST_TEXT, &mut bytes).await?;
            Ok(String::from_utf8(bytes).map_or_else(
                |error| {
                    let mut out = Vec::new();
                    put_string(&mut out, error.as_bytes());
                    Value::NoUtf8(TEXT_ID, out)
                },
                Value::Text,
            ))
        }
        ARRAY_ID => {
            let id = header.u32(what).await?;
            let count = header.u64(what).await?;
            match id {
                TEXT_ID => read_texts(header, what, count).await,
                ARRAY_ID => Err(header.error(format!("{what} is an array of arrays"), "an array of single values")),
                _ => {
                    let kind = scalar_kind(header, what, id)?;
                    Ok(Value::Scalars(Scalars::new(kind, read_scalars(header, what, kind, count).await?)))
                }
            }
        }
        id => {
            let kind = scalar_kind(header, what, id)?;
            Ok(Value::scalar(kind, &read_scalars(header, what, kind, 1).await?))
        }
    }
}

fn scalar_kind(header: &Header<'_>, what: &str, id: u32) -> Result<ScalarKind> {
    ScalarKind::from_id(id)
        .ok_or_else(|| header.error(format!("{what} has the type {id}"), "a type from 0 to 12").advice(DAMAGED))
}

async fn read_scalars(header: &mut Header<'_>, what: &str, kind: ScalarKind, count: u64) -> Result<Vec<u8>> {
    let width = kind.bytes() as u64;
    header.check_room(&format!("values in {what}"), count, width)?;
    let mut bytes = Vec::new();
    // The room was checked, so the product is small.
    header.extend(what, count * width, &mut bytes).await?;
    Ok(bytes)
}

async fn read_texts(header: &mut Header<'_>, what: &str, count: u64) -> Result<Value> {
    header.check_room(&format!("strings in {what}"), count, 8)?;
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    for _ in 0..count {
        header.extend_string(what, LONGEST_TEXT, &mut bytes).await?;
        // A header is at most 64 MiB.
        ends.push(bytes.len() as u32);
    }
    match String::from_utf8(bytes) {
        Ok(text) if ends.iter().all(|&end| text.is_char_boundary(end as usize)) => {
            Ok(Value::Texts(Texts::new(text, ends)))
        }
        Ok(text) => Ok(no_utf8_texts(text.as_bytes(), &ends)),
        Err(error) => Ok(no_utf8_texts(error.as_bytes(), &ends)),
    }
}

/// A string as it stands in the file.
fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

fn no_utf8_texts(bytes: &[u8], ends: &[u32]) -> Value {
    let mut out = TEXT_ID.to_le_bytes().to_vec();
    out.extend((ends.len() as u64).to_le_bytes());
    let mut begin = 0;
    for end in ends.iter().map(|&end| end as usize) {
        put_string(&mut out, &bytes[begin..end]);
        begin = end;
    }
    Value::NoUtf8(ARRAY_ID, out)
}

/// The strings that [`no_utf8_texts`] put there.
fn raw_texts(bytes: &[u8]) -> Vec<&[u8]> {
    let mut rest = bytes.get(12..).unwrap_or_default();
    let mut texts = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some((text, behind)) = behind.split_at_checked(length) else { break };
        texts.push(text);
        rest = behind;
    }
    texts
}
