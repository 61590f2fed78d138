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
    hub_cache=HF_HOME,
    smoke=SMOKE,
    speed={"ignore_eos": True},  # it continues where the model would stop
)
