//! How a `config.json` says that weights were quantized: which of it is read, and what of it nobody here knows.

use super::shape::config::ConfigKeys;
use crate::error::{Error, Result};
use crate::format::directory::shown;
use crate::format::packing::{Order, Packing};
use serde_json::Value;

/// How codes are packed in words with zeros beside them, as GPTQ, AWQ, AutoRound and, asymmetrically, compressed-tensors write them;
/// `None` where they are not.
///
/// # Errors
/// When they are packed so in a way that is not read.
pub fn packing(config: &str) -> Result<Option<Packing>> {
    let Ok(keys) = ConfigKeys::parse(config) else { return Ok(None) };
    let at = |key: &str| keys.at(&format!("quantization_config.{key}"));
    let text = |key: &str| at(key).and_then(Value::as_str);
    let is = |key: &str| at(key).and_then(Value::as_bool);
    let Some(method) = text("quant_method") else { return Ok(None) };
    if method == "compressed-tensors" {
        let groups = at("config_groups").and_then(Value::as_object).into_iter().flatten();
        let mut weights = groups.filter_map(|(_, group)| group.get("weights"));
        let has_zeros = weights.any(|of| {
            of.get("symmetric") == Some(&Value::Bool(false)) && of.get("num_bits").and_then(Value::as_u64) == Some(4)
        });
        let rows = Packing { order: Order::Rows, bits: 4, group_len: None, is_symmetric: false };
        return Ok(has_zeros.then_some(rows));
    }
    let refused = |key: &str, expected: &str| {
        let found = at(key).map_or_else(|| "missing".to_owned(), |value| shown(&value.to_string()));
        Err(Error::file(format!("config.json: key \"quantization_config.{key}\""), found)
            .expected(format!("{expected}, for {method}"))
            .advice("Take another quantization of the model, or it as a GGUF."))
    };
    let auto_round = text("packing_format").unwrap_or_default();
    let order = match method {
        "gptq" => Order::Gptq { less_one: text("checkpoint_format") != Some("gptq_v2") },
        "awq" => Order::Awq,
        "auto-round" | "intel/auto-round" if auto_round.ends_with("gptq") => Order::Gptq { less_one: true },
        "auto-round" | "intel/auto-round" if auto_round.ends_with("awq") => Order::Awq,
        "auto-round" | "intel/auto-round" => {
            return refused("packing_format", "\"auto_round:auto_gptq\" or \"auto_round:auto_awq\"");
        }
        _ => return Ok(None),
    };
    let is_symmetric = match order {
        Order::Gptq { .. } | Order::Rows => is("sym").unwrap_or(true),
        Order::Awq => is("sym").unwrap_or(false) || is("zero_point") == Some(false),
    };
    // Whose zeros are stored less 1 is not said.
    if matches!(order, Order::Gptq { .. }) && method != "gptq" && !is_symmetric {
        return refused("sym", "true");
    }
    let bits = match (order, at("bits").or_else(|| at("w_bit")).and_then(Value::as_u64)) {
        (_, Some(4)) => 4,
        (Order::Gptq { .. }, Some(8)) if is_symmetric => 8,
        (Order::Gptq { .. } | Order::Rows, _) => return refused("bits", "4, or symmetrically 8"),
        (Order::Awq, _) => return refused("bits", "4"),
    };
    if order == Order::Awq && text("version").is_some_and(|version| !version.eq_ignore_ascii_case("gemm")) {
        return refused("version", "\"gemm\"");
    }
    let group_len = match at("group_size").or_else(|| at("q_group_size")).and_then(Value::as_i64) {
        Some(-1) | None => None,
        Some(n) => match u32::try_from(n) {
            Ok(n) if n > 0 && n % 32 == 0 => Some(n),
            _ => return refused("group_size", "-1, or a multiple of 32"),
        },
    };
    // Groups that are no runs of inputs; where groups were fixed before, they are.
    if is("desc_act") == Some(true) && group_len.is_some() && is("static_groups") != Some(true) {
        return refused("desc_act", "false: groups that are runs of inputs");
    }
    Ok(Some(Packing { order, bits, group_len, is_symmetric }))
}

/// What a model cannot be read for, where its config says that its weights are quantized in a way that is not known.
pub(super) fn refusal(config: &str) -> Option<Error> {
    let keys = ConfigKeys::parse(config).ok()?;
    let text = |key: &str| keys.at(&format!("quantization_config.{key}"))?.as_str();
    // MLX writes its settings under another name, and a method under none.
    let of_mlx = keys.at("quantization.group_size").map(|_| "mlx");
    let method = text("quant_method").or(of_mlx)?;
    // Those of which some are read say further which one it is.
    let (key, found) = match method {
        "fp8" | "fbgemm_fp8" | "mxfp4" => return None,
        _ if packing(config).is_ok_and(|packing| packing.is_some()) => return None,
        "mlx" => ("quantization", method),
        "compressed-tensors" => ("quantization_config.format", text("format").unwrap_or_default()),
        "modelopt" => ("quantization_config.quant_algo", text("quant_algo").unwrap_or_default()),
        _ => ("quantization_config.quant_method", method),
    };
    let is_known = ["FP8", "NVFP4", "W4A16_NVFP4"].contains(&found)
        || method == "compressed-tensors" && found.ends_with("-quantized");
    (!is_known).then(|| {
        Error::file(format!("config.json: key {key:?}"), shown(found))
            .expected(
                "FP8, FP4, NVFP4 or integers by \"fp8\", \"mxfp4\", \"gptq\", \"awq\", \"auto-round\", symmetrically by \
                 \"compressed-tensors\", or \"modelopt\", or none",
            )
            .advice("Take the model as it was published, or as a GGUF.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(settings: &Value) -> Result<Option<Packing>> {
        packing(&json!({"model_type": "qwen2", "quantization_config": settings}).to_string())
    }

    #[test]
    fn settings_of_gptq_awq_and_autoround_are_read() -> Result<()> {
        let gptq = |bits, less_one, group_len, is_symmetric| {
            Some(Packing { order: Order::Gptq { less_one }, bits, group_len, is_symmetric })
        };
        let awq = |is_symmetric| Some(Packing { order: Order::Awq, bits: 4, group_len: Some(128), is_symmetric });
        let of_gptq = json!({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": false, "sym": true});
        assert_eq!(of(&of_gptq)?, gptq(4, true, Some(128), true));
        let v2 =
            json!({"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": false, "checkpoint_format": "gptq_v2"});
        assert_eq!(of(&v2)?, gptq(4, false, Some(32), false));
        // All of a row is one group: in whatever order its inputs were.
        let whole = json!({"quant_method": "gptq", "bits": 8, "group_size": -1, "desc_act": true, "sym": true});
        assert_eq!(of(&whole)?, gptq(8, true, None, true));
        let fixed =
            json!({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": true, "static_groups": true});
        assert_eq!(of(&fixed)?, gptq(4, true, Some(128), true));
        let of_awq =
            json!({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": true, "version": "gemm"});
        assert_eq!(of(&of_awq)?, awq(false));
        let rounded = json!({"quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": true, "packing_format": "auto_round:auto_awq"});
        assert_eq!(of(&rounded)?, awq(true));
        assert_eq!(of(&json!({"quant_method": "fp8"}))?, None);
        let groups = |symmetric: bool, bits: u32| {
            let weights = json!({"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group", "group_size": 128});
            json!({"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}})
        };
        let rows = Packing { order: Order::Rows, bits: 4, group_len: None, is_symmetric: false };
        assert_eq!(of(&groups(false, 4))?, Some(rows));
        assert_eq!((of(&groups(true, 4))?, of(&groups(false, 8))?), (None, None));
        assert_eq!(packing("{}")?, None);
        Ok(())
    }

    #[test]
    fn what_is_not_read_of_them_is_refused_by_its_key() {
        for (settings, key) in [
            (json!({"quant_method": "gptq", "bits": 3, "group_size": 128}), "bits"),
            (json!({"quant_method": "gptq", "bits": 8, "group_size": 128, "sym": false}), "bits"),
            (json!({"quant_method": "gptq", "group_size": 128}), "bits"),
            (json!({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": true}), "desc_act"),
            (json!({"quant_method": "gptq", "bits": 4, "group_size": 16}), "group_size"),
            (json!({"quant_method": "gptq", "bits": 4, "group_size": 0}), "group_size"),
            (json!({"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemv"}), "version"),
            (json!({"quant_method": "awq", "bits": 8, "group_size": 128}), "bits"),
            (
                json!({"quant_method": "auto-round", "bits": 4, "group_size": 128, "packing_format": "auto_round:fp8"}),
                "packing_format",
            ),
            (
                json!({"quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": false, "packing_format": "auto_round:auto_gptq"}),
                "sym",
            ),
        ] {
            let error = of(&settings).expect_err(key).to_string();
            assert!(error.contains(&format!("quantization_config.{key}")), "{settings}: {error}");
        }
    }
}
