"""SHELL: HTTP questions: to a running model server, and for models' files to the hub."""
