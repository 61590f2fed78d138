"""SHELL: the Docker daemon. Reading with the standard library, acting with docker-py."""
