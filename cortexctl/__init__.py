"""A declarative reconciler for vLLM model containers: plan, apply, drift."""

__version__ = "0.1.0"
