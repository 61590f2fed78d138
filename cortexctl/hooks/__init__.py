"""SHELL: telling others what was found."""
