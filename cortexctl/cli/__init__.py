"""SHELL: one module per command; the only place that exits."""
