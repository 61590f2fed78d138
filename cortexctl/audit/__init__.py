"""SHELL: who applies what, from which revision, and the log that it is written down in."""
