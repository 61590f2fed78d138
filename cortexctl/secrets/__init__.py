"""SHELL: secret values, from where the stack says they are."""
