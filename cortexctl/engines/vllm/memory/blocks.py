"""From the caches of layers to the block pool: groups, blocks, tokens, concurrency, minimum memory, the longest
request.

All of it is exact for a given number of bytes. The rules are those of vLLM's `kv_cache_utils`, by release.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.memory.caches import Cache, Kind
from cortexctl.engines.vllm.memory.release_changes import Behaviour
from cortexctl.engines.vllm.memory.states import ONE_STATE, States


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that share a block table. `block`: tokens in a block, 0 for a state that is kept once a request; `layers`:
    the total number of layers of this kind.
    """

    kind: Kind
    block: int
    page: int
    layers: int
    window: int = 0
    states: int = 1
    """Pages of a state that a request holds, whatever its length."""
    grows: bool = False
    """A request holds a state for every block, too."""
    apart: bool = False
    widened: int = 1
    """The factor by which the block was enlarged so that its page has the common size."""

    def blocks_of(self, length: int, in_flight: int) -> int:
        """Blocks that one request of `length` tokens needs in this group."""
        match self.kind:
            case "state":
                return self.states + (-(-length // self.block) if self.grows else 0)
            case "sliding":
                return -(-min(self.window - 1 + in_flight, length) // self.block) + 1
            case "chunked":
                return -(-min(self.window + in_flight, length) // self.block)
        return -(-length // self.block)


@dataclass(frozen=True, slots=True)
class Pool:
    """The block pool of a stage. `groups`: (group, number of block tables of its kind)."""

    groups: tuple[tuple[Group, int], ...]
    block_bytes: int
    in_flight: int
    behaviour: Behaviour
    engine_v1: bool = True
    padding: int = 0
    """Layers that exist only to fill groups."""

    @property
    def tables(self) -> int:
        return sum(n for _, n in self.groups)

    @property
    def block_size(self) -> int:
        """The attention's block size; vLLM prints it as the block size."""
        return min((g.block for g, _ in self.groups if g.kind != "state"), default=0)

    def blocks(self, available: float) -> int:
        """The number of blocks that fit into this many bytes."""
        return max(0, int(available // self.block_bytes)) if self.block_bytes else 0

    def per_request(self, length: int) -> int:
        return sum(n * g.blocks_of(length, self.in_flight) for g, n in self.groups)

    def concurrency(self, blocks: int, length: int) -> float:
        """vLLM's "Maximum concurrency": requests of full length that fit at once."""
        if not self.groups:
            return 0.0
        if not self.engine_v1 or not self.behaviour.concurrency_by_blocks:
            return blocks * self.block_size / length
        return blocks / max(1, self.per_request(length))

    def tokens(self, blocks: int, length: int) -> int:
        """vLLM's "GPU KV cache size"."""
        if self.engine_v1 and self.behaviour.tokens_by_concurrency:
            return int(self.concurrency(blocks, length) * length)
        return self.tokens_by_groups(blocks, length)

    def tokens_by_groups(self, blocks: int, length: int) -> int:
        """The same as releases before 0.20.2 compute it; for models with several groups the number means little."""
        smallest = min((g.block or length for g, _ in self.groups), default=0)
        return blocks // max(1, self.tables) * smallest

    def needed(self, length: int) -> int:
        """Bytes for one request of `length` tokens."""
        if self.engine_v1 and self.behaviour.needs == "groups":
            return self.per_request(length) * self.block_bytes
        if self.engine_v1 and self.behaviour.needs == "first group":
            return sum(g.blocks_of(length, self.in_flight) * self.block_bytes for g, _ in self.groups[:1])
        return sum(self._by_layers(g, length) for g, _ in self.groups)

    def _by_layers(self, group: Group, length: int) -> int:
        """Each layer separately, with its block size before pages were made equal."""
        own = replace(group, block=group.block // group.widened)
        return group.layers * group.page // group.widened * own.blocks_of(length, self.in_flight)

    def checked(self, available: float) -> float:
        """The part of the memory that the check counts on."""
        withhold = self.engine_v1 and self.behaviour.reserves_null_block
        return available - self.block_bytes if withhold else available

    def longest(self, available: float, at_most: int) -> int:
        """The longest request that fits, by bisection as in vLLM; 0 if not even one token fits."""
        room, low, high, best = self.checked(available), 1, at_most, 0
        while low <= high:
            middle = (low + high) // 2
            if self.needed(middle) <= room:
                best, low = middle, middle + 1
            else:
                high = middle - 1
        return best


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """The inputs of the grouping, apart from the caches."""

    behaviour: Behaviour
    block: int = 16
    in_flight: int = 0
    states: States = ONE_STATE
    engine_v1: bool = True
    hybrid: bool = True
    """False: disable_hybrid_kv_cache_manager."""


def pool_of(caches: list[Cache], options: PoolOptions) -> Pool:
    """The pool of a stage's caches. `options.block`: the attention's block size, already raised if there are states."""
    groups_layers = options.engine_v1 and options.hybrid and options.behaviour.groups_layers
    kinds = Counter(caches)
    attention = [c for c in kinds if c.kind != "state"]
    same_reach = len({(c.kind, c.window, c.apart) for c in attention}) <= 1
    if not any(c.kind == "state" for c in kinds) and (same_reach or not groups_layers):
        return _one_table(kinds, options, uniform=same_reach and options.engine_v1)
    pages = {c: options.block * c.token for c in attention}
    page = max([*pages.values(), *(c.state for c in kinds if c.kind == "state")])
    buckets: dict[Group, int] = Counter()
    for cache, number in kinds.items():
        buckets[_unified(cache, page, options)] += number
    if not groups_layers and len(buckets) > 1:
        return _summed(buckets, options)
    size = _group_size(list(buckets.values()), options.behaviour.group_slack)
    groups = tuple((replace(g, layers=n), -(-n // size)) for g, n in buckets.items())
    padding = sum(tables * size - g.layers for g, tables in groups)
    return Pool(groups, page * size, options.in_flight, options.behaviour, options.engine_v1, padding)


def _one_table(kinds: Counter[Cache], options: PoolOptions, *, uniform: bool) -> Pool:
    """One block table for all: every layer has blocks of the same number of tokens, whatever their bytes."""
    total = sum(options.block * c.token * n for c, n in kinds.items())
    first = next(iter(kinds), None)
    if first is None:
        return Pool((), 0, options.in_flight, options.behaviour, options.engine_v1)
    kind: Kind = first.kind if uniform else "full"
    group = Group(kind, options.block, total, 1, first.window if uniform else 0)
    return Pool(((group, 1),), total, options.in_flight, options.behaviour, options.engine_v1)


def _unified(cache: Cache, page: int, options: PoolOptions) -> Group:
    """Its group with a page of the common size: smaller pages get more tokens, or are padded if the sizes do not
    divide.
    """
    if cache.kind == "state":
        states = options.states
        block = 0 if states.mode == "none" else options.block
        return Group("state", block, page, 0, 0, states.pages, states.grows)
    mine = options.block * cache.token
    times = page // mine if page % mine == 0 else 1
    return Group(cache.kind, options.block * times, page, 0, cache.window, apart=cache.apart, widened=times)


def _group_size(counts: list[int], slack: float) -> int:
    """Layers in a group: as many as the rarest kind has, unless the most common kind has only slightly more."""
    return max(counts) if max(counts) < min(counts) * slack else min(counts)


def _summed(buckets: dict[Group, int], options: PoolOptions) -> Pool:
    """For releases without groups: one state per request beside pages, in one pool."""
    groups = tuple((replace(g, layers=n), 1) for g, n in buckets.items())
    total = sum(g.page * g.layers for g, _ in groups if g.kind != "state")
    full = tuple((g, n) for g, n in groups if g.kind != "state")
    return Pool(full, total, options.in_flight, options.behaviour, options.engine_v1)
