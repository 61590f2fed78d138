"""What an instance must pass before it serves."""
