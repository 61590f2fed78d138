"""A stack as values, which is written as TOML or JSON and read from that."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from cortexctl.desired.stack import Desired
from cortexctl.instance import labels
from cortexctl.stack import load
from tests.toml_text import toml_text

Values = dict[str, Any]
ValuePath = tuple[str | int, ...]

HOSTS = ("east-1", "east-2", "west")
MODELS = ("a", "b-1", "c.x_y")
TAGS = ("v0.32.0", "v0.33.0")
OWN_IMAGE = "own.example:5000/team/vllm:build-7"
OLD_IMAGE = "vllm/vllm-openai:v0.23.0"
IMAGES = (*(f"vllm/vllm-openai:{tag}" for tag in TAGS), OWN_IMAGE, OLD_IMAGE)
ENVIRON = {"KEY_ONE": "value-one", "KEY_TWO": "value-two", "/run/secrets/key": "value-three", "token": "value-four",
           "pass show key": "value-five"}  # fmt: skip
"""By variable, file or name: what secrets hold."""
PLACES_OF: dict[str, dict[str, Any]] = {
    "KEY_ONE": {"env": "KEY_ONE"},
    "KEY_TWO": {"env": "KEY_TWO"},
    "token": {"var": "token"},
}
PLACES_OF["/run/secrets/key"] = {"file": "/run/secrets/key"}
PLACES_OF["pass show key"] = {"command": ["pass", "show", "key"]}
GONE = object()


@dataclass(frozen=True)
class Text:
    """A stack as values, the environment that is chosen, and what its secrets hold."""

    values: Values
    env: str = ""
    secrets: Mapping[str, str] = field(default_factory=lambda: ENVIRON)

    def read(self, text: str | None = None, language: str = "toml") -> tuple[Desired | None, list[str]]:
        """Through the whole way from text to values; and the errors."""
        if text is None:
            text = toml_text(self.values) if language == "toml" else json.dumps(self.values)
        desired, diagnostics = load.load_stack(
            f"stack.{language}",
            default_docker="unix:///run/docker.sock",
            secret_value=lambda _source, key: self.secrets[key],
            env=self.env,
            inputs=load.VariableInputs(environ={"CORTEXCTL_VAR_token": self.secrets["token"]}),
            text=text,
        )
        return desired, [f"{d.rule} {d.summary}" for d in diagnostics if d.is_error]

    @functools.cached_property
    def desired(self) -> Desired:
        desired, errors = self.read()
        assert desired is not None, errors
        return desired

    def at(self, *path: str | int) -> Any:
        """The value there, or None."""
        value: Any = self.values
        for step in path:
            value = value.get(step) if isinstance(value, dict) else value[step]
            if value is None:
                return None
        return value

    def but(self, *path: str | int, to: Any) -> Text:
        """The same text with another value there; GONE takes it out."""
        values = copy.deepcopy(self.values)
        table: Any = values
        for step in path[:-1]:
            table = table.setdefault(step, {}) if isinstance(table, dict) else table[step]
        if to is GONE:
            table.pop(path[-1], None)
        else:
            table[path[-1]] = copy.deepcopy(to)
        return replace(self, values=values)

    def hosts(self, model: str) -> list[str]:
        """Where a model runs."""
        table = self.values["models"][model]
        patterns = table.get("hosts", ["*"])
        return [h for h in sorted(self.values["hosts"]) if any(fnmatchcase(h, p) for p in patterns)]

    def addresses(self, model: str) -> list[str]:
        table = self.values["models"][model]
        ordinals = range(1, table.get("replicas", 1) + 1) if table.get("enabled", True) else ()
        return [labels.address(host, model, n) for host in self.hosts(model) for n in ordinals]

    def on(self, *hosts: str) -> list[str]:
        """The addresses of everything on some hosts."""
        every = (a for model in self.values["models"] for a in self.addresses(model))
        return [a for a in every if a.split("/")[0] in hosts]


def image_of_tag(tag: str) -> str:
    return f"vllm/vllm-openai:{tag}"


def small_text(models: Mapping[str, Values], moved: Sequence[tuple[str, str]] = ()) -> Text:
    """A stack of one host, with as much in a model's block as is asked for."""
    block = {"image": image_of_tag("v0.32.0"), "source": {"path": "p"}, "gpus": "none"}
    values: Values = {
        "stack": "demo",
        "moved": [{"from": old, "to": new} for old, new in moved],
        "hosts": {"east-1": {"docker": "unix:///run/east-1.sock", "models_dir": "/srv/models"}},
        "models": {name: copy.deepcopy(block | keys) for name, keys in models.items()},
    }
    return Text(values)
