"""Where hosts differ from what was applied, and from the stack."""
