"""Developer tool: what every vLLM release takes on its command line. See docs/adding-a-vllm-release.md."""
