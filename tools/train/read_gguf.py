"""Reads a `deepseek4` GGUF, dequantized, into the PyTorch model: the exporter's way back.

Only what the exporter writes is understood: the trained model's own files, not any GGUF.
"""

import json
import re
from pathlib import Path

import gguf
import torch
from tokenizers import AddedToken, Tokenizer, models
from torch import Tensor

from export_gguf import EXPERT_NAMES, LAYER_NAMES, TOP_NAMES
from model import V4, load_official
from quant_formats import decode
from text_data import BEGIN, END, PAD, pre_tokenizer, decoder

HERE = Path(__file__).parent


def tensors(reader: gguf.GGUFReader) -> dict[str, Tensor]:
    """All tensors under their official names, f32 or integer; stacked experts taken apart."""
    layer_names = {new: old for old, new in LAYER_NAMES.items()}
    top_names = {new: old for old, new in TOP_NAMES.items()}
    expert_names = {new: old for old, new in EXPERT_NAMES.items()}
    found = {}
    for entry in reader.tensors:
        integer = entry.tensor_type == gguf.GGMLQuantizationType.I32
        values = torch.from_numpy(entry.data.copy() if integer else decode(entry.data, entry.tensor_type.name).copy())
        block = re.fullmatch(r"blk\.(\d+)\.(.+)", entry.name)
        if not block:
            found[top_names[entry.name]] = values
        elif block[2] in expert_names:
            for index, expert in enumerate(values):
                found[f"layers.{block[1]}.ffn.experts.{index}.{expert_names[block[2]]}.weight"] = expert
        else:
            found[f"layers.{block[1]}.{layer_names[block[2]]}"] = values
    return found


def tokenizer_of(reader: gguf.GGUFReader) -> Tokenizer:
    """The tokenizer in the file."""
    words = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer(), decoder()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in (BEGIN, END, PAD)])
    return tokenizer


def load_gguf(path: Path) -> tuple[V4, Tokenizer]:
    """The model with the file's weights, in f32, and its tokenizer; the shape is that of `config.json` beside this."""
    reader = gguf.GGUFReader(path)
    model = V4(json.loads((HERE / "config.json").read_text()))
    load_official(model, tensors(reader))
    return model.eval(), tokenizer_of(reader)
