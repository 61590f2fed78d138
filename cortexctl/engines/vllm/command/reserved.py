"""Options that a stack must not set in `args`, and other tools' names for those that it may."""

from __future__ import annotations

RESERVED: dict[str, str] = {
    "model": "the stack's `source` sets the model",
    "model_tag": "the stack's `source` sets the model",
    "served_model_name": "set `served_names` of the model",
    "host": "the server listens inside its container; set `publish` to reach it from the host",
    "port": "the server listens on 8000 inside its container; set `publish` to choose the host's port",
    "uds": "the server listens on a port inside its container; set `publish`",
    "api_key": 'never on a command line: [models.NAME.secrets] VLLM_API_KEY = { env = "…" }',
    "hf_token": 'never on a command line: [models.NAME.secrets] HF_TOKEN = { env = "…" }',
    "revision": "set `source.revision`",
    "download_dir": "set the host's `hf_cache`",
    "shutdown_timeout": "set `rollout.drain` of the model",
    "config": "write the options of that file here, so that they are checked and compared",
    "headless": "an instance without a server cannot be health-checked",
}
"""The options that cortexctl sets itself -> what the user should write instead."""

ALIASES: dict[str, str] = {
    "swap_space_gb": "swap_space",
    "max_seq_len": "max_model_len",
    "context_length": "max_model_len",
    "tp": "tensor_parallel_size",
    "tensor_parallel": "tensor_parallel_size",
    "pp": "pipeline_parallel_size",
    "pipeline_parallel": "pipeline_parallel_size",
    "dp": "data_parallel_size",
    "repo_id": "source.repo",
    "local_path": "source.path",
}
"""Names that other tools use for the same option."""
