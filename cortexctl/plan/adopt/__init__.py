"""Containers that no stack created, taken over while they run."""
