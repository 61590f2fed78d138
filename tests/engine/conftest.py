from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import STAND_IN, LiveDaemon, live_daemon

pytestmark = pytest.mark.engine

GATE = 'stable_for = "1s"\nstartup_timeout = "60s"\n'


@pytest.fixture
def live() -> Iterator[LiveDaemon]:
    with live_daemon(f"cxt-{secrets.token_hex(3)}") as daemon:
        yield daemon


class StackFile:
    """A stack of stand-ins on the lab's daemon; models are named after the stack, so nothing clashes."""

    def __init__(self, path: Path, stack: str) -> None:
        self.path = path
        self.stack = stack
        self.model = f"{stack}-m"

    def __str__(self) -> str:
        return str(self.path)

    @property
    def serving(self) -> str:
        return f"vllm-model-{self.model}"

    @property
    def address(self) -> str:
        return f"here/{self.model}"

    def write(
        self, *, publish: str = "127.0.0.1", gate: str = GATE, more: str = "", image: str = STAND_IN, **env: str
    ) -> None:
        """Write the stack file. `env`: settings of the stand-in, for example START_SECONDS = "2". `more`: further TOML."""
        switches = "".join(f'STANDIN_{name} = "{value}"\n' for name, value in env.items())
        self.path.write_text(
            f'stack = "{self.stack}"\n\n[hosts.here]\nnetwork = "{self.stack}-net"\n\n'
            f'[models.{self.model}]\nimage = "{image}"\nsource = {{ repo = "org/tiny" }}\n'
            f'served_names = ["tiny"]\ngpus = "none"\npublish = "{publish}"\nshm_size = "64 MiB"\n\n'
            f"[models.{self.model}.gate]\n{gate}\n"
            f'[models.{self.model}.rollout]\ndrain = "2s"\n\n'
            f"[models.{self.model}.env]\n{switches}\n{more}"
        )

    @property
    def go(self) -> Path:
        """Once this file exists, an apply with `hold` ends."""
        return self.path.with_name("go")

    @property
    def hold(self) -> str:
        """TOML of a hook that keeps an apply at work, with its lock, until `go` exists."""
        script = f"until test -e {self.go}; do sleep 0.1; done"
        return f'[hooks.hold]\non = "post_healthy"\ncommand = ["sh", "-c", "{script}"]\ntimeout = "5m"\n\n'

    def args(self, **values: object) -> str:
        return f"[models.{self.model}.args]\n" + "".join(f"{k} = {v}\n" for k, v in values.items()) + "\n"


@pytest.fixture
def stack(tmp_path: Path, live: LiveDaemon) -> StackFile:
    return StackFile(tmp_path / "stack.toml", live.stack)
