"""How much of a GPU a vLLM server will hold, computed before it starts: facts of the model, flags, version -> budget."""
