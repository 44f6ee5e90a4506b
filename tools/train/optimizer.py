"""Muon for the matrices inside the layers, Adam for everything else.

Muon replaces the momentum of a matrix by the nearest orthogonal matrix (five rounds of a Newton-Schulz iteration),
so that all directions of the matrix learn at one rate; at this size it needs about half of AdamW's tokens. Embedding,
head, norms, hyper-connections, gates and position biases are no maps between hidden vectors and take Adam.
Gradients arrive summed over the workers; each worker orthogonalizes its share of the matrices, and a sum over workers
hands the shares round.
"""

from typing import Callable

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic a x + b x^3 + c x^5 that drives singular values towards 1."""


def orthogonalize(matrices: Tensor) -> Tensor:
    """[n, out, in] -> about the nearest orthogonal matrices, in bf16."""
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(5):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


def is_matrix(name: str, tensor: Tensor) -> bool:
    """Whether Muon takes the parameter: a linear map (or a stack of experts) between hidden vectors."""
    outside = ("embed.", "head.", "hc_", ".ape", "ffn.gate.", "weights_proj.")
    return tensor.ndim >= 2 and not any(part in name for part in outside)


class Optimizer:
    """Both rules over one model. `sum_over_workers` adds a flat tensor up in place, over all workers."""

    def __init__(
        self,
        model: torch.nn.Module,
        muon_lr: float,
        adam_lr: float,
        worker: tuple[int, int],
        sum_over_workers: Callable[[Tensor], None],
    ):
        named = list(model.named_parameters())
        self.matrices = [p for name, p in named if is_matrix(name, p)]
        rest = [p for name, p in named if not is_matrix(name, p)]
        self.muon_lr, self.adam_lr = muon_lr, adam_lr
        self.adam = torch.optim.Adam(rest, lr=adam_lr, betas=(0.9, 0.97), eps=1e-10)
        self.momentum = [torch.zeros_like(p) for p in self.matrices]
        self.worker, self.sum_over_workers = worker, sum_over_workers

    def step(self, scale: float) -> None:
        """One update at `scale` times the peak rates; gradients are consumed."""
        for group in self.adam.param_groups:
            group["lr"] = self.adam_lr * scale
        self.adam.step()
        rank, n_workers = self.worker
        updates = []
        for index, (p, momentum) in enumerate(zip(self.matrices, self.momentum)):
            momentum.lerp_(p.grad, 0.05)
            if index % n_workers == rank:
                update = orthogonalize(torch.lerp(p.grad, momentum, 0.95).view(-1, *p.shape[-2:]))
                updates.append(update.float().flatten())
            else:
                updates.append(torch.zeros(p.numel(), device=p.device))
        flat = torch.cat(updates)
        self.sum_over_workers(flat)
        for p, update in zip(self.matrices, flat.split([p.numel() for p in self.matrices])):
            shape_scale = max(1.0, p.shape[-2] / p.shape[-1]) ** 0.5
            p.data.add_(update.view_as(p), alpha=-self.muon_lr * scale * shape_scale)

    def state(self) -> dict:
        """What a resumed run needs."""
        return {"adam": self.adam.state_dict(), "momentum": self.momentum}

    def load(self, state: dict) -> None:
        """Takes up where `state` was taken."""
        self.adam.load_state_dict(state["adam"])
        for mine, saved in zip(self.momentum, state["momentum"]):
            mine.copy_(saved)
