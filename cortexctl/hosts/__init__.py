"""SHELL: the Docker engine. Reading with the standard library, acting with docker-py."""
