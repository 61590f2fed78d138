"""How to query a running vLLM, and what its answers mean."""

from __future__ import annotations

from cortexctl.engines.base import Contract
from cortexctl.engines.vllm.smoke import SMOKE
from cortexctl.model_files.files import HF_HOME

CONTRACT = Contract(
    title="vLLM",
    port=8000,
    health="/health",
    models="/v1/models",
    version="/version",
    completions="/v1/completions",
    key_variable="VLLM_API_KEY",
    dead_status=503,
    exit_zero=", as vLLM does if its engine died",
    release_setting="vllm_version",
    release_labels=("ai.vllm.image.tag", "org.opencontainers.image.version"),
    release_variables=("VLLM_IMAGE_TAG",),
    share_setting="gpu_memory_utilization",
    default_share=0.92,  # since 0.20.0
    length_setting="max_model_len",
    cache_setting="kv_cache_memory_bytes",
    refusals={
        "heads": ("its attention heads cannot be split evenly", "tensor_parallel_size"),
        "length": ("max_model_len is longer than the model allows", "max_model_len"),
        "quantised split": ("its quantised weights cannot be split this way", "tensor_parallel_size"),
        "batch": ("its batch limits contradict each other", "max_num_batched_tokens"),
        "draft vocabulary": ("its draft model has another vocabulary", "speculative_config"),
        "free memory": ("it requests more memory than an idle GPU has free", "gpu_memory_utilization"),
        "weights": ("its weights do not fit on the GPU", "tensor_parallel_size"),
        "one request": ("its KV cache does not hold one request of full length", "max_model_len"),
        "no memory": ("no memory is left for its KV cache", "gpu_memory_utilization"),
        "memory after the cache": ("a start takes more memory after its cache than is free", "gpu_memory_utilization"),
        "auto length": ("its KV cache does not hold a single token", "gpu_memory_utilization"),
    },
    hub_cache=HF_HOME,
    compile_cache="/root/.cache/vllm",
    compile_cache_variable="VLLM_CACHE_ROOT",
    smoke=SMOKE,
    speed={"ignore_eos": True},  # it continues where the model would stop
)
