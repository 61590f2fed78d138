"""SHELL: carries a plan out through adapters that are passed in."""
