"""SHELL: telling others: a hook's command, and signed posts of hooks and reports."""
