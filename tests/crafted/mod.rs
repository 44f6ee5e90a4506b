//! Crafted files: GGUF and safetensors written piece by piece, so that a test can make any piece wrong.

/// A GGUF file under construction: little-endian, counts kept apart from what is there.
#[derive(Clone)]
pub(crate) struct GgufFile {
    pub(crate) version: u32,
    pub(crate) n_tensors: u64,
    pub(crate) n_keys: u64,
    /// Keys and their values, as bytes.
    pub(crate) keys: Vec<u8>,
    /// Tensor entries, as bytes.
    pub(crate) tensors: Vec<u8>,
    pub(crate) alignment: usize,
    pub(crate) data_bytes: usize,
}

impl GgufFile {
    /// An empty file of version 3.
    pub(crate) fn new() -> Self {
        Self { version: 3, n_tensors: 0, n_keys: 0, keys: vec![], tensors: vec![], alignment: 32, data_bytes: 0 }
    }

    /// A small file with a value of each kind and three tensors, one of a format that is not supported.
    pub(crate) fn sample() -> Self {
        Self::new()
            .key("general.architecture", 8, &text(b"deepseek4"))
            .key("deepseek4.block_count", 4, &2u32.to_le_bytes())
            .key("deepseek4.scale", 6, &1.5f32.to_le_bytes())
            .key("deepseek4.flag", 7, &[1])
            .key("deepseek4.ratios", 9, &array(4, 3, &[4u32, 4, 128].map(u32::to_le_bytes).concat()))
            .key("tokenizer.ggml.tokens", 9, &array(8, 3, &[text(b"a"), text("é".as_bytes()), text(b"")].concat()))
            .tensor(b"token_embd.weight", &[32, 4], 8, 0)
            .tensor(b"output_norm.weight", &[32], 0, 160)
            .tensor(b"blk.0.other.weight", &[256, 2], 15, 288)
            .data(288 + 584)
    }

    /// Appends a key with a value of a type number.
    pub(crate) fn key(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.keys.extend(text(key.as_bytes()));
        self.keys.extend(kind.to_le_bytes());
        self.keys.extend(value);
        self.n_keys += 1;
        self
    }

    /// Appends a tensor: dimensions innermost first, type number, offset in the data.
    pub(crate) fn tensor(mut self, name: &[u8], dimensions: &[u64], kind: u32, offset: u64) -> Self {
        self.tensors.extend(text(name));
        self.tensors.extend((dimensions.len() as u32).to_le_bytes());
        self.tensors.extend(dimensions.iter().flat_map(|n| n.to_le_bytes()));
        self.tensors.extend(kind.to_le_bytes());
        self.tensors.extend(offset.to_le_bytes());
        self.n_tensors += 1;
        self
    }

    /// Sets how much data follows.
    pub(crate) fn data(mut self, bytes: usize) -> Self {
        self.data_bytes = bytes;
        self
    }

    /// The header without padding and data.
    pub(crate) fn header(&self) -> Vec<u8> {
        let counts = [self.n_tensors.to_le_bytes(), self.n_keys.to_le_bytes()].concat();
        [&b"GGUF"[..], &self.version.to_le_bytes(), &counts, &self.keys, &self.tensors].concat()
    }

    /// The whole file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header();
        bytes.resize(bytes.len().next_multiple_of(self.alignment) + self.data_bytes, 0);
        bytes
    }
}

/// A string as GGUF writes it.
pub(crate) fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_le_bytes(), bytes].concat()
}

/// An array as GGUF writes it, with a count that need not be true.
pub(crate) fn array(kind: u32, count: u64, values: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &count.to_le_bytes(), values].concat()
}

/// A safetensors file with this JSON and so many bytes of data.
pub(crate) fn safetensors_file(json: &str, data_bytes: usize) -> Vec<u8> {
    let mut bytes = [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat();
    bytes.resize(bytes.len() + data_bytes, 0);
    bytes
}

/// The header of a small sound file with 96 bytes of data, one tensor of a type that is not supported.
pub(crate) const SAFETENSORS_SAMPLE: &str = r#"{"__metadata__":{"format":"pt"},
"embed.weight":{"dtype":"F32","shape":[2,8],"data_offsets":[0,64]},
"norm.weight":{"dtype":"BF16","shape":[8],"data_offsets":[64,80]},
"wq_a.weight":{"dtype":"F8_E4M3","shape":[2,8],"data_offsets":[80,96]}}"#;
