"""SHELL: notifications: a hook's command, and signed POSTs of hooks and reports."""
