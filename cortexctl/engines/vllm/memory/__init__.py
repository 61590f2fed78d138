"""Forecasts how much GPU memory vLLM will use, before it starts: facts of the model, flags, version -> budget."""
