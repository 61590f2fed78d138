"""Changes to the text of a stack that keep comments and order."""
