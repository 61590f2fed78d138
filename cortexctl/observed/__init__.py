"""CORE: values read from hosts, parsed from the engine's JSON."""
