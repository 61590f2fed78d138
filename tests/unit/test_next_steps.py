"""The printed next command does what the plan shows. Arguments are understood or refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cortexctl.instance.codec import spec_to_label
from tests.drift_stack import SPEC
from tests.fakes.daemon_socket import LIST, TalkingDaemon, row, talking_daemon
from tests.forks import ran
from tests.next_commands import argv_of, commands, readings
from tests.reading import model_text, stack_text

Run = Callable[..., subprocess.CompletedProcess[str]]
SECRET = "hunter2-and-more"
VARIABLES = '[vars.spare]\ndefault = "x"\n\n[vars.note]\ndefault = "x"\n\n[vars.more]\ndefault = "x"\n\n[vars.token]\nsecret = true\n\n'


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[dict[str, TalkingDaemon]]:
    """Three hosts, each with a container that is not in the stack any more."""
    with ExitStack() as open_:
        yield {
            name: open_.enter_context(talking_daemon(tmp_path / f"{name}.sock", {LIST: [_gone(name)]}))
            for name in ("box", "far", "off")
        }


def _gone(host: str) -> dict[str, object]:
    listed = row(spec_to_label(SPEC), "gone")
    return {**listed, "Labels": {**listed["Labels"], "cortexctl.host": host}}


@pytest.fixture
def run(tmp_path: Path, daemons: dict[str, TalkingDaemon]) -> Run:
    """Runs cortexctl beside a stack.toml with these hosts. The daemons of the `down` hosts do not answer."""

    def go(
        *argv: str,
        hosts: tuple[str, ...] = ("box",),
        down: tuple[str, ...] = (),
        stack: str = "stack.toml",
        **env: str,
    ) -> subprocess.CompletedProcess[str]:
        urls = {h: f"unix://{tmp_path}/none.sock" if h in down else daemons[h].url for h in hosts}
        tables = "".join(f'[hosts.{h}]\ndocker = "{url}"\nmodels_dir = "/models"\n\n' for h, url in urls.items())
        model = model_text(
            "tiny", enabled="false", hosts=f'["{hosts[0]}"]', env='{ NOTE = "{{ vars.note }}{{ vars.more }}" }'
        )
        (tmp_path / stack).write_text(stack_text(model, hosts=VARIABLES + tables))
        known = {k: v for k, v in os.environ.items() if not k.startswith(("CORTEXCTL_", "NO_COLOR", "FORCE_COLOR"))}
        return ran(*argv, cwd=tmp_path, env={**known, **env})

    return go


def next_argv(done: subprocess.CompletedProcess[str], **environ: str) -> list[str]:
    """The arguments of the next command, as a shell splits them."""
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("Next ")]
    command = line.removeprefix("Next").strip()
    shell = subprocess.run(
        ["sh", "-c", f'set -- {command}; printf "%s\\n" "$@"'], capture_output=True, text=True, check=False, env=environ
    )
    return shell.stdout.splitlines() if shell.returncode == 0 else ["refused", shell.stderr]


def test_the_next_command_keeps_the_values_of_variables(run: Run, tmp_path: Path) -> None:
    """They are quoted, so that a shell passes them on unchanged."""
    (tmp_path / "my vars.toml").write_text('more = "1"\n')
    note = "it's $HOME; `id` *"
    options = ("--var", f"note={note}", "--var-file", "my vars.toml", "--target", "*")
    done = run("plan", *options, stack="my stack.toml")
    assert done.returncode == 1, "stack.toml is not the file of this run"
    done = run("plan", "my stack.toml", *options, stack="my stack.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert next_argv(done) == [
        "cortexctl", "apply", "my stack.toml", "--var-file", "my vars.toml", "--var", f"note={note}", "--target", "*",
    ]  # fmt: skip


def test_the_next_command_shows_no_secret_and_is_refused_without_one(run: Run) -> None:
    """Neither a declared secret, nor an unused variable with the shape of a secret."""
    done = run("plan", "--var", f"token={SECRET}", "--var", "spare=hf_abcdefghijklmnopqrstuvwxyz012345")
    everything = done.stdout + done.stderr
    assert done.returncode == 0, everything
    assert SECRET not in everything
    assert "hf_abcdefghijklmnop" not in everything
    known = {"CORTEXCTL_VAR_token": SECRET, "CORTEXCTL_VAR_spare": "n"}
    assert next_argv(done, **known) == ["cortexctl", "apply", "--var", f"token={SECRET}", "--var", "spare=n"]
    assert next_argv(done, CORTEXCTL_VAR_note="n")[0] == "refused"


@pytest.mark.parametrize("output_format", ["markdown", "html"])
def test_reports_have_the_same_next_command(run: Run, output_format: str) -> None:
    assert "cortexctl apply --var note=9" in run("plan", "--var", "note=9", "--format", output_format).stdout


def test_drift_keeps_them_too(run: Run) -> None:
    done = run("drift", "--no-health", "--var", "note=a b", "--var", f"token={SECRET}")
    assert """--var 'note=a b' --var token="${CORTEXCTL_VAR_token:?}" --target box/gone""" in done.stdout
    assert SECRET not in done.stdout + done.stderr


HARD = "my $stack.toml"
CHOSEN = ("--var-file", "my vars.toml", "--var", "note=it's $HOME; `id` *", "--var", f"token={SECRET}")


@pytest.mark.parametrize(
    "argv",
    [
        ("drift", HARD, "--no-health"),
        ("drift", HARD, "--no-health", "--format", "json"),
        ("doctor", "b*", "--stack", HARD),
        ("plan", HARD, "--observed", "not a snapshot.json"),
        ("destroy", HARD, "--target", "box/gone", "--exclude", "nothing"),
        ("catalog", "upgrade", HARD, "--to", "0.32.0"),
        ("apply", "a b.json"),
        ("lock", "release", HARD, "--host", "nobody"),
    ],
    ids=lambda argv: " ".join(argv[:3]),
)
def test_every_printed_command_is_about_the_same_stack_and_variables(
    run: Run, tmp_path: Path, argv: tuple[str, ...]
) -> None:
    (tmp_path / "my vars.toml").write_text('more = "1"\n')
    (tmp_path / "not a snapshot.json").write_text("{}")
    if argv[0] == "apply":
        run("plan", HARD, *CHOSEN, "--out", argv[1], stack=HARD)
        (tmp_path / "other.toml").write_text("")
        done = run(*argv, "--var", f"token={SECRET}", stack=HARD, hosts=("box", "far"))
        assert done.returncode == 4, "the stack has changed"
    else:
        done = run(*argv, *CHOSEN, stack=HARD)
    text = done.stdout + done.stderr
    assert SECRET not in text
    known = {"CORTEXCTL_VAR_token": SECRET}
    wanted = readings(("status", HARD, *CHOSEN), tmp_path, known)
    assert len(wanted) == 1
    findings = json.loads(done.stdout)["findings"] if "json" in argv else []
    printed = [finding["next_step"] for finding in findings] or commands(text)
    for command in printed:
        assert readings(argv_of(command, known), tmp_path, known) == wanted, command
    assert printed or argv[0] in {"catalog", "lock", "destroy", "doctor"}


def test_an_unreachable_host_blocks_the_plan_until_it_is_allowed(run: Run) -> None:
    two = {"hosts": ("box", "far"), "down": ("far",)}
    done = run("plan", **two)
    assert done.returncode == 1
    assert "Error[CX401] far" in done.stdout
    assert next_argv(done) == ["cortexctl", "apply", "--allow-unreachable"]
    allowed = run("plan", "--allow-unreachable", "--detailed-exitcode", **two)
    assert allowed.returncode == 2
    assert "Warning[CX401] far" in allowed.stdout
    assert "refused" not in allowed.stdout
    assert next_argv(allowed) == ["cortexctl", "apply", "--allow-unreachable"]
    applied = run("apply", "--allow-unreachable", **two)
    assert applied.returncode == 4
    assert "cannot ask for approval" in applied.stderr, "the plan can be applied"
    assert "refused: 1 error" not in applied.stdout
    refused = run("apply", "--auto-approve", **two)
    assert refused.returncode == 4
    assert "--allow-unreachable" in refused.stderr


def test_the_next_command_of_a_saved_plan_allows_the_unreachable_host(run: Run) -> None:
    two = {"hosts": ("box", "far"), "down": ("far",)}
    assert next_argv(run("plan", "--out", "a b.json", **two)) == [
        "cortexctl",
        "apply",
        "a b.json",
        "--allow-unreachable",
    ]
    assert run("plan", "--out", "a b.json", "--allow-unreachable", **two).returncode == 0
    assert "refused" not in run("show", "a b.json", **two).stdout


def test_hosts_that_are_not_selected_are_neither_read_nor_reported(run: Run, daemons: dict[str, TalkingDaemon]) -> None:
    three = {"hosts": ("box", "far", "off"), "down": ("far",)}
    done = run("plan", "--host", "box", "--detailed-exitcode", "--format", "json", **three)
    assert done.returncode == 2, done.stdout
    plan = json.loads(done.stdout)
    assert [h["name"] for h in plan["hosts"]] == ["box"]
    assert plan["diagnostics"] == []
    assert daemons["off"].requests == []
    assert run("plan", "--host", "nobody", **three).returncode == 1
    assert next_argv(run("plan", "--host", "b*", **three)) == ["cortexctl", "apply", "--host", "b*"]


def test_an_unreachable_host_does_not_block_a_target_on_another_host(run: Run) -> None:
    three = {"hosts": ("far", "box"), "down": ("far",)}
    done = run("plan", "--target", "box/gone", "--detailed-exitcode", **three)
    assert done.returncode == 2, done.stdout
    assert "CX401" not in done.stdout


@pytest.mark.parametrize(
    ("argv", "hosts", "sentence"),
    [
        (("rollback", "nohost/mm"), ("box",), 'there is no host "nohost" in stack.toml; known: box'),
        (("rollback", "mm"), ("box",), "box/mm: the stack has no container of it on that host"),
        (("rollback", "mm"), ("box", "far"), '"mm" does not name a host; write HOST/MODEL'),
        (("logs", "nohost/mm"), ("box", "far"), 'there is no host "nohost" in stack.toml; known: box, far'),
        (("logs", "mm"), ("box",), "box/mm has no container"),
        (("diagnose", "mm"), ("box", "far"), "known hosts: box, far"),
        (("args", "nohost/mm"), ("box",), 'there is no host "nohost"'),
        (("args", "mm"), ("box",), "box/mm is not in stack.toml"),
    ],
)
def test_an_address_is_understood_or_the_hosts_are_named(
    run: Run, argv: tuple[str, ...], hosts: tuple[str, ...], sentence: str
) -> None:
    done = run(*argv, hosts=hosts)
    assert done.returncode in {1, 4}
    assert sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


ASCII = {"PYTHONIOENCODING": "ascii"}
POSIX = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    ("locale", "argv"),
    [
        (POSIX, ("validate",)), (POSIX, ("schema", "stack")), (POSIX, ("plan", "--format", "markdown")),
        *((ASCII, argv) for argv in [
        ("validate",), ("validate", "--format", "json"), ("validate", "--format", "sarif"), ("plan",), ("plan", "--explain"),
        ("plan", "--destroy", "--format", "json"), ("plan", "--format", "markdown"), ("plan", "--format", "html"), ("apply",),
        ("status",), ("drift", "--no-health"), ("observe",), ("schema", "stack"), ("schema", "plan"), ("--help",),
        ("plan", "--help"), ("logs", "mm…"), ("args", "ü"), ("import", "hère"), ("catalog", "show", "é"), ("fmt", "--diff"),
        ]),
    ],
    ids=lambda it: "" if isinstance(it, dict) else " ".join(it),
)  # fmt: skip
def test_no_locale_makes_a_traceback(tmp_path: Path, locale: dict[str, str], argv: tuple[str, ...]) -> None:
    """A sentence with a letter that the terminal cannot show is still a sentence, and JSON stays JSON."""
    rows = [_gone("here"), {**row("", "ü☃"), "Labels": {}}]
    inspected = {f"/containers/{rows[0]['Id']}/json": {"HostConfig": {}}, "/images/json": []}
    with talking_daemon(tmp_path / "e.sock", {LIST: rows, **inspected}) as daemon:
        model = model_text("tiny", source='{ repo = "org/tiny" }', enabled="true", env='{ NOTE = "ü…☃" }')
        text = stack_text(model, hosts=f'[hosts.here]\ndocker = "{daemon.url}"\n\n')
        (tmp_path / "stack.toml").write_text(text, encoding="utf-8")
        known = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHON", "CORTEXCTL_"))}
        done = subprocess.run(
            [sys.executable, "-m", "cortexctl", *argv], cwd=tmp_path, capture_output=True, check=False, timeout=60,
            env={**known, "PYTHONPATH": os.pathsep.join(sys.path), **locale}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert b"this is a bug" not in done.stderr
    if argv[-1] in {"json", "sarif"} or argv[0] in {"observe", "schema"}:
        assert done.stdout, done.stderr.decode()
        json.loads(done.stdout.decode("utf-8"))
