"""How much of a GPU vLLM will hold, computed before it starts: facts of the model, flags, version -> budget."""
