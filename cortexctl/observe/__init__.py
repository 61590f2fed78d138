"""Reads the facts that a decision needs from hosts: one way, for every command. Readers are passed in."""
