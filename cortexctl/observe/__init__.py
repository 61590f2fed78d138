"""Asking hosts for what a decision needs: one way, for every command. Readers are passed in."""
