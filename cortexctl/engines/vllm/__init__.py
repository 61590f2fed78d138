"""CORE: what cortexctl knows about vLLM. vllm itself is never imported."""
