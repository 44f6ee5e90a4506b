//! Values of a GGUF header, typed. Arrays stay in the file's own bytes, and the strings of an array in one text,
//! so that memory is bounded by the file: a list of empty strings costs less here than there.

/// The types of single values but text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each name says it all")]
pub enum ScalarKind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
    Bool,
}

impl ScalarKind {
    /// The kind with that type number (`enum gguf_metadata_value_type`).
    pub(super) fn from_id(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return None,
        })
    }

    /// The type number, as [`Self::from_id`] takes it.
    pub(super) const fn id(self) -> u32 {
        match self {
            Self::U8 => 0,
            Self::I8 => 1,
            Self::U16 => 2,
            Self::I16 => 3,
            Self::U32 => 4,
            Self::I32 => 5,
            Self::F32 => 6,
            Self::Bool => 7,
            Self::U64 => 10,
            Self::I64 => 11,
            Self::F64 => 12,
        }
    }

    /// The bytes of a value of this kind, of which [`Self::bytes`] count.
    pub(super) fn wide_bytes(self, value: Scalar) -> [u8; 8] {
        match value {
            Scalar::Unsigned(value) => value.to_le_bytes(),
            Scalar::Signed(value) => value.to_le_bytes(),
            Scalar::Float(value) if self == Self::F32 => u64::from((value as f32).to_bits()).to_le_bytes(),
            Scalar::Float(value) => value.to_le_bytes(),
            Scalar::Bool(value) => u64::from(value).to_le_bytes(),
        }
    }

    /// The bytes that a value takes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The value in `bytes`, of which there are [`Self::bytes`].
    fn value(self, bytes: &[u8]) -> Scalar {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let bits = u64::from_le_bytes(wide);
        match self {
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => Scalar::Unsigned(bits),
            Self::I8 => Scalar::Signed(i64::from(bits as i8)),
            Self::I16 => Scalar::Signed(i64::from(bits as i16)),
            Self::I32 => Scalar::Signed(i64::from(bits as i32)),
            Self::I64 => Scalar::Signed(bits as i64),
            Self::F32 => Scalar::Float(f64::from(f32::from_bits(bits as u32))),
            Self::F64 => Scalar::Float(f64::from_bits(bits)),
            Self::Bool => Scalar::Bool(bits != 0),
        }
    }
}

/// A single value but text, widened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// A number without sign.
    Unsigned(u64),
    /// A number with sign.
    Signed(i64),
    /// A number with fraction.
    Float(f64),
    /// True or false.
    Bool(bool),
}

impl Scalar {
    /// The number as `u32`, if it is whole and fits.
    pub(super) fn to_u32(self) -> Option<u32> {
        self.to_u64().and_then(|wide| u32::try_from(wide).ok())
    }

    /// The number as `u64`, if it is whole and fits.
    pub(super) fn to_u64(self) -> Option<u64> {
        match self {
            Self::Unsigned(value) => Some(value),
            Self::Signed(value) => u64::try_from(value).ok(),
            Self::Float(_) | Self::Bool(_) => None,
        }
    }

    /// The number as `f32`, if it is one and finite.
    pub(super) fn to_f32(self) -> Option<f32> {
        let value = match self {
            Self::Unsigned(value) => value as f32,
            Self::Signed(value) => value as f32,
            Self::Float(value) => value as f32,
            Self::Bool(_) => return None,
        };
        value.is_finite().then_some(value)
    }

    /// The number as the nearest finite `f32`, if it is one; what is no number counts as the least.
    pub(super) fn to_nearest_f32(self) -> Option<f32> {
        match self {
            Self::Float(value) if value.is_nan() => Some(f32::MIN),
            Self::Float(value) => Some((value as f32).clamp(f32::MIN, f32::MAX)),
            other => other.to_f32(),
        }
    }

    /// The truth value, if it is one; some writers have 0 and 1.
    pub(super) fn to_bool(self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(value),
            Self::Unsigned(bit @ 0..=1) => Some(bit == 1),
            Self::Signed(bit @ 0..=1) => Some(bit == 1),
            _ => None,
        }
    }
}

/// An array of single values of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalars {
    kind: ScalarKind,
    bytes: Vec<u8>,
}

impl Scalars {
    pub(super) fn new(kind: ScalarKind, bytes: Vec<u8>) -> Self {
        Self { kind, bytes }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / self.kind.bytes()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Their kind.
    #[must_use]
    pub fn kind(&self) -> ScalarKind {
        self.kind
    }

    /// The bytes as in the file.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = Scalar> {
        self.bytes.chunks_exact(self.kind.bytes()).map(|bytes| self.kind.value(bytes))
    }
}

/// An array of strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// All of them, one after the other.
    text: String,
    /// Where each of them ends.
    ends: Vec<u32>,
}

impl Texts {
    /// The strings that end at `ends`, which rise and lie on the boundaries of characters.
    pub(super) fn new(text: String, ends: Vec<u32>) -> Self {
        Self { text, ends }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let begin = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        self.text.get(begin..end)
    }

    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number or a truth value, with the kind that the file has it in.
    Scalar(ScalarKind, Scalar),
    /// A string.
    Text(String),
    /// An array of numbers or truth values.
    Scalars(Scalars),
    /// An array of strings.
    Texts(Texts),
    /// A string, or an array of them, that is no UTF-8: its type number and the bytes behind it, as in the file. It does
    /// no harm until somebody needs it.
    NoUtf8(u32, Vec<u8>),
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Scalar(ScalarKind::U32, Scalar::Unsigned(value.into()))
    }
}

impl From<f32> for Value {
    fn from(value: f32) -> Self {
        Self::Scalar(ScalarKind::F32, Scalar::Float(value.into()))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Scalar(ScalarKind::Bool, Scalar::Bool(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<&[bool]> for Value {
    fn from(values: &[bool]) -> Self {
        Self::Scalars(Scalars::new(ScalarKind::Bool, values.iter().map(|value| u8::from(*value)).collect()))
    }
}

impl From<&[i32]> for Value {
    fn from(values: &[i32]) -> Self {
        Self::Scalars(Scalars::new(ScalarKind::I32, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
    }
}

impl From<&[f32]> for Value {
    fn from(values: &[f32]) -> Self {
        Self::Scalars(Scalars::new(ScalarKind::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
    }
}

impl From<&[String]> for Value {
    fn from(texts: &[String]) -> Self {
        let ends = texts.iter().scan(0u32, |end, text| {
            *end += text.len() as u32;
            Some(*end)
        });
        Self::Texts(Texts::new(texts.concat(), ends.collect()))
    }
}

impl Value {
    /// The value in `bytes`, of which there are as many as the kind takes.
    pub(super) fn scalar(kind: ScalarKind, bytes: &[u8]) -> Self {
        Self::Scalar(kind, kind.value(bytes))
    }

    /// What it is, in a few words for messages.
    pub(super) fn description(&self) -> String {
        match self {
            Self::Scalar(_, Scalar::Unsigned(value)) => format!("the number {value}"),
            Self::Scalar(_, Scalar::Signed(value)) => format!("the number {value}"),
            Self::Scalar(_, Scalar::Float(value)) => format!("the number {value:?}"),
            Self::Scalar(_, Scalar::Bool(value)) => format!("{value}"),
            Self::Text(text) => format!("the string {}", super::super::directory::shown(text)),
            Self::Scalars(scalars) => format!("an array of {} {:?}", scalars.len(), scalars.kind()),
            Self::Texts(texts) => format!("an array of {} strings", texts.len()),
            Self::NoUtf8(..) => "text that is no UTF-8".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_number_of_what_is_none_is_finite() {
        let numbers = [0.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e300].map(Scalar::Float);
        let nearest = numbers.map(|number| number.to_nearest_f32().expect("a number"));
        assert_eq!(nearest, [0.5, f32::MAX, f32::MIN, f32::MIN, f32::MAX]);
        assert_eq!((Scalar::Signed(-3).to_nearest_f32(), Scalar::Bool(true).to_nearest_f32()), (Some(-3.0), None));
    }
}
