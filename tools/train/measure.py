#!/usr/bin/env python3
"""Bits per byte of a model on the held-out text, in f32, by PyTorch.

    measure.py MODEL TEXT... [--windows N]

MODEL is a GGUF (read as dequantized) or a folder with model.safetensors and tokenizer.json. TEXT are the files that
training was given, in the same order, since they decide what is held out. The text is read in windows of 512 tokens,
each from an empty context; `--windows` stops after the first N.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from model import V4, load_official
from read_gguf import HERE, load_gguf
from text_data import split_corpus
from train import Workers, held_out_bits


def load(path: Path) -> tuple[V4, Tokenizer]:
    """The model and its tokenizer, from either form."""
    if path.suffix == ".gguf":
        return load_gguf(path)
    model = V4(json.loads((HERE / "config.json").read_text()))
    load_official(model, load_file(path / "model.safetensors"))
    return model.eval(), Tokenizer.from_file(str(path / "tokenizer.json"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--windows", type=int, help="read only so many windows")
    options = parser.parse_args()
    model, tokenizer = load(options.model)
    corpus = split_corpus(options.texts, tokenizer)
    if options.windows:
        corpus = corpus.cut(options.windows * 512 + 1)
    nats, bits = held_out_bits(model, corpus, 512, "sparse", Workers(0, 1, ""))
    print(f"{options.model}: {nats:.4f} nats per token, {bits:.4f} bits per byte over {len(corpus.held_out)} tokens")


if __name__ == "__main__":
    main()
