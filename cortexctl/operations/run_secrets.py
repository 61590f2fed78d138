"""The secrets that this process has read. One process is one run."""

from __future__ import annotations

from cortexctl.secrets.known_values import KnownSecrets

KNOWN = KnownSecrets()
