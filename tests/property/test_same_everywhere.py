"""A plan is the same in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cortexctl.observed.host import ImageFacts
from cortexctl.observed.snapshot import snapshot_to_json
from tests.edits.text import (
    ENVIRON,
    GONE,
    HOSTS,
    IMAGES,
    Text,
    small_text,
)
from tests.edits.world import (
    apply_text,
    world_of,
)
from tests.toml_text import toml_text

pytestmark = pytest.mark.usefixtures("fingerprints_once")


def _rich() -> tuple[Text, Text]:
    """Two texts with every kind of change between them, and with many unordered values in each."""
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
    before = small_text(
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
    world = world_of(before)
    apply_text(world, before)
    world.daemon("west").by_name("vllm-model-stays").state = "exited"
    images = {(h, i): ImageFacts(i, "local", id=f"sha256:{n:064x}") for h in HOSTS for n, i in enumerate(IMAGES)}
    observed = replace(world.observe(), images=images)
    (tmp_path / "snapshot.json").write_text(snapshot_to_json(observed), encoding="utf-8")
    (tmp_path / "stack.toml").write_text(toml_text(after.values), encoding="utf-8")
    given_out = []
    for seed in ("0", "1", "4242"):
        arguments = ["plan", "--observed", "snapshot.json", "--format", "html", "--out", f"{seed}.json"]
        done = subprocess.run(
            [sys.executable, "-m", "cortexctl", *arguments],
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
    assert [d["rule"] for d in document["diagnostics"]] == ["CX403"] * len(HOSTS) + ["CX418"] * 2
