#!/usr/bin/env python3
"""Trains the embedded model, a small DeepSeek V4 with every mechanism alive, on text files.

    train.py OUT TEXT... --minutes 90          on two cores (two workers of one thread each)
    train.py OUT TEXT... --until 23:30         to be done at a time of day, however busy the machine is
    train.py OUT TEXT... --steps 4000 --workers 1 --batch 32    reproducible; on a GPU where there is one

OUT receives tokenizer.json, config.json, model.safetensors (official names, exportable at any time), log.csv and
state.pt. A run that was cut off goes on from state.pt when the same command is given again. Learning rates follow the
fraction of the run that is done, by clock or by steps: a short rise, then a straight fall to nothing. The first
part reads all compressed entries and rests the indexer, the next trains the indexer beside it, the rest lets it
choose; the last fifth runs on weights quantized as the export will store them.
"""

import argparse
import csv
import datetime
import json
import math
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from export_gguf import DEFAULTS
from fake_quant import FakeQuant
from model import PRECISION, V4, load_official, official_weights
from optimizer import Optimizer
from text_data import Corpus, batch, load_corpus

INDEXER_SHARE = 0.1
"""Weight of the indexer's loss; it reaches no other parameter."""

BIAS_STEP = 1e-3
"""How far the router's bias moves per step towards an even load."""


@dataclass
class Progress:
    """How far the run has come; saved and restored with the weights."""

    step: int = 0
    fraction: float = 0.0
    minutes: float = 0.0


class Clock:
    """Turns time or steps into the fraction of the run that is done."""

    def __init__(self, options: argparse.Namespace, progress: Progress):
        self.start, self.before, self.steps = time.time(), Progress(**vars(progress)), options.steps
        if options.until:
            hour, minute = map(int, options.until.split(":"))
            end = datetime.datetime.now().replace(hour=hour, minute=minute, second=0)
            end += datetime.timedelta(days=end < datetime.datetime.now())
            self.seconds_left = end.timestamp() - self.start
        elif options.minutes:
            self.seconds_left = options.minutes * 60 * (1 - progress.fraction)

    def update(self, progress: Progress) -> None:
        """Sets minutes and fraction of the run for the step at hand."""
        passed = time.time() - self.start
        progress.minutes = self.before.minutes + passed / 60
        if self.steps:
            progress.fraction = progress.step / self.steps
        else:
            done = self.before.fraction
            progress.fraction = done + (1 - done) * min(1.0, passed / max(self.seconds_left, 1e-3))


def learning_rate(fraction: float, step: int) -> float:
    """Share of the peak rate: 20 steps up, then straight down to 0.01 at the end of the run."""
    return min(1.0, (step + 1) / 20) * (1 - 0.99 * fraction)


def stage(fraction: float, options: argparse.Namespace) -> str:
    """What the indexer does at this point of the run; see `model.Attention.forward`."""
    if fraction < options.dense:
        return "dense"
    return "warm" if fraction < options.dense + options.warm else "sparse"


class Workers:
    """One process per core. Threads that meet at every product would wait for each other on a busy machine."""

    def __init__(self, rank: int, count: int, meeting: str):
        self.rank, self.count = rank, count
        if count > 1:
            dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=count)

    def add_up(self, tensor: Tensor) -> None:
        """Sums a tensor over all workers, in place."""
        if self.count > 1:
            dist.all_reduce(tensor)

    def agree(self, progress: Progress) -> None:
        """Gives every worker the first one's clock."""
        if self.count > 1:
            shared = torch.tensor([progress.fraction, progress.minutes], dtype=torch.float64)
            dist.broadcast(shared, 0)
            progress.fraction, progress.minutes = shared.tolist()


@torch.no_grad()
def held_out_bits(model: V4, corpus: Corpus, length: int, stage_name: str, workers: Workers) -> tuple[float, float]:
    """Nats per token and bits per byte on the held-out text, read in windows of `length`; the tail is left out."""
    device = next(model.parameters()).device
    n_windows = (len(corpus.held_out) - 1) // length
    total = torch.zeros(2, dtype=torch.float64)
    for start in range(workers.rank * 4, n_windows, workers.count * 4):
        n = min(4, n_windows - start)
        ids = corpus.held_out[start * length : (start + n) * length + 1].to(device)
        padded = F.pad(ids[:-1], (0, (4 - n) * length)).view(4, length)
        logits = model.head(model(padded, stage_name)[0]).float().flatten(0, 1)[: n * length]
        total += torch.tensor([F.cross_entropy(logits, ids[1:], reduction="sum").item(), n * length])
    workers.add_up(total)
    nats = (total[0] / total[1]).item()
    return nats, nats / math.log(2) * len(corpus.held_out) / corpus.held_out_bytes


def balance(model: V4, workers: Workers) -> None:
    """Moves each router's bias towards an even load over the experts."""
    for layer in model.layers:
        load = layer.ffn.experts.load.float()
        workers.add_up(load)
        if hasattr(layer.ffn.gate, "bias"):
            layer.ffn.gate.bias += BIAS_STEP * torch.sign(load.mean() - load)


class Run:
    """One worker's training run."""

    def __init__(self, options: argparse.Namespace, workers: Workers):
        self.options, self.workers = options, workers
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        config = json.loads(options.config.read_text())
        torch.manual_seed(options.seed)
        self.model = V4(config).to(self.device)
        if options.init:
            load_official(self.model, load_file(options.init))
        self.corpus = load_corpus(options.texts, options.out / "tokenizer.json", config["vocab_size"])
        self.quant = FakeQuant(self.model, DEFAULTS)
        worker = (workers.rank, workers.count)
        self.optimizer = Optimizer(self.model, options.muon_lr, options.adam_lr, worker, workers.add_up)
        self.progress = Progress()
        self.state_path = options.out / "state.pt"
        if self.state_path.exists():
            self.resume()
        if options.compile:
            self.model.compile_parts()
        self.clock, self.saved_at = Clock(options, self.progress), time.time()

    def resume(self) -> None:
        """Takes up the saved run."""
        state = torch.load(self.state_path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load(state["optimizer"])
        self.progress = Progress(**state["progress"])

    def save(self) -> None:
        """Writes the exportable weights and the state; each file appears whole or not at all."""
        out, pending = self.options.out, self.options.out / "pending"
        save_file(official_weights(self.model), pending)
        os.replace(pending, out / "model.safetensors")
        optimizer, progress = self.optimizer.state(), vars(self.progress)
        torch.save({"model": self.model.state_dict(), "optimizer": optimizer, "progress": progress}, pending)
        os.replace(pending, self.state_path)
        (out / "config.json").write_text(json.dumps(self.model.config, indent=1) + "\n")
        self.saved_at = time.time()

    def gradient(self, stage_name: str) -> float:
        """Leaves the gradient of this step's batch, averaged over workers, in the parameters; returns the loss."""
        options, count = self.options, self.workers.count
        index = self.progress.step * count + self.workers.rank
        inputs, targets = batch(self.corpus.train, index, options.batch // count, options.length, options.seed)
        x, indexer_loss = self.model(inputs.to(self.device), stage_name)
        loss = F.cross_entropy(self.model.head(x).float().flatten(0, 1), targets.to(self.device).flatten())
        (loss + INDEXER_SHARE * indexer_loss).backward()
        parameters = list(self.model.parameters())
        pieces = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([piece.flatten() for piece in pieces])
        self.workers.add_up(flat)
        flat /= count
        flat *= min(1.0, 1.0 / (flat.norm().item() + 1e-6))
        for p, piece in zip(parameters, flat.split([p.numel() for p in parameters])):
            p.grad = piece.view_as(p)
        return loss.item()

    def step(self) -> float:
        """One step of training; returns its loss in nats per token."""
        fraction = self.progress.fraction
        if fraction >= self.options.quantize_from:
            with self.quant.applied():
                loss = self.gradient(stage(fraction, self.options))
        else:
            loss = self.gradient(stage(fraction, self.options))
        self.optimizer.step(learning_rate(fraction, self.progress.step))
        balance(self.model, self.workers)
        self.progress.step += 1
        return loss

    def report(self, loss: float) -> None:
        """Measures on held-out text, prints, and appends to log.csv."""
        stage_name = stage(min(self.progress.fraction, 0.999), self.options)
        nats, bits = held_out_bits(self.model, self.corpus, self.options.length, stage_name, self.workers)
        with self.quant.applied():
            _, quantized = held_out_bits(self.model, self.corpus, self.options.length, stage_name, self.workers)
        if self.workers.rank:
            return
        tokens = self.progress.step * self.options.batch * self.options.length
        row = {
            "step": self.progress.step,
            "tokens": tokens,
            "minutes": f"{self.progress.minutes:.2f}",
            "stage": stage_name,
            "train_nats_per_token": f"{loss:.4f}",
            "held_out_nats_per_token": f"{nats:.4f}",
            "held_out_bits_per_byte": f"{bits:.4f}",
            "quantized_bits_per_byte": f"{quantized:.4f}",
        }
        path = self.options.out / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        print("==", row, flush=True)

    def run(self) -> None:
        """Trains to the end."""
        progress, loss = self.progress, math.nan
        while True:
            self.clock.update(progress)
            self.workers.agree(progress)
            if progress.fraction >= 1:
                break
            loss = self.step()
            self.clock.update(progress)
            if self.workers.rank == 0:
                rate = progress.step * self.options.batch * self.options.length / progress.minutes / 60
                done = progress.fraction
                print(f"step {progress.step} loss {loss:.3f} done {done:.3f} tokens/s {rate:.0f}", flush=True)
                if time.time() - self.saved_at > self.options.save_every:
                    self.save()
            if progress.step % self.options.report_every == 0:
                self.report(loss)
        PRECISION.dtype = torch.float32
        self.report(loss)
        if self.workers.rank == 0:
            self.save()


def work(rank: int, options: argparse.Namespace, meeting: str) -> None:
    """Entry of one worker."""
    torch.set_num_threads(1 if options.workers > 1 else options.threads)
    torch._dynamo.config.recompile_limit = 64
    PRECISION.dtype = torch.bfloat16
    Run(options, Workers(rank, options.workers, meeting)).run()


def parse() -> argparse.Namespace:
    """The command line."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("texts", type=Path, nargs="+")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="length of the run by the clock")
    length.add_argument("--until", help="HH:MM at which it must be done")
    length.add_argument("--steps", type=int, help="length of the run by steps")
    parser.add_argument("--config", type=Path, default=here / "config.json")
    parser.add_argument("--init", type=Path, help="start from these weights (official names), not from random ones")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each; 1 on a GPU")
    parser.add_argument("--threads", type=int, default=2, help="threads of a single worker")
    parser.add_argument("--batch", type=int, default=8, help="sequences per step, over all workers")
    parser.add_argument("--length", type=int, default=512, help="tokens per sequence")
    parser.add_argument("--muon-lr", type=float, default=0.02, help="peak rate of matrices")
    parser.add_argument("--adam-lr", type=float, default=4e-3, help="peak rate of everything else")
    parser.add_argument("--dense", type=float, default=0.45, help="share of the run without indexer")
    parser.add_argument("--warm", type=float, default=0.1, help="share of the run that trains the indexer alone")
    parser.add_argument("--quantize-from", type=float, default=0.8, help="point of the run where quantization begins")
    parser.add_argument("--report-every", type=int, default=100, help="steps between measurements")
    parser.add_argument("--save-every", type=float, default=180, help="seconds between saved states")
    parser.add_argument("--compile", action="store_true", help="worth its minutes on a GPU or an idle machine")
    return parser.parse_args()


def main() -> None:
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.workers == 1:
        work(0, options, "")
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(work, (options, f"{folder}/meeting"), options.workers)


if __name__ == "__main__":
    main()
