"""CORE: values to text and back: units, JSON, TOML. Standard library only."""
