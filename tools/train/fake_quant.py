"""Quantization-aware training: the forward pass sees the weights as the export would store them.

Straight through: gradients of the quantized weights are applied to the full ones. Formats and choice per tensor are
the exporter's own (`export_gguf.tensor_format`), so what is trained is what is shipped.
"""

from contextlib import contextmanager
from typing import Iterator

import torch
from torch import Tensor

import quant_formats
from export_gguf import EXPERT_NAMES, LAYER_NAMES, TOP_NAMES, tensor_format
from model import V4, official_name


def gguf_name(name: str) -> str:
    """Name of a parameter of the model -> its name in GGUF (experts: of the whole stack)."""
    name = official_name(name)
    if not name.startswith("layers."):
        return TOP_NAMES[name]
    _, layer, inner = name.split(".", 2)
    if ".experts." in inner:
        return f"blk.{layer}.{EXPERT_NAMES[inner.rsplit('.', 1)[1]]}"
    return f"blk.{layer}.{LAYER_NAMES[inner]}"


def round_trip(weights: Tensor, name: str) -> Tensor:
    """What storing in the named format leaves of the weights."""
    if name == "Q4_0":
        return _round_trip_q4_0(weights)
    if name == "BF16":
        return weights.bfloat16().float()
    return torch.from_numpy(quant_formats.round_trip(weights.cpu().numpy(), name)).to(weights.device)


def _round_trip_q4_0(weights: Tensor) -> Tensor:
    """gguf-py's Q4_0 to the bit, in torch because most weights take it at every step."""
    blocks = weights.reshape(-1, 32)
    low, high = blocks.amin(-1, keepdim=True), blocks.amax(-1, keepdim=True)
    peak = torch.where(high >= -low, high, low)
    d = peak / -8.0
    inverse = torch.where(d == 0, 0.0, 1.0 / d)
    q = (blocks * inverse + 8.5).trunc().clamp(0, 15) - 8
    return (q * d.half().float()).view_as(weights)


class FakeQuant:
    """The parameters of a model that the mix quantizes, and the swap to their stored values and back."""

    def __init__(self, model: V4, mix: dict[str, str]):
        self.plan = []
        for name, parameter in model.named_parameters():
            chosen = tensor_format(gguf_name(name), tuple(parameter.shape), mix)
            if chosen != "F32":
                self.plan.append((parameter, chosen))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the parameters hold their stored values; gradients made there belong to the full ones."""
        full = [parameter.data for parameter, _ in self.plan]
        for parameter, chosen in self.plan:
            parameter.data = round_trip(parameter.data, chosen)
        try:
            yield
        finally:
            for (parameter, _), data in zip(self.plan, full):
                parameter.data = data
