//! Weights whose scales are tensors of their own, as other programs quantize them: what they compute is what the values compute that
//! they stand for.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use crate::family::{expected, options};
use crate::mla_models::{config, in_fp8, in_integers, in_nvfp4, safetensors_bytes, tensors};
use crate::support::{logits, worst};
use headstart::engine::{ExecutorChoice, ModelFiles, Session};
use headstart::format::{Memory, Source};
use pollster::block_on;
use serde_json::json;
use std::rc::Rc;

const BUDGET: f32 = 1e-3;

/// Who shares a scale is told by the scales' shape: blocks, where heads of 96 rows lie across those of 128; a row; a tensor.
#[test]
fn weights_with_scales_apart_compute_what_their_values_do() {
    const ALL: usize = usize::MAX;
    let packed = |format: &str| json!({"quant_method": "compressed-tensors", "format": format});
    for (family, dtype, block, ending, quantized) in [
        ("deepseek_v3", "F8_E4M3", [128, 128], "_scale_inv", json!({"quant_method": "fp8"})),
        ("qwen3", "F8_E4M3", [64, 32], "_scale_inv", json!({"quant_method": "fp8", "weight_block_size": [64, 32]})),
        ("llama", "F8_E4M3", [1, ALL], "_scale", packed("float-quantized")),
        ("qwen2", "F8_E4M3", [ALL, ALL], "_scale", json!({"quant_method": "modelopt", "quant_algo": "FP8"})),
        ("qwen3moe", "I8", [1, ALL], "_scale", packed("int-quantized")),
        ("deepseek_v3", "I32", [1, 32], "_scale", packed("pack-quantized")),
        ("qwen3", "I8", [1, ALL], "_scale", json!(null)),
        ("llama", "I32 of bytes", [1, 32], "_scale", packed("pack-quantized")),
        ("deepseek_v3", "U8", [1, 16], "_scale", json!({"quant_method": "modelopt", "quant_algo": "NVFP4"})),
        ("qwen3", "U8", [1, 16], "_scale", packed("nvfp4-pack-quantized")),
    ] {
        let (mut small, mut plain) = (Vec::new(), Vec::new());
        let as_bytes = |values: &[f32]| bytemuck::cast_slice(values).to_vec();
        for (name, tensor) in tensors(&format!("families/{family}/model.safetensors")) {
            let mut shape = tensor.shape.clone();
            // NVFP4 has blocks of 64.
            let is_whole = dtype != "U8" || shape[shape.len() - 1] % 64 == 0;
            if !(name.contains("_proj") && name.ends_with(".weight") && is_whole) {
                small.push((name.clone(), "F32", shape.clone(), as_bytes(&tensor.values)));
                plain.push((name, "F32", shape, as_bytes(&tensor.values)));
                continue;
            }
            let counts = shape.iter().zip(block).map(|(n, each)| n.div_ceil(each as u64));
            let of_scales = if block == [ALL, ALL] { Vec::new() } else { counts.collect() };
            let (bytes, scales, scale_type, decoded) = match dtype {
                "F8_E4M3" => {
                    let (bytes, scales, decoded) = in_fp8(&tensor, block);
                    (bytes, as_bytes(&scales), "F32", decoded)
                }
                "U8" => {
                    let (bytes, scales, of_all, decoded) = in_nvfp4(&tensor);
                    let (ending, of_all) =
                        if family == "qwen3" { ("_global_scale", 1.0 / of_all) } else { ("_scale_2", of_all) };
                    small.push((format!("{name}{ending}"), "F32", Vec::new(), as_bytes(&[of_all])));
                    (bytes, scales, "F8_E4M3", decoded)
                }
                _ => {
                    let (bytes, scales, decoded) = in_integers(&tensor, if dtype == "I32" { 4 } else { 8 }, block[1]);
                    let lift = if dtype == "I32 of bytes" { 128 } else { 0 };
                    let bytes = bytes.into_iter().map(|byte| byte ^ lift).collect();
                    (bytes, scales, "BF16", decoded)
                }
            };
            plain.push((name.clone(), "F32", shape.clone(), as_bytes(&decoded.values)));
            small.push((format!("{name}{ending}"), scale_type, of_scales, scales));
            // What activations would be multiplied by, if they were rounded too.
            for ending in [".input_scale", ".input_global_scale"] {
                small.push((name.replace(".weight", ending), "F32", Vec::new(), as_bytes(&[0.5])));
            }
            if dtype == "U8" {
                shape[1] /= 2;
                let ending = if family == "qwen3" { "_packed" } else { "" };
                small.push((format!("{name}{ending}"), "U8", shape, bytes));
            } else if dtype.starts_with("I32") {
                let dims = shape.iter().flat_map(|n| (*n as u32).to_le_bytes()).collect();
                small.push((format!("{name}_shape"), "I32", vec![2], dims));
                shape[1] /= if dtype == "I32" { 8 } else { 4 };
                small.push((format!("{name}_packed"), "I32", shape, bytes));
            } else {
                small.push((name, dtype, shape, bytes));
            }
        }
        let mut config = config(family);
        config["quantization_config"] = quantized;
        let ids = expected(family).ids;
        let loaded = |tensors: &[(String, &str, Vec<u64>, Vec<u8>)]| {
            let source: Rc<dyn Source> = Rc::new(Memory::new("model.safetensors", safetensors_bytes(tensors)));
            let files = ModelFiles { sources: vec![source], config: Some(config.to_string()), ..ModelFiles::default() };
            block_on(Session::load(&files, ExecutorChoice::Cpu, &options(), &mut |_| ()))
        };
        let computed = |tensors: &[_]| logits(&mut loaded(tensors).unwrap(), &ids[..60], &[]);
        let worst = worst(&computed(&plain), &computed(&small));
        assert!(worst <= BUDGET, "{family} in {dtype}: off by {worst}");
        // What would make other numbers of them is not passed over.
        if dtype == "I32" {
            let (name, ..) = small.iter().find(|tensor| tensor.0.ends_with("o_proj.weight_packed")).unwrap().clone();
            small.push((name.replace("_packed", "_zero_point"), "I32", vec![1], vec![0; 4]));
            let error = loaded(&small).err().unwrap().to_string();
            assert!(error.contains("o_proj.weight_zero_point") && error.contains("scales alone"), "{error}");
        }
        if dtype == "U8" {
            let mut without = small.clone();
            without.retain(|(name, ..)| !name.ends_with("layers.0.self_attn.o_proj.weight_scale"));
            let error = loaded(&without).err().unwrap().to_string();
            assert!(error.contains("layers.0.self_attn.o_proj.weight") && error.contains("F8_E4M3"), "{error}");
            small.retain(|(name, ..)| !name.contains("layers.1.self_attn.o_proj.weight_scale_2"));
            small.retain(|(name, ..)| !name.contains("layers.1.self_attn.o_proj.weight_global_scale"));
            let error = loaded(&small).err().unwrap().to_string();
            assert!(error.contains("layers.1.self_attn.o_proj.weight") && error.contains("scale for all"), "{error}");
        }
    }
}
