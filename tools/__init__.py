"""Programs for contributors: the demo, the reference pages, the catalogue of vLLM's options."""
