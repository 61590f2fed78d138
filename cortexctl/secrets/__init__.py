"""SHELL: secret values, read from the places that the stack names."""
