"""CORE: values read from hosts, parsed from the daemon's JSON."""
