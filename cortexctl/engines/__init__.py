"""CORE: inference engines, the programs in the containers. One folder per engine."""
