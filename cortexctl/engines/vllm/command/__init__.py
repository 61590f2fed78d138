"""vLLM's command line: written, read and checked as each release does it."""
