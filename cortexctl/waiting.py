"""What a command waits for: everything that asks many at once reports it here, and only the command line shows it."""

from __future__ import annotations

from collections.abc import Sequence


class Watch:
    """Receives who is asked and who has answered, from any thread. This one ignores it; no method raises."""

    def begins(self, names: Sequence[str], what: str = "hosts") -> None:
        """All of these are asked from now on, and nothing else is. A name counts as often as it stands there. `what`:
        the kind of all, in the plural.
        """

    def answered(self, name: str) -> None:
        """One of them has answered, or cannot."""


UNWATCHED = Watch()
