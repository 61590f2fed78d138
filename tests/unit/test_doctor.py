"""doctor: the facts about hosts, the report in both forms, and the GPUs in the stack."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tomllib
import unicodedata
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import docker.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cortexctl.cli.main import run
from cortexctl.desired.stack import Host
from cortexctl.hosts import examine, fleet, host_probe_script, probe_host, temporary
from cortexctl.hosts.temporary import Output, Temporary
from cortexctl.hosts.transports.choice import connection_to
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.spec import Mount
from cortexctl.observed.host_facts import Disk
from cortexctl.observed.host_probe import (
    MIB,
    GpuFacts,
    HostProbe,
    ProbeOutput,
    parse_cuda,
    parse_gpus,
    parse_host_probe,
    parse_nvlinks,
)
from cortexctl.operations.host_findings import findings
from cortexctl.render.doctor.json_report import doctor_json
from cortexctl.render.doctor.terminal import doctor_text
from cortexctl.render.schemas import doctor_schema
from cortexctl.render.style import Ink
from cortexctl.stack.edit.change import CannotEdit
from cortexctl.stack.edit.host_gpus import with_gpus
from tests.doctor_cases import (
    CASES,
    DECLARED,
    REPORTS,
    FakeHosts,
    daemon,
    examined,
    facts,
    recorded,
    recorded_report,
    several,
    topology,
)
from tests.doctor_cases import script as script_output
from tests.fakes.daemon_socket import LIST, row, talking_daemon
from tests.fakes.raw_socket import raw_daemon
from tests.mutations import mutated
from tests.specs import new_spec

SCHEMA: dict[str, Any] = json.loads(doctor_schema())
NO_INK = Ink(enabled=False)
FOLDERS = {"models_dir": "/srv/models", "hf_cache": "/srv/hf"}


# ---- the recorded reports


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_is_the_recorded_one(name: str) -> None:
    """`python -m tests.doctor_cases` records them again."""
    for ending, text in recorded_report(name).items():
        assert text == (CASES / "reports" / f"{name}.{ending}").read_text()
    Draft202012Validator(SCHEMA).validate(json.loads(recorded_report(name)["json"]))


def test_every_recorded_report_has_its_case() -> None:
    assert {path.stem for path in (CASES / "reports").iterdir()} == REPORTS.keys()


def test_the_guide_shows_a_recorded_report(repo: Path) -> None:
    guide = (repo / "docs" / "guides" / "remote-hosts.md").read_text()
    assert f"```text\n{recorded_report('four-gpus')['txt']}```" in guide


def test_the_schema_is_one_and_the_published_one(repo: Path) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert (repo / "schemas" / "doctor.schema.json").read_text() == doctor_schema()


# ---- nvidia-smi


def test_the_output_of_a_real_driver_is_read() -> None:
    assert parse_gpus(recorded("h200.csv")) == (
        GpuFacts(0, "NVIDIA H200", 143771 * MIB, 143156 * MIB, "580.159.04", "9.0"),
    )
    assert parse_cuda(recorded("h200.txt")) == "13.0"
    assert list(parse_nvlinks(recorded("h200-topology.txt"))) == []
    assert [gpu.index for gpu in parse_gpus(recorded("h200-x2.csv"))] == [0, 1]
    assert list(parse_nvlinks(recorded("h200-x2-topology.txt"))) == [(0, 1, 18)]


def test_a_newer_driver_prints_the_cuda_version_under_another_name() -> None:
    text = recorded("h200.txt").replace("CUDA Version: 13.0    ", "CUDA UMD Version: 13.3")
    assert parse_cuda(text) == "13.3"


def test_a_value_that_the_driver_does_not_have_is_unknown() -> None:
    line = "0, NVIDIA GB10, [N/A], [Not Supported], 580.159.04\n"
    assert parse_gpus(line) == (GpuFacts(0, "NVIDIA GB10", None, None, "580.159.04", ""),)


@pytest.mark.parametrize("count", [2, 4, 8, 12])
def test_all_pairs_with_nvlink_are_read(count: int) -> None:
    links = {pair: f"NV{1 + sum(pair) % 18}" for pair in combinations(range(count), 2) if sum(pair) % 3}
    expected = [(a, b, int(text[2:])) for (a, b), text in links.items()]
    assert list(parse_nvlinks(topology(count, links))) == expected


@given(st.text(alphabet="GPU0123NVX \t\n\x1b[m4", max_size=200))
def test_any_text_is_a_topology(text: str) -> None:
    assert all(first != second and links >= 0 for first, second, links in parse_nvlinks(text))


def test_the_script_replays_nvidia_smi(tmp_path: Path) -> None:
    """With an old driver, too, which does not know the compute capability."""
    (tmp_path / "models").mkdir()
    smi = tmp_path / "nvidia-smi"
    cases = f'case "$*" in *compute_cap*) cat {CASES}/nvidia-smi/h200.csv;; topo*) cat {CASES}/nvidia-smi/h200-topology.txt;;'
    smi.write_text(f"#!/bin/sh\n{cases} *) cat {CASES}/nvidia-smi/h200.txt;; esac\n")
    smi.chmod(0o755)
    folders = {"models_dir": str(tmp_path / "models"), "hf_cache": str(tmp_path / "none")}
    probe = probed_here(tmp_path, folders)
    assert [(gpu.name, gpu.capability) for gpu in probe.gpus] == [("NVIDIA H200", "9.0")]
    assert (probe.cuda, probe.gpu_problem) == ("13.0", "")
    assert [(f.state, f.detail) for f in probe.folders] == [("empty", ""), ("unreadable", "No such file or directory")]
    assert probe.images_disk is not None
    assert probe.folders[0].disk is not None
    old = f"echo 'Field \"compute_cap\" is not a valid field to query.'; exit 2;; --query*) cut -d, -f1-5 {CASES}/nvidia-smi/h200.csv"
    smi.write_text(f'#!/bin/sh\ncase "$*" in *compute_cap*) {old};; *) cat {CASES}/nvidia-smi/h200.txt;; esac\n')
    assert [gpu.capability for gpu in probed_here(tmp_path, folders).gpus] == [""]


def test_the_script_without_nvidia_smi_gives_the_reason(tmp_path: Path) -> None:
    probe = probed_here(tmp_path, {})
    assert (probe.gpus, probe.gpu_problem) == ((), "the container has no nvidia-smi")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert probed_here(tmp_path, {}).gpu_problem == "NVIDIA-SMI has failed"


def probed_here(path: Path, folders: dict[str, str]) -> HostProbe:
    """The script, as a container runs it. `path`: the folder with nvidia-smi."""
    source = Path(host_probe_script.__file__).read_text()
    done = subprocess.run(
        [sys.executable, "-c", source, "60", json.dumps(folders)],
        capture_output=True, text=True, check=True, env={**os.environ, "PATH": f"{path}:/usr/bin:/bin"},
    )  # fmt: skip
    return parse_host_probe("image", ProbeOutput(done.stdout, done.stderr), folders)


# ---- whatever a daemon or an image answers


def is_sentences(text: str) -> bool:
    """Lines of visible characters."""
    return all(unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} or c == "\n" for c in text)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_an_image_prints_the_report_is_sentences(seed: int) -> None:
    chance = random.Random(seed)
    good = json.loads(script_output(several(2), matrix=topology(2, {(0, 1): "NV18"}), models_dir=1, hf_cache=0))
    for _ in range(100):
        output = ProbeOutput(json.dumps(mutated(good, chance)), "log\x1b[31m\n")
        report = examined(FakeHosts(facts(), output), gpus=DECLARED, probes=True)
        assert is_sentences(doctor_text(report, NO_INK))
        Draft202012Validator(SCHEMA).validate(doctor_json(report))


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_output_is_a_probe(output: str, log: str) -> None:
    probe = parse_host_probe("image", ProbeOutput(output, log), FOLDERS)
    assert bool(probe.problem) != (len(probe.folders) == 2)
    assert "\n" not in probe.problem


@pytest.mark.parametrize("seed", range(4))
def test_whatever_a_daemon_answers_the_report_is_sentences(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    good = daemon("docker-20.10")
    listed = row(spec_to_label(new_spec("i:v0.32.0", "/m", ("m",), mounts=(Mount("/srv/models", "/models"),))))
    answers = {
        "/version": good["version"],
        "/info": good["info"],
        LIST: [listed],
        f"/containers/{listed['Id']}/archive": b"x",
    }
    with talking_daemon(tmp_path / "d.sock", answers) as server:
        for _ in range(25):
            server.answers.update(
                {path: mutated({"": answers[path]}, chance).get("") for path in ("/version", "/info", LIST)}
            )
            known = examine.host_facts(connection_to(Host("gpu-1", server.url)), FOLDERS)
            report = examined(FakeHosts(known))
            assert is_sentences(doctor_text(report, NO_INK))
            assert bool(known.problem) == report.has_problem
            Draft202012Validator(SCHEMA).validate(doctor_json(report))


# ---- a host's own facts


def archive(*names: str) -> bytes:
    """A tar of a folder with these entries."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name in ("models", *names):
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.DIRTYPE
            tar.addfile(entry)
    return file.getvalue()


@pytest.mark.parametrize(
    ("body", "state"),
    [(archive("models/chat"), "readable"), (archive(), "empty"), (None, "missing"), (b"no tar" * 100, "unknown")],
)
def test_a_folder_is_read_through_a_container_that_mounts_it(tmp_path: Path, body: bytes | None, state: str) -> None:
    good = daemon("docker-20.10")
    spec = new_spec("i:v0.32.0", "/m", ("m",), mounts=(Mount("/srv", "/data"),))
    listed = row(spec_to_label(spec))
    answers = {"/version": good["version"], "/info": good["info"], LIST: [listed]}
    if body is not None:
        answers[f"/containers/{listed['Id']}/archive?path=/data/models"] = body
    with talking_daemon(tmp_path / "d.sock", answers) as server:
        known = examine.host_facts(
            connection_to(Host("gpu-1", server.url)), {"models_dir": "/srv/models", "hf_cache": "/hf"}
        )
    models, cache = known.folders
    assert (models.state, models.container) == (state, "" if state == "unknown" else "vllm-model-tiny")
    assert bool(models.detail) == (state == "unknown")
    assert (cache.state, cache.detail) == ("unknown", "")


def test_without_a_probe_every_request_is_a_get(tmp_path: Path) -> None:
    good, requests = daemon("docker-20.10"), list[tuple[str, str]]()

    def answer(method: str, path: str) -> bytes:
        requests.append((method, path))
        return json.dumps({"/version": good["version"], "/info": good["info"]}.get(path, [])).encode()

    with raw_daemon(tmp_path / "d.sock", answer) as url:
        write_stack(tmp_path, f'[hosts.gpu-1]\ndocker = "{url}"\n')
        run(["doctor", "--stack", str(tmp_path / "stack.toml")])
    assert {method for method, _ in requests} == {"GET"}
    expected = ["/version", "/info", *["/_ping"] * examine.PINGS, LIST, "/networks", "/images/json"]
    assert [path for _, path in requests] == expected


def write_stack(folder: Path, hosts: str, more: str = "") -> Path:
    path = folder / "stack.toml"
    path.write_text(
        f'stack = "prod"\n\n{hosts}\n{more}[models.chat]\nimage = "vllm/vllm-openai:v0.32.0"\n'
        'source = { repo = "org/chat", revision = "1" }\ngpus = "none"\n'
    )
    return path


def test_a_host_that_is_down_leaves_the_others_in_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = daemon("docker-20.10")
    with talking_daemon(
        tmp_path / "d.sock", {"/version": good["version"], "/info": good["info"], "/images/json": []}
    ) as server:
        hosts = f'[hosts.gpu-1]\ndocker = "{server.url}"\n\n[hosts.gpu-2]\ndocker = "unix://{tmp_path}/none.sock"\n'
        path = str(write_stack(tmp_path, hosts))
        assert run(["doctor", "--stack", path]) == 1
        both = capsys.readouterr().out
        assert run(["doctor", "gpu-1", "--stack", path]) == 0
        one = capsys.readouterr().out
        assert run(["doctor", "gpu-[23]", "--stack", path, "--format", "json"]) == 1
        other = json.loads(capsys.readouterr().out)
    assert f"Problem: no Docker daemon at unix://{tmp_path}/none.sock: the socket does not exist" in both
    assert "Next:    start the daemon (systemctl start docker)" in both
    assert "Docker 20.10.24+dfsg1, API 1.41" in both
    assert "1 of 2 hosts has a problem." in both
    assert "gpu-2" not in one
    assert one.endswith("The host has no problem.\n")
    assert [(host["name"], host["daemon"], host["has_problem"]) for host in other["hosts"]] == [("gpu-2", None, True)]


def test_a_clock_that_is_off_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The fake daemon's time stands."""
    good = daemon("docker-20.10")

    def answer(_method: str, path: str) -> bytes:
        return json.dumps({"/version": good["version"], "/info": good["info"]}.get(path, [])).encode()

    with raw_daemon(tmp_path / "d.sock", answer) as url:
        path = write_stack(tmp_path, f'[hosts.gpu-1]\ndocker = "{url}"\n')
        assert run(["doctor", "--stack", str(path)]) == 1
    assert "Problem: its clock is " in capsys.readouterr().out


def test_the_command_for_a_full_disk_names_its_machine() -> None:
    (report,) = REPORTS["one-gpu"]().hosts
    assert report.probe is not None
    full = replace(report.probe, images_disk=Disk(free=1024 * MIB, total=102400 * MIB))
    result = findings(report.host, report.facts, full, "cortexctl doctor", needs_gpus=False)
    assert f"on {report.host.name}: docker image prune; or move its data-root to a larger disk" in {
        finding.next_step for finding in result
    }


def test_a_daemon_that_lists_no_images_has_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = daemon("docker-20.10")
    with talking_daemon(tmp_path / "d.sock", {"/version": good["version"], "/info": good["info"]}) as server:
        path = write_stack(tmp_path, f'[hosts.gpu-1]\ndocker = "{server.url}"\n')
        for options in ([], ["--probe"]):
            assert run(["doctor", "--stack", str(path), *options]) == 1
            shown = capsys.readouterr().out
            assert f"Problem: {server.url}: no such thing: /images/json\n" in shown
            assert "GPUs        not read: no image on the host can read them" in shown


def test_an_unknown_host_and_write_without_a_probe_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_stack(tmp_path, '[hosts.gpu-1]\ndocker = "unix:///nowhere.sock"\n'))
    assert run(["doctor", "gpu-9", "--stack", path]) == 1
    assert 'the stack has no host "gpu-9"; known: gpu-1' in capsys.readouterr().err
    assert run(["doctor", "--write", "--stack", path]) == 1
    assert "--write needs --probe" in capsys.readouterr().err


def test_errors_of_models_do_not_stop_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A number of GPUs needs the host's own number, which `--write` adds."""
    good = daemon("docker-20.10")
    answers = {"/version": good["version"], "/info": good["info"], "/images/json": []}
    with talking_daemon(tmp_path / "d.sock", answers) as server:
        path = write_stack(tmp_path, f'[hosts.gpu-1]\ndocker = "{server.url}"\n')
        path.write_text(path.read_text().replace('gpus = "none"', "gpus = 2"))
        for models in (
            path.read_text(),
            path.read_text().replace("image", "imgae"),
            path.read_text().partition("[models")[0],
        ):
            path.write_text(models)
            assert run(["validate", str(path)]) == 1
            assert run(["doctor", "--stack", str(path)]) == 0
    capsys.readouterr()
    for wrong in ('docker = "ssh://gpu-1"\nmodels_dir = "models"', 'docker = "{{ vars.none }}"', 'docker = "ftp://x"'):
        assert run(["doctor", "--stack", str(write_stack(tmp_path, f"[hosts.gpu-1]\n{wrong}\n"))]) == 1
        assert "Error[" in capsys.readouterr().err


def test_the_hint_repeats_the_stack_the_hosts_and_the_choice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = daemon("docker-20.10")
    images = [{"Id": "sha256:1", "RepoTags": ["vllm/vllm-openai:v0.32.0"]}]
    answers = {"/version": good["version"], "/info": good["info"], "/images/json": images}
    with talking_daemon(tmp_path / "d.sock", answers) as server:
        variables = '[vars.spare]\ndefault = "x"\n\n[vars.token]\nsecret = true\n\n'
        path = str(write_stack(tmp_path, f'[hosts.gpu-1]\ndocker = "{server.url}"\n', variables))
        run(["doctor", "gpu-*", "--stack", path, "--var", "spare=a b", "--var", "token=hunter2-and-more"])
    text = capsys.readouterr().out
    assert (
        f"""  cortexctl doctor 'gpu-*' --stack {path} --var 'spare=a b' --var token="${{CORTEXCTL_VAR_token:?}}" --probe\n"""
        in text
    )
    assert "hunter2" not in text


# ---- the probe's container


class Refusing:
    """The part of docker-py that a probe uses; refuses folders and GPUs as Docker 20.10 does."""

    def __init__(self, *missing: str, gpus: bool = False, other: str = "") -> None:
        self.missing = missing
        self.gpus = gpus
        self.other = other
        self.tried: list[tuple[tuple[str, ...], bool]] = []

    @contextmanager
    def created(self, _api: object, _owner: str, wanted: Temporary) -> Any:
        self.tried.append((tuple(wanted.folders.values()), wanted.all_gpus))
        assert ("NVIDIA_VISIBLE_DEVICES" in wanted.environment) != wanted.all_gpus
        for path in wanted.folders.values():
            if path in self.missing:
                raise self.error(f'invalid mount config for type "bind": bind source path does not exist: {path}')
        if wanted.all_gpus and not self.gpus:
            raise self.error('could not select device driver "" with capabilities: [[gpu]]')
        if self.other:
            raise self.error(self.other)
        yield "id"

    @staticmethod
    def error(message: str) -> docker.errors.APIError:
        return docker.errors.APIError("refused", explanation=message)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Refusing], ProbeOutput]:
    def outcome(daemon: Refusing) -> ProbeOutput:
        monkeypatch.setattr(temporary, "created", daemon.created)
        monkeypatch.setattr(temporary, "output_of", lambda *_, **__: Output("{}"))
        folders = {"models_dir": "/srv", "hf_cache": "/srv/hf"}
        return probe_host._output(None, connection_to(Host("gpu-1", "unix:///none.sock")), "prod", "id", folders)

    return outcome


def test_each_refusal_removes_its_reason(refusing: Callable[[Refusing], ProbeOutput]) -> None:
    daemon = Refusing("/srv/hf")
    assert refusing(daemon) == ProbeOutput(
        "{}", missing=("hf_cache",), refusal='could not select device driver "" with capabilities: [[gpu]]'
    )
    assert daemon.tried == [(("/srv", "/srv/hf"), True), (("/srv",), True), (("/srv",), False)]
    assert refusing(Refusing("/srv", "/srv/hf", gpus=True)).missing == ("models_dir", "hf_cache")


def test_a_refusal_for_another_reason_is_raised(refusing: Callable[[Refusing], ProbeOutput]) -> None:
    with pytest.raises(docker.errors.APIError):
        refusing(Refusing(gpus=True, other="no space left on device"))


# ---- the GPUs in the stack

GPUS = {"count": 2, "name": "NVIDIA H200", "memory": "143771 MiB", "compute_capability": "9.0"}
WRITTEN = 'gpus = { count = 2, name = "NVIDIA H200", memory = "143771 MiB", compute_capability = "9.0" }'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            '# ours\n[hosts.a]\ndocker = "ssh://a"  # by ssh\n\n[models.m]\n',
            f'# ours\n[hosts.a]\ndocker = "ssh://a"  # by ssh\n{WRITTEN}\n\n[models.m]\n',
        ),
        (
            '[hosts.a]\ngpus = { count = 4, name = "H200" }  # all\n',
            f"[hosts.a]\n{WRITTEN}  # all\n",
        ),
        (
            "[hosts.a.gpus]\ncount = 2 # two\n",
            '[hosts.a.gpus]\ncount = 2 # two\nname = "NVIDIA H200"\nmemory = "143771 MiB"\ncompute_capability = "9.0"\n',
        ),
    ],
    ids=["none", "inline", "own table"],
)  # fmt: skip
def test_the_gpus_are_written_and_all_else_stays(before: str, after: str) -> None:
    assert with_gpus("s.toml", before, "", "a", GPUS) == after
    assert with_gpus("s.toml", after, "", "a", GPUS) == after


def test_the_gpus_of_an_environment_are_edited_there() -> None:
    text = "[hosts.a]\n[env.lab.hosts.a.gpus]\ncount = 1\n"
    parsed = tomllib.loads(with_gpus("s.toml", text, "lab", "a", GPUS))
    assert parsed == {"hosts": {"a": {}}, "env": {"lab": {"hosts": {"a": {"gpus": GPUS}}}}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[hosts.a]\ngpus = { count = "{{ vars.n }}" }\n', r"the gpus of a have a variable \(count\)"),
        ("[hosts.b]\n", "no separate"),
        ("[hosts.a]\ngpus = 4\n", "are not a table"),
    ],
)
def test_gpus_that_cannot_be_edited_are_left_to_the_user(text: str, reason: str) -> None:
    with pytest.raises(CannotEdit, match=reason):
        with_gpus("s.toml", text, "", "a", GPUS)


def test_write_shows_the_patch_and_writes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = daemon("docker-20.10")
    images = [{"Id": "sha256:1", "RepoTags": ["vllm/vllm-openai:v0.32.0"]}]
    answers = {"/version": good["version"], "/info": good["info"], "/images/json": images}
    probe = parse_host_probe("image", ProbeOutput(script_output(several(2), matrix=topology(2, {}))), {})
    monkeypatch.setattr(fleet.DockerDaemons, "probe_host", lambda *_: probe)
    with talking_daemon(tmp_path / "d.sock", answers) as server:
        path = write_stack(tmp_path, f'[hosts.gpu-1]\ndocker = "{server.url}"\ngpus = {{ count = 4 }} # four\n')
        before = path.read_text()
        assert run(["doctor", "--probe", "--stack", str(path)]) == 1
        shown = capsys.readouterr().out
        assert path.read_text() == before
        assert run(["doctor", "--probe", "--write", "--stack", str(path)]) == 0
        written = capsys.readouterr().out
        after = path.read_text()
        assert run(["doctor", "--probe", "--write", "--stack", str(path)]) == 0
        again = capsys.readouterr().out
    line = f"{WRITTEN} # four"
    assert after == before.replace("gpus = { count = 4 } # four", line)
    assert f"A patch (--write makes these changes):\n--- {path}" in shown
    assert "- count: the stack has 4, the host 2" in shown
    assert f"+{line}\n" in shown
    assert f"Written:\n--- {path}" in written
    assert "the stack has 4" not in written
    assert "---" not in again
    assert path.read_text() == after
