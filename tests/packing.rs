//! Weights packed in words with zeros beside them, as GPTQ, AWQ, AutoRound and compressed-tensors write them: what they compute is what the values compute that they stand
//! for, and what is damaged or not read is named.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use crate::family::{expected, options};
use crate::mla_models::{Tensor, config, safetensors_bytes, tensors};
use crate::support::{logits, worst};
use half::f16;
use headstart::engine::{ExecutorChoice, ModelFiles, Session};
use headstart::format::{Format, Memory, Source};
use pollster::block_on;
use serde_json::{Value, json};
use std::rc::Rc;

/// A tensor of a safetensors file: its name, type, shape and bytes.
type Stored = (String, &'static str, Vec<u64>, Vec<u8>);

/// How a model is packed.
#[derive(Clone, Copy)]
struct How {
    /// By compressed-tensors, a row after the other.
    rows: bool,
    awq: bool,
    bits: usize,
    group_len: usize,
    symmetric: bool,
    /// Of GPTQ, whether zeros are stored less 1.
    less_one: bool,
}

const AWQ: How = How { rows: false, awq: true, bits: 4, group_len: 32, symmetric: false, less_one: false };
const GPTQ: How = How { awq: false, less_one: true, ..AWQ };
const ROWS: How = How { rows: true, awq: false, ..AWQ };

/// The order in which AutoAWQ packs rows into a word, from the low bits up.
const AWQ_ORDER: [usize; 8] = [0, 2, 4, 6, 1, 3, 5, 7];

impl How {
    /// The settings in a config.json.
    fn settings(self, autoround: bool) -> Value {
        let Self { rows, awq, bits, group_len, symmetric, less_one } = self;
        let group_size = if group_len == usize::MAX { json!(-1) } else { json!(group_len) };
        if rows {
            let weights = json!({"num_bits": bits, "type": "int", "symmetric": false, "strategy": "group", "group_size": group_size});
            let groups = json!({"group_0": {"targets": ["Linear"], "weights": weights}});
            return json!({"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": groups});
        }
        match (awq, autoround) {
            (true, false) => {
                json!({"quant_method": "awq", "bits": bits, "group_size": group_size, "zero_point": !symmetric, "version": "gemm"})
            }
            (true, true) => {
                json!({"quant_method": "auto-round", "packing_format": "auto_round:auto_awq", "bits": bits, "group_size": group_size, "sym": symmetric})
            }
            (false, _) => {
                let format = if less_one { "gptq" } else { "gptq_v2" };
                json!({"quant_method": "gptq", "bits": bits, "group_size": group_size, "sym": symmetric, "desc_act": false, "checkpoint_format": format})
            }
        }
    }

    /// A matrix `[n_rows, n_in]` as it is stored, and the values that this stands for.
    fn pack(self, name: &str, tensor: &Tensor) -> (Vec<Stored>, Vec<f32>) {
        let (n_rows, n_in) = (tensor.shape[0] as usize, tensor.shape[1] as usize);
        let group_len = self.group_len.min(n_in);
        let n_groups = n_in.div_ceil(group_len);
        let (most, per_word) = ((1usize << self.bits) - 1, 32 / self.bits);
        let (mut codes, mut values) = (vec![0u32; n_rows * n_in], vec![0.0; n_rows * n_in]);
        let (mut zeros, mut scales) = (vec![0u32; n_groups * n_rows], vec![f16::ZERO; n_groups * n_rows]);
        for row in 0..n_rows {
            for group in 0..n_groups {
                let inputs = group * group_len..((group + 1) * group_len).min(n_in);
                let of_group = &tensor.values[row * n_in..][inputs.clone()];
                let (low, high) = of_group.iter().fold((0.0f32, 0.0f32), |(a, b), v| (a.min(*v), b.max(*v)));
                let reach = if self.symmetric { 2.0 * high.max(-low) } else { high - low };
                let scale = f16::from_f32(reach.max(1e-4) / most as f32);
                let zero = if self.symmetric { most as u32 / 2 + 1 } else { (-low / scale.to_f32()).round() as u32 };
                (scales[group * n_rows + row], zeros[group * n_rows + row]) = (scale, zero);
                for input in inputs {
                    let code = (tensor.values[row * n_in + input] / scale.to_f32()).round() + zero as f32;
                    let code = code.clamp(0.0, most as f32);
                    codes[row * n_in + input] = code as u32;
                    values[row * n_in + input] = (code - zero as f32) * scale.to_f32();
                }
            }
        }
        let order: Vec<usize> = if self.awq { AWQ_ORDER.to_vec() } else { (0..per_word).collect() };
        let word = |code: &dyn Fn(usize) -> u32| {
            order.iter().enumerate().fold(0, |word, (at, of)| word | code(*of) << (at * self.bits))
        };
        let of_rows = |code: &dyn Fn(usize, usize) -> u32, n: usize| -> Vec<u32> {
            let places = (0..n).flat_map(|i| (0..n_rows / per_word).map(move |j| (i, j)));
            places.map(|(i, j)| word(&|k| code(i, j * per_word + k))).collect()
        };
        let packed: Vec<u32> = if self.awq {
            of_rows(&|input, row| codes[row * n_in + input], n_in)
        } else {
            let places = (0..n_in / per_word).flat_map(|i| (0..n_rows).map(move |row| (i, row)));
            places.map(|(i, row)| word(&|k| codes[row * n_in + i * per_word + k])).collect()
        };
        let stem = name.strip_suffix(".weight").unwrap();
        let bytes = |words: &[u32]| bytemuck::cast_slice(words).to_vec();
        if self.rows {
            // Codes and zeros are signed there, and have 8 added where they are packed.
            let nibbles = |codes: &mut dyn Iterator<Item = u32>| {
                codes.enumerate().fold(0, |word, (at, code)| word | code << (4 * at))
            };
            let packed: Vec<u32> = codes.chunks(8).map(|codes| nibbles(&mut codes.iter().copied())).collect();
            let places = (0..n_rows / 8).flat_map(|j| (0..n_groups).map(move |group| (j, group)));
            let zeros: Vec<u32> =
                places.map(|(j, group)| nibbles(&mut (0..8).map(|k| zeros[group * n_rows + 8 * j + k]))).collect();
            let scales: Vec<f16> = (0..n_rows)
                .flat_map(|row| (0..n_groups).map(move |group| (row, group)))
                .map(|(row, group)| scales[group * n_rows + row])
                .collect();
            let [n_rows, n_in, n_groups] = [n_rows, n_in, n_groups].map(|n| n as u64);
            let stored = vec![
                (format!("{stem}.weight_packed"), "I32", vec![n_rows, n_in / 8], bytes(&packed)),
                (format!("{stem}.weight_zero_point"), "I32", vec![n_rows / 8, n_groups], bytes(&zeros)),
                (format!("{stem}.weight_scale"), "F16", vec![n_rows, n_groups], bytemuck::cast_slice(&scales).to_vec()),
                (
                    format!("{stem}.weight_shape"),
                    "I64",
                    vec![2],
                    [n_rows, n_in].iter().flat_map(|n| n.to_le_bytes()).collect(),
                ),
            ];
            return (stored, values);
        }
        let less = u32::from(self.less_one);
        let zeros = of_rows(&|group, row| zeros[group * n_rows + row].wrapping_sub(less) & most as u32, n_groups);
        let groups: Vec<u32> = (0..n_in).map(|input| (input / group_len) as u32).collect();
        let [n_rows, n_in, n_groups, per_word] = [n_rows, n_in, n_groups, per_word].map(|n| n as u64);
        let shape = if self.awq { vec![n_in, n_rows / per_word] } else { vec![n_in / per_word, n_rows] };
        let mut stored = vec![
            (format!("{stem}.qweight"), "I32", shape, bytes(&packed)),
            (format!("{stem}.qzeros"), "I32", vec![n_groups, n_rows / per_word], bytes(&zeros)),
            (format!("{stem}.scales"), "F16", vec![n_groups, n_rows], bytemuck::cast_slice(&scales).to_vec()),
        ];
        if !self.awq {
            stored.push((format!("{stem}.g_idx"), "I32", vec![n_in], bytes(&groups)));
        }
        (stored, values)
    }

    /// A family's model so packed, and with the values that this stands for.
    fn model(self, family: &str) -> (Vec<Stored>, Vec<Stored>) {
        let (mut small, mut plain) = (Vec::new(), Vec::new());
        for (name, tensor) in tensors(&format!("families/{family}/model.safetensors")) {
            let stored =
                |values: &[f32]| (name.clone(), "F32", tensor.shape.clone(), bytemuck::cast_slice(values).to_vec());
            if is_packed(&name) {
                let (parts, values) = self.pack(&name, &tensor);
                small.extend(parts);
                plain.push(stored(&values));
            } else {
                small.push(stored(&tensor.values));
                plain.push(stored(&tensor.values));
            }
        }
        (small, plain)
    }
}

fn is_packed(name: &str) -> bool {
    name.contains("_proj") && name.ends_with(".weight")
}

fn files(family: &str, settings: Value, tensors: &[Stored]) -> ModelFiles {
    let mut config = config(family);
    config["quantization_config"] = settings;
    let source: Rc<dyn Source> = Rc::new(Memory::new("model.safetensors", safetensors_bytes(tensors)));
    ModelFiles { sources: vec![source], config: Some(config.to_string()), ..ModelFiles::default() }
}

fn load(family: &str, settings: Value, tensors: &[Stored]) -> headstart::Result<Session> {
    block_on(Session::load(&files(family, settings, tensors), ExecutorChoice::Cpu, &options(), &mut |_| ()))
}

#[test]
fn packed_weights_compute_what_their_values_do() {
    for (family, how, autoround, format) in [
        ("qwen2", AWQ, false, Format::Q4_ZERO),
        ("qwen3moe", How { group_len: 64, ..AWQ }, false, Format::Q4_ZERO),
        ("llama", How { symmetric: true, ..AWQ }, true, Format::Q4_0),
        ("qwen3", How { symmetric: true, ..GPTQ }, false, Format::Q4_0),
        ("qwen2", How { symmetric: true, less_one: false, ..GPTQ }, false, Format::Q4_0),
        ("llama", How { group_len: 64, ..GPTQ }, false, Format::Q4_ZERO),
        ("deepseek_v3", How { group_len: usize::MAX, less_one: false, ..GPTQ }, false, Format::Q4_ZERO),
        ("qwen3", ROWS, false, Format::Q4_ZERO),
        ("qwen3moe", How { group_len: usize::MAX, ..ROWS }, false, Format::Q4_ZERO),
        ("qwen3moe", How { bits: 8, symmetric: true, ..GPTQ }, false, Format::Q8_0),
    ] {
        let (small, plain) = how.model(family);
        let ids = &expected(family).ids[..60];
        let files = files(family, how.settings(autoround), &small);
        let mut session = block_on(Session::load(&files, ExecutorChoice::Cpu, &options(), &mut |_| ())).unwrap();
        let n_weights: u64 =
            plain.iter().filter(|tensor| is_packed(&tensor.0)).map(|tensor| tensor.3.len() as u64 / 4).sum();
        assert_eq!(block_on(files.open()).unwrap().sources[1].bytes(), format.row_bytes(n_weights), "{family}");
        let of_plain = logits(&mut load(family, Value::Null, &plain).unwrap(), ids, &[]);
        let worst = worst(&of_plain, &logits(&mut session, ids, &[]));
        assert!(worst <= 1e-3, "{family} as {format}: off by {worst}");
    }
}

/// AutoGPTQ writes one beside every matrix.
#[test]
fn biases_of_zeros_are_none() {
    let (mut small, plain) = GPTQ.model("llama");
    let matrices: Vec<_> = plain.iter().filter(|tensor| is_packed(&tensor.0)).collect();
    for (name, _, shape, _) in &matrices {
        small.push((name.replace(".weight", ".bias"), "F16", vec![shape[0]], vec![0; 2 * shape[0] as usize]));
    }
    let ids = &expected("llama").ids[..20];
    let of_plain = logits(&mut load("llama", Value::Null, &plain).unwrap(), ids, &[]);
    let found = logits(&mut load("llama", GPTQ.settings(false), &small).unwrap(), ids, &[]);
    assert!(worst(&of_plain, &found) <= 1e-3);
    // One that is something is no habit.
    small.iter_mut().find(|tensor| tensor.0.ends_with("down_proj.bias")).unwrap().3[1] = 0x3c;
    let error = load("llama", GPTQ.settings(false), &small).err().unwrap().to_string();
    assert!(error.contains("down_proj.bias"), "{error}");
}

/// A file is read in pieces of any size, which need not begin with a row.
#[test]
fn any_bytes_of_the_rows_are_those_of_all() {
    let (small, _) = AWQ.model("qwen2");
    let open = block_on(files("qwen2", AWQ.settings(false), &small).open()).unwrap();
    let rows = open.sources.last().unwrap();
    let mut all = vec![0; rows.bytes() as usize];
    block_on(rows.read_at(0, &mut all)).unwrap();
    for (begin, n) in [(0, 1), (19, 3), (1000, 5000), (all.len() - 7, 7), (all.len(), 0)] {
        let mut part = vec![0; n];
        block_on(rows.read_at(begin as u64, &mut part)).unwrap();
        assert_eq!(part, all[begin..begin + n], "{n} bytes from {begin} on");
    }
    block_on(rows.read_at(all.len() as u64, &mut [0])).unwrap_err();
}

#[test]
fn what_is_damaged_or_in_another_order_is_named() {
    const PROJ: &str = "model.layers.0.self_attn.o_proj";
    let changed = |how: How, ending: &str, change: &dyn Fn(&mut Stored)| {
        let (mut small, _) = how.model("qwen2");
        change(small.iter_mut().find(|tensor| tensor.0 == format!("{PROJ}.{ending}")).unwrap());
        load("qwen2", how.settings(false), &small).err().map_or_else(String::new, |error| error.to_string())
    };
    let symmetric = How { symmetric: true, ..GPTQ };
    for (how, ending, change, says) in [
        (GPTQ, "g_idx", (|tensor: &mut Stored| tensor.3[0] = 1) as fn(&mut Stored), "act-order"),
        (symmetric, "qzeros", |tensor| tensor.3[0] ^= 1, "a zero of 6 for row 0"),
        (AWQ, "qzeros", |tensor| tensor.2.reverse(), "of shape"),
        (AWQ, "qzeros", |tensor| tensor.0.push('_'), "o_proj.qzeros"),
        (AWQ, "scales", |tensor| tensor.2.reverse(), "of shape"),
        (AWQ, "scales", |tensor| tensor.0.push('_'), "o_proj.scales"),
        (AWQ, "scales", |tensor| tensor.1 = "I16", "I16 of shape"),
        (AWQ, "scales", |tensor| tensor.3[..2].copy_from_slice(&f16::NAN.to_le_bytes()), "a scale"),
        (AWQ, "qweight", |tensor| tensor.1 = "U32", "U32 of shape"),
        (AWQ, "qweight", |tensor| tensor.2 = vec![1, tensor.2[0] * tensor.2[1]], "multiple of 32 inputs"),
        (AWQ, "qweight", |tensor| tensor.2.insert(0, 1), "of shape"),
        (GPTQ, "qweight", |tensor| tensor.2.reverse(), "of shape"),
        (ROWS, "weight_zero_point", |tensor| tensor.2.reverse(), "of shape"),
        (ROWS, "weight_scale", |tensor| tensor.2 = vec![tensor.2[0] * tensor.2[1], 1], "of shape"),
        (ROWS, "weight_scale", |tensor| tensor.0.push('_'), "o_proj.weight_scale"),
    ] {
        let error = changed(how, ending, &change);
        assert!(error.contains(says) && error.contains(PROJ), "{ending}: {says:?} is not in {error:?}");
    }
}
