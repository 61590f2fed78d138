"""No foreign text reaches a terminal or a file raw: every command, in every format, on a host with only hostile texts."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.spec import Mount
from cortexctl.observed.record import RECORD_VERSION
from cortexctl.render.sanitise import tame
from cortexctl.render.style import STYLE, Ink
from cortexctl.text.json_text import json_text
from tests.fakes.daemon_socket import LIST, TalkingDaemon, row, talking_daemon
from tests.fakes.inspection import inspection
from tests.forks import ran
from tests.screen import Screen
from tests.specs import new_spec
from tests.views import rich_plan

PACKAGE = Path(__file__).parents[2] / "cortexctl"
EVIL = (
    "\x1b]0;PWN\x07\x1b[2J\x9b31m\x1b[31mRED\x1b[8m\u202eevil\u2066\r\b\u2028\u2029\x85\x7f\x00\ufeff"
    "[bold]MARKUP[/bold][link=http://e.example]L[/link]<img src=x onerror=1>@team ![i](http://e.example/i)"
)
"""Every kind: OSC, CSI, C1, styles, directions, carriage return, backspace, separators of lines, DEL, NUL, markup."""
EVIL_LINE = EVIL.replace("\x00", "").replace("\r", "").replace("\u2028", "").replace("\u2029", "").replace("\x85", "")
"""As a file's text can hold it."""
ALLOWED = {"\n", "\t", "\N{ZERO WIDTH JOINER}", "\N{ZERO WIDTH NON-JOINER}"}


def raw_in(text: str, *, styles: bool = False) -> str:
    """The first control character with the text around it; empty if there is none."""
    plain = STYLE.sub("", text) if styles else text
    acts = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    at = next((i for i, c in enumerate(plain) if unicodedata.category(c) in acts and c not in ALLOWED), -1)
    return "" if at < 0 else repr(plain[max(at - 60, 0) : at + 20])


SPEC = new_spec(
    f"image:{EVIL}",
    f"/models/{EVIL}",
    ("tiny", EVIL),
    version="0.32.0",
    args={"chat_template": EVIL},
    extra_args=("--x", EVIL),
    env={"A": EVIL, EVIL: "b"},
    mounts=(Mount(f"/x/{EVIL}", f"/y/{EVIL}"),),
)
STACK = f"""stack = "demo"

[vars.a]
description = {json.dumps(EVIL_LINE)}
default = {json.dumps(EVIL_LINE)}

[hosts.here]
models_dir = "/models"

[hooks.h]
on = "pre_apply"
command = ["true", {json.dumps(EVIL_LINE)}]

[models.tiny]
image = "image:v0.32.0"
source = {{ path = "tiny" }}
gpus = "none"
publish = "127.0.0.1"
extra_args = ["--chat-template", {json.dumps(EVIL_LINE)}]
volumes = [{json.dumps("/a/" + EVIL_LINE.replace(":", ""))[:-1]}:/b"]
env = {{ A = {json.dumps(EVIL_LINE)} }}
""".replace("\\u007f", "\\u007F")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[TalkingDaemon]:
    """Our serving container, one of ours without a spec, and an unmanaged one. The labels of lock and record are hostile."""
    ours = row(spec_to_label(SPEC))
    ours["Labels"] |= {"cortexctl.run": EVIL, "cortexctl.author": EVIL, "cortexctl.revision": EVIL,
                       "cortexctl.version": EVIL}  # fmt: skip
    other = row(spec_to_label(SPEC), model=f"o{EVIL}", Names=[f"/n{EVIL}"], State="exited", Status=EVIL, Image=EVIL)
    other["Id"] = "b" * 64  # a row without a valid id is ignored
    unread = row(EVIL, model="unread")
    unmanaged = {**row("", model="stranger"), "Labels": {"maintainer": EVIL}, "Names": [f"/s{EVIL}"], "Image": EVIL}
    lock = {"cortexctl.stack": "demo", **{f"cortexctl.lock.{k}": EVIL for k in ("owner", "who", "machine", "run")},
            "cortexctl.lock.pid": "1", "cortexctl.lock.started": "1", "cortexctl.lock.expires": "99999999999"}  # fmt: skip
    entry = {"model": "tiny", "ordinal": 1, "generation": 1, "run": EVIL, "spec": json.loads(spec_to_label(SPEC)),
             "starts": [[1.0, EVIL]], "stops": []}  # fmt: skip
    record = {"cortexctl.stack": "demo", "cortexctl.record": json.dumps({"v": RECORD_VERSION, "applied": [entry]})}
    inspected = inspection(SPEC)
    inspected["Config"] |= {"Tty": True, "Labels": ours["Labels"], "Env": [f"A={EVIL}", f"B={EVIL}"], "Image": EVIL}
    inspected |= {"Image": "sha256:" + "1" * 64, "Name": "/vllm-model-tiny"}
    inspected["State"] = {"Running": False, "ExitCode": 1, "Error": EVIL, "StartedAt": ""}
    answers: dict[str, Any] = {
        LIST: [ours, other, unread, unmanaged],
        "/version": {"ApiVersion": "1.41", "Version": EVIL},
        "/info": dict.fromkeys(("OperatingSystem", "Architecture", "KernelVersion", "Driver", "DockerRootDir"), EVIL),
        "/images/json": [{"Id": "sha256:1", "RepoTags": [f"vllm{EVIL}"]}],
        **{f"{v}/volumes/cortexctl-lock-demo": {"Labels": lock} for v in ("", "/v1.41")},
        **{f"{v}/volumes/cortexctl-record-demo": {"Labels": record} for v in ("", "/v1.41")},
        **{
            f"{v}/containers/{id_}/json": {**inspected, "Id": id_}
            for v in ("", "/v1.41")
            for id_ in (ours["Id"], unmanaged["Id"])
        },
        f"/containers/{ours['Id']}/logs": f"INFO {EVIL}\nValueError: {EVIL_LINE}\n".encode(),
    }
    with talking_daemon(tmp_path / "daemon.sock", answers) as it:
        it.missing = EVIL
        yield it


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, daemon: TalkingDaemon) -> Run:
    folder = tmp_path / "stacks"
    folder.mkdir()
    (folder / "stack.toml").write_text(STACK)
    start = {"format_version": "1.0", "record": "start", "time": EVIL, "stack": "demo", "env": "", "run": "r1",
             "command": EVIL, "who": {"user": EVIL, "machine": EVIL, "actor": EVIL, "job": EVIL}, "revision": EVIL,
             "changes": [{"address": f"here/{EVIL}", "action": EVIL}], "selection": [EVIL]}  # fmt: skip
    end = {**start, "record": "end", "outcome": EVIL, "exit_code": 1, "seconds": 1.0, "failure": EVIL}
    (folder / "stack.audit.jsonl").write_text("".join(json.dumps(r) + "\n" for r in (start, end)))
    (folder / "log.txt").write_text(f"ValueError: {EVIL}\n")

    def go(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        known = {k: v for k, v in os.environ.items() if not k.startswith(("CORTEXCTL_", "NO_COLOR", "FORCE_COLOR"))}
        home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
        return ran(*arguments, cwd=folder, env={**known, **home, "DOCKER_HOST": daemon.url, **env})

    return go


COMMANDS = [
    "validate",
    "validate --format json",
    "validate --format sarif",
    *(f"plan --format {output_format}" for output_format in ("text", "json", "markdown", "html")),
    "plan --explain",
    "plan --destroy",
    "plan --out p.json",
    "plan --against none --format markdown",
    "plan --target EVIL",
    *(f"drift --no-health --format {output_format}" for output_format in ("text", "json", "markdown", "prometheus")),
    "drift --deep --no-health",
    "drift --deep --no-health --format json --out d.json",
    "drift --no-health --format prometheus --out d.prom",
    "doctor",
    "doctor --format json",
    "status",
    "status --format json",
    "history",
    "history --format json",
    "history --labels",
    "history --labels --format json",
    "logs here/tiny",
    "logs here/tiny --follow",
    "logs here/EVIL",
    "logs EVIL/tiny",
    "diagnose here/tiny",
    "diagnose here/tiny --format json",
    "diagnose --log log.txt",
    "diagnose --log log.txt --format json",
    "diagnose --log EVIL",
    "lock status",
    "lock release",
    "observe",
    "observe --out o.json",
    "import here",
    "import here --format json",
    "import here sEVIL",
    "import here sEVIL --format json",
    *(f"args here/tiny --format {output_format}" for output_format in ("text", "json", "docker", "compose")),
    "args here/EVIL",
    "args check -- m --EVIL x",
    "args check --format json -- m --max-model-len EVIL",
    "fit",
    "fit --format json",
    "catalog upgrade --to 0.33.0",
    "catalog upgrade --to 0.33.0 --format json",
    "catalog show EVIL",
    "apply --auto-approve --events e.json",
    "apply --auto-approve --events json",
    "destroy --auto-approve",
    "rollback here/tiny --auto-approve",
    "rollback here/EVIL --auto-approve",
    "plan EVIL.toml",
    "show EVIL.json",
    "EVIL",
    "plan --EVIL",
    "plan --env EVIL",
    "plan --var EVIL",
]


def argv_of(line: str) -> list[str]:
    return [word.replace("EVIL", EVIL.replace("\0", "")) for word in line.split(" ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_no_command_prints_raw_text(run: Run, tmp_path: Path, line: str) -> None:
    done = run(*argv_of(line))
    for name, text in (("stdout", done.stdout), ("stderr", done.stderr)):
        assert not raw_in(text), (name, raw_in(text))
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout + done.stderr or "--out" in line
    for file in (tmp_path / "stacks").iterdir():
        if file.name not in {"stack.toml", "log.txt"}:
            assert not raw_in(file.read_bytes().decode()), (file.name, raw_in(file.read_bytes().decode()))


@pytest.mark.parametrize("line", [c for c in COMMANDS if "json" not in c and "--format" not in c])
def test_in_colours_no_colour_is_foreign(run: Run, line: str) -> None:
    done = run(*argv_of(line), FORCE_COLOR="1")
    for text in (done.stdout, done.stderr):
        assert not raw_in(text, styles=True), raw_in(text, styles=True)
        assert "\x1b[31mRED" not in text


def test_the_host_is_really_hostile(run: Run) -> None:
    """Otherwise the tests above would prove nothing: the output has the remains of the hostile text."""
    seen = {line: run(*argv_of(line)) for line in ("plan", "drift --no-health", "lock status", "logs here/tiny", "status",
                                                    "diagnose here/tiny", "history", "import here")}  # fmt: skip
    assert {line: "PWN" in done.stdout + done.stderr for line, done in seen.items()} == dict.fromkeys(seen, True)


@pytest.mark.parametrize("output_format", ["json", "sarif"])
def test_json_keeps_hostile_text_in_escapes(run: Run, output_format: str) -> None:
    if output_format == "sarif":
        assert json.loads(run("validate", "--format", "sarif").stdout)
        return
    plan = json.loads(run("plan", "--format", "json").stdout)
    after = {change["address"]: change["after"] for change in plan["changes"]}["here/tiny"]
    assert after["container"]["env"]["A"] == EVIL_LINE


def test_the_raw_option_prints_a_log_unchanged(run: Run) -> None:
    done = run("logs", "here/tiny", "--raw")
    assert "\x1b]0;PWN\x07" in done.stdout
    assert "\x1b]0;PWN\x07" in run("logs", "here/tiny", "--raw", "--follow").stdout


def test_arguments_for_a_shell_keep_hostile_text_in_escapes(run: Run) -> None:
    text = run("args", "here/tiny").stdout
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {text}"], capture_output=True, check=True)
    assert EVIL_LINE in done.stdout.decode().split("\0")


def test_our_colours_pass_and_no_other_escapes() -> None:
    ours = Ink(enabled=True)("x", "red", "bold")
    assert tame(ours, styles=True) == ours
    assert tame(ours, styles=False) == "␛[31;1mx␛[0m"
    for foreign in (
        "\x1b[8mx",
        "\x1b[31;8mx",
        "\x1b[38;5;1mx",
        "\x1b[1A",
        "\x1b[2K",
        "\x1b]8;;http://e\x07",
        "\x9b31mx",
    ):
        assert not raw_in(tame(ours + foreign, styles=True), styles=True)
        assert foreign not in tame(ours + foreign, styles=True)


@pytest.mark.parametrize("text", [EVIL, "\U000e0041", "\U0001d173", "\ud800", "größe 🔑", "a\nb"])
def test_json_text_is_the_same_value_without_control_characters(text: str) -> None:
    for indent in (None, 2):
        written = json_text({"a": [text]}, indent)
        assert json.loads(written) == {"a": [text]}
        assert not raw_in(written)
    assert "größe 🔑" in json_text("größe 🔑")


@pytest.mark.parametrize("colours", [True, False])
def test_live_progress_shows_no_markup_and_no_control_characters(*, colours: bool) -> None:
    import io

    from cortexctl.apply.events import Progress, RollbackEnded, RollbackStarted
    from cortexctl.plan.action import Action
    from cortexctl.plan.model import Change, InstanceChange
    from cortexctl.render.apply.progress import LiveProgress, PlainProgress
    from cortexctl.render.apply.totals import Totals

    change = Change(f"here/{EVIL}", "here", "tiny", Action.REPLACE, InstanceChange())
    now = iter(range(1000))
    totals = Totals(rich_plan(), lambda: float(next(now)))
    plain, screen = io.StringIO(), Screen(columns=2000)
    lines = screen.lines()
    live = LiveProgress(lines, screen.funnel(lines).write, Ink(colours), {}, 8, totals, lambda: 1.0)
    for progress in (PlainProgress(plain, Ink(colours), {}, 8, totals), live):
        with progress:
            progress(Progress(change.address, EVIL, 1.0))
            lines.draw()
            progress(RollbackStarted(change))
            progress(RollbackEnded(change, EVIL))
    assert not raw_in(plain.getvalue(), styles=colours)
    ours = re.sub(r"\x1b\[A|\x1b\[J|\r", "", screen.written())  # the lines are drawn again
    assert not raw_in(re.sub(r"\x1b\[[0-9;]*m", "", ours)), raw_in(re.sub(r"\x1b\[[0-9;]*m", "", ours))
    assert "gate   " in ours
    assert "PWN" in ours
    assert "[bold]" in ours.replace("\n", "")
    assert "\x1b[31mRED" not in ours


OUTSIDE = {"cortexctl.cli.writing", "cortexctl.cli.short_answers", "cortexctl.hosts.image_parser_script"}
"""The only module that writes; the version and the help, which have no hostile text; the script inside a container."""
WRITES = {"write", "writelines", "print", "echo", "secho", "prompt", "confirm", "progressbar", "print_exc"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_one_module_writes_output(path: Path) -> None:
    """Modules write to stdout and stderr only with cli.writing, and every command runs inside its filters."""
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    if name in OUTSIDE:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            text = ast.unparse(node.func)
            assert not re.fullmatch(
                r"print|input|(?:click|rich)\.(?:echo|secho|prompt|confirm|print|pause|edit)", text
            ), text
            assert not re.fullmatch(r"sys\.(?:__)?std(?:out|err)(?:__)?(?:\.buffer)?\.write(?:lines)?", text), text
            assert not (text == "os.write" and isinstance(node.args[0], ast.Constant)), ast.unparse(node)
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in {
                "sys.stdout.buffer",
                "sys.stderr.buffer",
                "sys.__stdout__",
                "sys.__stderr__",
            }
