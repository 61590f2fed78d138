"""A memory budget in all its forms."""
