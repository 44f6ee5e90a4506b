//! How keys and values lie in the cache: f32, or halves two to a word; twins of `shaders/lib/cache_*.wgsl`.

use half::f16;

/// The type of a cache's elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CacheType {
    /// Halves: half the memory, and three digits.
    F16,
    /// Single precision.
    #[default]
    F32,
}

impl CacheType {
    pub(super) fn part(self) -> &'static str {
        match self {
            Self::F16 => include_str!("../../shaders/lib/cache_f16.wgsl"),
            Self::F32 => include_str!("../../shaders/lib/cache_f32.wgsl"),
        }
    }

    /// Words that `n` elements take; `n` is even.
    #[must_use]
    pub fn words(self, n: u64) -> u64 {
        match self {
            Self::F16 => n / 2,
            Self::F32 => n,
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
