"""vLLM's options and architectures, by release."""
