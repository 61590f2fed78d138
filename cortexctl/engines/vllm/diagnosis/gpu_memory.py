"""GPU memory: weights, KV cache, CUDA graphs, and the batch sizes that determine their need."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from cortexctl.engines.vllm.diagnosis.pattern import Message, Pattern, compiled, computed, fixed
from cortexctl.engines.vllm.progress import SERVER_UP, stage

BLOCK = 16
"""vLLM's default number of tokens in a block of the KV cache."""


def _share(free: float, total: float) -> float:
    """The largest gpu_memory_utilization, in hundredths, that `free` of `total` GiB allow."""
    return math.floor(free / total * 100 + 1e-9) / 100


def _not_enough_free(match: re.Match[str]) -> Message:
    free, total, required, gib = (float(match[n]) for n in range(1, 5))
    share = _share(free, total)
    requested = f"a share of {required:g} ({gib:g} GiB)"
    cause = f"only {free:g} of {total:g} GiB of GPU memory are free, but the model requests {requested}"
    if share < 0.1:
        return (
            cause,
            (
                f"free {gib - free:.2f} GiB on that GPU (nvidia-smi shows which process uses it), or give the "
                "model other `gpus`"
            ),
        )
    return (
        cause,
        (
            f"set args.gpu_memory_utilization = {share:g}, or stop other processes on that GPU (they use "
            f"{gib - free:.2f} GiB too much)"
        ),
    )


def _too_small_for_one(match: re.Match[str]) -> Message:
    required, need, have = int(match["len"]), float(match["need"]), float(match["have"])
    fits = int(match["fits"]) if match["fits"] else int(required * have / need) // BLOCK * BLOCK
    cause = (
        f"the KV cache is too small for one request of max_model_len {required}: it needs {need:g} GiB, "
        f"but only {have:g} GiB are left; {fits} tokens would fit"
    )
    ways = [f"set args.max_model_len = {fits}"] if fits >= BLOCK else []
    if need / 2 <= have:
        ways.append('set args.kv_cache_dtype = "fp8" (halves the need, unless it is already set)')
    ways.append(
        f"give it {need - have:.2f} GiB more per GPU: raise args.gpu_memory_utilization or tensor_parallel_size"
    )
    return cause, ", or ".join(ways)


def _longer_than_cache(match: re.Match[str]) -> Message:
    required, fits, variable = int(match[1]), int(match[2]), match[3]
    return (
        f"the KV cache holds {fits} tokens, but one request may have {required} (max_model_len)",
        f"set args.max_model_len = {fits}, or raise "
        + (f"env.{variable}" if variable.startswith("VLLM") else "args.gpu_memory_utilization"),
    )


def _batch_below_length(match: re.Match[str]) -> Message:
    tokens, length = match.groups()
    return (
        f"max_num_batched_tokens {tokens} is less than max_model_len {length}, and chunked prefill is off",
        (
            f"set args.max_num_batched_tokens = {length}, or args.max_model_len = {tokens}, or "
            f"args.enable_chunked_prefill = true"
        ),
    )


def _item_above_batch(match: re.Match[str]) -> Message:
    return (
        f"one image or video has {match[1]} tokens, more than the limit of a batch ({match[2]})",
        f"set args.max_num_batched_tokens = {match[1]}",
    )


def _sampler(match: re.Match[str]) -> Message:
    requests = int(match[1])
    return (
        f"GPU memory ran out in the warm-up of the sampler with {requests} parallel requests",
        f"set args.max_num_seqs = {max(1, requests // 2)}, or lower args.gpu_memory_utilization by 0.05",
    )


def _cpu_cache(match: re.Match[str]) -> Message:
    free, total, required = (float(match[n]) for n in (1, 2, 3))
    fits = math.floor(free)
    lower = f'set env.VLLM_CPU_KVCACHE_SPACE = "{fits}"' if fits else "lower args.kv_cache_memory_bytes"
    return (
        f"the KV cache requests {required:g} GiB, but only {free:g} of {total:g} GiB of memory are available",
        f"{lower}, or raise the container's `memory`",
    )


def _cpu_share(match: re.Match[str]) -> Message:
    free, total, required, gib = (float(match[n]) for n in range(1, 5))
    return (
        (
            f"only {free:g} of {total:g} GiB of memory are free, but the model requests a share of "
            f"{required:g} ({gib:g} GiB)"
        ),
        f"set args.gpu_memory_utilization = {_share(free, total):g} (on a CPU it is the share of the machine's memory)",
    )


def _swap(match: re.Match[str]) -> Message:
    requested, total = float(match[1]), float(match[2])
    return (
        f"swap_space takes {requested:g} of the host's {total:g} GiB of memory",
        f"remove args.swap_space, or set it so that all GPUs together take less than {total * 0.7:.0f} GiB",
    )


def _device_out_of_memory(match: re.Match[str], before: Sequence[str]) -> Message:
    """The fix depends on the stage at which memory ran out: the last stage that the log shows before the error."""
    return _out_of_memory(match.group(), *_by_stage(stage(before)))


def _does_not_load(match: re.Match[str]) -> Message:
    return _out_of_memory(match.group(), *_BY_LOADING)


def _out_of_memory(text: str, while_: str, fix: str) -> Message:
    """`text`: torch's error with its numbers."""
    numbers = re.search(
        r"Tried to allocate ([\d.]+ \w+)\. .*?total capacity of ([\d.]+ \w+) of which ([\d.]+ \w+) is free", text
    )
    amount = f" (it requested {numbers[1]} more; {numbers[3]} of {numbers[2]} were free)" if numbers else ""
    other = re.search(r"Process \d+ has ([\d.]+) GiB memory in use", text)
    if other and float(other[1]) >= 1:
        return (
            f"GPU memory ran out{amount}: another process uses {other[1]} GiB of it",
            "stop the other process on that GPU (nvidia-smi shows it), or give the model other `gpus`",
        )
    return f"GPU memory ran out{while_}{amount}", fix


_BY_LOADING = (
    " while the weights were loaded: they do not fit",
    "double args.tensor_parallel_size (and the model's gpus), or serve a quantised checkpoint",
)


def _by_stage(now: str) -> Message:
    if now.startswith(("loading weights", "downloading", "engine starting")):
        return _BY_LOADING
    if now.startswith(("capturing", "graphs captured", "KV cache", "warming")):
        return (
            " while CUDA graphs were captured, after the KV cache was allocated",
            (
                "lower args.gpu_memory_utilization by 0.05, or halve args.max_num_seqs; args.enforce_eager = "
                "true uses no graphs"
            ),
        )
    if now.startswith(("weights loaded", "compiling", "profiling")):
        return (
            " in the profiling run after the weights were loaded",
            "halve args.max_num_batched_tokens and args.max_num_seqs, or raise args.tensor_parallel_size",
        )
    if now in {"engine ready", SERVER_UP}:
        return (
            " while it served requests",
            "lower args.gpu_memory_utilization by 0.05, which leaves memory for requests outside the KV cache",
        )
    return "", "lower args.gpu_memory_utilization by 0.05, halve args.max_num_batched_tokens, or use more GPUs"


PATTERNS = (
    fixed(
        "longer-than-the-model",
        r"User-specified max_model_len \((\d+)\) is greater than the derived max_model_len "
        r"\((?:[^=]*=)?(\d+)",
        r"max_model_len \1 is more than the model supports (\2)",
        r"set args.max_model_len = \2",
    ),
    computed(
        "not-enough-free",
        r"Free memory on device .*?\(([\d.]+)/([\d.]+) GiB\) on startup is less than (?:desired GPU memory utilization|"
        r"the engine's budget .*?) \(([\d.]+), ([\d.]+) GiB\)",
        _not_enough_free,
    ),
    computed(
        "cache-too-small-for-one-request",
        r"To serve at least one request with the models?'s max seq len \((?P<len>\d+)\),? \(?(?P<need>[\d.]+) "
        r"Gi?B KV cache is "
        r"needed, which is larger than the available KV cache memory \((?P<have>[\d.]+) Gi?B\)"
        r"(?:.*estimated maximum model length is (?P<fits>\d+))?",
        _too_small_for_one,
    ),
    computed(
        "longer-than-the-cache",
        r"max seq len \((\d+)\) is larger than the maximum number of tokens that can be stored in KV cache \((\d+)\)\. "
        r"Try increasing `(\w+)`",
        _longer_than_cache,
    ),
    fixed(
        "no-length-fits",
        r"Cannot auto-fit max_model_len",
        "beside the weights, no memory is left for even one token of KV cache",
        r"raise args.gpu_memory_utilization, double args.tensor_parallel_size (and gpus), or serve a quantised "
        r"checkpoint",
    ),
    fixed(
        "no-cache-on-the-cpu",
        r"No available memory for the cache blocks\. Try increasing `VLLM_CPU_KVCACHE_SPACE`",
        "no memory is left for the KV cache",
        r'set env.VLLM_CPU_KVCACHE_SPACE = "4" (GiB)',
    ),
    fixed(
        "no-cache-at-all",
        r"No available memory for the cache blocks",
        "no memory is left for the KV cache after the weights",
        r"raise args.gpu_memory_utilization (0.95 at most), halve args.max_num_batched_tokens, or double "
        r"args.tensor_parallel_size (and gpus)",
    ),
    fixed(
        "state-blocks",
        r"max_num_seqs \((\d+)\) exceeds available Mamba cache blocks \((\d+)\)",
        r"max_num_seqs is \1 and each needs a state block, but only \2 fit",
        r"set args.max_num_seqs = \2",
    ),
    computed(
        "sampler-out-of-memory",
        r"out of memory occurred when warming up sampler with (\d+) dummy requests",
        _sampler,
    ),
    fixed(
        "memory-moved",
        r"Error in memory profiling\. Initial (?:free|used) memory ([\d.]+)(?: GiB)?, current\w* (?:free|used) "
        r"memory ([\d.]+)",
        r"another process freed or allocated GPU memory while vLLM measured it (\1, then \2)",
        "apply again when no other process starts or stops on that GPU; if models share one, start them "
        "in sequence with `after`",
    ),
    computed("swap-too-large", r"Too large swap space\. ([\d.]+) GiB out of the ([\d.]+) GiB", _swap),
    computed(
        "cpu-cache-too-large",
        r"Available memory on node .*?\(([\d.]+)/([\d.]+) GiB\) on kv cache allocation is less than requested "
        r"memory for kv "
        r"\(([\d.]+) GiB\)",
        _cpu_cache,
    ),
    computed(
        "cpu-share-too-large",
        r"Available memory on node .*?\(([\d.]+)/([\d.]+) GiB\) on startup is less than desired CPU memory utilization "
        r"\(([\d.]+), ([\d.]+) GiB\)",
        _cpu_share,
    ),
    computed(
        "batch-below-length",
        r"max_num_batched_tokens \((\d+)\) is smaller than max_model_len \((\d+)\)",
        _batch_below_length,
    ),
    fixed(
        "batch-below-sequences",
        r"max_num_batched_tokens \((\d+)\) must be greater than or equal to max_num_seqs \((\d+)\)",
        r"a batch of \1 tokens cannot hold \2 sequences",
        r"set args.max_num_seqs = \1, or args.max_num_batched_tokens = \2",
    ),
    computed(
        "item-above-batch",
        r"max_tokens_per_mm_item \((\d+)\) is larger than max_num_batched_tokens \((\d+)\)",
        _item_above_batch,
    ),
    fixed(
        "items-above-length",
        r"The decoder prompt \(length (\d+)\) is longer than the maximum model length of (\d+)\. Make sure that "
        r"`max_model_len` is no smaller than the number of text tokens plus multimodal",
        r"an image or video needs \1 tokens, but a request may have only \2",
        r"set args.max_model_len to more than \1, or lower args.limit_mm_per_prompt",
    ),
    computed("weights-do-not-fit", r"Failed to load model - not enough GPU memory\. .*", _does_not_load),
    Pattern(
        "device-out-of-memory",
        compiled(
            r"(?:CUDA|HIP|XPU) out of memory\..*|torch\.(?:cuda\.)?OutOfMemoryError.*|CUDA error: out of memory"
            r"|CUDA driver error: out of memory|CUBLAS_STATUS_(?:ALLOC_FAILED|NOT_INITIALIZED)"
        ),
        _device_out_of_memory,
        vague=True,
    ),
)
