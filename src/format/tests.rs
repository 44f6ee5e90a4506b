//! Every format against gguf-py's decoder (the blocks of `tests/fixtures/quant`), the planes against the files'
//! blocks, and the encoders against the error that their formats allow.

use super::plane::{decode_block, decode_plane_row};
use super::quant::{decode_integers, decode_row, encode_row};
use super::random::random_row;
use super::repack::{BLOCK_LEN, blocks_per_row, grid_of, quant_words, repack_rows, row_quantum, scale_words};
use super::{Format, Stored, TensorInfo};
use crate::error::Result;
use proptest::prelude::*;
use std::path::Path;

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quant").join(name);
    std::fs::read(path).expect("the fixture")
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// Pseudo-random bytes that are the same everywhere.
fn noise(n: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..n).map(|_| next()).collect()
}

/// Pseudo-random numbers with the look of weights: a bell of width 1, and every 50th one five times as large.
fn weights(n: usize, seed: u64) -> Vec<f32> {
    let bytes = noise(n * 4, seed);
    let bell = |i: usize| bytes[4 * i..][..4].iter().map(|&byte| f32::from(byte) / 128.0 - 1.0).sum::<f32>();
    (0..n).map(|i| bell(i) * if i % 50 == 7 { 5.0 } else { 1.0 }).collect()
}

#[test]
fn weights_come_first_among_formats() {
    let is_weight = Format::ALL.map(Format::is_weight);
    assert_eq!(is_weight.iter().filter(|is| **is).count(), Format::WEIGHTS.len());
    assert!(Format::WEIGHTS.into_iter().all(Format::is_weight));
}

#[test]
fn rows_decode_as_gguf_py_decodes_them_bit_for_bit() {
    for format in Format::WEIGHTS.into_iter().filter(|&format| format != Format::F32) {
        let blocks = fixture(&format!("{format}.blocks.bin"));
        let wanted = floats(&fixture(&format!("{format}.values.bin")));
        let mut values = vec![0.0; wanted.len()];
        decode_row(format, &blocks, &mut values).expect("whole blocks");
        for (index, (value, wanted)) in values.iter().zip(&wanted).enumerate() {
            let same = value.to_bits() == wanted.to_bits() || value.is_nan() && wanted.is_nan();
            assert!(same, "{format}, element {index}: {value:?} for {wanted:?}");
        }
        // A comparison that cannot fail proves nothing: a changed byte must show. The last blocks are random ones.
        let mut spoilt = blocks;
        let place = spoilt.len() - format.block_bytes() / 2 - 1;
        spoilt[place] ^= 0x11;
        decode_row(format, &spoilt, &mut values).expect("whole blocks");
        assert!(bits(&values) != bits(&wanted), "{format}");
    }
}

#[test]
fn reference_encoders_write_what_gguf_py_writes() {
    let values = floats(&fixture("encoder_input.bin"));
    for format in [Format::Q8_0, Format::Q4_0, Format::Q4_1, Format::Q5_0, Format::Q5_1] {
        let mut bytes = Vec::new();
        encode_row(format, &values, &mut bytes).expect("finite values in whole blocks");
        let wanted = fixture(&format!("{format}.encoded.bin"));
        let size = format.block_bytes();
        for (index, (block, wanted)) in bytes.chunks(size).zip(wanted.chunks(size)).enumerate() {
            assert_eq!(block, wanted, "{format}, block {index}");
        }
        assert_eq!(bytes.len(), wanted.len(), "{format}");
    }
}

/// Repacks a matrix in pieces of `piece` rows, and holds every row, element and count against the file's blocks.
fn check_planes(format: Format, n_rows: usize, n_in: usize, piece: usize, seed: u64) -> Result<()> {
    let row_bytes = format.row_bytes(n_in as u64) as usize;
    let bytes = noise(n_rows * row_bytes, seed);
    let (mut quants, mut scales) = (Vec::new(), grid_of(format).to_vec());
    for rows in bytes.chunks(piece * row_bytes) {
        repack_rows(format, rows, (rows.len() / row_bytes) as u64, n_in as u64, &mut quants, &mut scales)?;
    }
    assert_eq!(quants.len() as u64, quant_words(format, n_rows as u64, n_in as u64), "{format} {n_rows}x{n_in}");
    assert_eq!(scales.len() as u64, scale_words(format, n_rows as u64, n_in as u64), "{format} {n_rows}x{n_in}");
    let blocks = blocks_per_row(n_in as u64) as usize;
    for (row, row_bytes) in bytes.chunks(row_bytes).enumerate() {
        let (mut wanted, mut found) = (vec![0.0; n_in], vec![1.0; n_in]);
        decode_row(format, row_bytes, &mut wanted)?;
        decode_plane_row(format, &quants, &scales, row * blocks, &mut found);
        assert!(bits(&wanted) == bits(&found), "{format} {n_rows}x{n_in}, row {row}");
        wanted.resize(blocks * BLOCK_LEN, 0.0);
        let last = decode_block(format, &quants, &scales, (row + 1) * blocks - 1);
        assert_eq!(bits(&wanted[(blocks - 1) * BLOCK_LEN..]), bits(&last), "{format}: the end of row {row}");
    }
    Ok(())
}

#[test]
fn planes_decode_as_rows_do_bit_for_bit() -> Result<()> {
    for format in Format::WEIGHTS {
        let unit = format.block_len();
        for blocks in [1, 2, 3, 4, 5, 33] {
            let quantum = row_quantum(format, (unit * blocks) as u64) as usize;
            for n_rows in [1, 2, 3, 5, 9] {
                check_planes(format, n_rows, unit * blocks, n_rows, 1 + blocks as u64)?;
                check_planes(format, n_rows, unit * blocks, quantum, 7 + blocks as u64)?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_changed_word_of_a_plane_shows() -> Result<()> {
    for format in Format::WEIGHTS {
        let n_in = 256;
        let mut noise = noise(n_in as usize * 4, 3).into_iter();
        let word = || u32::from_le_bytes(std::array::from_fn(|_| noise.next().unwrap_or_default()));
        let bytes = random_row(format, n_in as usize, 1.0, word)?;
        let (mut quants, mut scales) = (Vec::new(), Vec::new());
        repack_rows(format, &bytes, 1, n_in, &mut quants, &mut scales)?;
        let decode = |quants: &[u32], scales: &[u32]| {
            let mut values = vec![0.0; n_in as usize];
            decode_plane_row(format, quants, &[grid_of(format), scales].concat(), 0, &mut values);
            bits(&values)
        };
        let before = decode(&quants, &scales);
        for index in 0..quants.len() {
            let mut spoilt = quants.clone();
            spoilt[index] ^= 0x40;
            assert!(before != decode(&spoilt, &scales), "{format}: word {index} of the quants");
        }
        for index in 0..scales.len() {
            let mut spoilt = scales.clone();
            spoilt[index] ^= 0x40;
            assert!(before != decode(&quants, &spoilt), "{format}: word {index} of the scales");
        }
    }
    Ok(())
}

/// Root of the mean squared error of encoding and decoding, over the root of the mean square.
fn relative_error(format: Format, values: &[f32]) -> f64 {
    let mut bytes = Vec::new();
    encode_row(format, values, &mut bytes).expect("finite values in whole blocks");
    assert_eq!(bytes.len() as u64, format.row_bytes(values.len() as u64));
    let mut decoded = vec![0.0; values.len()];
    decode_row(format, &bytes, &mut decoded).expect("whole blocks");
    let square = |value: f32| f64::from(value).powi(2);
    let error: f64 = values.iter().zip(&decoded).map(|(&value, &decoded)| square(value - decoded)).sum();
    (error / values.iter().copied().map(square).sum::<f64>()).sqrt()
}

#[test]
fn encoders_lose_no_more_than_their_formats_must() {
    let values = weights(256 * 64, 11);
    for (format, most) in [
        (Format::F32, 0.0),
        (Format::F16, 3e-4),
        (Format::BF16, 2.5e-3),
        (Format::Q8_0, 8e-3),
        (Format::Q6_K, 2.5e-2),
        (Format::FP8, 3e-2),
        (Format::FP8_F32, 3e-2),
        (Format::Q5_1, 5e-2),
        (Format::Q5_0, 7e-2),
        (Format::Q5_K, 5e-2),
        (Format::Q4_K, 9e-2),
        (Format::Q4_1, 1e-1),
        (Format::Q4_0, 1.4e-1),
        (Format::IQ4_NL, 1e-1),
        (Format::IQ4_XS, 1e-1),
        (Format::NVFP4, 1.2e-1),
        (Format::MXFP4, 1.4e-1),
        (Format::Q3_K, 2e-1),
        (Format::Q2_K, 3.5e-1),
    ] {
        let error = relative_error(format, &values);
        assert!(error <= most, "{format}: {error}");
    }
}

/// `errors.json` holds what ggml's encoders lose on the same numbers, by its library and by gguf-py.
#[test]
fn encoders_lose_no_more_than_ggmls_own() {
    let values = floats(&fixture("weights.bin"));
    let theirs: serde_json::Value = serde_json::from_slice(&fixture("errors.json")).expect("JSON");
    let written = |f: Format| f != Format::F32 && f.ggml_id().is_some() && f.can_encode();
    for format in Format::WEIGHTS.into_iter().filter(|&f| written(f)) {
        let theirs = theirs[format.name()].as_object().expect("figures for every format");
        let least = theirs.values().filter_map(serde_json::Value::as_f64).fold(f64::INFINITY, f64::min);
        let ours = relative_error(format, &values);
        println!("{format}: {ours:.5}, ggml {least:.5}");
        assert!(ours <= least * (1.0 + 1e-6), "{format}: {ours}, ggml {least}");
    }
}

/// The relative error of rounding each run of `LEN` elements to even steps: what an encoder without a search does,
/// and with steps that cost nothing. `spacing` gives step and origin from the least and greatest of zero and the
/// elements.
fn even_steps<const LEN: usize>(values: &[f32], spacing: fn(f32, f32) -> (f32, f32)) -> f64 {
    let (mut error, mut sum) = (0.0, 0.0);
    for run in values.as_chunks::<LEN>().0 {
        let low = run.iter().fold(0.0f32, |low, &value| low.min(value));
        let high = run.iter().fold(0.0f32, |high, &value| high.max(value));
        let (step, origin) = spacing(low, high);
        for &value in run {
            error += f64::from(value - (((value - origin) / step).round() * step + origin)).powi(2);
            sum += f64::from(value).powi(2);
        }
    }
    (error / sum).sqrt()
}

#[test]
fn searching_encoders_beat_even_steps() {
    for seed in 0..8 {
        let values = weights(256 * 16, 100 + seed);
        let (found, simple) =
            (relative_error(Format::Q4_K, &values), even_steps::<32>(&values, |low, high| ((high - low) / 15.0, low)));
        assert!(found <= simple, "Q4_K: {found} for {simple}");
        let (found, simple) = (
            relative_error(Format::Q6_K, &values),
            even_steps::<16>(&values, |low, high| (high.max(-low) / 31.0, 0.0)),
        );
        assert!(found <= simple, "Q6_K: {found} for {simple}");
    }
}

#[test]
fn encoders_survive_the_edges_of_f32() {
    for format in Format::WEIGHTS.into_iter().filter(|format| format.can_encode()) {
        for value in [0.0, -0.0, 1.0, -1.0, f32::MIN_POSITIVE, 1e-45, -1e-40, 6e4, 1e30, f32::MAX, f32::MIN] {
            let mut values = vec![value; 256];
            let mut bytes = Vec::new();
            encode_row(format, &values, &mut bytes).expect("finite values");
            decode_row(format, &bytes, &mut values).expect("whole blocks");
            let coarse = [Format::F16, Format::BF16, Format::MXFP4, Format::FP8, Format::FP8_F32];
            let may_overflow = coarse.contains(&format);
            assert!(may_overflow || values.iter().all(|value| value.is_finite()), "{format}: {value:e}");
            assert!(values.iter().all(|value| !value.is_nan()), "{format}: {value:e}");
        }
        let mut values = vec![0.5; 256];
        values[77] = f32::NAN;
        assert_eq!(encode_row(format, &values, &mut Vec::new()).is_err(), format.block_len() > 1, "{format}");
    }
}

#[test]
fn integers_are_read_and_checked() {
    let mut integers = Vec::new();
    decode_integers(Format::I32, &[1, 0, 0, 0, 255, 255, 255, 255], &mut integers).expect("two entries");
    decode_integers(Format::I64, &7i64.to_le_bytes(), &mut integers).expect("one entry");
    assert_eq!(integers, [1, -1, 7]);
    for (format, bytes) in [(Format::I64, &[255; 7][..]), (Format::I64, &[127; 8]), (Format::F32, &[0; 4])] {
        assert!(decode_integers(format, bytes, &mut integers).is_err(), "{format}: {bytes:?}");
    }
}

#[test]
fn an_unsupported_format_is_named_with_its_tensor_and_those_supported() {
    let tensor = TensorInfo {
        name: "blk.0.attn_q_a.weight".to_owned(),
        stored: Stored::Other("Q8_K".to_owned()),
        shape: vec![2, 256],
        offset: 0,
        bytes: 584,
        source_index: 0,
    };
    let message = tensor.require_supported().expect_err("not supported").to_string();
    for part in ["blk.0.attn_q_a.weight", "Q8_K", "Q8_0", "MXFP4"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn what_is_only_read_is_not_written() {
    for format in Format::WEIGHTS.into_iter().filter(|format| !format.can_encode()) {
        let message = encode_row(format, &[0.5; 256], &mut Vec::new()).expect_err("only read").to_string();
        for part in [format.name(), "only read", "Q4_K"] {
            assert!(message.contains(part), "{message}");
        }
        assert!(!message.contains(&format!(", {format},")), "{message}");
    }
}

#[test]
fn names_and_numbers_of_formats_come_back() {
    for format in Format::ALL {
        assert_eq!(format!("{format:?}"), format.name(), "a row of another format");
        assert_eq!(Format::from_name(&format.name().to_lowercase()), Some(format));
        assert!(format.ggml_id().is_none_or(|id| Format::from_ggml_id(id) == Some(format)), "{format}");
    }
}

proptest! {
    #[test]
    fn rows_of_any_length_are_decoded_or_refused(index in 0usize..Format::ALL.len(), n_bytes in 0usize..900, n in 0usize..600) {
        let format = Format::ALL[index];
        let (bytes, mut values) = (noise(n_bytes, 5), vec![0.0; n]);
        let fits = format.is_weight() && n % format.block_len() == 0 && format.row_bytes(n as u64) == n_bytes as u64;
        prop_assert_eq!(decode_row(format, &bytes, &mut values).is_ok(), fits);
        let (mut quants, mut scales) = (Vec::new(), Vec::new());
        let repacked = repack_rows(format, &bytes, 1, n as u64, &mut quants, &mut scales);
        prop_assert_eq!(repacked.is_ok(), fits && n > 0);
        prop_assert!(repack_rows(format, &bytes, u64::MAX, u64::MAX, &mut quants, &mut scales).is_err());
    }
}
