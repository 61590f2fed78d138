"""CORE: what is known about a model's files. The functions that read them are passed in."""
