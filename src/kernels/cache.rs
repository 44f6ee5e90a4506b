//! How keys and values lie in the cache: f32, or f16, two to a word; twins of `shaders/lib/cached_*.wgsl`.
//! Keys and values each have a type of their own. Keys that are no values may lie in blocks of [`KEY_BLOCK`], so that
//! invocations which take a key each read what lies side by side.

use half::f16;

use crate::gpu::op::Spec;

/// The type of a cache's elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CacheType {
    /// f16: half the memory, and three digits.
    F16,
    /// Single precision.
    #[default]
    F32,
}

impl CacheType {
    /// Words that `n` elements take; `n` is even.
    #[must_use]
    pub fn words(self, n: u64) -> u64 {
        match self {
            Self::F16 => n / 2,
            Self::F32 => n,
        }
    }

    /// As people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
        }
    }

    /// Bytes of an element.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.words(2) * 2
    }

    /// Writes elements from number `first` on; `first` and their count are even.
    pub(super) fn store(self, cache: &mut [u32], first: usize, elements: &[f32]) {
        let clamped = |v: f32| u32::from(f16::from_f32(v.clamp(-65504.0, 65504.0)).to_bits());
        match self {
            Self::F16 => {
                let words = elements.chunks_exact(2).map(|pair| clamped(pair[0]) | clamped(pair[1]) << 16);
                cache[first / 2..].iter_mut().zip(words).for_each(|(word, pair)| *word = pair);
            }
            Self::F32 => cache[first..].iter_mut().zip(elements).for_each(|(word, v)| *word = v.to_bits()),
        }
    }

    /// Reads `n` elements from number `first` on; `first` and `n` are even.
    pub(super) fn load(self, cache: &[u32], first: usize, n: usize) -> Vec<f32> {
        let half = |bits: u32| f16::from_bits(bits as u16).to_f32();
        match self {
            Self::F16 => cache[first / 2..][..n / 2].iter().flat_map(|word| [half(*word), half(word >> 16)]).collect(),
            Self::F32 => cache[first..][..n].iter().map(|word| f32::from_bits(*word)).collect(),
        }
    }
}

/// Keys of a block: `[n_kv_heads][n_positions / KEY_BLOCK][head_dim / 4][KEY_BLOCK][4]` is how keys may lie in a cache whose keys
/// are no values. A subgroup of 32 that takes a key an invocation reads one run of bytes at a time (15 µs a layer at 4,096
/// keys on an H100, where lanes that share a key and exchange sums take 25).
pub const KEY_BLOCK: u32 = 32;

/// The constant that says how many keys lie together in blocks; 1 where a key is a row.
const KEYS_TOGETHER: &str = "KEYS_TOGETHER";

/// Where keys lie: the twin of `shaders/lib/key_order.wgsl`.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyOrder {
    together: usize,
}

impl KeyOrder {
    /// Blocks of so many keys.
    pub(super) fn spec(together: u32) -> Spec {
        Spec::default().constant(KEYS_TOGETHER, together).part(shader_text!("../../shaders/lib/key_order.wgsl"))
    }

    /// That of a stage.
    pub(super) fn of(spec: &Spec) -> Self {
        Self { together: spec.value_of(KEYS_TOGETHER).unwrap_or(1) as usize }
    }

    /// Number of the vector of 4 in which quad `i` of key `key` lies, of keys of `n_quads`.
    pub(super) fn quad(self, key: usize, i: usize, n_quads: usize) -> usize {
        (key / self.together * n_quads + i) * self.together + key % self.together
    }

    /// Writes a key to the keys of a head that begin at vector of 4 number `first`.
    pub(super) fn store(self, of: CacheType, cache: &mut [u32], first: usize, key: usize, elements: &[f32]) {
        let n_quads = elements.len() / 4;
        for (i, quad) in elements.chunks_exact(4).enumerate() {
            of.store(cache, 4 * (first + self.quad(key, i, n_quads)), quad);
        }
    }

    /// Reads a key of `n_quads` from the keys of a head that begin at vector of 4 number `first`.
    pub(super) fn load(self, of: CacheType, cache: &[u32], first: usize, key: usize, n_quads: usize) -> Vec<f32> {
        (0..n_quads).flat_map(|i| of.load(cache, 4 * (first + self.quad(key, i, n_quads)), 4)).collect()
    }

    /// Keys whose words may lie among those of the first `n`.
    pub(super) fn reached(self, n: u32) -> u32 {
        n.next_multiple_of(self.together as u32)
    }
}

/// The types of a cache, and how its keys lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CacheTypes {
    /// Of the keys.
    pub keys: CacheType,
    /// Of the values.
    pub values: CacheType,
    /// Whether keys lie in blocks of [`KEY_BLOCK`], where they are no values.
    pub in_blocks: bool,
}

/// Constants of the kernels' variants: 1 where the elements are f16.
const F16_KEYS: &str = "F16_KEYS";
const F16_VALUES: &str = "F16_VALUES";

impl CacheTypes {
    /// Keys and values alike.
    #[must_use]
    pub const fn both(of: CacheType) -> Self {
        Self { keys: of, values: of, in_blocks: false }
    }

    /// What suits a GPU, which reads f16 in half the time and a key an invocation; or a program on the CPU, which is
    /// slower with both.
    #[must_use]
    pub const fn usual(is_gpu: bool) -> Self {
        match is_gpu {
            true => Self { in_blocks: true, ..Self::both(CacheType::F16) },
            false => Self::both(CacheType::F32),
        }
    }

    /// Keys that lie together in a block; 1 where a key is a row.
    #[must_use]
    pub const fn keys_together(self) -> u32 {
        if self.in_blocks { KEY_BLOCK } else { 1 }
    }

    /// The variant of a kernel for these, which [`Self::of`] reads again.
    pub(super) fn variant(self, spec: Spec) -> Spec {
        let keys = match self.keys {
            CacheType::F16 => shader_text!("../../shaders/lib/cached_keys_f16.wgsl"),
            CacheType::F32 => shader_text!("../../shaders/lib/cached_keys_f32.wgsl"),
        };
        let values = match self.values {
            CacheType::F16 => shader_text!("../../shaders/lib/cached_values_f16.wgsl"),
            CacheType::F32 => shader_text!("../../shaders/lib/cached_values_f32.wgsl"),
        };
        let is_half = |of| u32::from(of == CacheType::F16);
        let spec = spec.constant(F16_KEYS, is_half(self.keys)).constant(F16_VALUES, is_half(self.values));
        spec.part(keys).part(values)
    }

    /// The types of a variant.
    pub(super) fn of(spec: &Spec) -> Self {
        let of = |name| if spec.value_of(name) == Some(1) { CacheType::F16 } else { CacheType::F32 };
        let in_blocks = spec.value_of(KEYS_TOGETHER).is_some_and(|together| together > 1);
        Self { keys: of(F16_KEYS), values: of(F16_VALUES), in_blocks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_comes_back_to_the_type_s_precision() {
        let elements = [0.1, -2.5, 1e-6, 70_000.0];
        for (cache_type, tolerance) in [(CacheType::F32, 0.0), (CacheType::F16, 1e-3)] {
            let mut cache = vec![0; 8];
            cache_type.store(&mut cache, 4, &elements);
            let read = cache_type.load(&cache, 4, 4);
            assert!(read[..3].iter().zip(elements).all(|(a, b)| (a - b).abs() <= tolerance), "{read:?}");
            assert!(read[3].is_finite());
        }
        assert_eq!([CacheType::F16.bytes(), CacheType::F32.bytes()], [2, 4]);
    }
}
