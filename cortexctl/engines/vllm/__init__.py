"""CORE: what cortexctl knows of vLLM. vllm itself is never imported."""
