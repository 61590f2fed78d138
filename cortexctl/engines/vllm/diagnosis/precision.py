"""Number formats: quantisation, dtype, support by the GPU's generation, attention backends."""

from __future__ import annotations

import re

from cortexctl.engines.vllm.diagnosis.pattern import Message, computed, fixed

_BLOCK = 16
"""The block size in tokens that GPU kernels need a multiple of, if the log does not name one."""


def _capability(text: str) -> str:
    """75 -> 7.5, 120 -> 12.0, as vLLM writes them in one number."""
    return f"{text[:-1]}.{text[-1]}" if text.isdigit() and len(text) > 1 else text


def _too_old_gpu(match: re.Match[str]) -> Message:
    method, least, have = match[1], _capability(match[2]), _capability(match[3])
    return (
        f"the quantisation {method} needs a GPU of compute capability {least}, but this one has {have}",
        (
            "serve a checkpoint in another format (AWQ and GPTQ work from 7.5 on), or move the model to a "
            f"host with compute_capability {least} or more"
        ),
    )


def _dtypes(match: re.Match[str]) -> Message:
    dtype, method, supported = match.groups()
    names = re.findall(r"torch\.(\w+)", supported)
    first = names[0] if names else "auto"
    return (
        f"the quantisation {method} does not support {dtype}",
        f'set args.dtype = "{first}"' + (f" (it supports: {', '.join(names)})" if len(names) > 1 else ""),
    )


def _tiles(match: re.Match[str]) -> Message:
    size, what, tile = match.groups()
    part, least = int(size), int(tile)
    share = f"{part} is {part / least:.4g} times {least}"
    return (
        (
            "with this tensor_parallel_size a GPU's share of a quantised layer is not a whole number of "
            f"tiles: {share} ({what})"
        ),
        (
            "halve args.tensor_parallel_size (and the model's gpus), or split the model with "
            "args.pipeline_parallel_size instead"
        ),
    )


def _block_size(match: re.Match[str]) -> Message:
    have, backends = int(match[1]), match[2] or ""
    steps = [int(n) for n in re.findall(r"MultipleOf\((\d+)\)", backends)]
    step = max(steps, default=_BLOCK)
    fit = max(step, have // step * step)
    because = f" ({backends})" if backends else ""
    return f"no attention kernel supports blocks of {have} tokens here{because}", f"set args.block_size = {fit}"


def _other_choice(match: re.Match[str]) -> Message:
    name, value, what, choices = match.groups()
    listed = choices.replace("'", "").replace('"', "")
    return (
        f'{name} = "{value}" does not support {what}',
        f"remove args.{name}, so that vLLM chooses one, or set it to one of: {listed}",
    )


PATTERNS = (
    fixed(
        "quantisation-unknown",
        r"Unknown quantization method: (\S+?)\. Must be one of \[([^\]]+)\]",
        r"this vLLM release does not know the quantisation \1",
        "remove args.quantization (vLLM reads it from the checkpoint); if config.json sets it, pin an "
        r"image that supports \1",
    ),
    fixed(
        "quantisation-mismatch",
        r"specified in the model config \((\S+)\) does not match the quantization method specified in the "
        r"`quantization` argument \((\S+)\)",
        r"the checkpoint is quantised with \1, but args.quantization is \2",
        "remove args.quantization: vLLM reads it from the checkpoint",
    ),
    fixed(
        "not-quantised",
        r"Cannot find the config file for (\S+)",
        r"args.quantization is \1, but the checkpoint is not quantised with it",
        r"remove args.quantization, or set `source` to a checkpoint that is quantised with \1",
    ),
    fixed(
        "quantisation-config-incomplete",
        r"Cannot find any of \[(.+?)\] in the model's quantization config",
        r"quantization_config in the model's config.json lacks \1",
        "fetch config.json (and quantize_config.json) of the quantised checkpoint again, or use another checkpoint",
    ),
    fixed(
        "quantisation-deprecated",
        r"quantization method (\S+) is deprecated and will be removed",
        r"this vLLM release runs the quantisation \1 only on request",
        "set args.allow_deprecated_quantization = true, and look for a checkpoint in another format",
    ),
    fixed(
        "fp8-not-online",
        r"The `fp8` quantization method no longer supports online quantization\. Please use `--quantization (\w+)`",
        "`fp8` now means a checkpoint that is already quantised",
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
    fixed(
        "no-bfloat16",
        r"Bfloat16 is only supported on GPUs with compute capability of at least 8\.0\. Your (.+?) GPU (?:has compute "
        r"capability ([\d.]+)\.|does not)",
        r"this GPU (\1, compute capability \2) does not support bfloat16",
        r'set args.dtype = "half"',
    ),
    fixed(
        "no-float16",
        r"The model type (\S+) does not support float16",
        r"\1 models overflow in float16",
        r'set args.dtype = "bfloat16" (GPUs of compute capability 8.0 or more), else "float32"',
    ),
    fixed(
        "dtype-unknown",
        r"Unknown dtype: (\S+?)\.?(?: \[|$)|module 'torch' has no attribute ('(?:b?float|u?int)\d\w*')",
        r"\1\2 is not a dtype that vLLM supports",
        'set args.dtype = "auto"; if config.json sets it: "bfloat16"',
    ),
    fixed(
        "no-fp8-on-this-gpu",
        r"type fp8e4nv not supported in this architecture|torch\._scaled_mm is only supported on CUDA devices with "
        r"compute capability",
        "this GPU does not support FP8 (it needs compute capability 8.9)",
        'do not use args.kv_cache_dtype = "fp8" or FP8 checkpoints on this host, or move the model to a '
        "host with 8.9 or more",
    ),
    fixed(
        "fp8-e5m2-with-fp8",
        r"fp8_e5m2 kv-cache is not supported with fp8 checkpoints",
        "an FP8 checkpoint does not support a KV cache in fp8_e5m2",
        r'set args.kv_cache_dtype = "fp8"',
    ),
    fixed(
        "no-fp8-cache-on-this-cpu",
        r"FP8 KV cache on CPU requires (.+?)\.?$",
        r"this processor does not support a KV cache in FP8: it needs \1",
        r'set args.kv_cache_dtype = "auto"',
    ),
    fixed(
        "kv-cache-dtype-unknown",
        r"Invalid kv cache dtype: (\S+)",
        r"\1 is not a KV cache format in this release",
        r'set args.kv_cache_dtype = "auto" or "fp8"',
    ),
    computed(
        "tiles-of-quantisation",
        r"(?:Weight|The) (?:in|out)put\w* ?(?:of .+? weight )?= ?(\d+)(?: for layer '\S+')? is not divisible by +"
        r"(min_thread_[nk]|weight quantization block_[nk]|group_size) ?= ?(\d+)",
        _tiles,
    ),
    fixed(
        "quantised-shape-not-aligned",
        r"The (in|out)put size is not aligned with the quantized weight shape",
        (
            r"with this tensor_parallel_size a GPU's share of a quantised layer (its \1put) is not a whole "
            "number of groups"
        ),
        "halve args.tensor_parallel_size (and the model's gpus), or split the model with "
        "args.pipeline_parallel_size instead",
    ),
    fixed(
        "no-attention-backend",
        r"No valid attention backend found for (\S+) with .*?Reasons: \{([^{}]+)\}",
        r"no attention kernel of this release supports the model on this GPU (\1): \2",
        "remove args.kv_cache_dtype, args.block_size and args.attention_backend, then pin a newer image",
    ),
    fixed(
        "attention-backend-not-fit",
        r"Selected backend (?:AttentionBackendEnum\.)?(\S+) is not valid for this configuration\. Reason: \[(.+)\]",
        r"the attention backend \1 does not support this configuration: \2",
        "remove args.attention_backend (and env.VLLM_ATTENTION_BACKEND): vLLM chooses a suitable one",
    ),
    fixed(
        "attention-backend-unknown",
        r"(?:Unknown|Invalid) attention backend: '?(\w+)'?\. Valid (?:options"
        r"|backends) are: \[?(.+?)\]?(?: \[type=.*|$)",
        r"this vLLM release has no attention backend \1",
        r"remove args.attention_backend (and env.VLLM_ATTENTION_BACKEND), or set one of: \2",
    ),
    computed("block-size", r"No common block size for (\d+)(?: \((.+)\))?", _block_size),
    fixed(
        "attention-backend-gone",
        r"Attention backend '(\w+)' has been removed",
        r"this vLLM release no longer has the attention backend \1",
        "remove it from `args` and `env`: vLLM chooses one",
    ),
    fixed(
        "no-moe-backend",
        r"No (\w+) MoE backend (?:supports the deployment configuration|\(.+?\) available)",
        r"no kernel for \1 experts supports this GPU and this configuration",
        "remove args.moe_backend and args.enable_expert_parallel; otherwise serve a checkpoint in another format",
    ),
    computed(
        "choice-not-for-this-format",
        r"\b(\w+)='([^']+)' is not supported for (.{1,80}?)\. Expected one of \[([^\]]+)\]",
        _other_choice,
    ),
    fixed(
        "no-sinks-on-this-gpu",
        r"[Ss]inks? (?:are|is) (?:only|not) supported|does not support attention sinks",
        "the model (gpt-oss) uses attention sinks, which this release supports only on GPUs of compute "
        "capability 9.0 (H100)",
        "pin a newer image (0.11.0 or later), or move the model to a host with such GPUs",
    ),
    fixed(
        "kernel-needs-shared-memory",
        r"out of resource: shared memory, Required: (\d+), Hardware limit: (\d+)",
        r"a kernel of this release needs \1 bytes of shared memory in the GPU, and this GPU has \2",
        "remove args.attention_backend, args.block_size and args.kv_cache_dtype, or pin another release; for a GPU of "
        'this age set args.dtype = "half"',
    ),
    fixed(
        "attention-kernel-not-for-gpu",
        r"\b(FlashMLA|FlashInfer MLA|CUTLASS MLA|FA ?version \d|FA\d|Flash ?Attention \d) (?:is|are) "
        r"(?:not|only) supported\b|\b(FlashInfer) requires GPUs with\b",
        r"the attention kernel \1\2 does not support this GPU",
        "remove args.attention_backend, env.VLLM_ATTENTION_BACKEND and env.VLLM_FLASH_ATTN_VERSION: vLLM chooses one; "
        "if it chose this one, pin a newer image",
        vague=True,
    ),
    fixed(
        "no-deep-gemm",
        r"DeepGEMM backend is not available(?: or outdated)?",
        "the image lacks DeepGEMM, or has an old one, which this model's FP8 kernels need",
        'set env.VLLM_USE_DEEP_GEMM = "0", which selects other kernels; if the model needs it (DeepSeek V3.2), '
        "use an official "
        "vLLM image, which contains it",
    ),
    fixed(
        "cache-pages-differ",
        r"Cannot unify by adjusting block_size",
        "the layers of the model need KV cache pages of sizes that this release cannot combine",
        "remove args.kv_cache_dtype, args.block_size and args.speculative_config; otherwise pin a newer image",
    ),
    fixed(
        "bitsandbytes-missing",
        r"Please install (bitsandbytes>=\S+) via",
        r"the image lacks the package that this quantisation needs: \1",
        r"build an image on top of this one with `RUN pip install '\1'`, or serve an AWQ, GPTQ or FP8 checkpoint",
    ),
)
