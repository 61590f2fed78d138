"""vLLM's command line: written, read and checked by the rules of each release."""
