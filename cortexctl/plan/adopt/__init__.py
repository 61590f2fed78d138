"""Containers that no stack made, taken over as they run."""
