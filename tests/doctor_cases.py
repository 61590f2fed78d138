"""Reports of `doctor` on hosts of every kind: the facts that daemons and nvidia-smi give, and the recorded texts.

tests/cases/doctor/nvidia-smi has outputs of a real driver, daemons/ answers of real daemons. reports/NAME.txt and NAME.json
are what the command prints; `python -m tests.doctor_cases` records them again. Read the difference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cortexctl.errors import DaemonError
from cortexctl.observed.host import ImageFacts
from cortexctl.observed.host_facts import FolderFacts, HostFacts, parse_daemon
from cortexctl.observed.host_paths import FORBIDS_FORWARDS, NO_DIRECT_PATH, PathFacts
from cortexctl.observed.host_probe import HostProbe, ProbeOutput, parse_host_probe
from cortexctl.operations.doctor import examination, examine
from cortexctl.operations.notes import Note
from cortexctl.operations.results import DoctorReport
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.render.doctor.json_report import doctor_json
from cortexctl.render.doctor.terminal import doctor_text
from cortexctl.render.style import Ink
from cortexctl.text.json_text import json_text
from tests.reading import desired_from

CASES = Path(__file__).parent / "cases" / "doctor"
IMAGE = "vllm/vllm-openai:v0.32.0"
GIB = 2**30
STACK = """stack = "prod"

[hosts.gpu-1]
docker = "ssh://ops@gpu-1"
models_dir = "/srv/models"
hf_cache = "/srv/hf"
{gpus}

[models.chat]
image = "{image}"
source = {{ repo = "org/chat", revision = "1" }}
gpus = [0]
"""


def recorded(name: str) -> str:
    """An output of nvidia-smi on a real host with one H200, or with two (h200-x2)."""
    return (CASES / "nvidia-smi" / name).read_text()


def several(count: int, name: str = "NVIDIA H200", memory: int = 143771, capability: str = "9.0") -> str:
    """The recorded query, as hosts with more GPUs answer it."""
    row = recorded("h200.csv").strip().replace("NVIDIA H200", name).replace("143771", str(memory))
    rows = [f"{index}{row[1:]}" for index in range(count)]
    return "\n".join(r.replace("143156", str(memory - 600)).replace(" 9.0", f" {capability}") for r in rows) + "\n"


def topology(count: int, links: Mapping[tuple[int, int], str], other: str = "SYS") -> str:
    """The recorded matrix, as hosts with more GPUs print it."""
    head, row, *legend = recorded("h200-topology.txt").split("\n")
    names = [f"GPU{index}" for index in range(count)]
    lines = [head.replace("GPU0", "\t".join(names), 1)]
    ending = row.split("\t", 2)[2]
    for at in range(count):
        cells = [" X " if at == to else links.get((min(at, to), max(at, to)), other) for to in range(count)]
        lines.append("\t".join([names[at], *cells, ending]))
    return "\n".join([*lines, *legend])


def script(gpus: str = "", *, matrix: str = "", problem: str = "", **folders: Any) -> str:
    """The output of the script in a temporary container. `folders`: key -> entries, or the problem."""
    states = {k: {"entries": v} if isinstance(v, int) else {"problem": v} for k, v in folders.items()}
    disks = {
        "/": [812 * GIB, 1750 * GIB],
        **{k: [3000 * GIB, 7000 * GIB] for k, v in folders.items() if isinstance(v, int)},
    }
    plain = {"gpus": gpus, "gpus_problem": problem, "topology": matrix, "disks": disks, "folders": states}
    return json.dumps({**plain, "summary": recorded("h200.txt") if gpus else ""})


def daemon(name: str) -> dict[str, Any]:
    """Answers of a daemon: its Server header, /version and /info."""
    answers: dict[str, Any] = json.loads((CASES / "daemons" / f"{name}.json").read_text())
    return answers


def facts(name: str = "docker-20.10", **info: Any) -> HostFacts:
    """A host that answers. `info`: further fields of /info."""
    answers = daemon(name)
    known = parse_daemon(answers["version"], answers["info"] | info, answers["server"])
    paths = PathFacts("auto", direct="over ssh")
    return HostFacts("gpu-1", "ssh://ops@gpu-1", "ssh://ops@gpu-1", "ssh", known, 0.0184, 0.0, paths=paths)


NO_OUTPUT = ProbeOutput()


@dataclass
class FakeHosts:
    """Implements `operations.doctor.Hosts` with one answer for every host."""

    facts: HostFacts
    output: ProbeOutput = NO_OUTPUT
    images: Sequence[str] = (IMAGE,)
    states: Mapping[str, FolderFacts] = field(default_factory=dict)
    probed: list[str] = field(default_factory=list)
    calibration: str | DaemonError = ""
    calibrated: list[tuple[str, str, int | None]] = field(default_factory=list)

    def host_facts(self, host: str, folders: Mapping[str, str], *, probes: bool) -> HostFacts:
        known = [self.states.get(key, FolderFacts(key, path)) for key, path in folders.items()]
        paths = replace(self.facts.paths, exec_problem="") if self.facts.paths and probes else self.facts.paths
        return replace(self.facts, name=host, folders=tuple(known) if self.facts.daemon else (), paths=paths)

    def local_images(self, host: str) -> dict[str, ImageFacts]:
        return {name: ImageFacts(name, "local", id="sha256:1") for name in self.images}

    def probe_host(self, host: str, image: ImageFacts, folders: Mapping[str, str]) -> HostProbe:
        self.probed.append(host)
        return parse_host_probe(image.reference, self.output, folders)

    def calibrate_gpu(self, host: str, image: str, settings: str, gpu: int | None, env: Mapping[str, str]) -> str:
        self.calibrated.append((host, image, gpu))
        if isinstance(self.calibration, DaemonError):
            raise self.calibration
        return self.calibration


def examined(
    hosts: FakeHosts, *, gpus: str = "", probes: bool = False, calibrates: bool = False, stack: str = STACK
) -> DoctorReport:
    """`gpus`: the line of the stack that declares them."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "stack.toml"
        path.write_text(stack.format(gpus=gpus, image=IMAGE))
        desired = desired_from(path)
    wanted = examination("stack.toml", StackChoice(), desired, (), probes=probes, calibrates=calibrates)
    notes: list[Note] = []
    return examine(wanted, hosts, notes.append)


NVIDIA: dict[str, Any] = {"Runtimes": {"nvidia": {"path": "nvidia-container-runtime"}, "runc": {"path": "runc"}}}
CDI: dict[str, Any] = {
    "DiscoveredDevices": [{"Source": "cdi", "ID": f"nvidia.com/gpu={name}"} for name in ("0", "all")]
}
MIXED = several(1) + several(2, "NVIDIA L40S", 46068, "8.9").splitlines(keepends=True)[1]
DECLARED = 'gpus = { count = 4, name = "H200", memory = "143771 MiB", compute_capability = "9.0" }'
FULL = dict.fromkeys(combinations(range(4), 2), "NV18")
PAIRS = {(0, 1): "NV4", (2, 3): "NV4"}
DOWN = HostFacts(
    "gpu-1", "ssh://ops@gpu-1", "ssh://ops@gpu-1", "ssh",
    problem="no ssh connection to gpu-1: its host key is not in known_hosts", next_step="ssh gpu-1",
)  # fmt: skip

REPORTS: dict[str, Callable[[], DoctorReport]] = {
    "no-path": lambda: examined(
        FakeHosts(replace(facts(), paths=PathFacts("direct", None, "over ssh", FORBIDS_FORWARDS)))
    ),
    "exec-only": lambda: examined(FakeHosts(replace(facts(), paths=PathFacts("auto", None, "", NO_DIRECT_PATH)))),
    "not-probed": lambda: examined(
        FakeHosts(
            facts(),
            states={"models_dir": FolderFacts("models_dir", "/srv/models", "readable", "vllm-model-chat")},
        )
    ),
    "no-image": lambda: examined(FakeHosts(facts(**NVIDIA), images=("postgres:16",)), probes=True),
    "one-gpu": lambda: examined(
        FakeHosts(
            facts(**NVIDIA),
            ProbeOutput(script(recorded("h200.csv"), matrix=recorded("h200-topology.txt"), models_dir=1, hf_cache=1)),
        ),
        gpus=DECLARED.replace("count = 4", "count = 1"), probes=True,
    ),
    "calibrated": lambda: examined(
        FakeHosts(
            facts(**NVIDIA),
            ProbeOutput(script(recorded("h200.csv"), matrix=recorded("h200-topology.txt"), models_dir=1, hf_cache=1)),
            calibration=(CASES / "calibration" / "h200-vllm-0.26.0.json").read_text(),
        ),
        gpus=DECLARED.replace("count = 4", "count = 1"), probes=True, calibrates=True,
    ),
    "two-gpus": lambda: examined(
        FakeHosts(
            facts(**NVIDIA),
            ProbeOutput(
                script(recorded("h200-x2.csv"), matrix=recorded("h200-x2-topology.txt"), models_dir=1, hf_cache=1)
            ),
        ),
        probes=True,
    ),
    "four-gpus": lambda: examined(
        FakeHosts(facts(**NVIDIA, **CDI), ProbeOutput(script(several(4), matrix=topology(4, FULL), models_dir=1, hf_cache=0))),
        gpus=DECLARED, probes=True,
    ),
    "pairs": lambda: examined(
        FakeHosts(facts(**NVIDIA), ProbeOutput(script(several(4), matrix=topology(4, PAIRS), models_dir=1, hf_cache=1))),
        gpus=DECLARED, probes=True,
    ),
    "other-gpus": lambda: examined(
        FakeHosts(facts(**NVIDIA), ProbeOutput(script(several(2, "NVIDIA L40S", 46068, "8.9"), matrix=topology(2, {}), models_dir=0,
                                          hf_cache="Permission denied"))),
        gpus=DECLARED, probes=True,
    ),
    "mixed": lambda: examined(
        FakeHosts(facts(**NVIDIA), ProbeOutput(script(MIXED, matrix=topology(2, {}), models_dir=1, hf_cache=1))), probes=True
    ),
    "no-toolkit": lambda: examined(
        FakeHosts(
            facts(),
            ProbeOutput(
                script(problem="the container has no nvidia-smi", models_dir=1), missing=("hf_cache",),
                refusal='could not select device driver "" with capabilities: [[gpu]]',
            ),
        ),
        probes=True,
    ),
    "failed-probe": lambda: examined(FakeHosts(facts(**NVIDIA), ProbeOutput(problem="it did not finish")), probes=True),
    "podman": lambda: examined(FakeHosts(facts("podman"))),
    "clock": lambda: examined(FakeHosts(replace(facts(**NVIDIA), clock_offset=-3600.2, round_trip=0.0002, docker="context:prod"))),
    "unreachable": lambda: examined(FakeHosts(DOWN), probes=True),
}  # fmt: skip


def recorded_report(name: str) -> dict[str, str]:
    """The file's ending -> what the command prints."""
    report = REPORTS[name]()
    return {"txt": doctor_text(report, Ink(enabled=False)), "json": json_text(doctor_json(report), 2) + "\n"}


if __name__ == "__main__":
    for case in REPORTS:
        for ending, text in recorded_report(case).items():
            (CASES / "reports" / f"{case}.{ending}").write_text(text)
