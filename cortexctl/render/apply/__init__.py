"""An apply while it runs, and its result."""
