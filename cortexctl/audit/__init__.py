"""SHELL: who applies what, from which revision, and the audit log that records it."""
