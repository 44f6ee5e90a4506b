//! Model files as an enemy would write them: every one is a clear error that names the file and what is wrong, and
//! none a panic. `hostile_memory.rs` adds that none takes memory that its bytes do not account for.

use crate::crafted::{GgufFile, SAFETENSORS_SAMPLE, array, safetensors_file, text};
use headstart::format::gguf::{self, Gguf};
use headstart::format::safetensors::{self, Safetensors};
use headstart::format::{Directory, Memory, Source, Stored};
use headstart::host::native::source::File;
use headstart::{Error, ErrorKind, Result};
use proptest::prelude::*;

fn read_gguf(bytes: Vec<u8>) -> Result<Gguf> {
    pollster::block_on(gguf::read(&Memory::new("crafted.gguf", bytes), 0))
}

fn read_safetensors(bytes: Vec<u8>) -> Result<Safetensors> {
    pollster::block_on(safetensors::read(&Memory::new("crafted.safetensors", bytes), 0))
}

/// Holds an error to what every error owes: the file's name, and each of `parts`.
#[track_caller]
fn check_error(error: &Error, parts: &[&str]) {
    let message = error.to_string();
    assert_eq!(error.kind, ErrorKind::File, "{message}");
    for part in ["crafted"].iter().chain(parts) {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

#[track_caller]
fn refused(file: &GgufFile, parts: &[&str]) {
    check_error(&read_gguf(file.bytes()).expect_err("a hostile file"), parts);
}

#[track_caller]
fn refused_json(json: &str, data_bytes: usize, parts: &[&str]) {
    check_error(&read_safetensors(safetensors_file(json, data_bytes)).expect_err("a hostile file"), parts);
}

/// What a directory promises of every tensor in it.
fn check_directory(directory: &Directory, file_bytes: u64) {
    let mut places: Vec<(u64, u64)> = directory.tensors().iter().map(|tensor| (tensor.offset, tensor.end())).collect();
    assert!(places.iter().all(|&(begin, end)| begin <= end && end <= file_bytes));
    // What has no bytes may lie anywhere.
    places.retain(|(begin, end)| begin < end);
    places.sort_unstable();
    assert!(places.windows(2).all(|pair| pair[0].1 <= pair[1].0));
    for tensor in directory.tensors() {
        assert_eq!(directory.get(&tensor.name), Some(tensor));
        if let Stored::Supported(format) = tensor.stored {
            assert_eq!(tensor.bytes, format.row_bytes(tensor.n_in()) * tensor.n_rows());
        }
    }
}

#[test]
fn a_sound_gguf_file_is_read() -> Result<()> {
    for version in [2, 3] {
        let file = GgufFile { version, ..GgufFile::sample() };
        let gguf = read_gguf(file.bytes())?;
        let metadata = &gguf.metadata;
        assert_eq!(metadata.require_str("general.architecture")?, "deepseek4");
        assert_eq!(metadata.require_u32("deepseek4.block_count")?, 2);
        assert_eq!(metadata.get_f32("deepseek4.scale")?, Some(1.5));
        assert_eq!(metadata.get_bool("deepseek4.flag")?, Some(true));
        assert_eq!(metadata.get_u32s("deepseek4.ratios")?, Some(vec![4, 4, 128]));
        assert_eq!(metadata.get_u32_for_each("deepseek4.ratios", 2)?, Some(vec![4, 4]));
        assert_eq!(metadata.get_u32_for_each("deepseek4.block_count", 3)?, Some(vec![2; 3]));
        let tokens: Vec<&str> = metadata.require_strs("tokenizer.ggml.tokens")?.iter().collect();
        assert_eq!(tokens, ["a", "é", ""]);
        assert_eq!(metadata.get_u32("absent")?, None);

        let embedding = gguf.directory.require("token_embd.weight")?;
        assert_eq!((embedding.shape.as_slice(), embedding.bytes), (&[4, 32][..], 4 * 34));
        assert_eq!(embedding.offset % 32, 0);
        let other = gguf.directory.require("blk.0.other.weight")?;
        check_error(
            &other.require_supported().expect_err("Q8_K").in_crafted(),
            &["blk.0.other.weight", "Q8_K", "Q4_K"],
        );
        check_directory(&gguf.directory, file.bytes().len() as u64);
    }
    Ok(())
}

#[test]
fn real_files_are_read_from_disk() -> Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden");
    let file = File::open(folder.join("gguf/v4_random_f32.gguf"))?;
    let gguf = pollster::block_on(gguf::read(&file, 0))?;
    assert_eq!(gguf.metadata.require_u32("deepseek4.block_count")?, 6);
    assert_eq!(gguf.directory.require("blk.0.ffn_down_exps.weight")?.shape, [8, 64, 32]);
    check_directory(&gguf.directory, file.bytes());

    let file = File::open(folder.join("model.safetensors"))?;
    let safetensors = pollster::block_on(safetensors::read(&file, 3))?;
    let base = safetensors.directory.require("hc_head_base")?;
    assert_eq!((base.shape.as_slice(), base.source_index), (&[4][..], 3));
    check_directory(&safetensors.directory, file.bytes());
    Ok(())
}

/// A tensor's own errors do not know the file.
trait InCrafted {
    fn in_crafted(self) -> Self;
}

impl InCrafted for Error {
    fn in_crafted(self) -> Self {
        Self { thing: format!("crafted: {}", self.thing), ..self }
    }
}

#[test]
fn a_gguf_file_cut_anywhere_is_refused() {
    let bytes = GgufFile::sample().bytes();
    for len in 0..bytes.len() {
        let error = read_gguf(bytes[..len].to_vec()).expect_err("a file cut short");
        check_error(&error, &["cut short"]);
    }
}

#[test]
fn other_kinds_of_files_are_named() {
    for (bytes, part) in [
        (&b"version https://git-lfs.github.com/spec/v1"[..], "Git LFS"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04............", "zip archive"),
        (b"ggmlxxxxxxxxxxxx", "before GGUF"),
        (b"\0\0\0\0\0\0\0\0\0\0\0\0", "not a GGUF file"),
        (b"GGUF\x01\0\0\0........", "version 1"),
        (b"GGUF\0\0\0\x03........", "big-endian"),
        (b"GGUF\x63\0\0\0........", "version 99"),
    ] {
        check_error(&read_gguf(bytes.to_vec()).expect_err("no GGUF file"), &[part]);
    }
}

#[test]
fn counts_that_the_file_cannot_hold_are_refused() {
    let file = GgufFile::sample();
    for count in [100, 1 << 16, 1 << 30, 60_000_000_000, 1 << 61, u64::MAX] {
        assert!(read_gguf(GgufFile { n_tensors: count, ..file.clone() }.bytes()).is_err(), "{count} tensors");
        assert!(read_gguf(GgufFile { n_keys: count, ..file.clone() }.bytes()).is_err(), "{count} keys");
        for kind in [0, 4, 8, 10] {
            refused(&GgufFile::new().key("k", 9, &array(kind, count, &[0; 4])), &["\"k\"", "fit in"]);
        }
        refused(&GgufFile::new().key("k", 8, &count.to_le_bytes()), &["bytes"]);
    }
    let header = [&b"GGUF\x03\0\0\0"[..], &60_000_000_000u64.to_le_bytes(), &0u64.to_le_bytes()].concat();
    assert_eq!(header.len(), 24);
    check_error(&read_gguf(header).expect_err("60 GB of tensors"), &["60000000000 tensors"]);
}

#[test]
fn keys_are_checked() {
    let new = GgufFile::new;
    refused(&new().key("k", 4, &[1, 0, 0, 0]).key("k", 4, &[2, 0, 0, 0]), &["\"k\"", "second time"]);
    refused(&new().key("k", 13, &[0; 8]), &["\"k\"", "type 13"]);
    refused(&new().key("k", 9, &array(13, 1, &[0; 8])), &["\"k\"", "type 13"]);
    refused(&new().key("k", 9, &array(9, 1, &array(4, 1, &[0; 4]))), &["\"k\"", "array of arrays"]);
    let long_key = "k".repeat(70_000);
    refused(&new().key(&long_key, 4, &[0; 4]), &["70000 bytes"]);
}

/// What nobody asks for does no harm, and what asks for it gets an error.
#[test]
fn odd_keys_are_kept_until_somebody_needs_them() -> Result<()> {
    let file = GgufFile::new()
        .key("twice", 4, &[1, 0, 0, 0])
        .key("twice", 4, &[1, 0, 0, 0])
        .key("true", 7, &[2])
        .key("text", 8, &text(b"caf\xe9"))
        .key("texts", 9, &array(8, 2, &[text(b"a"), text(b"\xc3")].concat()))
        // Two halves of one character are no characters.
        .key("halves", 9, &array(8, 2, &[text(b"\xc3"), text(b"\xa9")].concat()))
        .tensor(b"scalar", &[], 0, 0)
        .tensor(b"nothing", &[0], 0, 0)
        .data(4);
    let read = read_gguf(file.bytes())?;
    let metadata = &read.metadata;
    assert_eq!((metadata.get_u32("twice")?, metadata.get_bool("true")?), (Some(1), Some(true)));
    check_error(&metadata.get_str("text").expect_err("no text"), &["\"text\"", "no UTF-8"]);
    for key in ["texts", "halves"] {
        check_error(&metadata.get_strs(key).expect_err("no texts"), &[key, "no UTF-8"]);
    }
    assert_eq!(read.directory.require("scalar")?.shape, [0u64; 0]);
    // They are written as they were read.
    let mut written = gguf::head(metadata.iter().collect::<Vec<_>>().into_iter(), &[])?;
    written.resize(written.len() + 32, 0);
    assert!(read_gguf(written)?.metadata.iter().eq(metadata.iter()));
    Ok(())
}

#[test]
fn values_of_the_wrong_type_are_no_defaults() -> Result<()> {
    let file = GgufFile::sample().key("nan", 6, &f32::NAN.to_le_bytes());
    let gguf = read_gguf(file.key("none", 10, &[0xff; 8]).key("no", 5, &[0xff; 4]).bytes())?;
    let metadata = &gguf.metadata;
    // An id of -1, in whatever type, is that of no token.
    assert_eq!((metadata.get_id("none")?, metadata.get_id("no")?), (None, None));
    let errors = [
        metadata.get_u32("general.architecture").err(),
        metadata.get_u32("deepseek4.scale").err(),
        metadata.get_u32("deepseek4.ratios").err(),
        metadata.get_u32_for_each("deepseek4.ratios", 4).err(),
        metadata.get_u32_for_each("deepseek4.block_count", usize::MAX).err(),
        metadata.get_f32("nan").err(),
        metadata.get_bool("deepseek4.block_count").err(),
        metadata.get_str("deepseek4.block_count").err(),
        metadata.get_strs("deepseek4.ratios").err(),
        metadata.require_u32("absent").err(),
    ];
    for error in errors {
        check_error(&error.expect("an error"), &["key"]);
    }
    Ok(())
}

#[test]
fn alignments_are_checked() -> Result<()> {
    for alignment in [0u32, 3, 24, 33, 1 << 21, u32::MAX] {
        refused(
            &GgufFile::new().key("general.alignment", 4, &alignment.to_le_bytes()),
            &["general.alignment", "power of two"],
        );
    }
    refused(&GgufFile::new().key("general.alignment", 8, &text(b"32")), &["general.alignment"]);
    for alignment in [1u32, 8, 64, 4096] {
        let mut file = GgufFile::new()
            .key("general.alignment", 4, &alignment.to_le_bytes())
            .tensor(b"a", &[2], 0, 0)
            .tensor(b"b", &[2], 0, u64::from(alignment).max(8))
            .data(alignment.max(8) as usize + 8);
        file.alignment = alignment as usize;
        check_directory(&read_gguf(file.bytes())?.directory, file.bytes().len() as u64);
    }
    Ok(())
}

#[test]
fn tensors_are_checked() {
    let new = || GgufFile::new().data(1024);
    let two = |name: &[u8], offset| new().tensor(b"first", &[64], 0, 0).tensor(name, &[64], 0, offset);
    refused(&two(b"first", 256), &["\"first\"", "twice"]);
    refused(&two(b"second", 224), &["\"second\"", "inside \"first\""]);
    refused(&two(b"second", 0), &["inside"]);
    refused(&two(b"second", 800), &["\"second\"", "1152 bytes", "cut short"]);
    refused(&two(b"second", 257), &["\"second\"", "alignment"]);
    refused(&two(b"second", u64::MAX - 31), &["\"second\"", "inside the"]);
    refused(&two(b"sec\xffond", 256), &["UTF-8"]);
    refused(&two(&[b'x'; 2000], 256), &["2000 bytes"]);
    refused(&new().tensor(b"t", &[1; 5], 0, 0), &["\"t\"", "5 dimensions"]);
    refused(&new().tensor(b"t", &[1 << 32, 1 << 32, 0], 0, 0), &["\"t\"", "64 bits"]);
    refused(&new().tensor(b"t", &[1 << 32, 1 << 32], 0, 0), &["\"t\"", "64 bits"]);
    refused(&new().tensor(b"t", &[1 << 62], 0, 0), &["\"t\"", "64 bits"]);
    refused(&new().tensor(b"t", &[1 << 40], 0, 0), &["\"t\"", "inside the"]);
    refused(&new().tensor(b"t", &[33], 8, 0), &["\"t\"", "multiple of 32"]);
    refused(&new().tensor(b"t", &[128, 2], 14, 0), &["\"t\"", "multiple of 256", "Q6_K"]);
    refused(&new().tensor(b"t", &[64], 77, 2048), &["\"t\"", "inside the"]);
}

/// Training in pieces leaves such tensors behind.
#[test]
fn tensors_without_elements_are_kept_and_take_no_room() -> Result<()> {
    let file = GgufFile::new().tensor(b"none", &[4, 0], 0, 0).tensor(b"t", &[4], 0, 0).data(64);
    let gguf = read_gguf(file.bytes())?;
    assert_eq!(gguf.directory.require("none")?.bytes, 0);
    check_directory(&gguf.directory, file.bytes().len() as u64);
    let entries = r#"{"none":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]},"t":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#;
    let file = safetensors_file(entries, 16);
    let directory = read_safetensors(file.clone())?.directory;
    assert_eq!((directory.require("none")?.bytes, directory.require("t")?.bytes), (0, 16));
    check_directory(&directory, file.len() as u64);
    Ok(())
}

#[test]
fn a_tensor_of_unknown_type_fails_only_on_use() -> Result<()> {
    let gguf = read_gguf(GgufFile::new().tensor(b"t", &[7], 77, 32).data(64).bytes())?;
    let error = gguf.directory.require("t")?.require_supported().expect_err("unknown").in_crafted();
    check_error(&error, &["\"t\"", "type 77", "MXFP4"]);
    Ok(())
}

#[test]
fn a_source_that_fails_fails_the_reader() {
    struct Failing;
    impl Source for Failing {
        fn bytes(&self) -> u64 {
            1000
        }
        fn name(&self) -> &str {
            "failing"
        }
        fn read_at<'a>(&'a self, _: u64, _: &'a mut [u8]) -> headstart::format::Reading<'a> {
            Box::pin(std::future::ready(Err(Error::io("failing", "no disk"))))
        }
    }
    assert_eq!(pollster::block_on(gguf::read(&Failing, 0)).expect_err("no disk").kind, ErrorKind::Io);
    assert_eq!(pollster::block_on(safetensors::read(&Failing, 0)).expect_err("no disk").kind, ErrorKind::Io);
}

#[test]
fn a_sound_safetensors_file_is_read() -> Result<()> {
    let bytes = safetensors_file(SAFETENSORS_SAMPLE, 96);
    let data_begin = bytes.len() as u64 - 96;
    let file = read_safetensors(bytes.clone())?;
    assert_eq!(file.metadata.get("format").map(String::as_str), Some("pt"));
    let norm = file.directory.require("norm.weight")?;
    assert_eq!((norm.shape.as_slice(), norm.offset, norm.bytes), (&[8][..], data_begin + 64, 16));
    let error = file.directory.require("wq_a.weight")?.require_supported().expect_err("F8_E4M3").in_crafted();
    check_error(&error, &["wq_a.weight", "F8_E4M3", "BF16"]);
    check_directory(&file.directory, bytes.len() as u64);
    Ok(())
}

#[test]
fn a_safetensors_file_cut_anywhere_is_refused() {
    let bytes = safetensors_file(SAFETENSORS_SAMPLE, 96);
    for len in 0..bytes.len() {
        let error = read_safetensors(bytes[..len].to_vec()).expect_err("a file cut short");
        check_error(&error, &["cut short"]);
    }
}

#[test]
fn lengths_of_safetensors_headers_are_checked() {
    for len in [9u64, 100_000_001, 60_000_000_000, u64::MAX - 7, u64::MAX] {
        let bytes = [&len.to_le_bytes()[..], b"{}      "].concat();
        check_error(&read_safetensors(bytes).expect_err("a length"), &[&len.to_string()]);
    }
}

#[test]
fn safetensors_entries_are_checked() {
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    for (dtype, shape, offsets, part) in [
        ("F32", "[4]", "[0,12]", "16 bytes"),
        ("F32", "[4]", "[0,20]", "16 bytes"),
        ("F32", "[4]", "[16,0]", "bytes 16 to 0"),
        ("F32", "[4]", "[92,108]", "inside the 96 bytes"),
        ("F32", "[4]", "[18446744073709551600,18446744073709551615]", "inside the 96 bytes"),
        ("F32", "[0]", "[0,4]", "0 bytes"),
        ("F32", "[0,4294967296,4294967296]", "[0,0]", "64 bits"),
        ("F32", "[4294967296,4294967296]", "[0,0]", "64 bits"),
        ("F32", "[4611686018427387904]", "[0,0]", "64 bits"),
        ("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]", "9 dimensions"),
        ("F8_E4M3", "[4]", "[0,5]", "4 bytes"),
        ("NOVEL", "[4294967296,4294967296]", "[0,5]", "64 bits"),
        ("F32", "[-4]", "[0,16]", "header"),
        ("F32", "[4.5]", "[0,16]", "header"),
        ("F32", "[99999999999999999999]", "[0,16]", "header"),
        ("F32", "4", "[0,16]", "header"),
        ("F32", "[4]", "[0,16,32]", "header"),
        ("F32", "[4]", "[0]", "header"),
    ] {
        refused_json(&entry(dtype, shape, offsets), 96, &[part]);
    }
    let two = |first: &str, second: &str| {
        format!(
            r#"{{{first}:{{"dtype":"F32","shape":[4],"data_offsets":[0,16]}},{second}:{{"dtype":"F32","shape":[4],"data_offsets":[12,28]}}}}"#
        )
    };
    refused_json(&two(r#""a""#, r#""b""#), 96, &["\"b\"", "inside \"a\""]);
    refused_json(&two(r#""a""#, r#""\u0061""#), 96, &["\"a\"", "twice"]);
}

#[test]
fn headers_that_are_no_directory_are_refused() {
    let nested = "[".repeat(100_000);
    for json in ["", " ", "[]", "null", "{", r#"{"t":{}}"#, r#"{"t":[]}"#, r#"{"__metadata__":[1]}"#, "{}x", &nested] {
        refused_json(json, 0, &["header"]);
    }
    for json in ["{}\0\0\0", r#"{"__metadata__":null}"#, r#"{"__metadata__":{"a":1,"format":"pt","b":null}}"#] {
        let read = read_safetensors(safetensors_file(json, 0)).expect(json);
        assert_eq!(read.metadata.len(), usize::from(json.contains("format")), "{json}");
    }
    let mut not_text = safetensors_file(SAFETENSORS_SAMPLE, 96);
    not_text[20] = 0xff;
    check_error(&read_safetensors(not_text).expect_err("not UTF-8"), &["header"]);
}

proptest! {
    #[test]
    fn noise_is_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), magic in any::<bool>()) {
        if magic && bytes.len() >= 8 {
            bytes[..8].copy_from_slice(b"GGUF\x03\0\0\0");
        }
        let len = bytes.len() as u64;
        if let Ok(gguf) = read_gguf(bytes.clone()) {
            check_directory(&gguf.directory, len);
        }
        prop_assert!(read_safetensors(bytes).is_err());
    }

    #[test]
    fn spoilt_gguf_files_break_no_promise(
        spoils in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = GgufFile::sample().bytes();
        let header_len = GgufFile::sample().header().len();
        for (index, byte) in spoils {
            bytes[index.index(header_len)] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let len = bytes.len() as u64;
        match read_gguf(bytes) {
            Ok(gguf) => check_directory(&gguf.directory, len),
            Err(error) => check_error(&error, &[]),
        }
    }

    #[test]
    fn spoilt_numbers_of_gguf_files_break_no_promise(place in any::<prop::sample::Index>(), number in prop_oneof![
        any::<u64>(), 0u64..64, (0u32..64).prop_map(|bit| 1 << bit), (0u32..64).prop_map(|bit| u64::MAX >> bit),
    ]) {
        let mut bytes = GgufFile::sample().bytes();
        let place = 8 + place.index(GgufFile::sample().header().len() - 16);
        bytes[place..place + 8].copy_from_slice(&number.to_le_bytes());
        let len = bytes.len() as u64;
        match read_gguf(bytes) {
            Ok(gguf) => check_directory(&gguf.directory, len),
            Err(error) => check_error(&error, &[]),
        }
    }

    #[test]
    fn spoilt_safetensors_files_break_no_promise(
        spoils in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = safetensors_file(SAFETENSORS_SAMPLE, 96);
        let len = bytes.len();
        for (index, byte) in spoils {
            bytes[index.index(len - 96)] = byte;
        }
        match read_safetensors(bytes) {
            Ok(file) => check_directory(&file.directory, len as u64),
            Err(error) => check_error(&error, &[]),
        }
    }

    #[test]
    fn any_entry_of_a_safetensors_file_breaks_no_promise(
        shape in proptest::collection::vec(prop_oneof![0u64..9, any::<u64>()], 0..5),
        begin in prop_oneof![0u64..100, any::<u64>()],
        end in prop_oneof![0u64..100, any::<u64>()],
        dtype in prop::sample::select(vec!["F32", "F16", "I64", "F4", "U8", "WHAT"]),
    ) {
        let json = format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{begin},{end}]}}}}"#);
        let bytes = safetensors_file(&json, 96);
        let len = bytes.len() as u64;
        match read_safetensors(bytes) {
            Ok(file) => check_directory(&file.directory, len),
            Err(error) => check_error(&error, &[]),
        }
    }
}
