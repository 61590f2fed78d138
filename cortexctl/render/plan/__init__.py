"""A plan for a terminal, as Markdown and as HTML."""
