"""The most used parameters of `vllm serve`, for reading a line whose release nobody knows (import, drift).

What a release knows and takes is in the catalogue; `parse` reads a line as a release does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "int", "int_or_auto", "float", "switch", "choice", "words", "ints", "json"]


@dataclass(frozen=True, slots=True)
class Value:
    """One known value of a parameter, and the releases that take it."""

    name: str
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Argument:
    """One parameter. `pair_since`: from then on a switch has its `--no-` form.

    `minimum` and `maximum` are what vLLM itself takes.
    `values` of a "choice" are all there are; of a "text" they are the ones whose history is known.
    `successor` is said to the user when the pinned release does not know the parameter (any more).
    """

    name: str
    kind: Kind
    since: str | None = None
    until: str | None = None
    pair_since: str | None = None
    values: tuple[Value, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    successor: str = ""
    no_effect_since: str | None = None

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def _plain(*names: str) -> tuple[Value, ...]:
    return tuple(Value(n) for n in names)


_ALL = (
    Argument("attention_backend", "text", since="0.13.0",
             successor="before 0.13.0 set the environment variable VLLM_ATTENTION_BACKEND instead"),
    Argument("block_size", "int", minimum=1),
    Argument("chat_template", "text"),
    Argument("chat_template_content_format", "choice", since="0.6.5",
             values=_plain("auto", "string", "openai")),
    Argument("compilation_config", "json", since="0.6.5"),
    Argument("convert", "text", since="0.10.1",
             successor='before 0.10.1 set args.task, for example task = "embed"'),
    Argument("cpu_offload_gb", "float", minimum=0),
    Argument("cuda_graph_sizes", "ints", since="0.9.0", until="0.12.0",
             successor="from 0.11.1 set args.cudagraph_capture_sizes"),
    Argument("cudagraph_capture_sizes", "ints", since="0.11.1",
             successor="before 0.11.1 set args.cuda_graph_sizes (0.9.0 to 0.12.0)"),
    Argument("data_parallel_size", "int", minimum=1, since="0.8.3"),
    Argument("disable_log_stats", "switch"),
    Argument("distributed_executor_backend", "text",
             values=(Value("ray"), Value("mp"), Value("uni", "0.7.0"), Value("external_launcher", "0.7.0"))),
    Argument("dtype", "choice", values=_plain("auto", "half", "float16", "bfloat16", "float", "float32")),
    Argument("enable_auto_tool_choice", "switch"),
    Argument("enable_chunked_prefill", "switch", pair_since="0.8.5"),
    Argument("enable_expert_parallel", "switch", since="0.8.0", pair_since="0.8.5"),
    Argument("enable_lora", "switch"),
    Argument("enable_prefix_caching", "switch", pair_since="0.6.5"),
    Argument("enable_sleep_mode", "switch", since="0.7.0", pair_since="0.9.0"),
    Argument("enforce_eager", "switch", pair_since="0.9.0"),
    Argument("generation_config", "text", since="0.6.6"),
    Argument("gpu_memory_utilization", "float", minimum=0.01, maximum=1),
    Argument("hf_config_path", "text", since="0.8.0"),
    Argument("hf_overrides", "json", since="0.6.4"),
    Argument("kv_cache_dtype", "text", values=(
        *_plain("auto", "fp8", "fp8_e4m3", "fp8_e5m2"),
        Value("fp8_inc", "0.10.0"), Value("bfloat16", "0.11.0"), Value("fp8_ds_mla", "0.11.1"),
        Value("float16", "0.18.0"), Value("nvfp4", "0.20.0"))),
    Argument("kv_cache_memory_bytes", "int", minimum=1, since="0.10.2"),
    Argument("kv_offloading_size", "float", minimum=0, since="0.11.1"),
    Argument("kv_transfer_config", "json", since="0.6.5"),
    Argument("load_format", "text"),
    Argument("lora_modules", "words"),
    Argument("max_cudagraph_capture_size", "int", since="0.11.1"),
    Argument("max_log_len", "int"),
    Argument("max_lora_rank", "int", minimum=1),
    Argument("max_loras", "int", minimum=1),
    Argument("max_model_len", "int_or_auto", minimum=-1, values=(Value("auto", "0.14.0"),)),
    Argument("max_num_batched_tokens", "int", minimum=1),
    Argument("max_num_seqs", "int", minimum=1),
    Argument("override_generation_config", "json", since="0.7.1"),
    Argument("pipeline_parallel_size", "int", minimum=1),
    Argument("prefix_caching_hash_algo", "choice", since="0.8.3", values=(
        Value("builtin", "0.8.3", "0.10.1.1"), Value("sha256", "0.8.3"),
        Value("sha256_cbor_64bit", "0.10.0", "0.10.1.1"), Value("sha256_cbor", "0.10.2"),
        Value("xxhash", "0.13.0"), Value("xxhash_cbor", "0.13.0"))),
    Argument("quantization", "text", values=(
        Value("gguf", until="0.23.0"), Value("bitsandbytes", until="0.27.1"), Value("aqlm", until="0.10.0"),
        Value("marlin", until="0.10.1.1"), Value("hqq", until="0.14.1"), Value("rtn", until="0.14.1"))),
    Argument("reasoning_parser", "text", since="0.7.1"),
    Argument("runner", "choice", since="0.10.1", values=_plain("auto", "generate", "pooling", "draft"),
             successor="before 0.10.1 set args.task"),
    Argument("seed", "int"),
    Argument("speculative_config", "json", since="0.8.3"),
    Argument("swap_space", "float", until="0.17.1", no_effect_since="0.8.0",
             successor="it has no successor; nearest is args.kv_offloading_size (from 0.11.1)"),
    Argument("task", "text", since="0.6.4", until="0.12.0",
             successor='from 0.10.1 set args.runner = "pooling", and args.convert = "embed" for a generative model'),
    Argument("tensor_parallel_size", "int", minimum=1),
    Argument("tokenizer", "text"),
    Argument("tokenizer_mode", "text"),
    Argument("tool_call_parser", "text"),
    Argument("trust_remote_code", "switch", pair_since="0.9.0"),
)  # fmt: skip

ARGUMENTS: dict[str, Argument] = {a.name: a for a in _ALL}

SHORT_FLAGS: dict[str, str] = {
    "-tp": "tensor_parallel_size",
    "-pp": "pipeline_parallel_size",
    "-dp": "data_parallel_size",
    "-ep": "enable_expert_parallel",
    "-q": "quantization",
    "-cc": "compilation_config",
    "-sc": "speculative_config",
}
"""One-dash spellings of parameters that have a name here."""
