"""CORE: values of one container. Standard library only."""
