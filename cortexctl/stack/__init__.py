"""EDGE IN: the user's stack file, from text to Desired and diagnostics."""
