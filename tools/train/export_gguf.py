#!/usr/bin/env python3
"""Writes a trained V4 as a GGUF of architecture `deepseek4` that llama.cpp and headstart read.

    export_gguf.py FOLDER OUT.gguf [--matrix-type Q4_0] [--embedding-type Q4_0] [--head-type Q6_K] ...

FOLDER holds `model.safetensors` (official tensor names), `config.json` and `tokenizer.json`. Every group of matrices
has an option of its own; what is not a matrix (norms, sinks, position biases, hyper-connections, router) stays F32,
because it is small and everything downstream multiplies its error. The choice by name is `tensor_format`, which
training uses too when it simulates quantization.
"""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Format
from safetensors.numpy import load_file

from quant_formats import FORMATS, block_len, encode

GROUPS = {
    "embedding": ("token_embd.weight",),
    "head": ("output.weight",),
    "expert": ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"),
    "shared": ("ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"),
    "mixer": ("hc_attn_fn", "hc_ffn_fn", "output_hc_fn"),
    "matrix": ("attn_q_", "attn_kv", "attn_output_", "compressor_kv", "compressor_gate", "indexer."),
}
"""Groups of tensors that take one format each, by a part of the GGUF name; the first that fits wins."""

DEFAULTS = {
    "matrix": "Q4_0",
    "embedding": "Q4_0",
    "head": "Q6_K",
    "expert": "Q4_0",
    "shared": "Q4_0",
    "mixer": "F32",
}
"""The mix of the embedded model: README.md holds it against others."""


def tensor_format(name: str, shape: tuple[int, ...], mix: dict[str, str]) -> str:
    """Format of the tensor called `name` in GGUF; F32 where it is no matrix or its rows do not fit the blocks."""
    if len(shape) < 2:
        return "F32"
    for group, parts in GROUPS.items():
        if any(part in name for part in parts):
            wanted = mix[group]
            return wanted if shape[-1] % block_len(wanted) == 0 else "F32"
    return "F32"


LAYER_NAMES = {
    "attn_norm.weight": "attn_norm.weight",
    "ffn_norm.weight": "ffn_norm.weight",
    "hc_attn_fn": "hc_attn_fn.weight",
    "hc_attn_base": "hc_attn_base.weight",
    "hc_attn_scale": "hc_attn_scale.weight",
    "hc_ffn_fn": "hc_ffn_fn.weight",
    "hc_ffn_base": "hc_ffn_base.weight",
    "hc_ffn_scale": "hc_ffn_scale.weight",
    "attn.wq_a.weight": "attn_q_a.weight",
    "attn.q_norm.weight": "attn_q_a_norm.weight",
    "attn.wq_b.weight": "attn_q_b.weight",
    "attn.wkv.weight": "attn_kv.weight",
    "attn.kv_norm.weight": "attn_kv_a_norm.weight",
    "attn.wo_a.weight": "attn_output_a.weight",
    "attn.wo_b.weight": "attn_output_b.weight",
    "attn.attn_sink": "attn_sinks.weight",
    "attn.compressor.ape": "attn_compressor_ape.weight",
    "attn.compressor.norm.weight": "attn_compressor_norm.weight",
    "attn.compressor.wkv.weight": "attn_compressor_kv.weight",
    "attn.compressor.wgate.weight": "attn_compressor_gate.weight",
    "attn.indexer.wq_b.weight": "indexer.attn_q_b.weight",
    "attn.indexer.weights_proj.weight": "indexer.proj.weight",
    "attn.indexer.compressor.ape": "indexer_compressor_ape.weight",
    "attn.indexer.compressor.norm.weight": "indexer_compressor_norm.weight",
    "attn.indexer.compressor.wkv.weight": "indexer_compressor_kv.weight",
    "attn.indexer.compressor.wgate.weight": "indexer_compressor_gate.weight",
    "ffn.gate.weight": "ffn_gate_inp.weight",
    "ffn.gate.bias": "exp_probs_b.bias",
    "ffn.gate.tid2eid": "ffn_gate_tid2eid.weight",
    "ffn.shared_experts.w1.weight": "ffn_gate_shexp.weight",
    "ffn.shared_experts.w2.weight": "ffn_down_shexp.weight",
    "ffn.shared_experts.w3.weight": "ffn_up_shexp.weight",
}
"""Official name within a layer -> GGUF name within a block (llama.cpp's table for `deepseek4`)."""

TOP_NAMES = {
    "embed.weight": "token_embd.weight",
    "head.weight": "output.weight",
    "norm.weight": "output_norm.weight",
    "hc_head_fn": "output_hc_fn.weight",
    "hc_head_base": "output_hc_base.weight",
    "hc_head_scale": "output_hc_scale.weight",
}

EXPERT_NAMES = {"w1": "ffn_gate_exps.weight", "w2": "ffn_down_exps.weight", "w3": "ffn_up_exps.weight"}


def gguf_tensors(weights: dict[str, np.ndarray], config: dict) -> dict[str, np.ndarray]:
    """Official names -> GGUF names, the experts of a layer stacked into one [n_experts, out, in] tensor."""
    tensors = {new: weights[old] for old, new in TOP_NAMES.items()}
    for layer in range(config["num_hidden_layers"]):
        source, target = f"layers.{layer}.", f"blk.{layer}."
        for old, new in LAYER_NAMES.items():
            if source + old in weights:
                tensors[target + new] = weights[source + old]
        for old, new in EXPERT_NAMES.items():
            each = [weights[f"{source}ffn.experts.{e}.{old}.weight"] for e in range(config["n_routed_experts"])]
            tensors[target + new] = np.stack(each)
    return tensors


def write_architecture(writer: gguf.GGUFWriter, config: dict) -> None:
    """The `deepseek4.*` keys."""
    yarn, n_layers = config["rope_scaling"], config["num_hidden_layers"]
    counts = {
        "block_count": n_layers,
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "embedding_length_out": config["hidden_size"] * config["hc_mult"],
        "vocab_size": config["vocab_size"],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": 1,
        "attention.key_length": config["head_dim"],
        "attention.value_length": config["head_dim"],
        "attention.q_lora_rank": config["q_lora_rank"],
        "attention.sliding_window": config["sliding_window"],
        "attention.output_group_count": config["o_groups"],
        "attention.output_lora_rank": config["o_lora_rank"],
        "attention.indexer.head_count": config["index_n_heads"],
        "attention.indexer.key_length": config["index_head_dim"],
        "attention.indexer.top_k": config["index_topk"],
        "rope.dimension_count": config["qk_rope_head_dim"],
        "rope.scaling.original_context_length": yarn["original_max_position_embeddings"],
        "expert_count": config["n_routed_experts"],
        "expert_used_count": config["num_experts_per_tok"],
        "expert_shared_count": config["n_shared_experts"],
        "expert_feed_forward_length": config["moe_intermediate_size"],
        "expert_gating_func": 4,  # sqrt(softplus)
        "hash_layer_count": config["num_hash_layers"],
        "hyper_connection.count": config["hc_mult"],
        "hyper_connection.sinkhorn_iterations": config["hc_sinkhorn_iters"],
    }
    numbers = {
        "attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        "attention.compress_rope_freq_base": config["compress_rope_theta"],
        "rope.freq_base": config["rope_theta"],
        "rope.scaling.factor": yarn["factor"],
        "rope.scaling.yarn_beta_fast": yarn["beta_fast"],
        "rope.scaling.yarn_beta_slow": yarn["beta_slow"],
        "expert_weights_scale": config["routed_scaling_factor"],
        "hyper_connection.epsilon": config["hc_eps"],
    }
    for key, value in counts.items():
        writer.add_uint32(f"deepseek4.{key}", int(value))
    for key, value in numbers.items():
        writer.add_float32(f"deepseek4.{key}", float(value))
    writer.add_string("deepseek4.rope.scaling.type", "yarn")
    writer.add_bool("deepseek4.expert_weights_norm", config["norm_topk_prob"])
    writer.add_array("deepseek4.attention.compress_ratios", config["compress_ratios"][:n_layers])
    for kind in ("exp", "shexp"):
        writer.add_array(f"deepseek4.swiglu_clamp_{kind}", [float(config["swiglu_limit"])] * n_layers)


def write_tokenizer(writer: gguf.GGUFWriter, path: Path) -> None:
    """The byte-level BPE of `tokenizer.json`, under the name of V4's pre-tokenizer; `no_vocab` where there is none."""
    if not path.exists():
        writer.add_tokenizer_model("no_vocab")
        return
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    vocab = tokenizer["model"]["vocab"]
    special = {token["id"] for token in tokenizer["added_tokens"]}
    tokens = [token for token, _ in sorted(vocab.items(), key=lambda entry: entry[1])]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("joyai-llm")
    writer.add_token_list(tokens)
    writer.add_token_types([control if index in special else normal for index in range(len(tokens))])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)


def write_tensor(writer: gguf.GGUFWriter, name: str, array: np.ndarray, mix: dict[str, str]) -> None:
    """One tensor in the format that the mix gives it; integer tables become I32."""
    if array.dtype.kind == "i":
        writer.add_tensor(name, np.ascontiguousarray(array, np.int32))
        return
    chosen = tensor_format(name, array.shape, mix)
    data = encode(array, chosen)
    writer.add_tensor(name, data, raw_dtype=Format[chosen])


def export(
    weights: dict[str, np.ndarray], config: dict, tokenizer: Path, out: Path, mix: dict[str, str], name: str
) -> int:
    """Writes the GGUF; returns its size in bytes."""
    writer = gguf.GGUFWriter(str(out), "deepseek4")
    writer.add_name(name)
    writer.add_license("mit or apache-2.0")
    write_architecture(writer, config)
    write_tokenizer(writer, tokenizer)
    for tensor_name, array in gguf_tensors(weights, config).items():
        write_tensor(writer, tensor_name, array, mix)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds model.safetensors, config.json, tokenizer.json")
    parser.add_argument("out", type=Path, help="the GGUF to write")
    parser.add_argument("--name", default="headstart V4 11M", help="general.name in the file")
    for group, chosen in DEFAULTS.items():
        parser.add_argument(f"--{group}-type", choices=FORMATS, default=chosen, help=f"default {chosen}")
    options = parser.parse_args()
    mix = {group: getattr(options, f"{group}_type") for group in DEFAULTS}
    weights = load_file(options.folder / "model.safetensors")
    config = json.loads((options.folder / "config.json").read_text())
    size = export(weights, config, options.folder / "tokenizer.json", options.out, mix, options.name)
    print(f"{options.out}: {size} bytes")


if __name__ == "__main__":
    main()
