"""vLLM's options and architectures, release by release."""
