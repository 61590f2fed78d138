"""Number formats: quantisation, dtype, what the GPU's generation can do, attention backends."""

from __future__ import annotations

import re

from cortexctl.engines.vllm.diagnosis.pattern import Said, computed, said

_BLOCK = 16
"""Tokens of a block that the kernels for GPUs want a multiple of, where the log does not say."""


def _capability(text: str) -> str:
    """75 -> 7.5, 120 -> 12.0, as vLLM writes them in one number."""
    return f"{text[:-1]}.{text[-1]}" if text.isdigit() and len(text) > 1 else text


def _too_old_gpu(match: re.Match[str]) -> Said:
    method, least, have = match[1], _capability(match[2]), _capability(match[3])
    return (
        f"the quantisation {method} needs a GPU of compute capability {least}, and this one has {have}",
        (
            f"serve a checkpoint in another format (AWQ and GPTQ do from 7.5 on), or move the model to a host "
            f"with compute_capability {least} or more"
        ),
    )


def _dtypes(match: re.Match[str]) -> Said:
    dtype, method, supported = match.groups()
    names = re.findall(r"torch\.(\w+)", supported)
    first = names[0] if names else "auto"
    return (
        f"the quantisation {method} cannot compute in {dtype}",
        f'set args.dtype = "{first}"' + (f" (it can do: {', '.join(names)})" if len(names) > 1 else ""),
    )


def _tiles(match: re.Match[str]) -> Said:
    size, what, tile = match.groups()
    part, least = int(size), int(tile)
    share = f"{part} is {part / least:.4g} times {least}"
    return (
        (
            f"with this tensor_parallel_size a GPU's share of a quantised layer is no whole number of tiles: {share} "
            f"({what})"
        ),
        "halve args.tensor_parallel_size (and the model's gpus), or spread it with args.pipeline_parallel_size instead",
    )


def _block_size(match: re.Match[str]) -> Said:
    have, backends = int(match[1]), match[2] or ""
    steps = [int(n) for n in re.findall(r"MultipleOf\((\d+)\)", backends)]
    step = max(steps, default=_BLOCK)
    fit = max(step, have // step * step)
    because = f" ({backends})" if backends else ""
    return f"no attention kernel here works with blocks of {have} tokens{because}", f"set args.block_size = {fit}"


PATTERNS = (
    said(
        "quantisation-unknown",
        r"Unknown quantization method: (\S+?)\. Must be one of \[([^\]]+)\]",
        r"this vLLM release does not know the quantisation \1",
        r"take out args.quantization (vLLM reads it from the checkpoint); where it is in config.json, pin an "
        r"image that "
        r"knows \1",
    ),
    said(
        "quantisation-mismatch",
        r"specified in the model config \((\S+)\) does not match the quantization method specified in the "
        r"`quantization` argument \((\S+)\)",
        r"the checkpoint is quantised with \1, and args.quantization says \2",
        r"take out args.quantization: vLLM reads it from the checkpoint",
    ),
    said(
        "not-quantised",
        r"Cannot find the config file for (\S+)",
        r"args.quantization says \1, and the checkpoint is not quantised so",
        r"take out args.quantization, or set `source` to a checkpoint that was quantised with \1",
    ),
    said(
        "quantisation-config-incomplete",
        r"Cannot find any of \[(.+?)\] in the model's quantization config",
        r"quantization_config in the model's config.json lacks \1",
        r"fetch config.json (and quantize_config.json) of the quantised checkpoint anew, or take another checkpoint",
    ),
    said(
        "quantisation-deprecated",
        r"quantization method (\S+) is deprecated and will be removed",
        r"this vLLM release runs the quantisation \1 only on request",
        r"set args.allow_deprecated_quantization = true, and look for a checkpoint in another format",
    ),
    said(
        "fp8-not-online",
        r"The `fp8` quantization method no longer supports online quantization\. Please use `--quantization (\w+)`",
        r"`fp8` now means a checkpoint that is quantised already",
        r'set args.quantization = "\1"',
    ),
    computed(
        "quantisation-gpu-too-old",
        r"quantization method (.+?) is not supported for the current GPU\. Minimum capability: (\S+)\. "
        r"Current capability: (?:DeviceCapability\(major=)?([\d.]+?)(?:\.$|\.?$|\.\s|,|\))",
        _too_old_gpu,
    ),
    computed(
        "dtype-not-for-quantisation",
        r"torch\.(\w+) is not supported for quantization method (\S+?)\. Supported dtypes: (.+)",
        _dtypes,
    ),
    said(
        "no-bfloat16",
        r"Bfloat16 is only supported on GPUs with compute capability of at least 8\.0\. Your (.+?) GPU (?:has compute "
        r"capability ([\d.]+)\.|does not)",
        r"this GPU (\1, compute capability \2) has no bfloat16",
        r'set args.dtype = "half"',
    ),
    said(
        "no-float16",
        r"The model type (\S+) does not support float16",
        r"\1 models overflow in float16",
        r'set args.dtype = "bfloat16" (GPUs of compute capability 8.0 or more), else "float32"',
    ),
    said(
        "dtype-unknown",
        r"Unknown dtype: (\S+?)\.?(?: \[|$)|module 'torch' has no attribute ('(?:b?float|u?int)\d\w*')",
        r"\1\2 is no dtype that vLLM computes in",
        r'set args.dtype = "auto"; where config.json says it: "bfloat16"',
    ),
    said(
        "no-fp8-on-this-gpu",
        r"type fp8e4nv not supported in this architecture|torch\._scaled_mm is only supported on CUDA devices with "
        r"compute capability",
        r"this GPU cannot compute in FP8 (that takes compute capability 8.9)",
        r'take args.kv_cache_dtype = "fp8" and FP8 checkpoints off this host, or move the model to one with 8.9 '
        r"or more",
    ),
    said(
        "fp8-e5m2-with-fp8",
        r"fp8_e5m2 kv-cache is not supported with fp8 checkpoints",
        r"an FP8 checkpoint cannot have its KV cache in fp8_e5m2",
        r'set args.kv_cache_dtype = "fp8"',
    ),
    said(
        "no-fp8-cache-on-this-cpu",
        r"FP8 KV cache on CPU requires (.+?)\.?$",
        r"this processor cannot hold the KV cache in FP8: that takes \1",
        r'set args.kv_cache_dtype = "auto"',
    ),
    said(
        "kv-cache-dtype-unknown",
        r"Invalid kv cache dtype: (\S+)",
        r"\1 is no format of the KV cache in this release",
        r'set args.kv_cache_dtype = "auto" or "fp8"',
    ),
    computed(
        "tiles-of-quantisation",
        r"(?:Weight|The) (?:in|out)put\w* ?(?:of .+? weight )?= ?(\d+)(?: for layer '\S+')? is not divisible by +"
        r"(min_thread_[nk]|weight quantization block_[nk]|group_size) ?= ?(\d+)",
        _tiles,
    ),
    said(
        "quantised-shape-not-aligned",
        r"The (in|out)put size is not aligned with the quantized weight shape",
        r"with this tensor_parallel_size a GPU's share of a quantised layer (its \1put) is no whole number of groups",
        r"halve args.tensor_parallel_size (and the model's gpus), or spread it with args.pipeline_parallel_size "
        r"instead",
    ),
    said(
        "no-attention-backend",
        r"No valid attention backend found for (\S+) with .*?Reasons: \{([^{}]+)\}",
        r"no attention kernel of this release fits the model on this GPU (\1): \2",
        r"take out args.kv_cache_dtype, args.block_size and args.attention_backend, then pin a newer image",
    ),
    said(
        "attention-backend-not-fit",
        r"Selected backend (?:AttentionBackendEnum\.)?(\S+) is not valid for this configuration\. Reason: \[(.+)\]",
        r"the attention backend \1 cannot do this: \2",
        r"take out args.attention_backend (and env.VLLM_ATTENTION_BACKEND): vLLM chooses one that can",
    ),
    said(
        "attention-backend-unknown",
        r"(?:Unknown|Invalid) attention backend: '([^']+)'\. Valid (?:options|backends) are: (.+)",
        r"this vLLM release has no attention backend \1",
        r"take out args.attention_backend (and env.VLLM_ATTENTION_BACKEND), or set one of: \2",
    ),
    computed("block-size", r"No common block size for (\d+)(?: \((.+)\))?", _block_size),
    said(
        "attention-backend-gone",
        r"Attention backend '(\w+)' has been removed",
        r"this vLLM release no longer has the attention backend \1",
        r"take it out of `args` and `env`: vLLM chooses one",
    ),
    said(
        "no-moe-backend",
        r"No (\w+) MoE backend (?:supports the deployment configuration|\(.+?\) available)",
        r"no kernel for \1 experts fits this GPU and this configuration",
        r"take out args.moe_backend and args.enable_expert_parallel; else serve a checkpoint of another format",
    ),
    said(
        "bitsandbytes-missing",
        r"Please install (bitsandbytes>=\S+) via",
        r"the image lacks the package that this quantisation needs: \1",
        r"build an image on top of this one with `RUN pip install '\1'`, or serve an AWQ, GPTQ or FP8 checkpoint",
    ),
)
