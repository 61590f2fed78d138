"""The checks that an instance must pass before it serves."""
