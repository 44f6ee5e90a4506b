"""DeepSeek V4 in PyTorch, shaped for training: whole sequences at once, matrix products in any precision.

The formulas are those that the kernels compute token by token; here a sequence of T tokens (a multiple of the window)
is one batch of block products. Residual streams, hyper-connections, router and softmax stay f32; matrix products run
in `Precision.dtype`. Shapes: B sequences, T tokens, D hidden, H heads of d values, M compressed entries, E experts.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MASKED = -1e30
"""A score that no softmax can see; finite, so that differences of two masked scores are no NaN."""


@dataclass
class Precision:
    """How matrix products are rounded: bf16 while training, f32 when a figure is to be quoted."""

    dtype: torch.dtype = torch.float32


PRECISION = Precision()


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """`weight @ x` in the precision of the moment."""
    return F.linear(x.to(PRECISION.dtype), weight.to(PRECISION.dtype))


def batched(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b` in the precision of the moment, back in f32."""
    return (a.to(PRECISION.dtype) @ b.to(PRECISION.dtype)).float()


def rms(x: Tensor, weight: Tensor | None = None, eps: float = 1e-6) -> Tensor:
    """x / sqrt(mean(x^2) + eps), times the weight where there is one; f32."""
    x = x.float()
    y = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    return y if weight is None else y * weight


def frequencies(config: dict, compressed: bool) -> Tensor:
    """Angle per position of each rotary pair, f64 [rope_dim / 2]: plain, or with YaRN for layers that compress."""
    dim = config["qk_rope_head_dim"]
    index = torch.arange(dim // 2, dtype=torch.float64)
    base = config["compress_rope_theta"] if compressed else config["rope_theta"]
    plain = base ** (-2 * index / dim)
    if not compressed:
        return plain
    yarn = config["rope_scaling"]

    def boundary(turns: float) -> float:
        length = yarn["original_max_position_embeddings"]
        return dim * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(base))

    low = max(math.floor(boundary(yarn["beta_fast"])), 0)
    high = min(math.ceil(boundary(yarn["beta_slow"])), dim - 1)
    ramp = ((index - low) / max(high - low, 1e-3)).clamp(0, 1)
    return plain * (1 - ramp) + plain / yarn["factor"] * ramp


class Rotary(nn.Module):
    """Cosines and sines of one frequency table for every position that is trained or evaluated."""

    def __init__(self, config: dict, compressed: bool, n_positions: int):
        super().__init__()
        angle = torch.arange(n_positions, dtype=torch.float64)[:, None] * frequencies(config, compressed)
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def forward(self, x: Tensor, stride: int = 1, inverse: bool = False) -> Tensor:
        """Rotates the last values of x [B, T, heads, d] pair by pair; position of row t is t * stride."""
        n_pairs = self.cos.shape[1]
        last = x.shape[1] * stride
        cos, sin = self.cos[:last:stride, None], self.sin[:last:stride, None]
        kept, pairs = x[..., : -2 * n_pairs], x[..., -2 * n_pairs :].unflatten(-1, (n_pairs, 2))
        a, b = pairs[..., 0], pairs[..., 1]
        sin = -sin if inverse else sin
        return torch.cat([kept, torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)], -1)


class Linear(nn.Module):
    """A matrix [out, in] without bias."""

    def __init__(self, n_out: int, n_in: int, std: float | None = None):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) * (n_in**-0.5 if std is None else std))

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight)


class Norm(nn.Module):
    """The weight of an RMS norm."""

    def __init__(self, n: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))

    def forward(self, x: Tensor) -> Tensor:
        return rms(x, self.weight)


class Compressor(nn.Module):
    """Pools `ratio` tokens into one entry of `width` values, channel by channel, by a softmax over their gates.

    Ratio 4 pools eight slots: the previous block by the first half of the channels, this block by the second half.
    """

    def __init__(self, hidden: int, ratio: int, width: int, rotary: Rotary):
        super().__init__()
        self.ratio, self.width, self.rotary = ratio, width, rotary
        channels = 2 * width if ratio == 4 else width
        self.wkv, self.wgate = Linear(channels, hidden), Linear(channels, hidden)
        self.ape = nn.Parameter(torch.randn(ratio, channels) * 0.02)
        self.norm = Norm(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] -> entries [B, T / ratio, width]; tokens of an unfinished block give none."""
        n_entries = x.shape[1] // self.ratio
        x = x[:, : n_entries * self.ratio]
        values = self.wkv(x).float().unflatten(1, (n_entries, self.ratio))
        gates = self.wgate(x).float().unflatten(1, (n_entries, self.ratio)) + self.ape
        if self.ratio == 4:
            values, gates = self._overlap(values, 0.0), self._overlap(gates, MASKED)
        entries = self.norm((values * gates.softmax(2)).sum(2))
        return self.rotary(entries[:, :, None], stride=self.ratio)[:, :, 0]

    def _overlap(self, x: Tensor, before: float) -> Tensor:
        """[B, M, 4, 2w] -> [B, M, 8, w]; what lies before the first block is `before`."""
        previous = F.pad(x[:, :-1, :, : self.width], (0, 0, 0, 0, 1, 0), value=before)
        return torch.cat([previous, x[..., self.width :]], 2)


class Indexer(nn.Module):
    """Scores compressed entries, so that attention reads only the best `index_topk` of them."""

    def __init__(self, config: dict, rotary: Rotary):
        super().__init__()
        self.n_heads, self.width, self.top_k = config["index_n_heads"], config["index_head_dim"], config["index_topk"]
        self.rotary = rotary
        self.compressor = Compressor(config["hidden_size"], 4, self.width, rotary)
        self.wq_b = Linear(self.n_heads * self.width, config["q_lora_rank"])
        self.weights_proj = Linear(self.n_heads, config["hidden_size"])

    def forward(self, x: Tensor, q_latent: Tensor) -> Tensor:
        """Scores [B, T, M] of every entry for every token, masks not applied."""
        n_batch, n_tokens, _ = x.shape
        keys = self.compressor(x)
        q = self.rotary(self.wq_b(q_latent).float().unflatten(-1, (self.n_heads, self.width)))
        weights = self.weights_proj(x).float() * (self.width * self.n_heads) ** -0.5
        each = batched(q.flatten(1, 2), keys.mT).relu().view(n_batch, n_tokens, self.n_heads, -1)
        return (each * weights[..., None]).sum(2)


class Attention(nn.Module):
    """One shared key/value head, a sliding window, compressed entries, a sink per head, grouped output."""

    def __init__(self, config: dict, ratio: int, rotary: Rotary):
        super().__init__()
        hidden, rank = config["hidden_size"], config["q_lora_rank"]
        self.n_heads, self.width = config["num_attention_heads"], config["head_dim"]
        self.window = config["sliding_window"]
        self.n_groups, self.o_rank, self.ratio, self.rotary = config["o_groups"], config["o_lora_rank"], ratio, rotary
        per_group = self.n_heads // self.n_groups * self.width
        self.wq_a, self.q_norm, self.wq_b = Linear(rank, hidden), Norm(rank), Linear(self.n_heads * self.width, rank)
        self.wkv, self.kv_norm = Linear(self.width, hidden), Norm(self.width)
        self.wo_a = Linear(self.n_groups * self.o_rank, per_group)
        self.wo_b = Linear(hidden, self.n_groups * self.o_rank, residual_std(config, self.n_groups * self.o_rank))
        self.attn_sink = nn.Parameter(torch.zeros(self.n_heads))
        if ratio:
            self.compressor = Compressor(hidden, ratio, self.width, rotary)
        if ratio == 4:
            self.indexer = Indexer(config, rotary)

    def forward(self, x: Tensor, stage: str) -> tuple[Tensor, Tensor]:
        """[B, T, D] -> the sublayer's output [B, T, D] and the indexer's loss.

        `stage` says what the indexer does: "dense" rests it (every visible entry is read), "warm" trains it beside
        dense attention, "sparse" trains it and lets it choose.
        """
        n_batch, n_tokens, _ = x.shape
        q_latent = self.q_norm(self.wq_a(x))
        q = self.rotary(rms(self.wq_b(q_latent).unflatten(-1, (self.n_heads, self.width))))
        q = q * self.width**-0.5
        kv = self.rotary(self.kv_norm(self.wkv(x))[:, :, None])[:, :, 0]
        keys = self._window_keys(kv)
        scores = batched(q.unflatten(1, (-1, self.window)).flatten(2, 3), keys.mT)
        scores = scores.view(n_batch, n_tokens, self.n_heads, 2 * self.window) + self._window_mask(n_tokens, x.device)
        sink = self.attn_sink[:, None]
        peak = torch.maximum(scores.amax(-1, keepdim=True), sink)
        loss = x.new_zeros(())
        if self.ratio:
            entries = self.compressor(x)
            far = batched(q.flatten(1, 2), entries.mT).view(n_batch, n_tokens, self.n_heads, -1)
            visible = self._visible(n_tokens, entries.shape[1], x.device)
            if self.ratio == 4 and stage != "dense":
                index_scores = self.indexer(x.detach(), q_latent.detach())
                loss = indexer_loss(index_scores, far.detach(), visible)
                if stage == "sparse":
                    visible = chosen(index_scores, visible, self.indexer.top_k)
            far = torch.where(visible[:, :, None], far, MASKED)
            peak = torch.maximum(peak, far.amax(-1, keepdim=True))
        peak = peak.detach()
        near = (scores - peak).exp()
        total = near.sum(-1, keepdim=True) + (sink - peak).exp()
        out = batched(near.view(n_batch, -1, self.window * self.n_heads, 2 * self.window), keys)
        out = out.view(n_batch, n_tokens, self.n_heads, self.width)
        if self.ratio:
            far = (far - peak).exp()
            total = total + far.sum(-1, keepdim=True)
            out = out + batched(far.flatten(1, 2), entries).view_as(out)
        out = self.rotary(out / total, inverse=True)
        return self._project(out), loss

    def _project(self, out: Tensor) -> Tensor:
        """[B, T, H, d] -> [B, T, D]: each group of heads through its own rows of wo_a, then wo_b over all."""
        groups = out.flatten(2).unflatten(-1, (self.n_groups, -1)).flatten(0, 1).transpose(0, 1)
        weight = self.wo_a.weight.unflatten(0, (self.n_groups, self.o_rank))
        low = batched(groups, weight.mT).transpose(0, 1).flatten(1)
        return self.wo_b(low).float().unflatten(0, out.shape[:2])

    def _window_keys(self, kv: Tensor) -> Tensor:
        """[B, T, d] -> [B, T / W, 2W, d]: for each block of queries, its own block of keys behind the one before."""
        blocks = kv.unflatten(1, (-1, self.window))
        before = F.pad(blocks[:, :-1], (0, 0, 0, 0, 1, 0))
        return torch.cat([before, blocks], 2)

    def _window_mask(self, n_tokens: int, device: torch.device) -> Tensor:
        """[T, 1, 2W]: 0 where the key lies at most W - 1 tokens back and not before the text, else masked."""
        row = torch.arange(n_tokens, device=device)[:, None]
        key = row // self.window * self.window - self.window + torch.arange(2 * self.window, device=device)
        seen = (key >= 0) & (key <= row) & (row - key < self.window)
        return torch.where(seen, 0.0, MASKED)[:, None]

    def _visible(self, n_tokens: int, n_entries: int, device: torch.device) -> Tensor:
        """[1, T, M]: an entry is visible from the last token of its block on."""
        done = (torch.arange(n_tokens, device=device) + 1) // self.ratio
        return (torch.arange(n_entries, device=device) < done[:, None])[None]


def indexer_loss(index_scores: Tensor, far: Tensor, visible: Tensor) -> Tensor:
    """Cross entropy of the indexer's distribution over entries [B, T, M] against attention's own, averaged over heads.

    `far` [B, T, H, M] are attention's scores. Tokens that see no entry yet do not count.
    """
    target = torch.where(visible[:, :, None], far, MASKED).softmax(-1).mean(2) * visible
    log_p = torch.where(visible, index_scores, MASKED).log_softmax(-1).clamp(min=-60)
    counts = visible.any(-1).expand(far.shape[:2])
    return -(target * log_p).sum(-1).mul(counts).sum() / counts.sum().clamp(min=1)


@torch.no_grad()
def chosen(index_scores: Tensor, visible: Tensor, top_k: int) -> Tensor:
    """[B, T, M]: visible, and among the top_k scores."""
    n_entries = index_scores.shape[-1]
    best = torch.where(visible, index_scores, MASKED).topk(min(top_k, n_entries), -1).indices
    return torch.zeros_like(index_scores, dtype=torch.bool).scatter(2, best, True) & visible


def residual_std(config: dict, n_in: int) -> float:
    """Initial spread of matrices that write into the residual streams: smaller, the more of them there are."""
    return (n_in * 2 * config["num_hidden_layers"]) ** -0.5


class Gate(nn.Module):
    """The router: learned scores, and either a bias that balances the load or a table by token id."""

    def __init__(self, config: dict, hashed: bool):
        super().__init__()
        n_experts, self.n_used = config["n_routed_experts"], config["num_experts_per_tok"]
        self.scaling = config["routed_scaling_factor"]
        self.weight = nn.Parameter(torch.randn(n_experts, config["hidden_size"]) * config["hidden_size"] ** -0.5)
        if hashed:
            table = [torch.randperm(n_experts)[: self.n_used] for _ in range(config["vocab_size"])]
            self.register_buffer("tid2eid", torch.stack(table))
        else:
            self.register_buffer("bias", torch.zeros(n_experts))

    def forward(self, x: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """x [n, D], ids [n] -> the experts [n, used] of each token and their weights; f32 throughout."""
        scores = F.softplus(F.linear(x, self.weight)).sqrt()
        if hasattr(self, "tid2eid"):
            experts = self.tid2eid[ids]
        else:
            experts = (scores + self.bias).topk(self.n_used, -1).indices
        weights = scores.gather(1, experts)
        return experts, weights / (weights.sum(-1, keepdim=True) + 1e-20) * self.scaling


def swiglu(gate: Tensor, up: Tensor, limit: float) -> Tensor:
    """silu(min(gate, limit)) * clamp(up, -limit, limit)."""
    return F.silu(gate.float().clamp(max=limit)) * up.float().clamp(-limit, limit)


class Mlp(nn.Module):
    """The shared expert."""

    def __init__(self, config: dict):
        super().__init__()
        hidden, inner = config["hidden_size"], config["moe_intermediate_size"]
        self.limit = config["swiglu_limit"]
        self.w1, self.w3 = Linear(inner, hidden), Linear(inner, hidden)
        self.w2 = Linear(hidden, inner, residual_std(config, inner))

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(swiglu(self.w1(x), self.w3(x), self.limit)).float()


class Experts(nn.Module):
    """All routed experts of a layer, stacked [E, out, in]; each token visits those that the router names."""

    def __init__(self, config: dict):
        super().__init__()
        hidden, inner = config["hidden_size"], config["moe_intermediate_size"]
        self.n_experts, self.limit = config["n_routed_experts"], config["swiglu_limit"]
        self.w1 = nn.Parameter(torch.randn(self.n_experts, inner, hidden) * hidden**-0.5)
        self.w3 = nn.Parameter(torch.randn(self.n_experts, inner, hidden) * hidden**-0.5)
        self.w2 = nn.Parameter(torch.randn(self.n_experts, hidden, inner) * residual_std(config, inner))
        self.load = None

    @torch.compiler.disable
    def forward(self, x: Tensor, experts: Tensor, weights: Tensor) -> Tensor:
        """x [n, D] -> [n, D]: tokens sorted by expert, one product per expert, summed back by routing weight."""
        n_used = experts.shape[1]
        order = experts.flatten().argsort(stable=True)
        counts = experts.flatten().bincount(minlength=self.n_experts)
        self.load = counts
        token = order // n_used
        dtype = PRECISION.dtype
        rows = x.to(dtype)[token].split(counts.tolist())
        up_gate = torch.cat([self.w1, self.w3], 1).to(dtype)
        inner = torch.cat([F.linear(row, weight) for row, weight in zip(rows, up_gate)])
        gate, up = inner.chunk(2, -1)
        active = (swiglu(gate, up, self.limit) * weights.flatten()[order, None]).to(dtype)
        down = self.w2.to(dtype)
        out = torch.cat([F.linear(row, weight) for row, weight in zip(active.split(counts.tolist()), down)])
        return torch.zeros_like(x).index_add(0, token, out.float())


class Moe(nn.Module):
    """Router, routed experts, and the shared expert that every token visits."""

    def __init__(self, config: dict, hashed: bool):
        super().__init__()
        self.gate, self.experts, self.shared_experts = Gate(config, hashed), Experts(config), Mlp(config)

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        return (self.experts(flat, *self.gate(flat, ids.flatten())) + self.shared_experts(flat)).view_as(x)


def sinkhorn(logits: Tensor, n_rounds: int, eps: float) -> Tensor:
    """[4, 4, n] -> nearly doubly stochastic in the first two axes; tokens lie last, so that the loops vectorize."""
    c = logits.softmax(1) + eps
    c = c / (c.sum(0, keepdim=True) + eps)
    for _ in range(n_rounds - 1):
        c = c / (c.sum(1, keepdim=True) + eps)
        c = c / (c.sum(0, keepdim=True) + eps)
    return c


class Mixer(nn.Module):
    """A hyper-connection: reads one sublayer input out of the streams and writes its output back into them."""

    def __init__(self, config: dict):
        super().__init__()
        n = self.n_streams = config["hc_mult"]
        self.n_rounds, self.eps = config["hc_sinkhorn_iters"], config["hc_eps"]
        self.fn = nn.Parameter(torch.randn((2 + n) * n, n * config["hidden_size"]) * 0.01)
        keep = torch.eye(n) * 4 - 2
        self.base = nn.Parameter(torch.cat([torch.full((n,), -0.7), torch.zeros(n), keep.flatten()]))
        self.scale = nn.Parameter(torch.full((3,), 0.5))

    def read(self, streams: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Streams [B, T, n, D] -> sublayer input [B, T, D], write weights [B, T, n], mixing matrix [n, n, B, T]."""
        n = self.n_streams
        flat = streams.flatten(2)
        mixes = (F.linear(flat, self.fn) * torch.rsqrt(flat.square().mean(-1, keepdim=True) + 1e-6)).movedim(-1, 0)
        base = self.base[:, None, None]
        pre = torch.sigmoid(mixes[:n] * self.scale[0] + base[:n]) + self.eps
        post = 2 * torch.sigmoid(mixes[n : 2 * n] * self.scale[1] + base[n : 2 * n])
        comb = sinkhorn((mixes[2 * n :] * self.scale[2] + base[2 * n :]).unflatten(0, (n, n)), self.n_rounds, self.eps)
        mixed = torch.bmm(pre.flatten(1).T.contiguous()[:, None], streams.flatten(0, 1))
        return mixed.view(streams.shape[:2] + streams.shape[3:]), post, comb

    def write(self, streams: Tensor, out: Tensor, post: Tensor, comb: Tensor) -> Tensor:
        """Streams after the sublayer: stream k becomes post_k * out + sum over j of comb[j, k] * stream j."""
        fresh = post.flatten(1).T[:, :, None] * out.flatten(0, 1)[:, None]
        kept = comb.flatten(2).permute(2, 1, 0).contiguous()
        return torch.baddbmm(fresh, kept, streams.flatten(0, 1)).view_as(streams)


class Layer(nn.Module):
    """Attention, then experts, each between the reading and the writing of its hyper-connection."""

    def __init__(self, config: dict, index: int, rotary: Rotary):
        super().__init__()
        self.attn_norm, self.ffn_norm = Norm(config["hidden_size"]), Norm(config["hidden_size"])
        self.hc_attn, self.hc_ffn = Mixer(config), Mixer(config)
        self.attn = Attention(config, config["compress_ratios"][index], rotary)
        self.ffn = Moe(config, index < config["num_hash_layers"])

    def attend(self, streams: Tensor, stage: str) -> tuple[Tensor, Tensor]:
        """The attention half, and the indexer's loss."""
        mixed, post, comb = self.hc_attn.read(streams)
        out, loss = self.attn(self.attn_norm(mixed), stage)
        return self.hc_attn.write(streams, out, post, comb), loss

    def before_experts(self, streams: Tensor, ids: Tensor) -> tuple[Tensor, ...]:
        """Everything of the second half up to the routed experts."""
        mixed, post, comb = self.hc_ffn.read(streams)
        x = self.ffn_norm(mixed)
        flat = x.flatten(0, 1)
        return flat, *self.ffn.gate(flat, ids.flatten()), self.ffn.shared_experts(flat), post, comb

    def after_experts(self, streams: Tensor, routed: Tensor, shared: Tensor, post: Tensor, comb: Tensor) -> Tensor:
        """The rest of it."""
        out = (routed + shared).unflatten(0, streams.shape[:2])
        return self.hc_ffn.write(streams, out, post, comb)

    def forward(self, streams: Tensor, ids: Tensor, stage: str) -> tuple[Tensor, Tensor]:
        streams, loss = self.attend(streams, stage)
        flat, experts, weights, shared, post, comb = self.before_experts(streams, ids)
        routed = self.ffn.experts(flat, experts, weights)
        return self.after_experts(streams, routed, shared, post, comb), loss


class Collapse(nn.Module):
    """The last hyper-connection: four streams into one."""

    def __init__(self, config: dict):
        super().__init__()
        n = config["hc_mult"]
        self.eps = config["hc_eps"]
        self.fn = nn.Parameter(torch.randn(n, n * config["hidden_size"]) * 0.01)
        self.base, self.scale = nn.Parameter(torch.full((n,), -0.7)), nn.Parameter(torch.full((1,), 0.5))

    def forward(self, streams: Tensor) -> Tensor:
        flat = streams.flatten(2)
        mixes = F.linear(flat, self.fn) * torch.rsqrt(flat.square().mean(-1, keepdim=True) + 1e-6)
        weights = torch.sigmoid(mixes * self.scale + self.base) + self.eps
        return (weights[..., None] * streams).sum(2)


class V4(nn.Module):
    """The whole model; `config` is the official `config.json`."""

    def __init__(self, config: dict, n_positions: int = 1024):
        super().__init__()
        self.config = config
        hidden, vocab = config["hidden_size"], config["vocab_size"]
        tables = {compressed: Rotary(config, compressed, n_positions) for compressed in (False, True)}
        self.embed, self.head, self.norm = Linear(vocab, hidden, 1.0), Linear(vocab, hidden, 0.02), Norm(hidden)
        self.layers = nn.ModuleList(
            Layer(config, index, tables[config["compress_ratios"][index] > 0])
            for index in range(config["num_hidden_layers"])
        )
        self.hc_head = Collapse(config)

    def forward(self, ids: Tensor, stage: str = "sparse") -> tuple[Tensor, Tensor]:
        """ids [B, T], T a multiple of the window -> final values [B, T, D] before the head, and the indexer's loss."""
        streams = F.embedding(ids, self.embed.weight)[:, :, None].expand(-1, -1, self.config["hc_mult"], -1)
        streams, total = streams.contiguous(), ids.new_zeros((), dtype=torch.float32)
        for layer in self.layers:
            streams, loss = layer(streams, ids, stage)
            total = total + loss
        return self.norm(self.hc_head(streams)), total

    def logits(self, ids: Tensor, stage: str = "sparse") -> Tensor:
        """f32 logits [B, T, vocab]; T may be any length, it is padded behind to whole windows and blocks."""
        n_tokens = ids.shape[1]
        whole = math.lcm(self.config["sliding_window"], *filter(None, self.config["compress_ratios"]))
        padded = F.pad(ids, (0, -n_tokens % whole))
        return self.head(self(padded, stage)[0][:, :n_tokens]).float()

    def compile_parts(self) -> None:
        """Compiles all but the routed experts, whose shapes depend on the text."""
        for layer in self.layers:
            for part in ("attend", "before_experts", "after_experts"):
                setattr(layer, part, torch.compile(getattr(layer, part), dynamic=False))
        self.hc_head.forward = torch.compile(self.hc_head.forward, dynamic=False)


def official_name(name: str) -> str:
    """A parameter's name here -> the official one: hyper-connections are flat there."""
    for site in ("hc_attn", "hc_ffn", "hc_head"):
        name = name.replace(f"{site}.", f"{site}_")
    return name


def official_weights(model: V4) -> dict[str, Tensor]:
    """All weights under the official names, experts apart."""
    weights = {}
    for name, tensor in model.state_dict().items():
        name, tensor = official_name(name), tensor.detach().cpu()
        if ".experts." in name:
            prefix, matrix = name.rsplit(".", 1)
            for index, expert in enumerate(tensor):
                weights[f"{prefix}.{index}.{matrix}.weight"] = expert.contiguous()
        else:
            weights[name] = tensor.contiguous()
    return weights


def load_official(model: V4, weights: dict[str, Tensor]) -> None:
    """The way back: fills the model from official names."""
    state = {}
    for name, tensor in model.state_dict().items():
        official = official_name(name)
        if ".experts." in official:
            prefix, matrix = official.rsplit(".", 1)
            each = [weights[f"{prefix}.{index}.{matrix}.weight"] for index in range(tensor.shape[0])]
            state[name] = torch.stack(each).to(tensor.dtype)
        else:
            state[name] = weights[official].to(tensor.dtype)
    model.load_state_dict(state)
