"""Optional parts of vLLM: LoRA, speculative decoding, chat templates, images, older engines."""

from __future__ import annotations

import re

from cortexctl.engines.vllm.diagnosis.pattern import Message, computed, fixed

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Values of max_lora_rank that every release with that option accepts; source: vLLM 0.32.0, vllm/config/lora.py."""


def _rank(match: re.Match[str]) -> Message:
    rank, most = int(match[1]), int(match[2])
    fit = next((r for r in RANKS if r >= rank), rank)
    return f"the adapter has rank {rank}, but max_lora_rank is {most}", f"set args.max_lora_rank = {fit}"


def _multiple(match: re.Match[str]) -> Message:
    tokens, step = int(match[1]), int(match[2])
    return (
        f"num_speculative_tokens {tokens} is not a multiple of the draft model's tokens per step ({step})",
        f"set args.speculative_config.num_speculative_tokens = {max(step, tokens // step * step)}",
    )


def _adapter(match: re.Match[str]) -> Message:
    name, path = match.groups()
    if set("[]\"'{}") & set(name + path):
        clean, at = (text.strip("[]\"'{}") for text in (name, path))
        return (
            f"the brackets and quotes of a JSON list are part of the adapter's name and path: {name} and {path}",
            (
                f'write args.lora_modules = ["{clean}={at}"], as a list of the stack (on a command line: '
                f"--lora-modules {clean}={at})"
            ),
        )
    return (
        f"{path} contains no adapter ({name})",
        (
            "check the path in args.lora_modules: below `models_dir` it is /models/…, and the folder contains "
            "adapter_config.json"
        ),
    )


PATTERNS = (
    computed("lora-rank", r"LoRA rank (\d+) is greater than max_lora_rank (\d+)", _rank),
    fixed(
        "lora-rank-not-allowed",
        r"max_lora_rank \((\d+)\) must be one of (.+?)\.(?: \[|$)",
        r"\1 is not a rank that vLLM supports",
        r"set args.max_lora_rank to one of \2",
    ),
    computed(
        "lora-missing",
        r"Loading lora (\S+) failed: No adapter found for (\S+)",
        _adapter,
    ),
    fixed(
        "lora-not-supported",
        r"(?<!\S)(\S+) does not support LoRA yet|Model <class '([^']+)'> is not supported for LoRA",
        r"vLLM does not support adapters on \1\2",
        "remove args.enable_lora and args.lora_modules; merge the adapter into the weights instead",
    ),
    fixed(
        "lora-cpu-slots",
        r"max_cpu_loras \((\d+)\) must be >= max_loras \((\d+)\)",
        r"max_cpu_loras (\1) is less than max_loras (\2)",
        r"set args.max_cpu_loras = \2",
    ),
    fixed(
        "lora-modules",
        r"While loading (\S+), expected target modules in \[(.+?)\] but received \[(.+?)\]",
        r"the adapter \1 changes layers that this model does not have: \3",
        "train it on this base model, or remove it from args.lora_modules",
    ),
    fixed(
        "draft-vocabulary",
        r"Target model vocab_size=(\d+)\. Draft model vocab_size=(\d+)",
        r"the draft model's vocabulary size (\2) differs from the model's (\1)",
        r"set args.speculative_config.model to a draft of the same family",
    ),
    computed(
        "draft-steps",
        r"num_speculative_tokens:(\d+) must be divisible by n_predict=(\d+)",
        _multiple,
    ),
    fixed(
        "draft-without-number",
        r"num_speculative_tokens must be provided with speculative model|`num_speculative_tokens` was not provided",
        "speculative_config does not set the number of draft tokens",
        r"set args.speculative_config.num_speculative_tokens = 3",
    ),
    fixed(
        "draft-without-model",
        r"num_speculative_tokens was provided but without speculative model|num_speculative_tokens was provided "
        r"without "
        r"speculative model",
        "speculative_config does not name a draft model",
        r'set args.speculative_config.model, or args.speculative_config.method = "ngram"',
    ),
    fixed(
        "draft-method",
        r"Unsupported speculative method: '([^']+)'",
        r"this vLLM release does not know the speculative method \1",
        r"correct args.speculative_config.method, or pin a newer image",
    ),
    fixed(
        "draft-split",
        r"speculative_draft_tensor_parallel_size=(\d+) cannot be other value than 1 or target model",
        r"the draft model cannot be split over \1 GPUs",
        r"set args.speculative_config.draft_tensor_parallel_size = 1",
    ),
    fixed(
        "draft-with-images",
        r"Speculative Decoding with draft models(?: or parallel drafting)? does not support multimodal models",
        "this release supports no draft model for a model that accepts images",
        'remove args.speculative_config, or set args.speculative_config.method to one that it supports ("mtp" if '
        "the model "
        'has such layers, "ngram")',
    ),
    fixed(
        "draft-model-not-supported",
        r"(?:[Ss]peculative decoding with draft model|Draft model speculative decoding) is not supported yet\. Please "
        r"consider using other speculative decoding methods such as ([\w, ]+)",
        "this vLLM release supports no separate draft model",
        r"set args.speculative_config.method to one of: \1; or pin a newer image",
    ),
    fixed(
        "eagle-not-for-model",
        r"(E(?:agle|AGLE)-?3?) is only supported for \[([^\]]+)\] models\.? ?(?:Got .{0,80}model_type='?(\w+))?",
        r"this vLLM release supports the method \1 only for the model types \2, not \3",
        "set args.speculative_config.method to another method, or pin a newer image",
    ),
    fixed(
        "draft-not-with",
        r"[Ss]peculative [Dd]ecoding (?:with [^.]{1,80} )?(?:does not|doesn't|is not|cannot) (?:yet )?"
        r"(?:support|supported (?:with|for|on|by)|be used with) ([^.]{1,120})",
        r"speculative decoding does not work with \1 in this release",
        "remove args.speculative_config, or pin a newer image that supports both",
        vague=True,
    ),
    fixed(
        "no-chat-template",
        r"default chat template is no longer allowed, so you must provide a chat template",
        r"the model has no chat template, so it cannot answer /v1/chat/completions",
        "set args.chat_template to a file mounted with `volumes`; a base model serves /v1/completions "
        "only: gate.smoke.enabled = false",
    ),
    fixed(
        "chat-template-missing",
        r"supplied chat template (?:string )?\((.+?)\) (?:appears path-like|looks like a file path)",
        r"the container has no chat template at \1",
        r'mount it: volumes = ["/on/the/host/template.jinja:\1:ro"]',
    ),
    fixed(
        "not-multimodal",
        r"`limit_mm_per_prompt` is only supported for multimodal models|The model is not multimodal",
        "the model does not accept images or videos",
        "remove args.limit_mm_per_prompt and the other mm_ options",
    ),
    fixed(
        "sleep-mode-allocator",
        r"Expandable segments are not compatible with memory pool",
        "sleep mode and expandable_segments exclude each other",
        "remove PYTORCH_CUDA_ALLOC_CONF from `env`, or args.enable_sleep_mode from `args`",
    ),
    fixed(
        "v1-refuses",
        r"VLLM_USE_V1=1 is not supported with (.+?)\.",
        r"the V1 engine of this release does not support \1",
        r"remove VLLM_USE_V1 from `env`, or \1 from `args`",
    ),
    fixed(
        "runner-refuses",
        r"Model Runner V([12]) does not (?:yet )?support: (.+?)(?:\. \[| \[|$)",
        r"model runner V\1 does not support: \2",
        "remove VLLM_USE_V2_MODEL_RUNNER from `env`: vLLM then chooses a runner that supports it",
    ),
    fixed(
        "reasoning-parser-of-another-model",
        r"^(?:[\w.]{1,100}: )?(\w[\w .-]{0,80}?) reasoning parser could not locate (?:the )?think",
        r"the reasoning parser \1 searches for tokens that this model's tokenizer does not have: it is another "
        r"model's parser",
        "set args.reasoning_parser to the parser of the model's family, or remove it",
    ),
    fixed(
        "tool-parser-of-another-model",
        r"^(?:[\w.]{1,100}: )?(\w[\w .-]{0,80}?) [Tt]ool [Pp]arser could not locate (?:the )?tool",
        r"the tool call parser \1 searches for tokens that this model's tokenizer does not have: it is another model's "
        "parser",
        "set args.tool_call_parser to the parser of the model's family, or remove it and args.enable_auto_tool_choice",
    ),
    fixed(
        "kv-connector-missing",
        r"No module named 'lmcache'|LMCache is not installed|NIXL is not available",
        "the image lacks the package of its KV connector",
        "remove args.kv_transfer_config, or use an image that contains the package",
    ),
)
