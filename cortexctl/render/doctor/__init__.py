"""The hosts of a stack, as text and as JSON."""
