"""Reading stacks and cases, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic
from cortexctl.instance.spec import InPlace
from cortexctl.model_files.files import ModelFiles
from cortexctl.observed.container_list import parse_containers
from cortexctl.observed.host import ImageFacts, ObservedHost
from cortexctl.observed.inspected import Inspected
from cortexctl.observed.observation import Observed
from cortexctl.observed.record import record_from_label
from cortexctl.stack.load import UnresolvedSecret, VariableInputs, load_stack
from tests.memory import config_of

DOCKER = "unix:///var/run/docker.sock"


def read(
    path: Path, secrets: Mapping[str, str] | None = None, env: str = "", inputs: VariableInputs | None = None
) -> tuple[Desired | None, list[Diagnostic]]:
    """Read a stack file. `secrets`: the variables of the environment."""
    known = dict(secrets or {})

    def value(source: str, key: str) -> str:
        if source == "env" and key in known:
            return known[key]
        raise UnresolvedSecret(f"the environment variable {key} is not set")

    return load_stack(str(path), default_docker=DOCKER, secret_value=value, env=env, inputs=inputs or VariableInputs())


def desired_from(
    path: Path, secrets: Mapping[str, str] | None = None, env: str = "", inputs: VariableInputs | None = None
) -> Desired:
    """Read a stack that must be valid."""
    desired, diagnostics = read(path, secrets, env, inputs)
    assert desired is not None, [f"{d.rule} {d.summary}" for d in diagnostics]
    return desired


def stack_text(models: str, *, name: str = "demo", hosts: str = '[hosts.here]\nmodels_dir = "/models"\n') -> str:
    return f'stack = "{name}"\n\n{hosts}\n{models}'


def model_text(name: str = "tiny", **lines: str) -> str:
    """A small model; `lines` replaces or adds keys of its table, values in TOML."""
    keys = {
        "image": '"image:v0.32.0"',
        "source": f'{{ path = "{name}" }}',
        "gpus": '"none"',
        "publish": '"127.0.0.1"',
        **lines,
    }
    return f"[models.{name}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()) + "\n"


def observed_from(path: Path) -> Observed:
    """Read a case's observed.json: the rows of each daemon's list, the facts of images and models, and the records. An
    image has only the labels that `image_labels` gives it.
    """
    data: dict[str, Any] = json.loads(path.read_text())
    hosts = []
    for name, host in data["hosts"].items():
        if "problem" in host:
            hosts.append(ObservedHost(name, problem=host["problem"], next_step=host.get("next_step", "")))
        else:
            rows = [{"NetworkSettings": {"Networks": {"cortex_default": {}}}, **row} for row in host["containers"]]
            hosts.append(ObservedHost(name, parse_containers(rows), "Docker/20.10.24 (linux)", "1.41"))
    images = {
        (host, reference): ImageFacts(reference, **facts)
        for host, known in data.get("images", {}).items()
        for reference, facts in known.items()
    }
    ids = {(h.name, c.name): c.id for h in hosts for c in h.containers}
    adoptable = {
        (host, ids[host, name]): inspected_from(fields)
        for host, containers in data.get("adoptable", {}).items()
        for name, fields in containers.items()
    }
    records = {host: record_from_label(host, json.dumps(label)) for host, label in data.get("records", {}).items()}
    models = {
        (host, source): model_files_of(files)
        for host, known in data.get("model_files", {}).items()
        for source, files in known.items()
    }
    own: dict[tuple[str, str], dict[str, str]] = {(h.name, c.image_id): {} for h in hosts for c in h.containers}
    of_images = own | {
        (host, i): labels for host, known in data.get("image_labels", {}).items() for i, labels in known.items()
    }
    observed = Observed(tuple(hosts), images, records=records, adoptable=adoptable, model_files=models)
    return observed.with_image_labels(of_images)


def model_files_of(entry: str | Mapping[str, Any]) -> ModelFiles:
    """The files of a model in a case: the name of a config in tests/fixtures/configs, or a table with that name as
    `config` and further facts.
    """
    fields = {"config": entry} if isinstance(entry, str) else dict(entry)
    return ModelFiles(**{**fields, "config": config_of(fields["config"]) if "config" in fields else {}})


def inspected_from(fields: Mapping[str, Any]) -> Inspected:
    """Read an inspection of a case."""
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
    values["in_place"] = InPlace(**fields["in_place"])
    return Inspected(**values)
