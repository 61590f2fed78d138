"""Files that somebody else may have prepared, and files that nobody else may read."""
