"""The ways to a host's daemon, a module each. `choice` picks one by the URL of the stack."""
