"""The command line from outside, without a real daemon: exit codes, one clear sentence, nothing changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cortexctl.cli.main import COMMANDS
from tests.fakes.sockets import canned_daemon
from tests.forks import ran
from tests.reading import model_text, stack_text

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs cortexctl in an empty folder, without a daemon unless DOCKER_HOST is set."""

    def go(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        known = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR", "DOCKER_HOST"}}
        env = {**known, "DOCKER_HOST": f"unix://{tmp_path}/none.sock", **env}
        return ran(*arguments, cwd=tmp_path, env=env)

    return go


def write(tmp_path: Path, text: str, name: str = "stack.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


GOOD = stack_text(model_text())


@pytest.mark.parametrize("command", ["plan", "apply", "destroy", "validate", "status"])
@pytest.mark.parametrize(
    ("text", "rule", "sentence"),
    [
        ("", "CX101", "is empty"),
        ("\n  \n", "CX101", "is empty"),
        ("stack = demo", "CX101", "not valid TOML"),
        (stack_text(""), "CX103", '"models" is missing'),
        (stack_text(model_text(hosts='["there"]')), "CX201", "there is no such host"),
        (stack_text(model_text(images='"x"')), "CX102", 'did you mean "image"?'),
    ],
)
def test_a_bad_file_is_refused_by_every_command(
    run: Run, tmp_path: Path, command: str, text: str, rule: str, sentence: str
) -> None:
    write(tmp_path, text)
    done = run(command)
    assert done.returncode == 1
    output = done.stdout + done.stderr
    assert f"Error[{rule}]" in output
    assert sentence in output
    assert "Traceback" not in output


def test_a_missing_file_is_an_error_that_names_init(run: Run) -> None:
    done = run("plan", "nowhere.toml")
    assert done.returncode == 1
    assert "there is no file nowhere.toml" in done.stderr
    assert "cortexctl init" in done.stderr


@pytest.mark.parametrize(("command", "code"), [("plan", 1), ("apply", 4), ("destroy", 4), ("status", 1)])
def test_no_daemon_at_the_url(run: Run, tmp_path: Path, command: str, code: int) -> None:
    write(tmp_path, GOOD)
    done = run(command)
    assert done.returncode == code
    output = done.stdout + done.stderr
    assert f"no Docker daemon at unix://{tmp_path}/none.sock: the socket does not exist" in output
    assert "Traceback" not in output


def test_a_socket_without_a_listener(run: Run, tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    write(tmp_path, GOOD)
    done = run("plan", DOCKER_HOST=f"unix://{tmp_path}/dead.sock")
    assert done.returncode == 1
    assert "the socket exists, but no process listens on it" in done.stdout


def test_a_daemon_that_is_too_old(run: Run, tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    with canned_daemon(tmp_path / "old.sock", api="1.39") as url:
        done = run("plan", DOCKER_HOST=url)
    assert done.returncode == 1
    assert "supports API 1.39 at most; cortexctl needs 1.41" in done.stdout
    assert "upgrade it to Docker Engine 20.10 or later" in done.stdout


@pytest.mark.parametrize("raw", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\n\r\n<html>", b"HTTP/1.1"])
def test_something_that_is_not_a_daemon(run: Run, tmp_path: Path, raw: bytes) -> None:
    write(tmp_path, GOOD)
    with canned_daemon(tmp_path / "other.sock", raw=raw) as url:
        done = run("plan", DOCKER_HOST=url)
    assert done.returncode == 1
    assert "is not a Docker daemon" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_server_that_closes_every_connection(run: Run, tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    with canned_daemon(tmp_path / "other.sock", raw=b"") as url:
        done = run("plan", DOCKER_HOST=url)
    assert done.returncode == 1
    assert "it closes the connection without an answer" in done.stdout
    assert "Traceback" not in done.stderr


def test_permission_denied_on_the_socket(tmp_path: Path) -> None:
    """It runs in a child process that drops its rights, because root is never denied."""
    write(tmp_path, GOOD)
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/") and folder.stat().st_uid == os.getuid():
            folder.chmod(folder.stat().st_mode | 0o055)
    with canned_daemon(tmp_path / "daemon.sock"):
        (tmp_path / "daemon.sock").chmod(0o600)
        code = f"""
import os, sys
from cortexctl.cli import plan, main
from cortexctl.operations import image_release, review
from cortexctl.stack import load
from cortexctl.render.plan import terminal_changes
import getpass, http.client, tree_sitter_toml, encodings.utf_8_sig
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
else:
    sys.exit(77)
sys.exit(main.run(["plan", {str(tmp_path / "stack.toml")!r}]))
"""
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/daemon.sock", "PYTHONPATH": str(Path.cwd())},
        )
    if done.returncode == 77:
        pytest.skip("needs root, to give it up")
    assert done.returncode == 1, done.stderr
    assert f"permission denied on unix://{tmp_path}/daemon.sock" in done.stdout
    assert "usermod -aG docker" in done.stdout


def test_a_secret_that_does_not_resolve(run: Run, tmp_path: Path) -> None:
    write(tmp_path, GOOD + '[models.tiny.secrets]\nHF_TOKEN = { env = "NOT_SET_HERE" }\n')
    with canned_daemon(tmp_path / "daemon.sock") as url:
        done = run("plan", DOCKER_HOST=url)
        assert run("validate", DOCKER_HOST=url).returncode == 0, "validate needs no secrets"
    assert done.returncode == 1
    assert "the secret HF_TOKEN has no value: the environment variable NOT_SET_HERE is not set" in done.stderr
    assert "stack.toml" in done.stderr


def test_apply_without_a_terminal_and_without_a_word_is_refused(run: Run, tmp_path: Path) -> None:
    write(tmp_path, stack_text(model_text()))
    row = {
        "Id": "a" * 64, "Names": ["/vllm-model-gone"], "Image": "x", "ImageID": "x", "State": "running", "Status": "Up",
        "Labels": {"cortexctl.stack": "demo", "cortexctl.model": "gone",
                   "cortexctl.spec": json.dumps({"v": 1, "image": "x", "model": "m", "served_names": ["m"]})},
    }  # fmt: skip
    with canned_daemon(tmp_path / "daemon.sock", [row]) as url:
        done = run("destroy", DOCKER_HOST=url)
    assert done.returncode == 4
    assert "cannot ask for approval" in done.stderr
    assert "--auto-approve" in done.stderr


def test_json_on_stdout_is_alone_there(run: Run, tmp_path: Path) -> None:
    write(tmp_path, stack_text(model_text(image='"mine/vllm:latest"')))
    done = run("plan", "--format", "json")
    plan = json.loads(done.stdout)
    assert plan["format_version"] == "2.0"
    assert plan["diagnostics"][0]["rule"] == "CX401"
    assert "Warning[CX209]" in done.stderr
    checked = run("validate", "--format", "json")
    assert json.loads(checked.stdout)["valid"] is True


def test_a_file_that_is_no_plan_cannot_be_applied(run: Run, tmp_path: Path) -> None:
    write(tmp_path, '{"format_version": "9.0", "changes": []}', "plan.json")
    done = run("apply", "plan.json")
    assert done.returncode == 1
    assert "its format is 9.0; this cortexctl reads 2.0" in done.stderr
    assert done.stderr.endswith("Next:  plan again\n")
    write(tmp_path, '{"format_version": "1.0", "stack": {"path": "prod.toml", "env": "lab"}}', "plan.json")
    done = run("apply", "plan.json")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: plan.json cannot be applied: its format is 1.0; this cortexctl reads 2.0\n"
        "Next:  cortexctl plan prod.toml --env lab --out plan.json\n"
    )
    write(tmp_path, '{"format_version": "1.0", "stack": {"path": "$(id)", "env": ""}}', "plan.json")
    assert run("apply", "plan.json").stderr.endswith("Next:  plan again\n")
    write(tmp_path, '{"format_version": "2.0", "changes": 3}', "plan.json")
    done = run("apply", "plan.json")
    assert done.returncode == 1
    assert "it was changed after it was created" in done.stderr


def test_init_writes_a_stack_that_is_valid_and_never_overwrites(run: Run, tmp_path: Path) -> None:
    for template in ("gpu", "cpu"):
        folder = tmp_path / template
        assert run("init", template, "--template", template).returncode == 0
        before = (folder / "stack.toml").read_text()
        assert f'stack = "{template}"' in before
        assert run("validate", f"{template}/stack.toml").returncode == 0
        again = run("init", template)
        assert again.returncode == 1
        assert "exists and was not changed" in again.stderr
        assert (folder / "stack.toml").read_text() == before


def test_args_shows_the_arguments_and_only_the_names_of_secrets(run: Run, tmp_path: Path) -> None:
    models = model_text() + "[models.tiny.args]\nmax_model_len = 8192\n"
    models += '[models.tiny.secrets]\nHF_TOKEN = { env = "PLANTED" }\n'
    write(tmp_path, stack_text(models))
    done = run("args", "here/tiny", PLANTED="hf-planted")
    assert done.stdout == (
        "vllm serve /models/tiny \\\n  --served-model-name tiny \\\n  --host 0.0.0.0 \\\n  --port 8000 \\\n"
        "  --shutdown-timeout 30 \\\n  --max-model-len 8192\n"
    )
    docker = run("args", "here/tiny", "--format", "docker", PLANTED="hf-planted")
    assert "--env HF_TOKEN" in docker.stdout
    assert "hf-planted" not in docker.stdout
    unknown = run("args", "here/nope")
    assert unknown.returncode == 1
    assert "known: here/tiny" in unknown.stderr


def test_every_command_has_help_and_usage_errors_exit_with_1(run: Run) -> None:
    listing = run("--help")
    for name in COMMANDS:
        assert name in listing.stdout
        assert run(name, "--help").returncode == 0
    assert "Exit codes" in listing.stdout
    wrong = run("plan", "--nope")
    assert wrong.returncode == 1, "2 means that there are changes"
    assert "--nope" in wrong.stderr
    assert run("nonsense").returncode == 1


@pytest.mark.parametrize("argv", [("--help",), ("-h",), ()])
@pytest.mark.parametrize("columns", ["60", "80", "200", ""])
def test_the_help_that_is_printed_without_click_is_clicks(run: Run, argv: tuple[str, ...], columns: str) -> None:
    """`make reference` writes it again."""
    assert run(*argv, COLUMNS=columns).stdout == run("--no-color", "--help", COLUMNS=columns).stdout


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("plna",), "Error: there is no command 'plna'; did you mean 'plan'?\n"),
        (("vallidate", "stack.toml"), "did you mean 'validate'?"),
        (("xyzzy",), "Error: there is no command 'xyzzy'\n"),
        (("plan", "--no-color"), "Error: --no-color stands before the command: cortexctl --no-color COMMAND\n"),
        (("plan", "--targt", "x"), "'--target'"),
    ],
)
def test_a_misspelt_command_or_option_has_its_correction(run: Run, argv: tuple[str, ...], message: str) -> None:
    done = run(*argv)
    assert done.returncode == 1
    assert message in done.stderr


def test_a_variable_of_the_environment_in_another_case_is_named(run: Run, tmp_path: Path) -> None:
    stack = model_text() + "[vars.chat_len]\ndefault = 4096\n"
    (tmp_path / "stack.toml").write_text(stack_text(stack))
    wrong = run("validate", "stack.toml", CORTEXCTL_VAR_CHAT_LEN="1024")
    assert "Warning[CX111] CORTEXCTL_VAR_CHAT_LEN sets no variable: the name in the stack is chat_len" in wrong.stdout
    assert "set CORTEXCTL_VAR_chat_len" in wrong.stdout
    right = {"CORTEXCTL_VAR_CHAT_LEN": "1024", "CORTEXCTL_VAR_chat_len": "1024", "CORTEXCTL_VAR_OTHER": "1"}
    assert "CX111" not in run("validate", "stack.toml", **right).stdout


def test_the_stack_file_in_a_folder_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(stack_text(model_text()))
    done = run("validate", ".")
    assert "name the stack file in it: stack.toml" in done.stdout + done.stderr


@pytest.mark.parametrize("group", ["args", "catalog", "lock"])
def test_a_group_without_a_command_shows_its_help(run: Run, group: str) -> None:
    done = run(group)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Usage: cortexctl {group} ")
    assert "Error" not in done.stderr


def test_versions(run: Run) -> None:
    from cortexctl import __version__

    assert run("--version").stdout == f"cortexctl {__version__}\n"
    assert run("version").stdout.startswith(f"cortexctl {__version__}\n")


def test_the_published_schema_is_the_one_in_the_repo(run: Run, repo: Path) -> None:
    printed = run("schema", "stack")
    assert printed.stdout == (repo / "schemas" / "stack.schema.json").read_text()


def test_colour_only_where_it_is_wanted(run: Run, tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert "\x1b[" not in run("plan").stdout
    assert "\x1b[" in run("plan", FORCE_COLOR="1").stdout
    assert "\x1b[" not in run("plan", FORCE_COLOR="1", NO_COLOR="1").stdout
    assert "\x1b[" not in run("--no-color", "plan", FORCE_COLOR="1").stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_product_without_a_reader_is_an_error_without_noise(tmp_path: Path, unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "cortexctl", "catalog", "releases"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
