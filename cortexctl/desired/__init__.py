"""CORE: what the stack asks for, resolved to values."""
