"""SHELL: the use cases. Values in, values and notes out: no click, nothing on stdout or stderr, no exit code."""
