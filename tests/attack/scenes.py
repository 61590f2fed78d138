"""Kinds of work that cortexctl does on a host: the preparation of the host, the command, and the end state.

A scene runs on its own ground: a stack's name on the daemon, with a proxy in front and a foreign container beside it. The
end state does not contain the stack's name, so that two grounds can be compared.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortexctl.hosts.http import daemon_time, get
from cortexctl.hosts.lock import from_labels, is_dead
from cortexctl.hosts.transports.choice import transport_to
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_from_label
from cortexctl.observed.record import record_from_label
from tests.attack.commands import check_sane
from tests.forks import Forked
from tests.live import STAND_IN, TEST, LiveDaemon

FOREIGN = ("Id", "Name", "Config", "HostConfig", "RestartCount")


class Differs(AssertionError):
    """The state of a host is not the expected one."""


@dataclass(frozen=True)
class Model:
    """A model of a stack. `turn`: a variable of its environment that is different in each generation."""

    turn: int = 1
    replicas: int = 1
    keys: str = ""
    rollout: str = ""
    served: str = ""


Models = Mapping[str, Model]


@dataclass
class Ground:
    """A stack's name on a daemon. `url`: the proxy's URL. `live`: the daemon itself."""

    live: LiveDaemon
    folder: Path
    url: str
    seen: dict[str, str] = field(default_factory=dict)
    """Command -> its output, for the report of a fault."""
    commands: int = 0

    @property
    def stack(self) -> str:
        return self.live.stack

    @property
    def path(self) -> Path:
        return self.folder / "stack.toml"

    def model(self, name: str) -> str:
        return f"{self.stack}-{name}"

    def serving(self, name: str, ordinal: int = 1) -> str:
        return labels.serving_name(self.model(name), ordinal)

    def write(self, models: Models, more: str = "") -> None:
        """The stack file."""
        text = (
            f'stack = "{self.stack}"\n\n[hosts.here]\nnetwork = "{self.stack}-net"\n{more.format(stack=self.stack)}\n'
        )
        for name, model in models.items():
            text += (
                f'\n[models.{self.model(name)}]\nimage = "{STAND_IN}"\nsource = {{ repo = "org/tiny", revision = "1" }}\n'
                f'served_names = ["{model.served or name}"]\ngpus = "none"\nshm_size = "64 MiB"\nreplicas = {model.replicas}\n'
                f"{model.keys.format(stack=self.stack)}\n"
                f'[models.{self.model(name)}.gate]\nstable_for = "0s"\nstartup_timeout = "60s"\n\n'
                f'[models.{self.model(name)}.rollout]\ndrain = "0s"\nkeep = 1\n{model.rollout}\n'
                f'[models.{self.model(name)}.env]\nTURN = "{model.turn}"\n'
            )
        self.path.write_text(text)
        self.seen[f"{len(self.seen)}-stack.toml"] = text

    def begin(self, *arguments: str, docker: str = "") -> Forked:
        """A command in a process of its own, through the proxy."""
        self.commands += 1
        wrote = self.folder / f"{self.commands}.txt"
        wrote.touch()  # one that is killed early may write none
        return Forked(wrote, docker or self.url, *arguments)

    def end(self, running: Forked, arguments: tuple[str, ...], timeout: float = 120) -> tuple[int, str]:
        code, wrote = running.end(timeout)
        self.seen[f"{len(self.seen)}-{arguments[0]}.txt"] = f"$ cortexctl {' '.join(arguments)}\n{wrote}\nexit {code}\n"
        return code, wrote

    def run(self, *arguments: str) -> tuple[int, str]:
        """A command to its end. A traceback fails."""
        code, wrote = self.end(self.begin(*arguments), arguments)
        check_sane(code, wrote)
        return code, wrote

    def apply(self, *options: str) -> None:
        code, wrote = self.run("apply", str(self.path), "--auto-approve", *options)
        if code:
            raise Differs(f"an undisturbed apply fails with {code}: {wrote[-1500:]}")

    def start_by_hand(self, name: str) -> None:
        """Start a container with `docker run` that matches the stack."""
        self.live.docker_cli("network", "create", f"{self.stack}-net")
        self.live.docker_cli(
            *(
                "run",
                "-d",
                "--name",
                f"{self.stack}-by-hand",
                "--label",
                f"{TEST}={self.stack}",
                "--network",
                f"{self.stack}-net",
            ),
            *("--restart", "unless-stopped", "--shm-size", "64m", "-e", "TURN=1", "-e", "HF_HUB_OFFLINE=0", STAND_IN),
            *(
                "--model",
                "org/tiny",
                "--revision",
                "1",
                "--served-model-name",
                name,
                "--host",
                "0.0.0.0",
                "--port",
                "8000",
            ),
        )
        self.live.until_serving(f"{self.stack}-by-hand")

    def foreign(self) -> Any:
        """The daemon's inspection of the foreign container, without counters."""
        row = self.live.inspect(f"{self.stack}-foreign")
        state = {k: row["State"][k] for k in ("Status", "Pid", "StartedAt")}
        return {
            **{k: row[k] for k in FOREIGN},
            "State": state,
            "Networks": sorted(row["NetworkSettings"]["Networks"]),
        }

    def clear(self) -> None:
        """All but the foreign container goes."""
        rows = json.loads(get(transport_to(self.live.docker), "/containers/json?all=1").body)
        mine = [r["Id"] for r in rows if self.stack in r["Names"][0] and r["Names"][0] != f"/{self.stack}-foreign"]
        mine += [r["Id"] for r in rows if r["Labels"].get(labels.STACK) == self.stack and r["Id"] not in mine]
        if mine:
            self.live.docker_cli("rm", "-f", "-v", *mine)
        everything = self.live.everything()
        for kind in ("networks", "volumes"):
            if everything[kind]:
                self.live.docker_cli(kind.removesuffix("s"), "rm", *everything[kind])
        self.seen.clear()

    def rows(self) -> list[dict[str, Any]]:
        """Inspections of all containers that are the stack's by label or by name, but the foreign one."""
        listed = json.loads(get(transport_to(self.live.docker), "/containers/json?all=1").body)
        names = [
            r["Names"][0][1:]
            for r in listed
            if self.stack in r["Names"][0] or r["Labels"].get(labels.STACK) == self.stack
        ]
        return [self.live.inspect(name) for name in sorted(names) if name != f"{self.stack}-foreign"]

    def host_state(self) -> dict[str, Any]:
        """The state of the host: containers with their roles, volumes, networks. Without the stack's name and without
        generations.
        """
        rows = self.rows()
        generations = {_placed(r): _generation(r) for r in rows if _is_serving(r)}
        containers = sorted((self._container(r, generations) for r in rows), key=json.dumps)
        everything = self.live.everything()
        return {
            "containers": containers,
            "volumes": [v.replace(self.stack, "STACK") for v in everything["volumes"]],
            "networks": [n.replace(self.stack, "STACK") for n in everything["networks"]],
        }

    def settled(self) -> dict[str, Any]:
        """The state of the host once the daemon is idle: it continues a request whose client is gone."""
        before = self.host_state()
        for _ in range(100):
            time.sleep(0.3)
            if (now := self.host_state()) == before:
                break
            before = now
        return before

    def _container(self, row: dict[str, Any], generations: Mapping[tuple[str, int], int]) -> dict[str, Any]:
        serves = generations.get(_placed(row))
        if _is_serving(row):
            role = "serving"
        elif row["Name"].endswith(labels.UNDONE):
            role = "undone"
        else:
            role = "kept" if serves is not None and _generation(row) < serves else "candidate"
        host = row["HostConfig"]
        return {
            "model": _placed(row)[0].replace(self.stack, "STACK"),
            "ordinal": _placed(row)[1],
            "role": role,
            "state": row["State"]["Status"],
            "policy": host["RestartPolicy"]["Name"],
            "turn": next((v for v in row["Config"]["Env"] if v.startswith("TURN=")), ""),
            "memory": host["Memory"],
            "networks": [n.replace(self.stack, "STACK") for n in sorted(row["NetworkSettings"]["Networks"])],
        }

    def record_is_right(self) -> None:
        """Check that the host's record of each instance matches the label of the serving container."""
        name = f"cortexctl-record-{self.stack}"
        if name not in self.live.everything()["volumes"]:
            return
        volume = json.loads(get(transport_to(self.live.docker), f"/volumes/{name}").body)
        record = record_from_label("here", volume["Labels"]["cortexctl.record"])
        rows = {
            labels.address("here", *_placed(r)): r
            for r in self.rows()
            if _is_serving(r) and labels.SPEC in r["Config"]["Labels"]
        }
        for address, row in rows.items():
            applied, marks = record.applied.get(address), row["Config"]["Labels"]
            what = address.replace(self.stack, "STACK")
            if applied is None:
                raise Differs(f"the record does not know an instance: {what}")
            if applied.generation != _generation(row):
                raise Differs(
                    f"the record has another generation than serves: {what} {applied.generation}, serves {_generation(row)}"
                )
            # limits and policy are changed in place, and labels never change
            wanted, has = spec_from_label(marks[labels.SPEC]), applied.spec
            if (wanted.container.env, wanted.server.args, wanted.container.image) != (
                has.container.env,
                has.server.args,
                has.container.image,
            ):
                raise Differs(f"the record has another spec than the label: {what}")

    def lock_holder_is_gone(self) -> bool:
        """Whether there is a lock, and its holder is dead."""
        name = f"cortexctl-lock-{self.stack}"
        if name not in self.live.everything()["volumes"]:
            return False
        holder = from_labels(json.loads(get(transport_to(self.live.docker), f"/volumes/{name}").body)["Labels"])
        return is_dead(holder, int(daemon_time(transport_to(self.live.docker))))

    def verdicts(self) -> dict[str, int]:
        """The exit codes of `plan` and `drift`."""
        return {
            "plan": self.run("plan", str(self.path), "--detailed-exitcode")[0],
            "drift": self.run("drift", str(self.path), "--detailed-exitcode")[0],
        }


def _placed(row: Mapping[str, Any]) -> tuple[str, int]:
    """The model and replica by the name, which a move changes and no label follows."""
    model, dot, ordinal = row["Name"][1:].removeprefix("vllm-model-").partition("--g")[0].partition(".")
    return model, int(ordinal) if dot else 1


def _is_serving(row: Mapping[str, Any]) -> bool:
    return row["Name"].startswith("/vllm-model-") and not labels.is_generation_name(row["Name"])


def _generation(row: Mapping[str, Any]) -> int:
    """An adopted one has no label: it is before all others."""
    return int((row["Config"]["Labels"] or {}).get(labels.GENERATION, "0"))


@contextmanager
def ground(folder: Path, proxy: Callable[[Path, str], Any]) -> Iterator[tuple[Ground, Any]]:
    """Yields a ground on the lab's daemon, and the control object that `proxy` yields beside its URL."""
    stack = f"cxa-{secrets.token_hex(3)}"
    place = folder / stack
    place.mkdir(parents=True)
    docker = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    live = LiveDaemon(docker, stack)
    with proxy(place / "e.sock", docker) as (url, driven):
        here = Ground(live, place, url)
        live.run_foreign(f"{stack}-foreign")
        try:
            yield here, driven
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                here.clear()
            live.docker_cli("rm", "-f", f"{stack}-foreign")
            shutil.rmtree(place, ignore_errors=True)


# the scenes


@dataclass(frozen=True)
class Scene:
    """`ready` prepares the host and the stack file, undisturbed. `arguments`: the command (STACK: the stack file)."""

    name: str
    ready: Callable[[Ground], None]
    arguments: tuple[str, ...] = ("apply", "STACK", "--auto-approve")
    can_be_repeated: bool = True
    """Whether a second run of the command has nothing to do, and exits with 0."""

    def command_on(self, here: Ground) -> tuple[str, ...]:
        return tuple(w.replace("STACK", str(here.path)).replace("MODEL", here.model("m")) for w in self.arguments)


START_FIRST = 'strategy = "start_first"\n'
CANARY = "canary = 1\n"


def _create(here: Ground) -> None:
    here.write({"m": Model(), "n": Model()})


def _replace(here: Ground) -> None:
    here.write({"m": Model(1, replicas=2, rollout=CANARY)})
    here.apply()
    here.write({"m": Model(2, replicas=2, rollout=CANARY)})


def _replace_again(here: Ground) -> None:
    """With a kept one that has to go."""
    for turn in (1, 2):
        here.write({"m": Model(turn)})
        here.apply()
    here.write({"m": Model(3)})


def _start_first(here: Ground) -> None:
    here.write({"m": Model(1, rollout=START_FIRST), "n": Model(1, rollout=START_FIRST)})
    here.apply()
    here.write({"m": Model(2, rollout=START_FIRST), "n": Model(2, rollout=START_FIRST)})


def _update(here: Ground) -> None:
    here.write({"m": Model(keys='memory = "256 MiB"\n'), "n": Model()})
    here.apply()
    here.write({"m": Model(keys='memory = "320 MiB"\nrestart = "always"\n'), "n": Model(keys='restart = "no"\n')})


def _move(here: Ground) -> None:
    here.write({"m": Model(), "n": Model()})
    here.apply()
    here.write({"k": Model(served="m"), "n": Model()}, '\n[[moved]]\nfrom = "{stack}-m"\nto = "{stack}-k"\n')


def _remove(here: Ground) -> None:
    here.write({"m": Model(), "n": Model()})
    here.apply()
    here.write({"m": Model(2), "n": Model()})
    here.apply()
    here.write({"n": Model()})


def _adopt(here: Ground) -> None:
    here.start_by_hand("m")
    keys = 'adopt = "{stack}-by-hand"\nignore = ["*"]\n'
    here.write({"m": Model(keys=keys), "n": Model()})


def _adopted_and_replaced(here: Ground) -> None:
    _adopt(here)
    here.apply()
    here.write({"m": Model(2, keys='adopt = "{stack}-by-hand"\n'), "n": Model()})


def _rollback(here: Ground) -> None:
    for turn in (1, 2):
        here.write({"m": Model(turn), "n": Model()})
        here.apply()


def _forward(here: Ground) -> None:
    _rollback(here)
    command = ("rollback", f"here/{here.model('m')}", "--stack", str(here.path), "--auto-approve")
    code, wrote = here.run(*command)
    if code:
        raise Differs(f"an undisturbed rollback fails with {code}: {wrote[-1500:]}")


def _only_drift(here: Ground) -> None:
    """Two are gone, and the stack wants something newer, which is not due yet."""
    here.write({"m": Model(), "n": Model(), "k": Model()})
    here.apply()
    here.live.docker_cli("rm", "-f", here.serving("m"), here.serving("n"))
    here.write({"m": Model(2), "n": Model(), "k": Model(2)})


def _mixed(here: Ground) -> None:
    here.write({"m": Model(), "n": Model(keys='memory = "256 MiB"\n'), "k": Model()})
    here.apply()
    here.write({"m": Model(2), "n": Model(keys='memory = "320 MiB"\n'), "j": Model(rollout=START_FIRST)})


def _destroy(here: Ground) -> None:
    here.write({"m": Model(), "n": Model(replicas=2)})
    here.apply()
    here.write({"m": Model(2), "n": Model(replicas=2)})
    here.apply()


SCENES = (
    Scene("create", _create),
    Scene("replace with canary", _replace),
    Scene("replace with a kept one", _replace_again),
    Scene("start first", _start_first),
    Scene("update in place", _update),
    Scene("move", _move),
    Scene("remove", _remove),
    Scene("adopt", _adopt),
    Scene("replace an adopted one", _adopted_and_replaced),
    Scene(
        "rollback", _rollback, ("rollback", "here/MODEL", "--stack", "STACK", "--auto-approve"), can_be_repeated=False
    ),
    Scene("forward", _forward),
    Scene("only drift", _only_drift, ("apply", "STACK", "--auto-approve", "--only", "drift")),
    Scene("mixed", _mixed),
    Scene("destroy", _destroy, ("destroy", "STACK", "--auto-approve")),
)
