"""What an edit of a stack's text changes: the instances that it speaks of, and nothing else.

Texts are made as values and written as TOML. What an edit is to change is said beside the edit, by hosts and ordinals,
without asking the code that resolves a stack.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import os
import subprocess
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from cortexctl.apply import perform
from cortexctl.desired.stack import Desired
from cortexctl.instance import labels
from cortexctl.instance.secret import fingerprint
from cortexctl.observed.host import ImageFacts
from cortexctl.observed.snapshot import snapshot_to_json
from cortexctl.plan.action import Action
from cortexctl.plan.hypothetical import as_if_applied
from cortexctl.plan.model import Change, Plan
from cortexctl.plan.planfile import plan_to_dict
from cortexctl.plan.planner import plan
from cortexctl.plan.request import Request
from cortexctl.plan.steps import RenameContainer
from cortexctl.stack import load
from cortexctl.stack.schema import StackFile
from tests.fakes.container import FakeContainer
from tests.fakes.daemon import FakeDaemon
from tests.fakes.world import World
from tests.unit.test_both_forms import toml_text

modest = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
few = settings(modest, max_examples=3)
fewer = settings(modest, max_examples=2)

Values = dict[str, Any]
Path_ = tuple[str | int, ...]

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


@pytest.fixture(autouse=True, scope="module")
def _fingerprints_are_made_once() -> Iterator[None]:
    """They are dear on purpose, and here the same few are made thousands of times."""
    known = functools.cache(fingerprint)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "fingerprint", known)
        patch.setattr(perform, "fingerprint", known)
        yield


# texts


@dataclass(frozen=True)
class Text:
    """A stack as values, the environment that is chosen, and what its secrets hold."""

    values: Values
    env: str = ""
    secrets: Mapping[str, str] = field(default_factory=lambda: ENVIRON)

    def read(self, text: str | None = None, form: str = "toml") -> tuple[Desired | None, list[str]]:
        """Through the whole way from text to values; and the errors."""
        if text is None:
            text = toml_text(self.values) if form == "toml" else json.dumps(self.values)
        desired, found = load.load_stack(
            f"stack.{form}",
            default_docker="unix:///run/docker.sock",
            secret_value=lambda _source, key: self.secrets[key],
            env=self.env,
            given=load.Given(environ={"CORTEXCTL_VAR_token": self.secrets["token"]}),
            text=text,
        )
        return desired, [f"{d.rule} {d.summary}" for d in found if d.is_error]

    @functools.cached_property
    def desired(self) -> Desired:
        desired, found = self.read()
        assert desired is not None, found
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


def _image(tag: str) -> str:
    return f"vllm/vllm-openai:{tag}"


_args = st.fixed_dictionaries(
    {},
    optional={
        "max_num_seqs": st.sampled_from([8, 64]),
        "gpu_memory_utilization": st.sampled_from([0.5, 1, 0.92]),
        "enforce_eager": st.booleans(),
        "kv_cache_dtype": st.sampled_from(["auto", "fp8"]),
        "max_model_len": st.sampled_from([4096, "auto", "{{ vars.length }}"]),
        "cudagraph_capture_sizes": st.sampled_from([[1, 2], [4], []]),
        "hf_overrides": st.sampled_from([{"rope": {"theta": 1.0}, "list": [1, True, "x"]}, {"a.b": "é ☃"}, {}]),
        "chat_template": st.sampled_from(["one line", 'two\nlines, "quoted" \\', ""]),
    },
)
_sources = st.sampled_from(
    [
        {"path": "p"},
        {"path": "ünï/p q"},
        {"repo": "org/name", "revision": "6f6073b", "tokenizer": "org/t"},
    ]
)
_secrets = st.fixed_dictionaries(
    {},
    optional={
        "S_ENV": st.sampled_from([{"env": "KEY_ONE"}, {"env": "KEY_TWO"}]),
        "S_FILE": st.just({"file": "/run/secrets/key"}),
        "S_VAR": st.just({"var": "token"}),
    },
)
_gates = st.fixed_dictionaries(
    {},
    optional={
        "startup_timeout": st.sampled_from(["20m", "1h"]),
        "stable_for": st.sampled_from(["0s", "5s"]),
        "smoke": st.sampled_from([{}, {"enabled": False}, {"prompt": "Hello", "max_tokens": 8}]),
    },
)
_rollouts = st.fixed_dictionaries(
    {},
    optional={
        "drain": st.sampled_from(["30s", "0s", "2m"]),
        "keep": st.sampled_from([0, 1, 2]),
        "on_failure": st.sampled_from(["rollback", "halt"]),
    },
)
_hosts = st.fixed_dictionaries(
    {"models_dir": st.sampled_from(["/srv/models", "/data/m"]), "gpus": st.just({"count": 1024})},
    optional={
        "hf_cache": st.just("/srv/hf"),
        "network": st.sampled_from(["cortex_default", "other_net"]),
        "address": st.just("10.0.0.1"),
    },
)


@st.composite
def _models(draw: st.DrawFn, number: int, hosts: list[str]) -> Values:
    """A model's block. Its GPUs, its port and its names are its own, so that no text clashes with itself."""
    replicas = draw(st.sampled_from([1, 2, 1, 3]))
    each = draw(st.sampled_from([1, 0, 2]))
    first = 16 * number
    keys: Values = {
        "image": draw(st.sampled_from([*map(_image, TAGS), _image("{{ vars.tag }}"), OWN_IMAGE])),
        "source": dict(draw(_sources)),
        "gpus": list(range(first, first + each * replicas)) or "none",
        "hosts": draw(st.sampled_from([["*"], ["east-*"], [hosts[0]], [hosts[-1], hosts[0]], hosts])),
        "replicas": replicas,
        "args": draw(_args),
        "env": draw(st.fixed_dictionaries({}, optional={"A": st.sampled_from(["1", "é {x}"]), "B": st.just("")})),
        "secrets": draw(_secrets) if draw(st.booleans()) else {},
        "gate": draw(_gates),
        "rollout": draw(_rollouts),
    }
    if keys["image"] == OWN_IMAGE:
        keys["vllm_version"] = draw(st.sampled_from(["0.32.0", "v0.33.0"]))
    if each == 2:
        keys["args"]["tensor_parallel_size"] = 2
    rest = {
        "served_names": st.sampled_from([[f"model {number}"], [f"org/{number}", f"alias-{number}"]]),
        "task": st.sampled_from(["generate", "embed", "score"]),
        "publish": st.sampled_from(["127.0.0.1", f"127.0.0.1:{9000 + 100 * number}", f"[::1]:{9000 + 100 * number}"]),
        "offline": st.booleans(),
        "extra_args": st.just(["--quux", "a b"]),
        "volumes": st.sampled_from([["cache:/c"], ["/srv/x:/x:ro", "cache:/c:rw"]]),
        "ipc": st.sampled_from(["private", "host"]),
        "shm_size": st.sampled_from(["2 GiB", "512MiB"]),
        "restart": st.sampled_from(["unless-stopped", "always", "no"]),
        "memory": st.sampled_from(["4 GiB", "8GiB"]),
        "cpus": st.sampled_from([2, 1.5]),
        "protect": st.booleans(),
        "on_remove": st.sampled_from(["stop", "stop", "forget"]),
        "profile": st.sampled_from(["small", "large"]),
        "after": st.just([MODELS[number - 1]] if number else []),
        "ignore": st.just(["args.block_size"]),
    }
    return keys | draw(st.fixed_dictionaries({}, optional=rest))


@st.composite
def texts(draw: st.DrawFn, least: int = 1) -> Text:
    """A stack of up to three hosts and three models, with profiles, variables and an environment.

    Nothing is said about it, for what is said needs a place, and to find that costs more than all the rest.
    """
    hosts = list(draw(st.sampled_from([("east-1", "west"), HOSTS, HOSTS[:1]])))
    models = {
        name: draw(_models(n, hosts))
        for n, name in enumerate(MODELS[: draw(st.sampled_from([2, 3, 3] if least == 2 else [2, 1, 3]))])
    }
    values = {
        "stack": "demo",
        "vars": {
            "tag": {"default": "v0.32.0"},
            "length": {"default": 8192},
            "token": {"secret": True},
        },
        "hosts": {h: {"docker": f"unix:///run/{h}.sock", **draw(_hosts)} for h in hosts},
        "profiles": {
            "small": {"args": {"max_num_batched_tokens": 512}, "env": {"P": "small"}},
            "large": {"args": {"max_num_batched_tokens": 8192, "seed": 7}, "rollout": {"keep": 3}},
        },
        "models": models,
        "env": {"lab": {"models": {name: {"env": {"OVERLAID": "lab"}} for name in sorted(models)[:2]}}},
    }
    unshared = json.loads(json.dumps(values))  # an edit of one must not be an edit of another
    return Text(unshared, env=draw(st.sampled_from(["", "", "lab"])))


# edits

Touched = dict[str, tuple[Action, tuple[str, ...]]]
"""Address -> what is to be done there, and the fields that differ."""
Edit = tuple[Text, Text, Touched]
"""The text before, the text after, and what that is to change."""
EditOf = Callable[[st.DrawFn, Text, str, Any], Edit]
"""Of a text and one of its models. The last argument is one of the kinds that an edit lists."""

EDITS: dict[str, tuple[EditOf, Any]] = {}
EDITED: set[str] = set()
"""The schema's keys that an edit below is about."""


def edit_of(*keys: str, kinds: Sequence[Any] = ()) -> Callable[[EditOf], EditOf]:
    def register(edit: EditOf) -> EditOf:
        name = edit.__name__.strip("_")
        EDITED.update(keys)
        EDITS.update(
            {f"{name}-{n}": (edit, kind) for n, kind in enumerate(kinds, 1)} if kinds else {name: (edit, None)}
        )
        return edit

    return register


def _all(addresses: Iterable[str], action: Action, *fields: str) -> Touched:
    return {a: (action, tuple(sorted(fields))) for a in addresses}


def _replaced(addresses: Iterable[str], *fields: str) -> Touched:
    return _all(addresses, Action.REPLACE, *fields) if fields else {}


@edit_of("models.image")
def _the_image(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    before = text.but("models", model, "image", to=_image("v0.32.0"))
    told = before.at("models", model, "vllm_version") is not None
    fields = ["image"] if told else ["image", "vllm_version"]
    return before, before.but("models", model, "image", to=_image("v0.33.0")), _replaced(text.addresses(model), *fields)


@edit_of("models.vllm_version", kinds=[("v0.33.0", ["vllm_version"]), ("v0.32.0", [])])
def _the_release_of_an_image_that_does_not_tell(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    before = text.but("models", model, "image", to=OWN_IMAGE).but("models", model, "vllm_version", to="0.32.0")
    new, fields = kind
    return before, before.but("models", model, "vllm_version", to=new), _replaced(text.addresses(model), *fields)


@edit_of(
    "models.source.path",
    "models.source.repo",
    kinds=[({"path": "two"}, ["model"]), ({"path": "one/"}, []), ({"repo": "o/n"}, ["model", "env.HF_HUB_OFFLINE"])],
)
def _the_source(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    before = text.but("models", model, "source", to={"path": "one"})
    new, fields = kind
    if before.at("models", model, "offline") is not None:
        fields = [f for f in fields if f == "model"]
    return before, before.but("models", model, "source", to=new), _replaced(text.addresses(model), *fields)


@edit_of(
    "models.source.revision",
    "models.source.tokenizer",
    "models.source.hf_config_path",
    kinds=[("revision", "def"), ("revision", GONE), ("tokenizer", "o/u"), ("hf_config_path", "/models/x")],
)
def _a_part_of_the_source(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    before = text.but("models", model, "source", to={"repo": "o/n", "revision": "abc", "tokenizer": "o/t"})
    key, new = kind
    return before, before.but("models", model, "source", key, to=new), _replaced(text.addresses(model), f"args.{key}")


@edit_of("models.source.gguf")
def _the_gguf_file(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    source = {"gguf": "a/one.gguf", "tokenizer": "o/t"}
    before = text.but("models", model, "image", to=OLD_IMAGE).but("models", model, "source", to=source)
    before = before.but("models", model, "vllm_version", to=GONE)
    after = before.but("models", model, "source", "gguf", to="a/two.gguf")
    return before, after, _replaced(text.addresses(model), "model")


@edit_of("models.served_names", kinds=[(GONE, ["new"]), (None, GONE), (["one", "two"], ["two", "one"])])
def _the_served_names(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Left out, it serves under its own name."""
    old, new = kind
    old = [model] if old is None else old
    before = text.but("models", model, "served_names", to=old)
    same = old == [model] and new is GONE
    touched = {} if same else _replaced(text.addresses(model), "served_names")
    return before, before.but("models", model, "served_names", to=new), touched


@edit_of("models.task", kinds=[("generate", "embed", ["args.runner"]), ("score", "reward", []), (GONE, "generate", [])])
def _the_task(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    old, new, fields = kind
    before = text.but("models", model, "task", to=old)
    return before, before.but("models", model, "task", to=new), _replaced(text.addresses(model), *fields)


@edit_of("models.hosts")
def _the_hosts(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    some = st.lists(st.sampled_from(sorted(text.values["hosts"])), min_size=1, unique=True)
    before, after = (text.but("models", model, "hosts", to=draw(some)) for _ in range(2))
    old, new = set(before.addresses(model)), set(after.addresses(model))
    return before, after, _all(old - new, _removal(before, model)) | _all(new - old, Action.CREATE)


def _removal(text: Text, model: str) -> Action:
    return Action.FORGET if text.at("models", model, "on_remove") == "forget" else Action.REMOVE


@edit_of("hosts", "models.hosts")
def _the_same_hosts_in_other_words(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """And a host more, for those that run on all of them."""
    before = text.but("models", model, "hosts", to=(known := sorted(text.values["hosts"])))
    after = before.but("models", model, "hosts", to=draw(st.permutations([*known, *known, known[0][:-1] + "?"])))
    after = after.but("hosts", "spare", to={"docker": "unix:///run/spare.sock", "models_dir": "/m"})
    return before, after, _all(after.on("spare"), Action.CREATE)


@edit_of("models.gpus")
def _one_gpu(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Only of the replica that has it."""
    replicas = draw(st.integers(1, 3))
    before = text.but("models", model, "replicas", to=replicas)
    for key, value in (("tensor_parallel_size", 2), ("pipeline_parallel_size", GONE)):
        before = before.but("models", model, "args", key, to=value)
    before = before.but("models", model, "gpus", to=[500 + n for n in range(2 * replicas)])
    which = draw(st.integers(0, 2 * replicas - 1))
    has_it = [a for a in before.addresses(model) if a.endswith(labels.address("", model, which // 2 + 1))]
    return before, before.but("models", model, "gpus", which, to=600), _replaced(has_it, "gpus")


@edit_of("models.gpus")
def _the_number_of_gpus(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Others that have theirs by number keep what they have."""
    for number, other in enumerate(sorted(text.values["models"])):
        if other != model and draw(st.booleans()):
            text = text.but("models", other, "gpus", to=number + 1)
            text = text.but("models", other, "args", "tensor_parallel_size", to=number + 1)
    text = text.but("models", model, "args", "tensor_parallel_size", to=2)
    fewer = text.but("models", model, "gpus", to=2)
    more = text.but("models", model, "gpus", to=4).but("models", model, "args", "data_parallel_size", to=2)
    before, after = draw(st.permutations([fewer, more]))
    return before, after, _replaced(text.addresses(model), "args.data_parallel_size", "gpus")


@edit_of("models.gpus")
def _indices_or_as_many(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """It keeps those that it has."""
    each, replicas = draw(st.sampled_from([(1, 1), (2, 1), (2, 3)]))
    text = text.but("models", model, "replicas", to=replicas)
    text = text.but("models", model, "args", "tensor_parallel_size", to=each)
    indices = text.but("models", model, "gpus", to=[700 + n for n in range(each * replicas)])
    return indices, text.but("models", model, "gpus", to=each), {}


@edit_of("models.gpus")
def _gpus_or_none(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    replicas = text.values["models"][model]["replicas"]
    none = text.but("models", model, "gpus", to="none").but("models", model, "args", "tensor_parallel_size", to=GONE)
    some = none.but("models", model, "gpus", to=[700 + n for n in range(replicas)])
    before, after = draw(st.permutations([none, some]))
    return before, after, _replaced(text.addresses(model), "gpus")


@edit_of("models.publish")
def _the_port(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    kinds = [GONE, "127.0.0.1", "127.0.0.1:9901", "127.0.0.1:9951", "[::1]:9901", "[::1]", "127.0.0.2"]
    old, new = draw(st.permutations(kinds))[:2]
    before = text.but("models", model, "publish", to=old)
    return before, before.but("models", model, "publish", to=new), _replaced(text.addresses(model), "publish")


@edit_of("models.offline")
def _offline(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    old, new = draw(st.permutations([GONE, True, False]))[:2]
    before = text.but("models", model, "offline", to=old)
    usual = before.at("models", model, "source", "repo") is None
    was, now = (usual if value is GONE else value for value in (old, new))
    fields = [] if was == now else ["env.HF_HUB_OFFLINE"]
    return before, before.but("models", model, "offline", to=new), _replaced(text.addresses(model), *fields)


VALUES_OF_ARGS: dict[str, list[Any]] = {
    "max_num_seqs": [GONE, 8, 64],
    "gpu_memory_utilization": [GONE, 0.5, 0.92, 1.0],
    "enforce_eager": [GONE, True, False],
    "kv_cache_dtype": [GONE, "auto", "fp8"],
    "max_model_len": [GONE, 4096, "auto"],
    "cudagraph_capture_sizes": [GONE, [1, 2], [2, 1], []],
    "chat_template": [GONE, "a", "a\n", ""],
    "lora_modules": [GONE, ["a=/a"], []],
    "speculative_config": [GONE, {"method": "ngram"}],
}


@edit_of("models.args", kinds=sorted(VALUES_OF_ARGS))
def _an_argument(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    name, (old, new) = kind, draw(st.permutations(VALUES_OF_ARGS[kind]))[:2]
    before = text.but("models", model, "args", name, to=old)
    return before, before.but("models", model, "args", name, to=new), _replaced(text.addresses(model), f"args.{name}")


@edit_of(
    "models.args",
    kinds=[
        (("deep", "one"), 2),
        (("deep", "one"), 1.0),
        (("deep", "one"), True),
        (("deep", "one"), GONE),
        (("deep", "three"), {"a": []}),
        (("deep", "two", 1), 3),
        (("é",), "y"),
    ],
)
def _a_key_of_an_argument_that_is_json(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    before = text.but("models", model, "args", "hf_overrides", to={"deep": {"one": 1, "two": [1, 2]}, "é": "x"})
    path, new = kind
    inner = ".".join(["args.hf_overrides", *map(str, path)])
    after = before.but("models", model, "args", "hf_overrides", *path, to=new)
    return before, after, _replaced(text.addresses(model), inner)


@edit_of("models.extra_args")
def _the_raw_words(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    old, new = draw(st.permutations([GONE, ["--quux"], ["--quux", ""], ["--quux", "a b"]]))[:2]
    before = text.but("models", model, "extra_args", to=old)
    return before, before.but("models", model, "extra_args", to=new), _replaced(text.addresses(model), "extra_args")


@edit_of("models.env")
def _a_variable_of_the_container(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    old, new = draw(st.permutations([GONE, "", "1", "1 ", "a\nb", "{{ vars.tag }}"]))[:2]
    before = text.but("models", model, "env", "VLLM_EDITED", to=old)
    after = before.but("models", model, "env", "VLLM_EDITED", to=new)
    return before, after, _replaced(text.addresses(model), "env.VLLM_EDITED")


@edit_of("models.secrets.env", "models.secrets.file", "models.secrets.var", "models.secrets.command")
def _where_a_secret_comes_from(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    kinds = [GONE, {"env": "KEY_ONE"}, {"env": "KEY_TWO"}, {"file": "/run/secrets/key"}, {"var": "token"}]
    kinds.append({"command": ["pass", "show", "key"]})
    old, new = draw(st.permutations(kinds))[:2]
    before = text.but("models", model, "secrets", "EDITED", to=old)
    after = before.but("models", model, "secrets", "EDITED", to=new)
    return before, after, _replaced(text.addresses(model), "secrets.EDITED")


@edit_of("vars.secret", kinds=sorted(ENVIRON))
def _what_a_secret_holds(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """No edit of the text at all."""
    before = text.but("models", model, "secrets", "EDITED", to=PLACES_OF[kind])
    touched: Touched = {}
    for name, table in before.values["models"].items():
        of_it = [f"secrets.{s}" for s, where in table["secrets"].items() if where == PLACES_OF[kind]]
        touched |= _replaced(before.addresses(name), *of_it)
    return before, replace(before, secrets={**ENVIRON, kind: "another value"}), touched


@edit_of("models.volumes")
def _a_volume(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    kinds = [["c:/e"], ["c:/e:ro"], ["/srv/e:/e"], GONE]
    old, new = draw(st.permutations(kinds))[:2]
    before = text.but("models", model, "volumes", to=old)
    return before, before.but("models", model, "volumes", to=new), _replaced(text.addresses(model), "mounts./e")


@edit_of(
    "models.ipc",
    "models.shm_size",
    "models.rollout.drain",
    kinds=[
        (("ipc",), "private", "host", ["ipc"]),
        (("ipc",), GONE, "private", []),
        (("shm_size",), "2 GiB", "3 GiB", ["shm_size"]),
        (("shm_size",), "2048 MiB", GONE, []),
        (("rollout", "drain"), GONE, "31s", ["drain"]),
        (("rollout", "drain"), "90s", "1m30s", []),
    ],
)
def _shared_memory_or_draining(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    path, old, new, fields = kind
    before = text.but("models", model, *path, to=old)
    return before, before.but("models", model, *path, to=new), _replaced(text.addresses(model), *fields)


@edit_of(
    "models.restart",
    "models.memory",
    "models.cpus",
    kinds=[
        ("restart", GONE, "always", Action.UPDATE),
        ("restart", "no", GONE, Action.UPDATE),
        ("restart", "unless-stopped", GONE, Action.NO_OP),
        ("memory", GONE, "4 GiB", Action.UPDATE),
        ("memory", "4 GiB", "5 GiB", Action.UPDATE),
        ("memory", "4 GiB", "4096 MiB", Action.NO_OP),
        ("memory", "4 GiB", GONE, Action.REPLACE),
        ("cpus", GONE, 1.5, Action.UPDATE),
        ("cpus", 2, 2.5, Action.UPDATE),
        ("cpus", 2, 2.0, Action.NO_OP),
        ("cpus", 2, GONE, Action.REPLACE),
    ],
)
def _what_is_changed_in_place(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    key, old, new, action = kind
    before = text.but("models", model, key, to=old)
    touched = {} if action is Action.NO_OP else _all(text.addresses(model), action, key)
    return before, before.but("models", model, key, to=new), touched


@edit_of("models.replicas")
def _more_or_fewer_replicas(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Without GPUs, which are dealt out anew."""
    old, new = draw(st.permutations([1, 2, 3, 5]))[:2]
    none = text.but("models", model, "gpus", to="none").but("models", model, "args", "tensor_parallel_size", to=GONE)
    before, after = (none.but("models", model, "replicas", to=n) for n in (old, new))
    was, now = set(before.addresses(model)), set(after.addresses(model))
    return before, after, _all(was - now, _removal(before, model)) | _all(now - was, Action.CREATE)


@edit_of("models.replicas")
def _replicas_that_share_gpus(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Four GPUs for 2 or for 4: those that stay have others then."""
    shared = text.but("models", model, "gpus", to=[800, 801, 802, 803])
    shared = shared.but("models", model, "args", "tensor_parallel_size", to=GONE)
    old, new = draw(st.permutations([2, 4]))
    before, after = (shared.but("models", model, "replicas", to=n) for n in (old, new))
    was, now = set(before.addresses(model)), set(after.addresses(model))
    touched = _replaced(was & now, "gpus")
    return before, after, touched | _all(was - now, _removal(before, model)) | _all(now - was, Action.CREATE)


@edit_of("models.enabled")
def _enabled(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    on, off = text.but("models", model, "enabled", to=True), text.but("models", model, "enabled", to=False)
    if draw(st.booleans()):
        return on, off, _all(on.addresses(model), _removal(on, model))
    return off, on, _all(on.addresses(model), Action.CREATE)


@edit_of("models")
def _a_model(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """A block more, or less: the last one, which no other comes after."""
    last = max(text.values["models"])
    new = "zz"
    block = text.values["models"][last] | {"gpus": "none", "after": [], "publish": "127.0.0.1", "served_names": [new]}
    block = block | {"args": {k: v for k, v in block["args"].items() if k != "tensor_parallel_size"}}
    more = text.but("models", new, to=block)
    if draw(st.booleans()):
        return text, more, _all(more.addresses(new), Action.CREATE)
    return more, text, _all(more.addresses(new), _removal(more, new))


@edit_of(
    "models.gate.startup_timeout",
    "models.gate.stable_for",
    "models.gate.smoke.enabled",
    "models.gate.smoke.prompt",
    "models.gate.smoke.max_tokens",
    "models.gate.requests",
    "models.rollout.strategy",
    "models.rollout.on_failure",
    "models.rollout.keep",
    "models.protect",
    "models.on_remove",
    "models.after",
    "models.ignore",
    "models.ignore_drift",
    "models.rollout.max_unavailable",
    "models.rollout.max_surge",
    "models.rollout.canary",
    "models.rollout.wait",
    "models.hooks.on",
    "models.hooks.command",
    "models.hooks.url.env",
    "models.hooks.url.file",
    "models.hooks.url.var",
    "models.hooks.url.command",
    "models.hooks.required",
    "models.hooks.secrets",
    "models.hooks.timeout",
    kinds=[
        (("gate", "startup_timeout"), "7m"),
        (("gate", "stable_for"), "7s"),
        (("gate", "smoke"), {"enabled": False, "prompt": "x", "max_tokens": 1024}),
        (("gate", "smoke", "prompt"), "é"),
        (("gate", "smoke", "max_tokens"), 7),
        (("gate", "requests"), 7),
        (("rollout", "strategy"), "stop_first"),
        (("rollout", "on_failure"), "halt"),
        (("rollout", "keep"), 7),
        (("protect",), True),
        (("protect",), False),
        (("on_remove",), "forget"),
        (("after",), []),
        (("ignore",), ["args.*", "image"]),
        (("ignore_drift",), ["*"]),
        (("rollout", "strategy"), "auto"),
        (("rollout", "strategy"), "start_first"),
        (("rollout", "max_unavailable"), 7),
        (("rollout", "max_surge"), 7),
        (("rollout", "canary"), 1),
        (("rollout", "wait"), "7m"),
        (("hooks",), {"tell": {"on": "post_healthy", "command": ["true"], "required": False, "timeout": "7s"}}),
        (("hooks",), {"tell": {"on": "pre_stop", "url": {"env": "KEY_ONE"}}}),
        (("hooks",), {"tell": {"on": "pre_stop", "url": {"file": "/run/secrets/key"}}}),
        (("hooks",), {"tell": {"on": "on_failure", "url": {"command": ["pass", "show", "key"]}}}),
    ],
)
def _what_is_not_of_the_container(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    path, new = kind
    return text, text.but("models", model, *path, to=new), {}


@edit_of(
    "models.gate.max_ttft",
    "models.gate.min_tokens_per_second",
    "models.gate.smoke.dimensions",
    kinds=[
        ("generate", ("gate", "max_ttft"), "1s500ms"),
        ("generate", ("gate", "min_tokens_per_second"), 7.5),
        ("embed", ("gate", "smoke", "dimensions"), 7),
    ],
)
def _what_the_gate_measures(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    task, path, new = kind
    before = text.but("models", model, "task", to=task)
    return before, before.but("models", model, *path, to=new), {}


@edit_of(
    "rollout.max_failures",
    "audit.enabled",
    "audit.log",
    "hooks.on",
    "hooks.command",
    "hooks.models",
    "hooks.required",
    "hooks.secrets",
    "hooks.timeout",
    "hooks.url.env",
    "hooks.url.file",
    "hooks.url.var",
    "hooks.url.command",
    kinds=[
        (("rollout",), {"max_failures": 7}),
        (("audit",), {"enabled": False}),
        (("audit",), {"log": "elsewhere.jsonl"}),
        (("hooks",), {"tell": {"on": "pre_apply", "command": ["true"], "required": True, "timeout": "7s"}}),
        (("hooks",), {"tell": {"on": "post_healthy", "models": ["*"], "command": ["true"], "secrets": []}}),
        (("hooks",), {"tell": {"on": "post_apply", "url": {"env": "KEY_ONE"}}}),
        (("hooks",), {"tell": {"on": "post_apply", "url": {"file": "/run/secrets/key"}}}),
        (("hooks",), {"tell": {"on": "on_failure", "url": {"command": ["pass", "show", "key"]}}}),
        (("hooks",), {"tell": {"on": "post_apply", "url": {"var": "token"}}}),
    ],
)
def _how_an_apply_goes(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    path, new = kind
    before = text.but("vars", "token", to={"secret": True})
    return before, before.but(*path, to=new), {}


@edit_of("hooks.secrets", "models.hooks.secrets", "models.hooks.url.var", kinds=["of all", "of the model"])
def _what_a_hook_is_given(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    before = text.but("models", model, "secrets", to={"KEY": {"env": "KEY_ONE"}})
    before = before.but("vars", "token", to={"secret": True})
    hook = {"on": "post_healthy", "command": ["true"], "secrets": ["KEY"]}
    if kind == "of all":
        return before, before.but("hooks", to={"tell": {**hook, "models": [model]}}), {}
    told = {"on": "pre_stop", "url": {"var": "token"}}
    return before, before.but("models", model, "hooks", to={"give": hook, "tell": told}), {}


@edit_of("models.adopt")
def _the_name_of_one_to_adopt(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Of a model that has a container of its own already."""
    before = text.but("models", model, "replicas", to=1).but("models", model, "gpus", to="none")
    return before, before.but("models", model, "adopt", to="postgres"), {}


@edit_of(
    "models.ignore",
    kinds=[
        ("args.max_num_seqs", ("args", "max_num_seqs"), 99),
        ("args.*", ("args", "max_num_seqs"), 99),
        ("env", ("env", "VLLM_EDITED"), "x"),
        ("mounts./e", ("volumes",), ["c:/e"]),
        ("memory", ("memory",), "77 GiB"),
        ("restart", ("restart",), "always"),
        ("served_names", ("served_names",), ["another"]),
    ],
)
def _what_is_ignored(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    ignored, path, new = kind
    before = text.but("models", model, "ignore", to=[ignored]).but("models", model, "volumes", to=GONE)
    return before, before.but("models", model, *path, to=new), {}


@edit_of(
    "hosts.models_dir",
    "hosts.hf_cache",
    "hosts.network",
    "hosts.docker",
    "hosts.address",
    "hosts.gpus.count",
    "hosts.gpus.name",
    "hosts.gpus.memory",
    "hosts.gpus.compute_capability",
    kinds=[
        ("models_dir", "/elsewhere", ["mounts./models"]),
        ("models_dir", None, []),
        ("hf_cache", "/elsewhere", ["mounts./root/.cache/huggingface"]),
        ("network", "elsewhere", ["network"]),
        ("docker", "unix:///run/elsewhere.sock", []),
        ("address", "10.9.9.9", []),
        ("gpus", {"count": 1000, "name": "L40S", "memory": "46068 MiB", "compute_capability": "8.9"}, []),
    ],
)
def _a_host(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Everything on it, and nothing on the others."""
    host = draw(st.sampled_from(sorted(text.values["hosts"])))
    key, new, fields = kind
    new = new or text.at("hosts", host, "models_dir") + "/./"
    return text, text.but("hosts", host, key, to=new), _replaced(text.on(host), *fields)


@edit_of("vars.default", kinds=[("tag", "v0.33.0"), ("length", 77)])
def _the_default_of_a_variable(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Everything that uses it, and nothing else."""
    before = text.but("models", model, "image", to=_image("{{ vars.tag }}"))
    before = before.but("models", model, "args", "max_model_len", to="{{ vars.length }}")
    name, new = kind
    touched: Touched = {}
    for other, table in before.values["models"].items():
        if name == "length":
            uses = ["args.max_model_len"] if table["args"].get("max_model_len") == "{{ vars.length }}" else []
        elif "vars.tag" in table["image"]:
            uses = ["image"] if "vllm_version" in table else ["image", "vllm_version"]
        else:
            uses = []
        touched |= _replaced(before.addresses(other), *uses)
    assert touched or not before.addresses(model)
    return before, before.but("vars", name, "default", to=new), touched


@edit_of(
    "vars.type",
    "vars.description",
    "$schema",
    "required_version",
    "not_secret",
    "drift.ignore",
    kinds=[
        (("vars", "tag", "type"), "string"),
        (("vars", "length", "type"), "int"),
        (("vars", "tag", "description"), "what to run"),
        (("vars", "unused"), {"default": [1]}),
        (("$schema",), "stack.schema.json"),
        (("required_version",), ">=0.0.1"),
        (("not_secret",), ["models.a.image"]),
        (("drift", "ignore"), ["*"]),
        (("profiles", "unused"), {"ipc": "host"}),
        (("env", "other"), {"models": {"a": {"ipc": "host"}}}),
    ],
)
def _what_is_about_the_file(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    path, new = kind
    return text, text.but(*path, to=new), {}


@edit_of(
    "profiles",
    kinds=[
        (("args", "max_num_batched_tokens"), "args.max_num_batched_tokens"),
        (("args", "dtype"), "args.dtype"),
        (("env", "P"), "env.P"),
        (("gate", "stable_for"), ""),
    ],
)
def _a_profile(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Every model that builds on it and does not say otherwise itself."""
    before = text.but("models", model, "profile", to="small")
    own = draw(st.booleans())
    if own:
        before = before.but("models", model, "args", "max_num_batched_tokens", to=256)
    path, field_ = kind
    new = {"max_num_batched_tokens": 2048, "dtype": "half", "P": "x", "stable_for": "9s"}[path[-1]]
    touched: Touched = {}
    for name, table in before.values["models"].items():
        says_so = path[-1] in table.get(path[0], {})
        if table.get("profile") == "small" and not says_so and field_:
            touched |= _replaced(before.addresses(name), field_)
    return before, before.but("profiles", "small", *path, to=new), touched


@edit_of(
    "models.profile",
    kinds=[
        ("large", ["args.max_num_batched_tokens", "args.seed", "env.P"]),
        (GONE, ["args.max_num_batched_tokens", "env.P"]),
    ],
)
def _another_profile(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    before = text.but("models", model, "profile", to="small")
    new, fields = kind
    return before, before.but("models", model, "profile", to=new), _replaced(text.addresses(model), *fields)


@edit_of(
    "env",
    kinds=[
        (("env", "OVERLAID"), "edited", ["env.OVERLAID"]),
        (("args", "block_size"), 16, ["args.block_size"]),
        (("ipc",), "host", ["ipc"]),
        (("rollout", "keep"), 9, []),
    ],
)
def _an_environment(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Only where it is chosen."""
    path, new, fields = kind
    before = text.but("models", model, "ipc", to="private").but("models", model, "ignore", to=[])
    before = before.but("env", "lab", "models", model, "env", "OVERLAID", to="lab")
    after = before.but("env", "lab", "models", model, *path, to=new)
    return before, after, _replaced(text.addresses(model), *fields) if text.env else {}


@edit_of("env")
def _what_an_environment_replaces(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Edited below the overlay, it changes where the overlay is not chosen, and only there."""
    before = text.but("models", model, "args", "seed", to=1).but("env", "lab", "models", model, "args", "seed", to=2)
    after = before.but("models", model, "args", "seed", to=3)
    return before, after, {} if text.env else _replaced(text.addresses(model), "args.seed")


@edit_of()
def _the_order_of_everything(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    def turned(value: Any) -> Any:
        return {k: turned(v) for k, v in reversed(value.items())} if isinstance(value, dict) else value

    return text, replace(text, values=turned(text.values)), {}


ELSEWHERE = {"stack", "moved.from", "moved.to"}
"""Keys whose edits have tests of their own below."""


def _world(text: Text) -> World:
    """Hosts on which others have containers, too."""
    desired = text.desired
    world = World(desired.owner, *sorted({*HOSTS, "spare"}), images=IMAGES)
    world.secrets.values = dict(text.secrets)
    for daemon in _daemons(world):
        daemon.add("postgres", state="running", labels={"com.example": "x"})
    return world


def _daemons(world: World) -> list[FakeDaemon]:
    return list(world.daemons.by_host.values())


def _containers(world: World, *, ours: bool) -> dict[str, FakeContainer]:
    found = (c for e in _daemons(world) for c in e.containers.values())
    return {c.id: copy.deepcopy(c) for c in found if (labels.owner_of(c.labels) == world.stack) == ours}


def _apply(world: World, text: Text, request: Request = Request()) -> Plan:  # noqa: B008 - frozen
    world.secrets.values = dict(text.secrets)
    made = world.plan(text.desired, request)
    assert [d for d in made.diagnostics if d.is_error] == []
    result = world.apply(made)
    assert result.exit_code == 0, result
    return made


def _touched(made: Plan) -> Touched:
    """What the plan does, in the words of an edit. What is made or goes is not compared with anything."""
    return {
        c.address: (c.action, tuple(f.path for f in c.fields)) for c in made.changes if c.action is not Action.NO_OP
    }


def _lifted(touched: Touched) -> Request:
    """With every protection lifted that stands against a removal: whether it does is another test's."""
    return Request(unprotect=tuple(a for a, (action, _) in touched.items() if action is Action.REMOVE))


def _drawing(data: st.DataObject) -> st.DrawFn:
    return cast("st.DrawFn", data.draw)


def _check_an_edit(name: str, data: st.DataObject) -> None:
    text = data.draw(texts(), label="text")
    model = data.draw(st.sampled_from(sorted(text.values["models"])), label="model")
    edit, kind = EDITS[name]
    before, after, touched = edit(_drawing(data), text, model, kind)
    world = _world(before)
    _apply(world, before)
    there, strangers = _containers(world, ours=True), _containers(world, ours=False)

    made = world.plan(after.desired, _lifted(touched))
    assert _touched(made) == touched
    assert [d.summary for d in made.diagnostics if d.is_error] == []
    assert {s.address for s in made.steps} - {""} == {a for a, (action, _) in touched.items() if action.does_something}
    reviewed = plan(after.desired, as_if_applied(before.desired, after.desired), _lifted(touched))
    assert _touched(reviewed) == touched

    world.secrets.values = dict(after.secrets)
    assert world.apply(made).exit_code == 0
    again = world.plan(after.desired)
    assert again.effective == ()
    assert again.steps == ()
    assert _containers(world, ours=False) == strangers
    now = _containers(world, ours=True)
    assert {i: now[i] for i, was in there.items() if _address(was) not in touched} == {
        i: was for i, was in there.items() if _address(was) not in touched
    }
    event(f"touches {min(len(touched), 3)}")


@pytest.mark.parametrize("name", sorted(name for name, (_, kind) in EDITS.items() if kind is None))
@few
@given(data=st.data())
def test_an_edit_changes_exactly_the_instances_that_it_speaks_of(name: str, data: st.DataObject) -> None:
    _check_an_edit(name, data)


@pytest.mark.parametrize("name", sorted(name for name, (_, kind) in EDITS.items() if kind is not None))
@fewer
@given(data=st.data())
def test_an_edit_of_a_kind_changes_exactly_the_instances_that_it_speaks_of(name: str, data: st.DataObject) -> None:
    _check_an_edit(name, data)


def _address(container: FakeContainer) -> str:
    marks = container.labels
    return labels.address(marks[labels.HOST], marks[labels.MODEL], int(marks[labels.ORDINAL]))


def test_there_is_an_edit_of_every_key_of_the_stack_file() -> None:
    """A new key needs an edit above, which says what changes with it."""
    assert set(_keys(StackFile, "")) | {"models", "hosts"} == EDITED | ELSEWHERE


def _keys(table: type[BaseModel], below: str) -> Iterator[str]:
    for name, found in table.model_fields.items():
        key = below + (found.alias or name)
        inner = list(_tables(found.annotation))
        if not inner:
            yield key
        for one in inner:
            yield from _keys(one, f"{key}.")


def _tables(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [t for inner in typing.get_args(annotation) for t in _tables(inner)]


# the other form, and the second time


@modest
@given(texts(), texts())
def test_both_forms_of_a_text_resolve_to_the_same_and_plan_the_same(one: Text, other: Text) -> None:
    other = replace(other, env=one.env)
    observed = as_if_applied(one.desired, other.desired)
    in_json, found = other.read(form="json")
    assert in_json is not None, found
    assert replace(in_json, path="", digest="") == replace(other.desired, path="", digest="")
    plans = [plan_to_dict(plan(desired, observed)) for desired in (in_json, other.desired)]
    for document in plans:
        assert document["changes"]
        del document["stack"]["path"], document["stack"]["digest"], document["digest"]
        document["diagnostics"] = sorted(f"{d['rule']} {d['summary']} {d['help']}" for d in document["diagnostics"])
    assert json.dumps(plans[0]) == json.dumps(plans[1])


@modest
@given(texts(), texts())
def test_after_an_apply_the_plan_is_empty_whatever_was_there_before(one: Text, other: Text) -> None:
    """There and back again."""
    other = replace(other, env=one.env)
    world = _world(one)
    strangers = _containers(world, ours=False)
    for text in (one, other, one):
        removed = [c.address for c in world.plan(text.desired).changes if c.action is Action.REMOVE]
        _apply(world, text, Request(unprotect=tuple(removed)))
        again = world.plan(text.desired)
        assert again.effective == ()
        assert again.steps == ()
        assert [d.summary for d in again.diagnostics if d.is_error] == []
        here = [c for h in text.values["hosts"] for c in world.daemon(h).containers.values() if _serves(c)]
        serving = {(_address(c), c.state) for c in here if labels.MODEL in c.labels}
        assert serving >= {(i.address, "running") for i in text.desired.instances}
        assert {a for a, _ in serving} <= {i.address for i in text.desired.instances} | _forgotten(again)
    assert _containers(world, ours=False) == strangers


def _serves(container: FakeContainer) -> bool:
    return not labels.is_generation_name(container.name)


def _forgotten(made: Plan) -> set[str]:
    return {c.address for c in made.changes if c.action is Action.FORGET}


@pytest.mark.parametrize(
    ("key", "was", "meanwhile"), [("restart", "always", "no"), ("memory", "4 GiB", "8 GiB"), ("cpus", 2.0, 4.0)]
)
def test_what_was_changed_in_place_and_is_changed_back_is_changed_back(key: str, was: Any, meanwhile: Any) -> None:
    text = _small({"a": {key: was}})
    world = _world(text)
    _apply(world, text)
    container = world.daemon("east-1").by_name("vllm-model-a")
    made = getattr(container, key)
    _apply(world, text.but("models", "a", key, to=meanwhile))
    assert getattr(container, key) != made
    _apply(world, text)
    assert getattr(container, key) == made


@pytest.mark.parametrize(
    ("was", "now"), [("{{ vars.v }} a", "{{ vars.v }} a\n"), ("{{ vars.v }}\na", "{{ vars.v }}\r\na")]
)
def test_what_stands_around_a_variable_is_kept_to_the_last_character(was: str, now: str) -> None:
    """As it is in a text without one: a chat template may end in a newline that matters."""
    before, after = (_small({"a": {"env": {"A": a}}}).but("vars", "v", to={"default": "x"}) for a in (was, now))
    made = plan(after.desired, as_if_applied(before.desired, after.desired))
    assert _touched(made) == _replaced(["east-1/a"], "env.A")


# models that are renamed


def _small(models: Mapping[str, Values], moved: Sequence[tuple[str, str]] = ()) -> Text:
    """A stack of one host, with as much in a model's block as is asked for."""
    block = {"image": _image("v0.32.0"), "source": {"path": "p"}, "gpus": "none"}
    values: Values = {
        "stack": "demo",
        "moved": [{"from": old, "to": new} for old, new in moved],
        "hosts": {"east-1": {"docker": "unix:///run/east-1.sock", "models_dir": "/srv/models"}},
        "models": {name: copy.deepcopy(block | keys) for name, keys in models.items()},
    }
    return Text(values)


def _renamed(text: Text, old: str, new: str) -> Text:
    """The model under its new name wherever it is named, and the entry that says so."""
    values = copy.deepcopy(text.values)
    for table in (values["models"], values["env"]["lab"]["models"]):
        if old in table:
            table[new] = table.pop(old)
    for table in values["models"].values():
        table["after"] = [new if name == old else name for name in table.get("after", [])]
    values["moved"] = [*values.get("moved", []), {"from": old, "to": new}]
    return replace(text, values=values)


@modest
@given(texts(), st.sampled_from(["y", "0", "z.z_z-z"]), st.data())
def test_a_model_that_is_renamed_is_moved_and_nothing_else_happens(text: Text, new: str, data: st.DataObject) -> None:
    old = data.draw(st.sampled_from(sorted(text.values["models"])), label="old")
    after = _renamed(text, old, new)
    world = _world(text)
    _apply(world, text)
    there = _containers(world, ours=True)

    made = world.plan(after.desired)
    assert _touched(made) == _all(after.addresses(new), Action.MOVE)
    assert {type(s.task) for s in made.steps} <= {RenameContainer}
    assert not any(c.cost.down for c in made.changes)
    assert _touched(plan(after.desired, as_if_applied(text.desired, after.desired))) == _touched(made)

    assert world.apply(made).exit_code == 0
    assert world.plan(after.desired).effective == ()
    now = _containers(world, ours=True)
    moved = {i: replace(c, name=now[i].name) if c.labels[labels.MODEL] == old else c for i, c in there.items()}
    assert now == moved
    assert {c.name for c in now.values()} == {labels.serving_name(i.model, i.ordinal) for i in after.desired.instances}

    edited = after.but("models", new, "env", "VLLM_EDITED", to="x")
    assert _touched(world.plan(edited.desired)) == _replaced(after.addresses(new), "env.VLLM_EDITED")
    _apply(world, edited)
    assert world.plan(edited.desired).effective == ()


@few
@given(texts(), st.data())
def test_an_entry_that_leads_to_a_name_which_moved_on_leads_further(text: Text, data: st.DataObject) -> None:
    """A second rename only adds an entry."""
    old = data.draw(st.sampled_from(sorted(text.values["models"])), label="old")
    world = _world(text)
    _apply(world, text)
    twice = _renamed(_renamed(text, old, "y"), "y", "z")
    made = world.plan(twice.desired)
    assert {c.action for c in made.effective} <= {Action.MOVE}
    assert {c.model for c in made.effective} <= {"z"}


@pytest.mark.parametrize(
    ("moved", "new"),
    [
        pytest.param([("x", "z")], "z", id="the entry is corrected"),
        pytest.param([], "x", id="back, by the old text"),
        pytest.param(
            [("x", "z"), ("y", "z")],
            "z",
            id="an entry for each name",
        ),
        pytest.param([("y", "x")], "x", id="back, by an entry"),
    ],
)
def test_a_model_that_is_renamed_once_more_is_moved_or_refused(moved: list[tuple[str, str]], new: str) -> None:
    """Under neither the name of its label nor the new one, until then."""
    world = _world(first := _small({"x": {"protect": True}}))
    _apply(world, first)
    _apply(world, _small({"y": {"protect": True}}, [("x", "y")]))
    desired, found = _small({new: {"protect": True}}, moved).read()
    assert desired or found
    if desired is not None:
        made = world.plan(desired)
        assert made.has_errors or _touched(made) == {f"east-1/{new}": (Action.MOVE, ())}
        assert made.has_errors or world.apply(made).exit_code == 0
        assert made.has_errors or world.plan(desired).effective == ()


@pytest.mark.parametrize("moved", [[("x", "z")], []], ids=["once more", "back"])
def test_a_rename_never_stops_what_serves(moved: list[tuple[str, str]]) -> None:
    """It is not taken for a candidate, which would be stopped if it did not pass its gate."""
    world = _world(first := _small({"x": {}}))
    _apply(world, first)
    _apply(world, _small({"y": {}}, [("x", "y")]))
    world.prober.smoke_fails.add("vllm-model-y")
    world.apply(world.plan(_small({"z" if moved else "x": {}}, moved).desired))
    assert [c.state for c in _containers(world, ours=True).values()] == ["running"]


@pytest.mark.parametrize(
    ("wanted", "moved"),
    [("z", [("x", "z"), ("y", "z")]), ("y", [("x", "y")])],
    ids=["two models get one name", "a model gets the name of another that is there"],
)
def test_two_models_that_serve_never_become_one(wanted: str, moved: list[tuple[str, str]]) -> None:
    """One of them would run on unseen, or go without a word, protected as it is."""
    world = _world(first := _small({"x": {"protect": True}, "y": {"protect": True}}))
    _apply(world, first)
    desired, found = _small({wanted: {}}, moved).read()
    assert desired or found
    assert desired is None or world.plan(desired).has_errors


def test_an_entry_that_is_no_longer_needed_can_be_taken_out() -> None:
    world = _world(first := _small({"x": {}}))
    _apply(world, first)
    _apply(world, _small({"y": {}}, [("x", "y")]))
    _apply(world, _small({"y": {"env": {"A": "1"}}}, [("x", "y")]))
    assert {c.labels[labels.MODEL] for c in _containers(world, ours=True).values() if _serves(c)} == {"y"}
    made = world.plan(_small({"y": {"env": {"A": "1"}}}).desired)
    assert [c for c in made.effective if c.address == "east-1/y"] == []


# what is taken out of the text


LOOK_ALIKES: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "vllm-model-zz": lambda _: {},
    "vllm-model-a--g7": lambda _: {},
    "vllm-model-b-1.9": lambda marks: {**marks, labels.STACK: "demo-2"},
    "vllm-model-a.b": lambda marks: {**marks, labels.STACK: "DEMO", labels.MODEL: "a"},
    "vllm-model-other": lambda marks: {**marks, labels.ENV: "other"},
    "vllm-model-c": lambda marks: {k: v for k, v in marks.items() if k != labels.STACK},
    "vllm-model-d": lambda marks: {k: v for k, v in marks.items() if k != labels.MODEL},
    "vllm-model-e": lambda marks: {k.removeprefix("cortex"): v for k, v in marks.items()},
}
"""Containers that could be taken for ours: by name, and what their labels make of those of one of ours."""


def _with_look_alikes(world: World) -> set[str]:
    """Their ids. They are on every host, with the labels of one of ours, but for its GPUs: those it has itself."""
    marks = next(iter(_containers(world, ours=True).values())).labels
    spec = {k: v for k, v in json.loads(marks[labels.SPEC]).items() if k != "gpus"}
    marks = {**marks, labels.SPEC: json.dumps(spec)}
    return {
        daemon.add(name, state="running", labels=change(dict(marks))).id
        for daemon in _daemons(world)
        for name, change in LOOK_ALIKES.items()
    }


def _by_id(world: World, ids: Iterable[str]) -> dict[str, FakeContainer | None]:
    found = {c.id: copy.deepcopy(c) for e in _daemons(world) for c in e.containers.values()}
    return {i: found.get(i) for i in ids}


def _paths(values: Values, below: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Of everything but the tables at the top, without which there is no stack."""
    for key, value in values.items():
        if below:
            yield (*below, key)
        if isinstance(value, dict) and len(below) < 3:
            yield from _paths(value, (*below, key))


NARROWED: dict[str, st.SearchStrategy[Request]] = {
    "whole": st.just(Request()),
    "target": st.sampled_from(["a", "*", "east-1/*", "b*", "west/a.2", "zz"]).map(lambda p: Request(target=(p,))),
    "exclude": st.sampled_from(["a", "west/*", "b*", "*/a"]).map(lambda p: Request(exclude=(p,))),
    "host": st.sampled_from(["east-*", "west", "*"]).map(lambda p: Request(host=(p,))),
    "several": st.just(Request(target=("[ab]*", "c.*"), exclude=("*/a.3",), host=("east-?", "west"), replace=("b-1",))),
    "replace": st.sampled_from(["*", "a", "b-1"]).map(lambda p: Request(replace=(p,))),
}
"""How a plan is narrowed, or forced."""


def _may_touch(request: Request, change: Change) -> bool:
    """Whether the words let the plan do this."""

    def named(patterns: tuple[str, ...]) -> bool:
        return any(fnmatchcase(name, p) for p in patterns for name in (change.address, change.model))

    on_host = not request.host or any(fnmatchcase(change.host, p) for p in request.host)
    return on_host and (not request.target or named(request.target)) and not named(request.exclude)


def _check_that_nobody_is_harmed(text: Text, left: Text, request: Request) -> None:
    """`left` is planned, and carried out, on hosts on which `text` was applied and look-alikes live."""
    world = _world(text)
    _apply(world, text)
    strangers = _by_id(world, [*_containers(world, ours=False), *_with_look_alikes(world)])
    ours = {i: c for i, c in _containers(world, ours=True).items() if i not in strangers}
    protected = {i for i, c in ours.items() if c.labels[labels.PROTECT] == "true"}

    desired, found = left.read()
    event("refused" if desired is None else "planned")
    if desired is None:
        assert found, "no plan, and nothing said"
        return

    observed = world.observe()
    made = world.plan(desired, request)
    assert observed == world.observe(), "planning is looking"
    goes = {c.address for c in made.effective if c.action is Action.REMOVE and {r.id for r in c.touched} & protected}
    assert {d.summary.split()[0] for d in made.diagnostics if d.rule == "CX403"} == goes
    event("would take what is protected" if goes else "takes nothing protected")

    lifted = world.plan(desired, replace(request, unprotect=tuple(sorted(goes))))
    for change in (*made.effective, *lifted.effective):
        assert _may_touch(request, change)
        assert {ref.id for ref in change.touched} <= ours.keys()
    in_steps = {v for s in lifted.steps for v in dataclasses.asdict(s.task).values() if isinstance(v, str)}
    assert not in_steps & strangers.keys()
    if lifted.has_errors:
        assert {d.rule for d in lifted.diagnostics if d.is_error} <= {"CX408"}
        return
    assert world.apply(lifted).exit_code == 0
    event("carried out")
    assert _by_id(world, strangers) == strangers
    there = [c for c in _containers(world, ours=True).values() if c.id not in strangers]
    serving = {_address(c) for c in there if _serves(c) and c.state == "running"}
    assert serving >= {_address(ours[i]) for i in protected} - goes


@pytest.mark.parametrize("words", sorted(NARROWED))
@settings(modest, max_examples=8)
@given(text=texts(least=2), data=st.data())
def test_blocks_that_are_taken_out_take_nobody_elses_and_nothing_protected(
    words: str, text: Text, data: st.DataObject
) -> None:
    names = data.draw(st.permutations(sorted(text.values["models"])), label="models")
    text = text.but("models", names[0], "protect", to=True)
    left = text
    for name in names[: data.draw(st.sampled_from([1, 0, len(names) - 1]), label="so many of them go")]:
        left = left.but("models", name, to=GONE).but("env", "lab", "models", name, to=GONE)
    for name, table in left.values["models"].items():
        stays = [m for m in table.get("after", []) if m in left.values["models"]]
        left = left.but("models", name, "after", to=stays)
    _check_that_nobody_is_harmed(text, left, data.draw(NARROWED[words], label="request"))


@settings(modest, max_examples=25)
@given(text=texts(), data=st.data())
def test_keys_that_are_taken_out_take_nobody_elses_and_nothing_protected(text: Text, data: st.DataObject) -> None:
    """Hosts, profiles, variables, single keys."""
    text = text.but("models", min(text.values["models"]), "protect", to=True)
    left = text
    for _ in range(data.draw(st.sampled_from([1, 2, 6]), label="so many keys go")):
        left = left.but(*data.draw(st.sampled_from(sorted(_paths(left.values))), label="one"), to=GONE)
    _check_that_nobody_is_harmed(text, left, Request())


@pytest.mark.parametrize(
    "left",
    [
        "",
        "\n",
        "# nothing but a comment\n",
        'stack = "demo"\n',
        "[models]\n",
        'stack = "demo"\n[models]\n[hosts]\n',
        'stack = "demo"\n[hosts.east-1]\nmodels_dir = "/srv/models"\n',
        'stack = "demo"\n[hosts.east-1]\nmodels_dir = "/srv/models"\n[models]\n',
        'stack = "demo"\n[models.a]\nimage = "i:v0.32.0"\nsource = { path = "p" }\ngpus = "none"\n',
        'stack = "demo"\n[hosts.east-1]\nmodels_dir = "/srv/models"\n[env.lab.models]\n',
    ],
    ids=range(10),
)
def test_a_text_of_which_nothing_is_left_is_refused(left: str) -> None:
    desired, found = _small({"a": {}}).read(left)
    assert desired is None
    assert found


def test_a_stack_by_another_name_leaves_the_containers_of_the_old_one() -> None:
    text = _small({"a": {}})
    world = _world(text)
    _apply(world, text)
    other = text.but("stack", to="renamed")
    made = plan(other.desired, world.observe())
    assert [(c.action, c.touched) for c in made.effective] == [(Action.CREATE, ())]
    assert [d.rule for d in made.diagnostics if d.is_error] == ["CX406"]


# that it is the same everywhere


def _rich() -> tuple[Text, Text]:
    """Two texts between which there is every kind of change, with much in each that has an order of its own."""
    every = {
        "args": {
            "hf_overrides": {f"k{n}": {"z": n, "a": [n]} for n in range(8)},
            "override_generation_config": {f"c{n}": n for n in range(8)},
            "max_num_seqs": 8,
        },
        "env": {f"V{n}": str(n) for n in range(8)},
        "secrets": {f"S{n}": {"env": key} for n, key in enumerate(("KEY_ONE", "KEY_TWO") * 3)},
        "volumes": [f"v{n}:/v{n}" for n in range(8)],
        "served_names": ["one", "two"],
        "publish": "127.0.0.1",
        "hosts": ["*"],
    }
    before = _small(
        {
            "replaced": every,
            "moved-from": every | {"served_names": ["three"]},
            "updated": every | {"served_names": ["four"], "memory": "4 GiB"},
            "removed": every | {"served_names": ["five"]},
            "protected": every | {"served_names": ["six"], "protect": True},
            "stays": every | {"served_names": ["seven"]},
        }
    )
    for host in HOSTS[1:]:
        before = before.but("hosts", host, to={"docker": f"unix:///run/{host}.sock", "models_dir": "/m"})
    changed = {f"k{n}": {"z": -n, "b": [n]} for n in range(2, 10)}
    after = before.but("models", "replaced", "args", "hf_overrides", to=changed)
    after = after.but("models", "replaced", "env", to={f"V{n}": "x" for n in range(4, 12)})
    after = after.but("models", "replaced", "volumes", to=[f"v{n}:/v{n}:ro" for n in range(4, 12)])
    after = after.but("models", "moved-to", to=after.at("models", "moved-from"))
    after = after.but("moved", to=[{"from": "moved-from", "to": "moved-to"}])
    after = after.but("models", "updated", "memory", to="8 GiB").but("models", "updated", "cpus", to=4)
    after = after.but(
        "models",
        "created",
        to=after.at("models", "stays") | {"served_names": ["eight"], "after": ["replaced", "updated"]},
    )
    for name in ("moved-from", "removed", "protected"):
        after = after.but("models", name, to=GONE)
    return before, after


def test_a_plan_is_the_same_whatever_the_seed_of_hashing(tmp_path: Path) -> None:
    """In processes of their own, from the files that a user has, in all its forms."""
    before, after = _rich()
    world = _world(before)
    _apply(world, before)
    world.daemon("west").by_name("vllm-model-stays").state = "exited"
    images = {(h, i): ImageFacts(i, "local", id=f"sha256:{n:064x}") for h in HOSTS for n, i in enumerate(IMAGES)}
    observed = replace(world.observe(), images=images)
    (tmp_path / "snapshot.json").write_text(snapshot_to_json(observed), encoding="utf-8")
    (tmp_path / "stack.toml").write_text(toml_text(after.values), encoding="utf-8")
    given_out = []
    for seed in ("0", "1", "4242"):
        words = ["plan", "--observed", "snapshot.json", "--format", "html", "--out", f"{seed}.json"]
        done = subprocess.run(
            [sys.executable, "-m", "cortexctl", *words],
            cwd=tmp_path,
            env={**os.environ, **ENVIRON, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 1  # a protected model is to be removed
        assert (tmp_path / f"{seed}.json").exists(), done.stderr.decode()
        given_out.append((done.stdout, done.stderr, (tmp_path / f"{seed}.json").read_bytes()))
    assert given_out[0] == given_out[1] == given_out[2]
    document = json.loads(given_out[0][2])
    assert {c["action"] for c in document["changes"]} == {
        "create", "move", "no-op", "remove", "replace", "start", "update",
    }  # fmt: skip
    assert [d["rule"] for d in document["diagnostics"]] == ["CX403"] * len(HOSTS)
