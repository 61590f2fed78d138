"""The weights of a layer, tensor by tensor: the parameters on each rank, and the module's name.

Shapes are those that vLLM allocates, not those of the checkpoint: projections of KV heads are copied if there are fewer
heads than ranks, and absorbed copies of latent attention are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.memory.layers import (
    Attention,
    DeltaNet,
    Dense,
    Experts,
    Kda,
    Latent,
    Layer,
    Mamba,
    Mixer,
    ShortConv,
)


class Tensor(NamedTuple):
    """One allocation. `module`: its path in the layer, as recipes name it; of several fused ones, the first. `linear`:
    a scheme may apply; otherwise it stays as stored.
    """

    module: str
    parameters: float
    linear: bool = True


@dataclass(frozen=True, slots=True)
class Split:
    """`tp`: ranks that share a layer. `experts`: ranks that share the experts (tensor x data parallel).
    `whole_experts`: a rank has whole experts instead of a slice of each.
    """

    tp: int = 1
    experts: int = 1
    whole_experts: bool = False
    absorbed: str = "copies"
    """What latent attention adds after loading: "copies" of kv_b_proj, "wide" matrices (0.7), or ""."""

    def kv(self, heads: int) -> int:
        """KV heads on a rank: at least one, copied if there are fewer than ranks."""
        return max(1, heads // self.tp)


def layer_tensors(layer: Layer, hidden: int, split: Split, norms: int) -> Iterator[Tensor]:
    """All tensors of one decoder layer."""
    for mixer in layer.mixers:
        yield from _mixer(mixer, hidden, split)
    dense_and_experts = len(layer.mlps) > 1
    for mlp in layer.mlps:
        if isinstance(mlp, Dense):
            yield from _dense("mlp", mlp.width, mlp.matrices, hidden, split, bias=mlp.bias)
        else:
            yield from _experts(mlp, hidden, split, path="moe" if dense_and_experts else "mlp")
    parts = len(layer.mixers) + len(layer.mlps)
    yield Tensor("norm", (norms if parts > 1 else norms / 2) * hidden, linear=False)


def _mixer(mixer: Mixer, hidden: int, split: Split) -> Iterator[Tensor]:
    match mixer:
        case Attention():
            yield from _attention(mixer, hidden, split)
        case Latent():
            yield from _latent(mixer, hidden, split)
        case DeltaNet():
            yield from _delta(mixer, hidden, split)
        case Kda():
            yield from _kda(mixer, hidden, split)
        case Mamba():
            yield from _mamba(mixer, hidden, split)
        case ShortConv():
            yield Tensor("conv.in_proj", 3 * hidden * mixer.width / split.tp)
            yield Tensor("conv.out_proj", hidden * mixer.width / split.tp)
            yield Tensor("conv.conv", mixer.width * mixer.conv / split.tp, linear=False)


def _attention(a: Attention, hidden: int, split: Split) -> Iterator[Tensor]:
    queries = a.heads * a.head_dim * (2 if a.gated else 1) / split.tp
    keys = split.kv(a.kv_heads) * a.head_dim
    values = split.kv(a.kv_heads) * a.v_dim
    if not a.owns_cache:
        keys = values = 0
    elif a.key_is_value:
        values = 0
    yield Tensor("self_attn.q_proj", hidden * (queries + keys + values))
    yield Tensor("self_attn.o_proj", a.heads * a.v_dim / split.tp * hidden)
    if a.bias:
        yield Tensor("self_attn.bias", queries + keys + values, linear=False)


def _latent(a: Latent, hidden: int, split: Split) -> Iterator[Tensor]:
    heads = a.heads / split.tp
    if a.q_lora:
        yield Tensor("self_attn.q_a_proj", hidden * a.q_lora)
        yield Tensor("self_attn.q_b_proj", a.q_lora * heads * (a.nope + a.rope))
    else:
        yield Tensor("self_attn.q_proj", hidden * heads * (a.nope + a.rope))
    yield Tensor("self_attn.kv_a_proj_with_mqa", hidden * (a.kv_lora + a.rope))
    yield Tensor("self_attn.kv_b_proj", a.kv_lora * heads * (a.nope + a.v_dim))
    yield Tensor("self_attn.o_proj", heads * a.v_dim * hidden)
    if split.absorbed == "copies":
        yield Tensor("self_attn.absorbed", a.kv_lora * heads * (a.nope + a.v_dim), linear=False)
    elif split.absorbed == "wide":
        yield Tensor("self_attn.absorbed", 2 * hidden * heads * a.kv_lora, linear=False)
    if a.index_heads:
        yield Tensor("self_attn.indexer.wq_b", a.q_lora * a.index_heads * a.index_dim)
        yield Tensor("self_attn.indexer.wk", hidden * a.index_dim)
        yield Tensor("self_attn.indexer.weights_proj", hidden * a.index_heads, linear=False)


def _delta(d: DeltaNet, hidden: int, split: Split) -> Iterator[Tensor]:
    keys, values = d.k_heads * d.k_dim, d.v_heads * d.v_dim
    yield Tensor("linear_attn.in_proj_qkv", hidden * 2 * (keys + values) / split.tp)
    yield Tensor("linear_attn.out_proj", values * hidden / split.tp)
    yield Tensor("linear_attn.in_proj_ba", 2 * hidden * d.v_heads / split.tp, linear=False)
    yield Tensor("linear_attn.conv1d", (2 * keys + values) * d.conv / split.tp, linear=False)


def _kda(d: Kda, hidden: int, split: Split) -> Iterator[Tensor]:
    width = d.heads * d.head_dim
    yield Tensor("self_attn.q_proj", 3 * hidden * width / split.tp)
    yield Tensor("self_attn.o_proj", hidden * width / split.tp)
    for name in ("f", "g"):  # two low-rank gates
        yield Tensor(f"self_attn.{name}_a_proj", hidden * d.head_dim)
        yield Tensor(f"self_attn.{name}_b_proj", d.head_dim * width / split.tp)
    yield Tensor("self_attn.b_proj", hidden * d.heads / split.tp, linear=False)
    yield Tensor("self_attn.conv1d", 3 * width * d.conv / split.tp, linear=False)


def _mamba(m: Mamba, hidden: int, split: Split) -> Iterator[Tensor]:
    if m.dt_rank:
        yield Tensor("mamba.in_proj", 2 * hidden * m.inner / split.tp)
        yield Tensor("mamba.x_proj", m.inner * (m.dt_rank + 2 * m.state) / split.tp)
        yield Tensor("mamba.dt_proj", m.dt_rank * m.inner / split.tp)
        channels = m.inner
        yield Tensor("mamba.A", 2 * m.inner * (m.state + 1) / split.tp, linear=False)  # 32 bits, with D
        yield Tensor("mamba.bias", 2 * m.inner / split.tp, linear=False)
    else:
        groups = max(m.groups, split.tp)  # copied if there are fewer than ranks
        channels = m.inner + 2 * groups * m.state
        yield Tensor("mixer.in_proj", hidden * (m.inner + channels + m.heads) / split.tp)
    yield Tensor("mixer.out_proj", m.inner * hidden / split.tp)
    yield Tensor("mixer.conv1d", channels * m.conv / split.tp, linear=False)


def _dense(path: str, width: int, matrices: int, hidden: int, split: Split, *, bias: bool = False) -> Iterator[Tensor]:
    yield Tensor(f"{path}.{_FIRST[matrices]}", (matrices - 1) * hidden * width / split.tp)
    yield Tensor(f"{path}.down_proj", hidden * width / split.tp)
    if bias:
        yield Tensor(f"{path}.bias", width * (matrices - 1) / split.tp + hidden, linear=False)


_FIRST = {3: "gate_proj", 2: "up_proj"}


def _experts(e: Experts, hidden: int, split: Split, *, path: str) -> Iterator[Tensor]:
    mine = e.count / split.experts
    yield Tensor(f"{path}.experts.{_FIRST[e.matrices]}", (e.matrices - 1) * mine * hidden * e.width)
    yield Tensor(f"{path}.experts.down_proj", mine * hidden * e.width)
    yield Tensor(f"{path}.gate", e.count * hidden, linear=False)
    if e.bias:
        yield Tensor(f"{path}.experts.bias", mine * ((e.matrices - 1) * e.width + hidden), linear=False)
    if e.shared:
        yield from _dense(f"{path}.shared_expert", e.shared, e.matrices, hidden, split)
