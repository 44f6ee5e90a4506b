//! The beginning of a GGUF file: keys and directory, of version 3. The data of the tensors follows in the order of the
//! directory, each filled up to the alignment with [`padding`].

use super::DEFAULT_ALIGNMENT;
use super::metadata::{ARRAY_ID, TEXT_ID};
use super::value::Value;
use crate::error::{Error, Result};
use crate::format::directory::shown;

const VERSION: u32 = 3;

/// A tensor to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTensor {
    /// Its name.
    pub name: String,
    /// Its dimensions, outermost first.
    pub shape: Vec<u64>,
    /// The type number of its format.
    pub type_id: u32,
    /// The bytes of its data.
    pub bytes: u64,
}

/// Everything before the data: the keys in the order given, then the tensors, then zeros up to where the data begins.
///
/// # Errors
/// When the tensors are larger than offsets can tell.
pub fn head<'a>(keys: impl ExactSizeIterator<Item = (&'a str, &'a Value)>, tensors: &[NewTensor]) -> Result<Vec<u8>> {
    let mut head = b"GGUF".to_vec();
    head.extend(VERSION.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend((keys.len() as u64).to_le_bytes());
    for (key, value) in keys {
        put_text(&mut head, key);
        put_value(&mut head, value);
    }
    let mut offset = 0u64;
    for tensor in tensors {
        put_text(&mut head, &tensor.name);
        head.extend((tensor.shape.len() as u32).to_le_bytes());
        head.extend(tensor.shape.iter().rev().flat_map(|n| n.to_le_bytes()));
        head.extend(tensor.type_id.to_le_bytes());
        head.extend(offset.to_le_bytes());
        let end = offset.checked_add(tensor.bytes).and_then(|end| end.checked_next_multiple_of(DEFAULT_ALIGNMENT));
        offset = end.ok_or_else(|| {
            Error::file(format!("tensor {}", shown(&tensor.name)), format!("{} bytes", tensor.bytes))
                .expected("a file whose length fits in 64 bits")
        })?;
    }
    head.resize(head.len().next_multiple_of(DEFAULT_ALIGNMENT as usize), 0);
    Ok(head)
}

/// The zeros that follow a tensor of so many bytes.
#[must_use]
pub fn padding(bytes: u64) -> &'static [u8] {
    const ZEROS: [u8; DEFAULT_ALIGNMENT as usize] = [0; DEFAULT_ALIGNMENT as usize];
    let rest = (bytes % DEFAULT_ALIGNMENT) as usize;
    if rest == 0 { &[] } else { &ZEROS[rest..] }
}

fn put_text(head: &mut Vec<u8>, text: &str) {
    head.extend((text.len() as u64).to_le_bytes());
    head.extend(text.as_bytes());
}

/// Type and value.
fn put_value(head: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Scalar(kind, scalar) => {
            head.extend(kind.id().to_le_bytes());
            head.extend(&kind.wide_bytes(*scalar)[..kind.bytes()]);
        }
        Value::Text(text) => {
            head.extend(TEXT_ID.to_le_bytes());
            put_text(head, text);
        }
        Value::Scalars(scalars) => {
            head.extend(ARRAY_ID.to_le_bytes());
            head.extend(scalars.kind().id().to_le_bytes());
            head.extend((scalars.len() as u64).to_le_bytes());
            head.extend(scalars.as_bytes());
        }
        Value::Texts(texts) => {
            head.extend(ARRAY_ID.to_le_bytes());
            head.extend(TEXT_ID.to_le_bytes());
            head.extend((texts.len() as u64).to_le_bytes());
            texts.iter().for_each(|text| put_text(head, text));
        }
        Value::NoUtf8(type_id, bytes) => {
            head.extend(type_id.to_le_bytes());
            head.extend(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::gguf::{self, Scalar, ScalarKind};
    use crate::format::{Format, Memory};

    #[test]
    fn what_is_written_is_read_again() -> Result<()> {
        let texts = gguf::Texts::new("aé".to_owned(), vec![1, 1, 3]);
        let values = [
            Value::Text("deepseek4".to_owned()),
            Value::Scalar(ScalarKind::U8, Scalar::Unsigned(200)),
            Value::Scalar(ScalarKind::I16, Scalar::Signed(-5)),
            Value::Scalar(ScalarKind::F32, Scalar::Float(0.1f32.into())),
            Value::Scalar(ScalarKind::F64, Scalar::Float(0.1)),
            Value::Scalar(ScalarKind::Bool, Scalar::Bool(true)),
            Value::Texts(texts),
            Value::Scalars(gguf::Scalars::new(ScalarKind::U16, vec![1, 2, 3, 4])),
        ];
        let names: Vec<String> = (0..values.len()).map(|i| format!("key.{i}")).collect();
        let keys: Vec<(&str, &Value)> = names.iter().map(String::as_str).zip(&values).collect();
        let tensor = |name: &str, shape: Vec<u64>, format: Format, bytes| NewTensor {
            name: name.to_owned(),
            shape,
            type_id: format.ggml_id().expect("a format of GGUF"),
            bytes,
        };
        let tensors = [
            tensor("a", vec![3, 5], Format::F16, 30),
            tensor("b", vec![7], Format::F32, 28),
            tensor("c", vec![2, 3, 32], Format::Q8_0, 6 * 34),
        ];
        let mut file = head(keys.iter().copied(), &tensors)?;
        for tensor in &tensors {
            file.extend(vec![1; tensor.bytes as usize]);
            file.extend(padding(tensor.bytes));
        }
        let read = pollster::block_on(gguf::read(&Memory::new("written", file), 0))?;
        assert!(read.metadata.iter().eq(keys.iter().copied()));
        for (written, found) in tensors.iter().zip(read.directory.tensors()) {
            assert_eq!((&written.name, &written.shape, written.bytes), (&found.name, &found.shape, found.bytes));
        }
        Ok(())
    }

    #[test]
    fn tensors_longer_than_a_file_can_be_are_refused() {
        let tensor = |bytes| NewTensor { name: "a".into(), shape: vec![1], type_id: 0, bytes };
        let none: [(&str, &Value); 0] = [];
        assert!(head(none.into_iter(), &[tensor(u64::MAX - 100), tensor(100)]).is_err());
    }
}
