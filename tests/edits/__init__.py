"""Texts of stacks, edits of them, and what each edit is to change."""
