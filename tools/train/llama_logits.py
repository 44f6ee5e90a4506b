#!/usr/bin/env python3
"""Writes what llama.cpp makes of the embedded model into fixtures, after checking it against the PyTorch model.

    llama_logits.py [MODEL.gguf] [OUT=tests/fixtures]

`OUT/llama_logits.safetensors`: `ids` [512] (I32) of the text in `teacher.txt`, and `log_probs` [512, vocab] (F16,
natural logarithm) after each of them, teacher-forced one token at a time. `OUT/greedy.json`: a prompt, its
ids, and the 64 most probable tokens one after the other.
llama.cpp comes as PyPI `xllamacpp==2026.9.11063` (newer builds crash in their V4 cache, older ones refuse the file);
one slot, no memory fitting, no GPU layers. Before anything is written, the PyTorch model with the file's own weights,
dequantized, must write the same 64 tokens and lie within a mean divergence of `MOST_DIVERGENCE`.
"""

import json
import sys
import urllib.request
from pathlib import Path

import numpy as np
import torch
import xllamacpp
from safetensors.numpy import save_file

from read_gguf import load_gguf

HERE = Path(__file__).parent
PROMPT = (HERE / "prompt.txt").read_text(encoding="utf-8").removesuffix("\n")
N_TOKENS = 512
N_GREEDY = 64
MOST_DIVERGENCE = 1e-3
"""Nats, averaged over tokens: llama.cpp rounds activations to 8 bits before products with quantized weights."""


class Llama:
    """llama.cpp's server, in this process."""

    def __init__(self, path: Path):
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx = 1024
        parameters.n_parallel = 1
        parameters.fit_params = False
        parameters.n_gpu_layers = 0
        parameters.warmup = False
        parameters.verbosity = 0
        self.server = xllamacpp.Server(parameters)

    def post(self, path: str, body: dict) -> dict:
        """One request to the server's own interface."""
        data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(self.server.listening_address + path, data, headers)
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    def tokenize(self, text: str) -> list[int]:
        return self.post("/tokenize", {"content": text, "add_special": False})["tokens"]

    def greedy(self, ids: list[int], n: int) -> list[int]:
        """The n most probable tokens, one after the other; fewer where the model ends the document."""
        body = {"prompt": ids, "n_predict": n, "temperature": 0, "return_tokens": True, "cache_prompt": False}
        return self.post("/completion", body)["tokens"]

    def log_probs(self, ids: list[int], n_vocab: int) -> np.ndarray:
        """[n, n_vocab]: after each of the ids; every request continues the cache of the one before by one token."""
        rows = np.full((len(ids), n_vocab), -np.inf, np.float32)
        for index in range(len(ids)):
            prompt = ids[: index + 1]
            body = {"prompt": prompt, "n_predict": 1, "n_probs": n_vocab, "temperature": 0, "cache_prompt": True}
            for entry in self.post("/completion", body)["completion_probabilities"][0]["top_logprobs"]:
                rows[index, entry["id"]] = entry["logprob"]
        if not np.isfinite(rows).all():
            raise SystemExit("llama.cpp left out tokens of the vocabulary")
        return rows


def divergence(theirs: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """KL(theirs || ours) per row, from log-probabilities."""
    return (np.exp(theirs) * (theirs - ours)).sum(-1)


@torch.no_grad()
def torch_agrees(model: torch.nn.Module, prompt: list[int], new: list[int]) -> tuple[int, float]:
    """How many of the new tokens PyTorch puts first as well, in one pass over prompt and tokens up to the first that
    it does not, and the least lead of these over the second, in nats."""
    logits = model.logits(torch.tensor([prompt + new]))[0, len(prompt) - 1 : -1]
    best = logits.topk(2)
    same = (best.indices[:, 0] == torch.tensor(new)).tolist()
    n_same = same.index(False) if False in same else len(new)
    return n_same, (best.values[:, 0] - best.values[:, 1])[:n_same].min().item() if n_same else 0.0


def main() -> None:
    root = HERE.parent.parent
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "www/models/headstart-v4-11m.gguf"
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else root / "tests/fixtures"
    model, tokenizer = load_gguf(path)
    llama = Llama(path)
    text = (HERE / "teacher.txt").read_text(encoding="utf-8")
    for sample in (PROMPT, text):
        assert llama.tokenize(sample) == tokenizer.encode(sample).ids, "the tokenizers disagree"
    ids = [0, *tokenizer.encode(text).ids][:N_TOKENS]
    assert len(ids) == N_TOKENS, f"teacher.txt has {len(ids)} tokens, {N_TOKENS} are needed"
    prompt_ids = [0, *tokenizer.encode(PROMPT).ids]
    greedy = llama.greedy(prompt_ids, N_GREEDY)
    n_same, lead = torch_agrees(model, prompt_ids, greedy)
    print(f"greedy: {PROMPT!r} -> {tokenizer.decode(greedy)!r}\nleast lead of a token over the second: {lead:.4f} nats")
    assert len(greedy) == n_same == N_GREEDY, f"PyTorch writes the same {n_same} tokens, then another"
    theirs = llama.log_probs(ids, model.config["vocab_size"])
    with torch.no_grad():
        kl = divergence(theirs, model.logits(torch.tensor([ids]))[0].log_softmax(-1).numpy())
    stored = theirs.astype(np.float16)
    print(f"divergence from llama.cpp: mean {kl.mean():.2e}, greatest {kl.max():.2e} nats")
    print(f"of rounding to f16: {divergence(theirs, stored.astype(np.float32)).mean():.2e}")
    assert kl.mean() <= MOST_DIVERGENCE
    out.mkdir(parents=True, exist_ok=True)
    save_file({"ids": np.array(ids, np.int32), "log_probs": stored}, out / "llama_logits.safetensors")
    text = json.dumps({"prompt": PROMPT, "prompt_ids": prompt_ids, "ids": greedy}, ensure_ascii=False)
    (out / "greedy.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
