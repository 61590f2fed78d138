"""CORE: the stack, resolved to values."""
