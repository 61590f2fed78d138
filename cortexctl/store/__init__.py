"""SHELL: what is kept on this machine from run to run. All of it can be deleted at any time."""
