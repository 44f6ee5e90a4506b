//! Shapes and weights, bound from the golden files and from copies of their directories with one thing wrong.

use crate::support::in_transformers;
use headstart::Error;
use headstart::format::gguf::{self, Gguf};
use headstart::format::scaled::{Layout, ScaleType};
use headstart::format::{Directory, Format, Memory, Stored, TensorInfo, safetensors};
use headstart::model::Model;
use headstart::model::shape::{NO_LIMIT, Shape, Yarn};
use headstart::model::weights::{Mapped, Piece, Route, Scales, Scheme, TensorRef, Weights};
use serde_json::{Value, json};

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const GOLDEN_GGUF: &str = "tests/fixtures/golden/gguf/v4_random_f32.gguf";

fn read_gguf(bytes: Vec<u8>) -> Gguf {
    pollster::block_on(gguf::read(&Memory::new("golden.gguf", bytes), 0)).expect("a sound file")
}

fn golden_config() -> Value {
    serde_json::from_slice(&fixture("tests/fixtures/golden/config.json")).expect("JSON")
}

fn golden_shape() -> Shape {
    Shape::from_config(&golden_config().to_string()).expect("a sound config")
}

fn golden_directory() -> Directory {
    let source = Memory::new("model.safetensors", fixture("tests/fixtures/golden/model.safetensors"));
    pollster::block_on(safetensors::read(&source, 0)).expect("a sound file").directory
}

/// The error, shown, of binding the golden model after a change to its tensors.
fn bind_error(change: impl FnOnce(&mut Vec<TensorInfo>)) -> String {
    let mut tensors = golden_directory().tensors().to_vec();
    change(&mut tensors);
    let directory = Directory::new(tensors).expect("a sound directory");
    Weights::bind(&golden_shape(), &directory).expect_err("something is wrong").to_string()
}

fn named<'a>(tensors: &'a mut [TensorInfo], name: &str) -> &'a mut TensorInfo {
    tensors.iter_mut().find(|tensor| tensor.name == name).expect("a tensor of the golden model")
}

/// Fails unless the text says all of that.
fn assert_says(text: &str, all: &[&str]) {
    for part in all {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

/// The places in a GGUF of a key's value.
fn value_at(bytes: &[u8], key: &str) -> usize {
    let with_length = [&(key.len() as u64).to_le_bytes()[..], key.as_bytes()].concat();
    let at = bytes.windows(with_length.len()).position(|window| window == with_length).expect("a key of the file");
    at + with_length.len() + 4
}

/// The error, shown, of a GGUF in which the value of a key is another.
fn gguf_error(key: &str, value: u32) -> String {
    let mut bytes = fixture(GOLDEN_GGUF);
    let at = value_at(&bytes, key);
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    Shape::from_gguf(&read_gguf(bytes)).expect_err("something is wrong").to_string()
}

/// The same file with a key renamed, so that it is missing.
fn without(mut bytes: Vec<u8>, key: &str) -> Vec<u8> {
    let at = value_at(&bytes, key) - 5;
    bytes[at] = b'~';
    bytes
}

/// The outcome for a config with one value changed; `null` takes it away.
fn config_with(path: &str, value: Value) -> Result<Shape, Error> {
    let mut config = golden_config();
    config[path] = value;
    Shape::from_config(&config.to_string())
}

#[test]
fn the_golden_config_is_read() {
    let shape = golden_shape();
    assert_eq!(shape.ratios, [0, 0, 4, 128, 4, 128]);
    assert_eq!((shape.n_vocab, shape.n_embd, shape.n_heads, shape.head_dim, shape.rope_dims), (512, 128, 4, 64, 16));
    assert_eq!((shape.q_lora, shape.o_groups, shape.o_lora, shape.window), (48, 2, 32, 16));
    assert_eq!((shape.index_heads, shape.index_head_dim, shape.index_top_k), (16, 32, 8));
    assert_eq!((shape.n_experts, shape.n_used, shape.n_hidden, shape.n_hash_layers), (8, 2, 96, 2));
    assert_eq!(shape.swiglu_limit, [1.0; 6]);
    assert_eq!((shape.rope_base, shape.compress_rope_base), (1e4, 1.6e5));
    assert_eq!(shape.yarn, Yarn { factor: 16.0, original: 64, beta_fast: 32.0, beta_slow: 1.0, rounds: true });
    assert_eq!((shape.context_length, shape.bos, shape.eos), (4096, 0, 1));
}

#[test]
fn the_golden_gguf_is_read_and_bound() {
    let gguf = read_gguf(fixture(GOLDEN_GGUF));
    let shape = Shape::from_gguf(&gguf).expect("a sound file");
    assert_eq!(shape.ratios, [0, 128, 4, 128, 4, 0]);
    assert_eq!((shape.n_vocab, shape.n_embd, shape.head_dim, shape.rope_dims, shape.window), (256, 64, 128, 32, 8));
    assert_eq!(shape.swiglu_limit_shared, [10.0; 6]);
    assert_eq!(shape.yarn.original, 256);
    let weights = Weights::bind(&shape, &gguf.directory).expect("a complete file");
    assert_eq!(weights.scheme, Scheme::Gguf);
    assert_eq!((weights.n_mtp_tensors, weights.ignored.len()), (0, 0));
    // Each expert's rows begin where those of the one before end, in one tensor.
    let experts = &weights.layers[3].ffn.experts;
    let whole = gguf.directory.get("blk.3.ffn_up_exps.weight").expect("there");
    let rows = experts.rows_of(&experts.up, 5);
    assert_eq!(rows, 160..192);
    let expected =
        Piece { source_index: 0, offset: whole.offset + 5 * 32 * 64 * 4, n_rows: 32, scales: None, of_all: None };
    assert_eq!(experts.up.pieces_of(rows).collect::<Vec<_>>(), [expected]);
    assert_eq!(weights.head.bytes(), 256 * 64 * 4);
}

#[test]
fn the_embedded_model_is_read_and_bound() {
    let gguf = read_gguf(fixture("www/models/headstart-v4-11m.gguf"));
    let shape = Shape::from_gguf(&gguf).expect("a sound file");
    let weights = Weights::bind(&shape, &gguf.directory).expect("a complete file");
    assert_eq!((weights.n_mtp_tensors, weights.ignored.len()), (0, 0));
    assert_eq!(weights.layers.len(), shape.n_layers());
}

#[test]
fn the_official_names_are_bound_and_multi_token_prediction_is_left_alone() {
    let (shape, directory) = (golden_shape(), golden_directory());
    let weights = Weights::bind(&shape, &directory).expect("a complete file");
    assert_eq!(weights.scheme, Scheme::Official);
    let n_mtp = directory.tensors().iter().filter(|tensor| tensor.name.starts_with("mtp.")).count();
    assert_eq!((weights.n_mtp_tensors, n_mtp > 0, weights.ignored.len()), (n_mtp, true, 0));
    for (index, layer) in weights.layers.iter().enumerate() {
        assert_eq!(layer.attn.compressor.is_some(), shape.is_compressed(index));
        assert_eq!(layer.attn.indexer.is_some(), shape.has_indexer(index));
        assert_eq!(matches!(layer.ffn.route, Route::Table(_)), shape.is_hash_layer(index));
    }
    // An expert is a tensor of its own here; the consumer asks in the same way.
    let experts = &weights.layers[1].ffn.experts;
    let third = directory.get("layers.1.ffn.experts.3.w2.weight").expect("there");
    let pieces: Vec<Piece> = experts.down.pieces_of(experts.rows_of(&experts.down, 3)).collect();
    assert_eq!(pieces, [Piece { source_index: 0, offset: third.offset, n_rows: 128, scales: None, of_all: None }]);
    assert_eq!((experts.down.n_rows, experts.down.n_in), (8 * 128, 96));
}

#[test]
fn parameters_are_counted_as_the_tensors_are() {
    let (shape, directory) = (golden_shape(), golden_directory());
    let learned = directory
        .tensors()
        .iter()
        .filter(|tensor| tensor.stored == Stored::Supported(Format::F32) && !tensor.name.starts_with("mtp."));
    assert_eq!(
        Weights::bind(&shape, &directory).expect("complete").n_parameters,
        learned.map(|tensor| tensor.n_rows() * tensor.n_in()).sum::<u64>()
    );
}

/// The golden model's directory as transformers would name and stack it.
fn transformers_directory() -> Directory {
    let official = golden_directory();
    let kept = official.tensors().iter().filter(|tensor| !tensor.name.contains(".experts."));
    let mut tensors: Vec<TensorInfo> =
        kept.map(|tensor| TensorInfo { name: in_transformers(&tensor.name), ..tensor.clone() }).collect();
    for layer in 0..6 {
        for (name, shape) in [("gate_up_proj", [8, 2 * 96, 128]), ("down_proj", [8, 128, 96])] {
            tensors.push(TensorInfo {
                name: format!("model.layers.{layer}.mlp.experts.{name}"),
                stored: Stored::Supported(Format::F32),
                shape: shape.to_vec(),
                offset: (layer * 2 + u64::from(name == "down_proj")) * (1 << 24),
                bytes: shape.iter().product::<u64>() * 4,
                source_index: 1,
            });
        }
    }
    Directory::new(tensors).expect("sound")
}

#[test]
fn names_of_transformers_bind_like_the_official_ones() {
    let shape = golden_shape();
    let official = Weights::bind(&shape, &golden_directory()).expect("complete");
    let weights = Weights::bind(&shape, &transformers_directory()).expect("complete");
    assert_eq!((weights.scheme, weights.ignored.len()), (Scheme::Transformers, 0));
    // Bytes and extents of the same tensor, whatever it is called.
    let places = |tensors: [&TensorRef; 6]| tensors.map(|tensor| (tensor.n_rows, tensor.n_in, tensor.pieces.clone()));
    for (ours, theirs) in weights.layers.iter().zip(&official.layers) {
        let of = |layer: &headstart::model::weights::Layer| {
            let attn = &layer.attn;
            let route = match &layer.ffn.route {
                Route::Bias(tensor) | Route::Table(tensor) => tensor.clone(),
            };
            let compressed = [&attn.compressor, &attn.indexer.as_ref().map(|indexer| indexer.compressor.clone())]
                .map(|c| c.as_ref().map(|c| places([&c.kv, &c.gate, &c.ape, &c.norm, &c.kv, &c.kv])));
            let indexer = attn.indexer.as_ref().map(|i| places([&i.q_b, &i.weights, &i.q_b, &i.q_b, &i.q_b, &i.q_b]));
            let attention = places([&attn.q_a, &attn.q_norm, &attn.q_b, &attn.kv, &attn.kv_norm, &attn.o_a]);
            let (attn_hyper, ffn_hyper) = (&layer.hyper_attn, &layer.hyper_ffn);
            let hyper = places([
                &attn_hyper.fn_,
                &attn_hyper.base,
                &attn_hyper.scale,
                &ffn_hyper.fn_,
                &ffn_hyper.base,
                &ffn_hyper.scale,
            ]);
            let shared = &layer.ffn.shared;
            let ffn = places([&layer.ffn.gate, &route, &shared.gate, &shared.up, &shared.down, &layer.ffn_norm]);
            let rest = places([&attn.o_b, &attn.sinks, &layer.attn_norm, &attn.o_b, &attn.o_b, &attn.o_b]);
            (compressed, indexer, attention, hyper, ffn, rest)
        };
        assert_eq!(of(ours), of(theirs));
    }
    let norms =
        [&weights.layers[2].attn.kv_norm.name, &weights.layers[2].attn.compressor.as_ref().expect("CSA").norm.name];
    assert_eq!(
        norms,
        ["model.layers.2.self_attn.kv_norm.weight", "model.layers.2.self_attn.compressor.kv_norm.weight"]
    );
    // Of each expert, the gate's rows lie before the up's.
    let experts = &weights.layers[0].ffn.experts;
    let place = |tensor: &TensorRef, expert| tensor.pieces_of(experts.rows_of(tensor, expert)).collect::<Vec<_>>();
    let row_bytes = 128 * 4;
    let piece =
        |row: u64| vec![Piece { source_index: 1, offset: row * row_bytes, n_rows: 96, scales: None, of_all: None }];
    assert_eq!((place(&experts.gate, 0), place(&experts.up, 0)), (piece(0), piece(96)));
    assert_eq!((place(&experts.gate, 7), place(&experts.up, 7)), (piece(7 * 192), piece(7 * 192 + 96)));
}

/// The same model under other names: whatever is bound lies where it lies under the official ones.
fn assert_binds_alike(directory: &Directory) {
    let official = Weights::bind(&golden_shape(), &golden_directory()).expect("complete");
    let weights = Weights::bind(&golden_shape(), directory).expect("complete");
    assert!(weights.ignored.is_empty(), "{:?}", weights.ignored);
    let places = |weights: &Weights| weights.tensors().map(|tensor| tensor.pieces.clone()).collect::<Vec<_>>();
    assert_eq!(places(&weights), places(&official));
}

fn renamed(rename: impl Fn(&str) -> String) -> Directory {
    let tensors = golden_directory().tensors().to_vec();
    let rename = |tensor: TensorInfo| TensorInfo { name: rename(&tensor.name), ..tensor };
    Directory::new(tensors.into_iter().map(rename).collect()).expect("sound")
}

/// transformers 5.23 renames a V4 back when it saves it, and takes the attention's norm for a compressor's.
#[test]
fn names_of_save_pretrained_bind_like_the_official_ones() {
    assert_binds_alike(&renamed(|name| match name {
        "head.weight" => name.to_owned(),
        _ if name.starts_with("mtp.") => name.to_owned(),
        _ => format!("model.{name}").replace(".attn.kv_norm.", ".attn.norm."),
    }));
    // A mixture, tensor by tensor, and the model without `model.` before it.
    let keeps = |name: &str| name.contains(".experts.") || name.starts_with("mtp.");
    assert_binds_alike(&renamed(|name| match name.len() % 2 {
        0 if !keeps(name) => in_transformers(name),
        _ => name.to_owned(),
    }));
    assert_binds_alike(&renamed(|name| match keeps(name) || name == "norm.weight" {
        true => name.to_owned(),
        false => in_transformers(name).trim_start_matches("model.").to_owned(),
    }));
}

#[test]
fn ids_outside_the_vocabulary_are_left_out_with_a_notice() {
    let mut config = golden_config();
    (config["bos_token_id"], config["eos_token_id"]) = (json!(4_000_000_000u32), json!([512, 1]));
    let model = Model::from_config(&config.to_string(), &golden_directory(), &mut Vec::new()).expect("harmless");
    assert_eq!((model.outline().bos, model.outline().eos), (None, None));
    let notices = model.notices().join("; ");
    assert_says(&notices, &["bos_token_id is 4000000000", "eos_token_id is 512", "none of the 512 tokens"]);
}

/// Of the stacks of each expert, blocks of scales begin again, also where two halves share one.
#[test]
fn stacked_experts_in_fp8_are_bound_with_the_scales_of_each() {
    let mut tensors = transformers_directory().tensors().to_vec();
    let begin = |offset: u64| 1 << 40 | offset << 24;
    for (n, (name, scale_rows)) in (0..).zip([("gate_up_proj", 2), ("down_proj", 1)]) {
        let name = format!("model.layers.2.mlp.experts.{name}");
        let weights = named(&mut tensors, &name);
        (weights.stored, weights.bytes) = (Stored::Other("F8_E4M3".to_owned()), weights.bytes / 4);
        tensors.push(TensorInfo {
            name: name + "_scale_inv",
            stored: Stored::Supported(Format::F32),
            shape: vec![8, scale_rows, 1],
            offset: begin(n),
            bytes: 8 * scale_rows * 4,
            source_index: 3,
        });
    }
    let weights = Weights::bind(&golden_shape(), &Directory::new(tensors.clone()).expect("sound")).expect("complete");
    assert!(weights.ignored.is_empty());
    let experts = &weights.layers[2].ffn.experts;
    assert_eq!([experts.gate.format, experts.up.format, experts.down.format], [Format::FP8_F32; 3]);
    let third = |tensor: &TensorRef| tensor.pieces_of(experts.rows_of(tensor, 3)).collect::<Vec<_>>();
    let piece = |row: u64, width: u64, n_rows, stack: u64, scale_row: u64, first_row| Piece {
        source_index: 1,
        offset: (4 + stack) * (1 << 24) + row * width,
        n_rows,
        scales: Some(Scales {
            stored: ScaleType::F32,
            layout: Layout::usual(Format::FP8_F32).expect("scales apart"),
            source_index: 3,
            offset: begin(stack) + scale_row * 4,
            first_row,
        }),
        of_all: None,
    };
    assert_eq!(third(&experts.gate), [piece(3 * 192, 128, 96, 0, 3 * 2, 0)]);
    assert_eq!(third(&experts.up), [piece(3 * 192 + 96, 128, 96, 0, 3 * 2, 96)]);
    assert_eq!(third(&experts.down), [piece(3 * 128, 96, 128, 1, 3, 0)]);
    // Scales for all experts' rows in one run are others.
    named(&mut tensors, "model.layers.2.mlp.experts.gate_up_proj_scale_inv").shape = vec![16, 1];
    let error = Weights::bind(&golden_shape(), &Directory::new(tensors).expect("sound")).expect_err("another shape");
    assert_says(&error.to_string(), &["gate_up_proj_scale_inv", "[16, 1]", "[8, 2, 1]", "[8, 192, 128]"]);
}

#[test]
fn rows_are_found_across_pieces() {
    let piece = |source_index, offset, n_rows| Piece { source_index, offset, n_rows, scales: None, of_all: None };
    let tensor = TensorRef {
        name: "stack".to_owned(),
        format: Format::F16,
        n_rows: 12,
        n_in: 8,
        pieces: vec![piece(0, 100, 4), piece(1, 0, 4), piece(0, 1000, 4)],
        mapped: Mapped::AsIs,
    };
    let rows = |range| tensor.pieces_of(range).collect::<Vec<_>>();
    assert_eq!(rows(0..12), tensor.pieces);
    assert_eq!(rows(3..9), [piece(0, 100 + 3 * 16, 1), piece(1, 0, 4), piece(0, 1000, 1)]);
    assert_eq!(rows(4..8), [piece(1, 0, 4)]);
    assert_eq!(rows(5..6), [piece(1, 16, 1)]);
    assert_eq!(rows(11..40), [piece(0, 1000 + 3 * 16, 1)]);
    assert!(rows(7..7).is_empty() && rows(12..13).is_empty());
}

#[test]
fn a_missing_tensor_is_named() {
    let text =
        bind_error(|tensors| tensors.retain(|tensor| tensor.name != "layers.2.attn.indexer.weights_proj.weight"));
    assert_says(&text, &["layers.2.attn.indexer.weights_proj.weight", "missing"]);
    let text = bind_error(|tensors| tensors.retain(|tensor| tensor.name != "layers.5.ffn.experts.7.w3.weight"));
    assert_says(&text, &["layers.5.ffn.experts.7.w3.weight", "missing"]);
    let text = bind_error(|tensors| tensors.retain(|tensor| tensor.name != "embed.weight"));
    assert_says(&text, &["token_embd.weight", "embed.weight", "model.embed_tokens.weight"]);
}

#[test]
fn a_wrong_shape_is_named() {
    for (name, shape) in [
        ("layers.2.attn.compressor.wkv.weight", vec![64, 128]),
        ("layers.0.attn.wkv.weight", vec![128, 64]),
        ("layers.3.ffn.gate.bias", vec![9]),
        ("layers.0.ffn.gate.tid2eid", vec![2, 512]),
        ("layers.4.ffn.experts.1.w1.weight", vec![96, 2, 64]),
        ("head.weight", vec![513, 128]),
    ] {
        let text = bind_error(|tensors| named(tensors, name).shape = shape.clone());
        assert_says(&text, &[name, &format!("{shape:?}"), "expected"]);
    }
}

#[test]
fn a_format_that_does_not_suit_is_named() {
    let other = |format: &str| Stored::Other(format.to_owned());
    for (name, stored, expected) in [
        ("layers.0.attn.wq_a.weight", other("F8_E5M2"), "Q8_0"),
        ("layers.0.attn.wq_a.weight", other("F8_E4M3"), "no scales beside it"),
        ("layers.1.ffn.experts.4.w2.weight", other("I8"), "no scales beside it"),
        ("layers.0.attn.attn_sink", Stored::Supported(Format::Q8_0), "F32, F16, BF16"),
        ("layers.2.attn.compressor.ape", Stored::Supported(Format::MXFP4), "F32, F16, BF16"),
        ("layers.0.attn.wkv.weight", Stored::Supported(Format::I32), "no scales beside it"),
        ("layers.0.ffn.gate.tid2eid", Stored::Supported(Format::F32), "I32, I64"),
        ("layers.3.ffn.experts.4.w2.weight", Stored::Supported(Format::F16), "the format of the first expert"),
    ] {
        let found = stored.name().to_owned();
        let text = bind_error(|tensors| named(tensors, name).stored = stored);
        assert_says(&text, &[name, &found, expected]);
    }
    let text = bind_error(|tensors| {
        for tensor in tensors.iter_mut().filter(|t| t.name.starts_with("layers.4.ffn.experts") && t.name.contains("w3"))
        {
            tensor.stored = Stored::Supported(Format::BF16);
        }
    });
    assert_says(&text, &["layers.4.ffn.experts.*.w3.weight", "BF16", "F32", "Gate and up"]);
}

#[test]
fn what_is_left_over_is_listed_or_refused() {
    let extra = |name: &str| TensorInfo {
        name: name.to_owned(),
        stored: Stored::Supported(Format::F32),
        shape: vec![1],
        offset: 1 << 40,
        bytes: 4,
        source_index: 0,
    };
    let mut tensors = golden_directory().tensors().to_vec();
    tensors.push(extra("rope_freqs.weight"));
    let weights = Weights::bind(&golden_shape(), &Directory::new(tensors).expect("sound")).expect("complete");
    assert_eq!(weights.ignored, ["rope_freqs.weight"]);

    let text = bind_error(|tensors| tensors.push(extra("layers.0.attn.wq_a.scale")));
    assert_says(&text, &["layers.0.attn.wq_a.scale", "a scale for", "layers.0.attn.wq_a.weight"]);
    let text = bind_error(|tensors| tensors.push(extra("layers.6.attn_norm.weight")));
    assert_says(&text, &["layers.6.attn_norm.weight", "layers 0 to 5"]);
}

#[test]
fn blocks_of_multi_token_prediction_are_counted_out() {
    let plain = read_gguf(fixture(GOLDEN_GGUF));
    let mut tensors = plain.directory.tensors().to_vec();
    named(&mut tensors, "blk.5.attn_norm.weight").name = "blk.5.nextn.enorm.weight".to_owned();
    let n_block = tensors.iter().filter(|tensor| tensor.name.starts_with("blk.5.")).count();
    let gguf = Gguf { directory: Directory::new(tensors).expect("sound"), ..plain };
    let shape = Shape::from_gguf(&gguf).expect("sound");
    assert_eq!(shape.ratios, [0, 128, 4, 128, 4]);
    assert_eq!(Weights::bind(&shape, &gguf.directory).expect("complete").n_mtp_tensors, n_block);
    // DSpark's configs have three entries too many, V4's one.
    let ratios = json!([0, 0, 4, 128, 4, 128, 0, 0, 0]);
    assert_eq!(config_with("compress_ratios", ratios).expect("sound").n_layers(), 6);
    assert_says(
        &config_with("compress_ratios", json!([0, 0, 4])).expect_err("too few").to_string(),
        &["compress_ratios", "[0,0,4]", "a list of 6"],
    );
}

#[test]
fn other_architectures_are_refused_by_name() {
    for (name, advice) in [("deepseek_v41", "V4.1"), ("deepseek_v3", "V4 model"), ("llama", "V4 model")] {
        let text = config_with("model_type", json!(name)).expect_err("another").to_string();
        assert_says(&text, &["model_type", name, "deepseek_v4", advice]);
    }
    // The name of its class tells, too, where there is one.
    assert!(config_with("model_type", Value::Null).is_ok());
    let nameless = r#"{"model_type": null, "num_hidden_layers": 1}"#;
    assert_says(&Shape::from_config(nameless).expect_err("nothing").to_string(), &["model_type", "nothing"]);
    let mut bytes = fixture(GOLDEN_GGUF);
    let at = value_at(&bytes, "general.architecture");
    bytes[at + 8 + 8] = b'2';
    let text = Shape::from_gguf(&read_gguf(bytes)).expect_err("another").to_string();
    assert_says(&text, &["golden.gguf", "general.architecture", "deepseek2", "deepseek4"]);
}

#[test]
fn values_outside_what_v4_allows_are_refused_by_key() {
    for (key, value, expected) in [
        ("hyper_connection.count", 3, "4"),
        ("attention.head_count_kv", 4, "1"),
        ("expert_shared_count", 2, "1"),
        ("expert_gating_func", 2, "4"),
        ("attention.value_length", 64, "128"),
        ("attention.head_count", 3, "a multiple of 2"),
        ("attention.head_count", 1 << 30, "from 1 to"),
        ("embedding_length", 66, "a multiple of 4"),
        ("embedding_length", 0, "from 4"),
        ("rope.dimension_count", 31, "a multiple of 2"),
        ("rope.dimension_count", 130, "to 128"),
        ("attention.output_group_count", 0, "from 1"),
        ("attention.sliding_window", 0, "from 1"),
        ("attention.indexer.top_k", 0, "from 1"),
        ("expert_used_count", 9, "to 8"),
        ("expert_count", u32::MAX, "from 1"),
        ("hash_layer_count", 7, "to 6"),
        ("block_count", u32::MAX, "from 1 to"),
        ("block_count", 0, "from 1 to"),
        ("hyper_connection.sinkhorn_iterations", u32::MAX, "from 1 to"),
        ("attention.layer_norm_rms_epsilon", 5.0f32.to_bits(), "from 0 to"),
        ("rope.freq_base", 0.5f32.to_bits(), "from 1.5"),
        ("rope.scaling.factor", 0.0f32.to_bits(), "from 1 to"),
        ("rope.freq_base", f32::NAN.to_bits(), "a finite number"),
    ] {
        assert_says(&gguf_error(&format!("deepseek4.{key}"), value), &["golden.gguf", key, expected]);
    }
    let mut bytes = fixture(GOLDEN_GGUF);
    let ratios = value_at(&bytes, "deepseek4.attention.compress_ratios") + 4 + 8;
    bytes[ratios] = 8;
    let text = Shape::from_gguf(&read_gguf(bytes)).expect_err("a ratio of 8").to_string();
    assert_says(&text, &["attention.compress_ratios", "8", "0, 4 or 128"]);
    for (key, value) in [
        ("hidden_size", json!(-4)),
        ("hidden_size", json!("128")),
        ("hc_mult", json!(2)),
        ("scoring_func", json!("sigmoid")),
        ("norm_topk_prob", json!(false)),
        ("tie_word_embeddings", json!(true)),
        ("compress_rates", json!({"heavily_compressed_attention": 64})),
        ("mlp_layer_types", json!(["hash_moe", "moe", "hash_moe", "moe", "moe", "moe"])),
        ("layer_types", json!(["full_attention", "moe", "moe", "moe", "moe", "moe"])),
        ("num_hidden_layers", json!(u32::MAX)),
        ("q_lora_rank", Value::Null),
    ] {
        assert_says(&config_with(key, value).expect_err("refused").to_string(), &["config.json", key]);
    }
    assert_says(&Shape::from_config("{").expect_err("no JSON").to_string(), &["config.json", "JSON"]);
}

#[test]
fn missing_keys_are_as_in_v4_flash_but_for_the_core_ones() {
    let bytes = fixture(GOLDEN_GGUF);
    let complete = Shape::from_gguf(&read_gguf(bytes.clone())).expect("sound");
    let optional = [
        "vocab_size",
        "attention.head_count_kv",
        "attention.value_length",
        "expert_gating_func",
        "expert_shared_count",
        "expert_weights_norm",
        "expert_weights_scale",
        "swiglu_clamp_exp",
        "swiglu_clamp_shexp",
        "rope.scaling.type",
        "rope.scaling.factor",
        "rope.scaling.yarn_beta_fast",
        "rope.scaling.yarn_beta_slow",
        "rope.freq_base",
        "attention.compress_rope_freq_base",
        "attention.layer_norm_rms_epsilon",
        "hyper_connection.count",
        "hyper_connection.sinkhorn_iterations",
        "hyper_connection.epsilon",
    ];
    let sparse = optional.iter().fold(bytes.clone(), |bytes, key| without(bytes, &format!("deepseek4.{key}")));
    // The golden model has Flash's values in all of these.
    assert_eq!(Shape::from_gguf(&read_gguf(sparse)).expect("sound"), complete);
    for key in ["embedding_length", "attention.compress_ratios", "attention.head_count", "expert_count"] {
        let gguf = read_gguf(without(bytes.clone(), &format!("deepseek4.{key}")));
        assert_says(&Shape::from_gguf(&gguf).expect_err("missing").to_string(), &[key, "missing"]);
    }
}

#[test]
fn a_limit_of_zero_is_no_limit() {
    for limit in [json!(0), json!(0.0), json!(-1)] {
        let shape = config_with("swiglu_limit", limit).expect("sound");
        assert_eq!(shape.swiglu_limit, [NO_LIMIT; 6]);
        assert!(shape.swiglu_limit_shared.iter().all(|limit| limit.is_finite()));
    }
}

#[test]
fn a_config_in_the_spelling_of_transformers_says_the_same() {
    let mut config = golden_config();
    let object = config.as_object_mut().expect("an object");
    for key in
        ["compress_ratios", "rope_scaling", "rope_theta", "compress_rope_theta", "num_hash_layers", "qk_rope_head_dim"]
    {
        object.remove(key).expect("there");
    }
    let (sliding, sparse, heavy) = ("sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention");
    let spelled = json!({
        "layer_types": [sliding, sliding, sparse, heavy, sparse, heavy],
        "mlp_layer_types": ["hash_moe", "hash_moe", "moe", "moe", "moe", "moe"],
        "compress_rates": {sparse: 4, heavy: 128},
        "partial_rotary_factor": 0.25,
        "rope_parameters": {
            "main": {"rope_type": "default", "rope_theta": 10000.0},
            "compress": {
                "rope_type": "yarn", "rope_theta": 160000.0, "factor": 16, "beta_fast": 32, "beta_slow": 1,
                "original_max_position_embeddings": 64, "attention_factor": 1.0,
            },
        },
    });
    object.extend(spelled.as_object().expect("an object").clone());
    assert_eq!(Shape::from_config(&config.to_string()).expect("sound"), golden_shape());
    // Where nothing is said of YaRN, a config has none; a list of ends means its first.
    let plain = config_with("rope_scaling", Value::Null).expect("sound");
    assert_eq!(plain.yarn.factor, 1.0);
    assert_eq!(config_with("eos_token_id", json!([5, 7])).expect("sound").eos, 5);
}
