"""Parts of vLLM that are switched on: LoRA, speculation, chat templates, images, older engines."""

from __future__ import annotations

import re

from cortexctl.engines.vllm.diagnosis.pattern import Said, computed, said

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Values of max_lora_rank that every release takes that has them; source: vLLM 0.32.0, vllm/config/lora.py."""


def _rank(match: re.Match[str]) -> Said:
    rank, most = int(match[1]), int(match[2])
    fit = next((r for r in RANKS if r >= rank), rank)
    return f"the adapter has rank {rank}, and max_lora_rank is {most}", f"set args.max_lora_rank = {fit}"


def _multiple(match: re.Match[str]) -> Said:
    tokens, step = int(match[1]), int(match[2])
    return (
        f"num_speculative_tokens {tokens} is no multiple of what the draft predicts at a time ({step})",
        f"set args.speculative_config.num_speculative_tokens = {max(step, tokens // step * step)}",
    )


PATTERNS = (
    computed("lora-rank", r"LoRA rank (\d+) is greater than max_lora_rank (\d+)", _rank),
    said(
        "lora-rank-not-allowed",
        r"max_lora_rank \((\d+)\) must be one of (.+?)\.(?: \[|$)",
        r"\1 is no rank that vLLM provides for",
        r"set args.max_lora_rank to one of \2",
    ),
    said(
        "lora-missing",
        r"Loading lora (\S+) failed: No adapter found for (\S+)",
        r"there is no adapter at \2 (\1)",
        r"check the path in args.lora_modules: below `models_dir` it is /models/…, with adapter_config.json in it",
    ),
    said(
        "lora-not-supported",
        r"(?<!\S)(\S+) does not support LoRA yet|Model <class '([^']+)'> is not supported for LoRA",
        r"vLLM cannot run adapters on \1\2",
        r"take out args.enable_lora and args.lora_modules; merge the adapter into the weights instead",
    ),
    said(
        "lora-cpu-slots",
        r"max_cpu_loras \((\d+)\) must be >= max_loras \((\d+)\)",
        r"fewer adapters may be kept in the host's memory (\1) than on the GPU (\2)",
        r"set args.max_cpu_loras = \2",
    ),
    said(
        "lora-modules",
        r"While loading (\S+), expected target modules in \[(.+?)\] but received \[(.+?)\]",
        r"the adapter \1 changes parts that this model does not have: \3",
        r"train it on this base model, or take it out of args.lora_modules",
    ),
    said(
        "draft-vocabulary",
        r"Target model vocab_size=(\d+)\. Draft model vocab_size=(\d+)",
        r"the draft model's vocabulary (\2) is not the model's (\1)",
        r"set args.speculative_config.model to a draft of the same family",
    ),
    computed(
        "draft-steps",
        r"num_speculative_tokens:(\d+) must be divisible by n_predict=(\d+)",
        _multiple,
    ),
    said(
        "draft-without-number",
        r"num_speculative_tokens must be provided with speculative model|`num_speculative_tokens` was not provided",
        r"speculative_config does not say how many tokens are drafted",
        r"set args.speculative_config.num_speculative_tokens = 3",
    ),
    said(
        "draft-without-model",
        r"num_speculative_tokens was provided but without speculative model|num_speculative_tokens was provided "
        r"without "
        r"speculative model",
        r"speculative_config names no model that drafts",
        r'set args.speculative_config.model, or args.speculative_config.method = "ngram"',
    ),
    said(
        "draft-method",
        r"Unsupported speculative method: '([^']+)'",
        r"this vLLM release does not know the way of drafting \1",
        r"correct args.speculative_config.method, or pin a newer image",
    ),
    said(
        "draft-split",
        r"speculative_draft_tensor_parallel_size=(\d+) cannot be other value than 1 or target model",
        r"the draft model cannot be split over \1 GPUs",
        r"set args.speculative_config.draft_tensor_parallel_size = 1",
    ),
    said(
        "no-chat-template",
        r"default chat template is no longer allowed, so you must provide a chat template",
        r"the model has no chat template, so it cannot answer /v1/chat/completions",
        r"set args.chat_template to a file that `volumes` mounts; a base model is asked by /v1/completions: "
        r"gate.smoke.enabled = false",
    ),
    said(
        "chat-template-missing",
        r"supplied chat template (?:string )?\((.+?)\) (?:appears path-like|looks like a file path)",
        r"there is no chat template at \1 in the container",
        r'mount it: volumes = ["/on/the/host/template.jinja:\1:ro"]',
    ),
    said(
        "not-multimodal",
        r"`limit_mm_per_prompt` is only supported for multimodal models|The model is not multimodal",
        r"the model takes no images or videos",
        r"take out args.limit_mm_per_prompt and the other mm_ options",
    ),
    said(
        "sleep-mode-allocator",
        r"Expandable segments are not compatible with memory pool",
        r"sleep mode and expandable_segments exclude each other",
        r"take PYTORCH_CUDA_ALLOC_CONF out of `env`, or args.enable_sleep_mode out of `args`",
    ),
    said(
        "v1-refuses",
        r"VLLM_USE_V1=1 is not supported with (.+?)\.",
        r"the V1 engine of this release cannot do \1",
        r"take VLLM_USE_V1 out of `env`, or \1 out of `args`",
    ),
    said(
        "runner-refuses",
        r"Model Runner V([12]) does not (?:yet )?support: (.+?)(?:\. \[| \[|$)",
        r"model runner V\1 cannot do: \2",
        r"take VLLM_USE_V2_MODEL_RUNNER out of `env`: vLLM chooses the one that can",
    ),
    said(
        "kv-connector-missing",
        r"No module named 'lmcache'|LMCache is not installed|NIXL is not available",
        r"the image lacks the package of its KV connector",
        r"take out args.kv_transfer_config, or take an image that has it",
    ),
)
