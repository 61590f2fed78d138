"""Texts that Hypothesis draws."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.edits.text import (
    HOSTS,
    MODELS,
    OWN_IMAGE,
    TAGS,
    Text,
    Values,
    image_of_tag,
)

modest = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
few = settings(modest, max_examples=3)
fewer = settings(modest, max_examples=2)


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
        "image": draw(st.sampled_from([*map(image_of_tag, TAGS), image_of_tag("{{ vars.tag }}"), OWN_IMAGE])),
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

    No text draws a diagnostic: a diagnostic needs its position, which costs more than all the rest.
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
