"""SHELL: HTTP probes of a running model server."""
