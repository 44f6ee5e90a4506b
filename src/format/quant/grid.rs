//! The tables that codes choose from, written by `tools/fixtures/quant_grids.py`. An entry of 16 bits is eight numbers of
//! two bits each, or four numbers of four bits: places in the short list that each format has for itself.

/// IQ2_XXS: 256 entries of eight.
pub(super) static IQ2_XXS: [u32; 128] = words(include_bytes!("grids/iq2_xxs.bin"));
/// IQ2_XS: 512 entries of eight.
pub(super) static IQ2_XS: [u32; 256] = words(include_bytes!("grids/iq2_xs.bin"));
/// IQ2_S: 1,024 entries of eight.
pub(super) static IQ2_S: [u32; 512] = words(include_bytes!("grids/iq2_s.bin"));
/// IQ3_XXS: 256 entries of four.
pub(super) static IQ3_XXS: [u32; 128] = words(include_bytes!("grids/iq3_xxs.bin"));
/// IQ3_S: 512 entries of four.
pub(super) static IQ3_S: [u32; 256] = words(include_bytes!("grids/iq3_s.bin"));
/// IQ1_S and IQ1_M: 2,048 entries of eight.
pub(super) static IQ1: [u32; 1024] = words(include_bytes!("grids/iq1_s.bin"));

const fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    assert!(bytes.len() == 4 * N, "a table of that many words");
    let mut words = [0; N];
    let mut i = 0;
    while i < N {
        words[i] = u32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]]);
        i += 1;
    }
    words
}

/// The places of the eight numbers of an entry.
pub(super) fn eight(entry: u32) -> [u32; 8] {
    std::array::from_fn(|i| entry >> (2 * i) & 3)
}

/// The places of the four numbers of an entry.
pub(super) fn four(entry: u32) -> [u32; 4] {
    std::array::from_fn(|i| entry >> (4 * i) & 15)
}

/// Eight signs of which seven bits are stored: the number of minus signs is even.
pub(super) fn with_eighth(seven: u32) -> u32 {
    let seven = seven & 127;
    seven | (seven.count_ones() & 1) << 7
}

/// The magnitudes times `scale`, with a minus where the bit is set.
pub(super) fn write_signed(magnitudes: &[f32], signs: u32, scale: f32, values: &mut [f32]) {
    for (i, (value, magnitude)) in values.iter_mut().zip(magnitudes).enumerate() {
        *value = scale * if signs >> i & 1 == 1 { -magnitude } else { *magnitude };
    }
}

#[cfg(test)]
mod tests {
    use super::super::{iq1, iq2, iq3_s, iq3_xxs};
    use super::*;
    use sha2::{Digest, Sha256};

    /// The hash of a table's numbers, as `index.json` of the fixtures has gguf-py's.
    fn hash<const N: usize>(grid: &[u32], numbers: impl Fn(u32) -> [f32; N]) -> String {
        let entries = grid.iter().flat_map(|word| [word & 0xffff, word >> 16]);
        let bytes: Vec<u8> = entries.flat_map(numbers).flat_map(f32::to_le_bytes).collect();
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn tables_are_those_of_gguf_py() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quant/index.json");
        let index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).expect("the fixture")).expect("JSON");
        for (name, found) in [
            ("IQ2_XXS", hash(&IQ2_XXS, iq2::magnitudes)),
            ("IQ2_XS", hash(&IQ2_XS, iq2::magnitudes)),
            ("IQ2_S", hash(&IQ2_S, iq2::magnitudes)),
            ("IQ3_XXS", hash(&IQ3_XXS, iq3_xxs::magnitudes)),
            ("IQ3_S", hash(&IQ3_S, iq3_s::magnitudes)),
            ("IQ1_S", hash(&IQ1, iq1::numbers)),
            ("IQ1_M", hash(&IQ1, iq1::numbers)),
        ] {
            assert_eq!(index[name]["grid_sha256"].as_str(), Some(found.as_str()), "{name}");
        }
    }

    #[test]
    fn the_eighth_sign_makes_them_even() {
        assert!(
            (0..128)
                .all(|seven| with_eighth(seven).count_ones().is_multiple_of(2) && with_eighth(seven) & 127 == seven)
        );
    }
}
