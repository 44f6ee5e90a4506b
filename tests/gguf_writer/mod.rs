//! A GGUF writer for tests: a model read into memory, its matrices put into other formats, and the whole written again.
//! Keys come from the parsed file; numbers among them are written in 64 bits, which readers must accept.

use headstart::format::gguf::{self, Metadata, Scalar, ScalarKind, Value};
use headstart::format::random::{hash, random_row};
use headstart::format::{Format, Source, quant};
use pollster::block_on;

/// Where tensors begin, in bytes: the format's default.
const ALIGNMENT: usize = 32;

/// A tensor with its bytes.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// Outermost first.
    pub(crate) shape: Vec<u64>,
    pub(crate) format: Format,
    pub(crate) bytes: Vec<u8>,
}

impl Tensor {
    /// Whether it is the weight of a product, which may have any weight format. Vectors, tables of integers and the
    /// compressors' tables of positions are not.
    fn is_matrix(&self) -> bool {
        self.shape.len() > 1 && self.format.is_weight() && !self.name.ends_with("_ape.weight")
    }

    fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.shape.iter().product::<u64>() as usize];
        quant::decode_row(self.format, &self.bytes, &mut values).unwrap();
        values
    }

    /// The same tensor in another format; in F32 where its rows are no multiple of the format's blocks. A format that is
    /// only read gets random blocks, of weights of the same size.
    fn encoded(&self, format: Format) -> Self {
        let fits = self.shape.last().is_some_and(|n_in| n_in.is_multiple_of(format.block_len() as u64));
        let format = if fits { format } else { Format::F32 };
        let mut bytes = Vec::new();
        if format.can_encode() {
            quant::encode_row(format, &self.values(), &mut bytes).unwrap();
        } else {
            let values = self.values();
            let seed = self.name.bytes().map(u32::from).sum();
            let random = |scale| {
                let mut words = (0..).map(|i| hash(i, seed));
                random_row(format, values.len(), scale, || words.next().unwrap()).unwrap()
            };
            let mut of_one = vec![0.0; values.len()];
            quant::decode_row(format, &random(1.0), &mut of_one).unwrap();
            bytes = random(size(&values) / size(&of_one));
        }
        Self { format, bytes, name: self.name.clone(), shape: self.shape.clone() }
    }
}

/// The root of the mean square.
fn size(values: &[f32]) -> f32 {
    (values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32).sqrt()
}

/// A GGUF file in memory, piece by piece.
#[derive(Clone)]
pub(crate) struct GgufModel {
    pub(crate) metadata: Metadata,
    pub(crate) tensors: Vec<Tensor>,
}

impl GgufModel {
    /// Reads keys and tensors, of which all must be of supported formats.
    pub(crate) fn read(source: &dyn Source) -> Self {
        let file = block_on(gguf::read(source, 0)).unwrap();
        let read = |info: &headstart::format::TensorInfo| {
            let mut bytes = vec![0; info.bytes as usize];
            block_on(source.read_at(info.offset, &mut bytes)).unwrap();
            let format = info.require_supported().unwrap();
            Tensor { name: info.name.clone(), shape: info.shape.clone(), format, bytes }
        };
        let tensors = file.directory.tensors().iter().map(read).collect();
        Self { metadata: file.metadata, tensors }
    }

    /// The same model with each matrix in the format that `format_of` gives for its name, if its rows allow.
    pub(crate) fn in_formats(&self, format_of: impl Fn(&str) -> Format) -> Self {
        let encode = |tensor: &Tensor| {
            if tensor.is_matrix() { tensor.encoded(format_of(&tensor.name)) } else { tensor.clone() }
        };
        Self { metadata: self.metadata.clone(), tensors: self.tensors.iter().map(encode).collect() }
    }

    /// The tensor of that name.
    pub(crate) fn tensor_mut(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
    }

    /// The file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes_with(&[])
    }

    /// The file, with keys beside those that it has.
    pub(crate) fn bytes_with(&self, more: &[(&str, Value)]) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3u32.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        let keys: Vec<_> = self.metadata.iter().chain(more.iter().map(|(key, value)| (*key, value))).collect();
        file.extend((keys.len() as u64).to_le_bytes());
        for (key, value) in keys {
            write_text(&mut file, key);
            write_value(&mut file, value);
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            write_text(&mut file, &tensor.name);
            file.extend((tensor.shape.len() as u32).to_le_bytes());
            file.extend(tensor.shape.iter().rev().flat_map(|n| n.to_le_bytes()));
            file.extend(tensor.format.ggml_id().unwrap().to_le_bytes());
            file.extend((offset as u64).to_le_bytes());
            offset += tensor.bytes.len().next_multiple_of(ALIGNMENT);
        }
        for tensor in &self.tensors {
            file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
            file.extend(&tensor.bytes);
        }
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        file
    }
}

fn write_text(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text.as_bytes());
}

/// Writes type and value, with the type numbers of `enum gguf_metadata_value_type`.
fn write_value(file: &mut Vec<u8>, value: &Value) {
    const TEXT: u32 = 8;
    const ARRAY: u32 = 9;
    match value {
        Value::Scalar(_, scalar) => {
            let (id, bytes) = scalar_bytes(*scalar);
            file.extend(id.to_le_bytes());
            file.extend(bytes);
        }
        Value::Text(text) => {
            file.extend(TEXT.to_le_bytes());
            write_text(file, text);
        }
        Value::Scalars(scalars) => {
            file.extend(ARRAY.to_le_bytes());
            file.extend(array_id(scalars.kind()).to_le_bytes());
            file.extend((scalars.len() as u64).to_le_bytes());
            file.extend(scalars.iter().flat_map(|scalar| scalar_bytes(scalar).1));
        }
        Value::Texts(texts) => {
            file.extend(ARRAY.to_le_bytes());
            file.extend(TEXT.to_le_bytes());
            file.extend((texts.len() as u64).to_le_bytes());
            texts.iter().for_each(|text| write_text(file, text));
        }
        Value::NoUtf8(type_id, bytes) => {
            file.extend(type_id.to_le_bytes());
            file.extend(bytes);
        }
    }
}

fn scalar_bytes(scalar: Scalar) -> (u32, Vec<u8>) {
    match scalar {
        Scalar::Unsigned(value) => (10, value.to_le_bytes().to_vec()),
        Scalar::Signed(value) => (11, value.to_le_bytes().to_vec()),
        Scalar::Float(value) => (12, value.to_le_bytes().to_vec()),
        Scalar::Bool(value) => (7, vec![u8::from(value)]),
    }
}

/// The type number that [`scalar_bytes`] gives to values of a kind.
fn array_id(kind: ScalarKind) -> u32 {
    let example = match kind {
        ScalarKind::U8 | ScalarKind::U16 | ScalarKind::U32 | ScalarKind::U64 => Scalar::Unsigned(0),
        ScalarKind::I8 | ScalarKind::I16 | ScalarKind::I32 | ScalarKind::I64 => Scalar::Signed(0),
        ScalarKind::F32 | ScalarKind::F64 => Scalar::Float(0.0),
        ScalarKind::Bool => Scalar::Bool(false),
    };
    scalar_bytes(example).0
}
