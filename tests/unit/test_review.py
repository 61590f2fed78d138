"""A review runs no program of the stack and reads nothing of this machine but the stack's own files."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortexctl.files.reading import LARGEST_STACK
from cortexctl.observed.snapshot import snapshot_to_json
from cortexctl.plan.hypothetical import as_if_applied
from tests.fakes.daemon_socket import talking_daemon
from tests.forks import ran
from tests.hostile import commit, git, repository
from tests.reading import desired_from, model_text, stack_text

SECRET = "planted-5f3a91c7"
STACK = stack_text(model_text() + "[models.tiny.args]\nmax_model_len = 1024\n")
REVIEWS = (
    ("validate",),
    ("validate", "--format", "sarif"),
    ("plan", "--against", "none"),
    ("plan", "--observed", "snapshot.json"),
    ("plan", "--no-commands"),
    ("drift", "--no-commands"),
    ("fmt", "--diff"),
)


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[str]:
    """A daemon without containers, and with the images of the stacks."""
    names = ["image:v0.32.0", "vllm/vllm-openai:v0.32.0"]
    image = {"Id": "sha256:" + "1" * 64, "RepoTags": names, "RepoDigests": [], "Config": {}}
    answers = {"/images/json": [image], "/version": {"ApiVersion": "1.41"}}
    answers |= {f"/images/{name}/json": image for name in names}
    with talking_daemon(tmp_path / "daemon.sock", answers) as daemon:
        yield daemon.url


def environ(docker: str = "", **more: str) -> dict[str, str]:
    return {**os.environ, "DOCKER_HOST": docker or "unix:///run/none.sock", **more}


def with_secrets(tmp_path: Path) -> str:
    """Each kind of secret; the command leaves a file behind."""
    (tmp_path / "token").write_text(SECRET)
    return STACK + (
        "[vars.v]\nsecret = true\n\n[models.tiny.secrets]\n"
        f'A = {{ command = ["sh", "-c", "touch {tmp_path}/ran; echo {SECRET}"] }}\n'
        f'B = {{ file = "{tmp_path}/token" }}\nC = {{ env = "PLANTED" }}\nD = {{ var = "v" }}\n'
    )


def snapshot(top: Path, docker: str) -> None:
    done = ran("observe", "stack.toml", "--out", "snapshot.json", cwd=top, env=environ(docker))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("argv", REVIEWS, ids=" ".join)
def test_a_review_reads_no_secret_and_runs_no_command(tmp_path: Path, docker: str, argv: tuple[str, ...]) -> None:
    top = tmp_path / "real"
    repository(top, {"stack.toml": with_secrets(tmp_path)})
    snapshot(top, docker)
    variables = {"PLANTED": SECRET, "CORTEXCTL_VAR_v": SECRET}
    more = ("--out", "plan.json") if argv[0] == "plan" else ()
    done = ran(*argv, *more, cwd=top, env=environ(docker, **variables))
    assert done.returncode in {0, 3}, done.stderr
    assert not (tmp_path / "ran").exists()
    if more:
        after = json.loads((top / "plan.json").read_text())["changes"][0]["after"]
        assert {s["name"]: s["fingerprint"] for s in after["container"]["secrets"]} == dict.fromkeys("ABCD", "")


def test_a_live_plan_reads_secrets(tmp_path: Path, docker: str) -> None:
    """This is the reason for --no-commands."""
    (tmp_path / "stack.toml").write_text(with_secrets(tmp_path))
    variables = {"PLANTED": SECRET, "CORTEXCTL_VAR_v": SECRET}
    assert ran("plan", cwd=tmp_path, env=environ(docker, **variables)).returncode == 0
    assert (tmp_path / "ran").exists()


def test_no_commands_goes_with_no_probe(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(STACK)
    done = ran("plan", "--no-commands", "--probe", cwd=tmp_path)
    assert done.returncode == 1
    assert "--probe runs a program of each image" in done.stderr


def test_a_plan_that_lacks_a_secret_is_not_applied(tmp_path: Path, docker: str) -> None:
    (tmp_path / "stack.toml").write_text(STACK + '[models.tiny.secrets]\nC = { env = "PLANTED" }\n')
    planned = ran("plan", "--no-commands", "--out", "plan.json", cwd=tmp_path, env=environ(docker))
    assert "cortexctl apply plan.json" not in planned.stdout
    shown = ran("show", "plan.json", cwd=tmp_path)
    assert "cortexctl apply" not in shown.stdout
    done = ran("apply", "plan.json", cwd=tmp_path, env=environ(docker, PLANTED=SECRET))
    assert done.returncode == 4
    assert "plan.json was planned without reading secrets, but here/tiny needs the value of C" in done.stderr
    assert "cortexctl plan --out plan.json" in done.stderr


# Files that do not belong to the stack


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A file outside every checkout. Its text is not TOML."""
    file = tmp_path / "token"
    file.write_text(f"{SECRET} {SECRET}\n")
    return file


def irregular(at: Path) -> Iterator[tuple[str, Path]]:
    os.mkfifo(at / "pipe.toml")
    (at / "folder.toml").mkdir()
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(at / "socket.toml"))
    server.close()
    targets = {
        "pipe": at / "pipe.toml",
        "folder": at / "folder.toml",
        "socket": at / "socket.toml",
        "device": Path("/dev/zero"),
        "null": Path("/dev/null"),
        "environ": Path("/proc/self/environ"),
        "status": Path("/proc/self/status"),
        "sys": Path("/sys/kernel/notes"),
    }
    yield from targets.items()


COMMANDS = (
    *REVIEWS,
    *(("plan",), ("apply",), ("drift",), ("status",), ("destroy",), ("history",), ("observe",), ("fit",)),
    *(("lock", "status"), ("fmt",), ("catalog", "upgrade", "--to", "0.32.0")),
)


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_a_file_that_is_not_regular_is_not_a_stack(tmp_path: Path, argv: tuple[str, ...]) -> None:
    top = repository(tmp_path / "real", {"snapshot.json": "{}"})
    for name, target in irregular(tmp_path):
        link = top / f"{name}.toml"
        link.symlink_to(target)
        for path in (link.name, str(target)):
            done = ran(*argv, path, cwd=top, env=environ(PLANTED=SECRET), timeout=60)
            output = done.stdout + done.stderr
            assert done.returncode == 1, (path, output)
            assert "not a regular file" in output or "leads out of" in output or "is a folder" in output, (path, output)
            assert SECRET not in output
            assert "PATH=" not in output
            assert "Traceback" not in output


@pytest.mark.parametrize("argv", REVIEWS, ids=" ".join)
@pytest.mark.parametrize("link", ["file", "folder", "checkout", "chain"])
def test_a_review_follows_no_link_out_of_the_checkout(
    tmp_path: Path, foreign: Path, argv: tuple[str, ...], link: str
) -> None:
    top = repository(tmp_path / "real", {"snapshot.json": "{}"})
    other = repository(tmp_path / "other", {"stack.toml": STACK})
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "stack.toml").write_text(STACK)
    match link:
        case "file":
            (top / "stack.toml").symlink_to(foreign)
        case "chain":
            (top / "one").symlink_to(foreign)
            (top / "stack.toml").symlink_to("one")
        case "folder":
            (top / "s").symlink_to(tmp_path / "plain")
        case _:
            (top / "s").symlink_to(other)
    stack = "s/stack.toml" if (top / "s").exists() else "stack.toml"
    done = ran(*argv, stack, cwd=top, env=environ())
    assert done.returncode == 1
    assert f"{stack} is a link that leads out of {top}, so it is not read" in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("argv", REVIEWS, ids=" ".join)
def test_a_link_inside_the_checkout_is_the_stack(tmp_path: Path, docker: str, argv: tuple[str, ...]) -> None:
    top = repository(tmp_path / "real", {"s/one.toml": STACK, "stack.toml": STACK})
    snapshot(top, docker)
    (top / "stack.toml").unlink()
    (top / "stack.toml").symlink_to("s/one.toml")
    done = ran(*argv, "stack.toml", cwd=top, env=environ(docker))
    assert done.returncode in {0, 3}, done.stderr


@pytest.mark.parametrize(
    "argv", [("plan",), ("apply", "--auto-approve"), ("drift",), ("status",), ("fit",)], ids=" ".join
)
@pytest.mark.parametrize(
    "text",
    [
        f"{SECRET} {SECRET}",
        f'aws_secret = "{SECRET}"\n{SECRET} = 1',
        f"[a]\n{SECRET} = 1\n{SECRET} = 2",
        f'stack = "{SECRET}"\n',
        f'stack = "ok"\n[hosts.here]\ndocker = "{SECRET}"\n',
        SECRET * 1000,
    ],
)
def test_the_operators_own_link_shows_nothing_that_it_cannot_read(
    tmp_path: Path, argv: tuple[str, ...], text: str
) -> None:
    (tmp_path / "token").write_text(text)
    top = repository(tmp_path / "real", {"y": ""})
    for name in ("stack.toml", "stack.json"):
        (top / name).symlink_to(tmp_path / "token")
        done = ran(*argv, name, cwd=top, env=environ())
        assert done.returncode == 1
        assert SECRET not in done.stdout + done.stderr
        assert "leads out of its checkout" in done.stdout + done.stderr


def test_the_operators_own_link_to_a_stack_is_that_stack(tmp_path: Path, docker: str) -> None:
    (tmp_path / "elsewhere.toml").write_text(STACK)
    top = repository(tmp_path / "real", {"y": ""})
    (top / "stack.toml").symlink_to(tmp_path / "elsewhere.toml")
    assert ran("plan", cwd=top, env=environ(docker)).returncode == 0
    direct = ran("plan", str(tmp_path / "elsewhere.toml"), cwd=top, env=environ(docker))
    assert direct.returncode == 0


def test_another_stack_to_compare_with_is_read_as_a_stack(tmp_path: Path, foreign: Path) -> None:
    top = repository(tmp_path / "real", {"stack.toml": STACK})
    (top / "base.toml").symlink_to(foreign)
    done = ran("plan", "--against", "base.toml", cwd=top, env=environ())
    assert done.returncode == 1
    assert "base.toml is a link that leads out of" in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_values_of_variables_are_the_users_unless_the_checkout_brings_them(tmp_path: Path, foreign: Path) -> None:
    text = STACK.replace("1024", '"{{ vars.n }}"') + '\n[vars.n]\ntype = "int"\n'
    top = repository(tmp_path / "real", {"stack.toml": text, "in.toml": "n = 1024\n"})
    (tmp_path / "mine.toml").write_text("n = 1024\n")
    (tmp_path / "link.toml").symlink_to(tmp_path / "real" / "in.toml")
    (top / "out.toml").symlink_to(foreign)
    (top / "out-valid.toml").symlink_to(tmp_path / "mine.toml")
    for file in (top / "in.toml", tmp_path / "mine.toml", tmp_path / "link.toml"):
        assert ran("validate", "--var-file", str(file), cwd=top, env=environ()).returncode == 0, file
    for name in ("out.toml", "out-valid.toml"):
        done = ran("validate", "--var-file", name, cwd=top, env=environ())
        assert done.returncode == 1
        assert f"{name} is a link that leads out of {top}" in done.stdout
        assert SECRET not in done.stdout


def test_a_stack_has_a_largest_size(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(STACK + "#" * (LARGEST_STACK - len(STACK)))
    assert ran("validate", cwd=tmp_path, env=environ()).returncode == 0
    (tmp_path / "stack.toml").write_text(STACK + "#" * (LARGEST_STACK - len(STACK) + 1))
    done = ran("validate", cwd=tmp_path, env=environ())
    assert done.returncode == 1
    assert "stack.toml is larger than 8 MiB" in done.stdout


# Files of models


def gpu_stack(models_dir: str) -> str:
    return (
        f'stack = "demo"\n\n[hosts.here]\nmodels_dir = "{models_dir}"\n'
        'gpus = { count = 1, name = "L40S", memory = "46068 MiB" }\n\n[models.m]\nimage = "vllm/vllm-openai:v0.32.0"\n'
        'source = { path = "m" }\ngpus = [0]\n'
    )


CONFIG = {"architectures": [f"{SECRET}ForCausalLM"], "quantization_config": {"quant_method": SECRET}, "hidden_size": 8}


@pytest.mark.parametrize("argv", [w for w in REVIEWS if w[0] in {"validate", "plan"}], ids=" ".join)
@pytest.mark.parametrize("way", ["absolute", "relative", "folder link", "file link"])
def test_a_review_reads_no_models_files_outside_the_checkout(
    tmp_path: Path, docker: str, argv: tuple[str, ...], way: str
) -> None:
    folder = tmp_path / "models" / "m"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    top = repository(tmp_path / "real", {"y": ""})
    where = {"absolute": str(folder.parent), "relative": "../models"}.get(way, "./models")
    (top / "stack.toml").write_text(gpu_stack(where))
    snapshot(top, docker)
    if way == "folder link":
        (top / "models").symlink_to(folder.parent)
    elif way == "file link":
        (top / "models" / "m").mkdir(parents=True)
        (top / "models" / "m" / "config.json").symlink_to(folder / "config.json")
    done = ran(*argv, cwd=top, env=environ(docker))
    assert SECRET not in done.stdout + done.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    if way in {"folder link", "file link"}:
        (top / "models").unlink() if way == "folder link" else (top / "models" / "m" / "config.json").unlink()
        (top / "models" / "m").mkdir(parents=True, exist_ok=True)
        (top / "models" / "m" / "config.json").write_text(json.dumps(CONFIG))
        own = ran(*argv, cwd=top, env=environ(docker))
        assert SECRET in own.stdout + own.stderr, "its own files are read"


# Values that were not compared


def test_a_snapshots_secret_is_not_compared_and_the_plan_reports_it(tmp_path: Path) -> None:
    stack = STACK + '[models.tiny.secrets]\nC = { env = "PLANTED" }\n'
    (tmp_path / "stack.toml").write_text(stack)
    applied = desired_from(tmp_path / "stack.toml", {"PLANTED": SECRET})
    assert applied.instances[0].spec.container.secrets[0].fingerprint
    (tmp_path / "snapshot.json").write_text(snapshot_to_json(as_if_applied(applied, applied)))
    done = ran("plan", "--observed", "snapshot.json", "--detailed-exitcode", cwd=tmp_path, env=environ(PLANTED="other"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Secrets   not compared, because no secret was read: C\n" in done.stdout
    for output_format, text in (("markdown", "secrets not compared"), ("html", "Secrets not compared")):
        view = ran("plan", "--observed", "snapshot.json", "--format", output_format, cwd=tmp_path, env=environ())
        assert text in view.stdout
    (tmp_path / "stack.toml").write_text(stack.replace("1024", "2048"))
    changed = ran("plan", "--observed", "snapshot.json", cwd=tmp_path, env=environ())
    assert "args.max_model_len   1024 -> 2048" in changed.stdout
    assert "secrets.C" not in changed.stdout
    (tmp_path / "stack.toml").write_text(stack.replace("PLANTED", "OTHER"))
    named = ran("plan", "--observed", "snapshot.json", cwd=tmp_path, env=environ())
    assert "secrets.C   (changed, value hidden)" in named.stdout, "another reference is a change"


# A byte order mark


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_byte_order_mark_changes_nothing(tmp_path: Path, docker: str, ends: str) -> None:
    data = b"\xef\xbb\xbf" + STACK.replace("\n", ends).encode()
    top = repository(tmp_path / "real", {"y": ""})
    (top / "stack.toml").write_bytes(data)
    commit(top, {})
    for argv in (("validate",), ("fit", "--format", "json"), ("plan", "--against", "git:main", "--detailed-exitcode")):
        done = ran(*argv, cwd=top, env=environ(docker))
        assert done.returncode == 0, (argv, done.stderr)
    planned = ran("plan", "--out", "plan.json", cwd=top, env=environ(docker))
    assert planned.returncode == 0, planned.stderr
    done = ran("apply", "plan.json", cwd=top, env=environ(docker))
    assert "has changed since the plan was created" not in done.stderr
    (top / "stack.toml").write_text(STACK)
    assert "has changed since" not in ran("apply", "plan.json", cwd=top, env=environ(docker)).stderr
    (top / "stack.toml").write_text(STACK + "# more\n")
    assert "has changed since" in ran("apply", "plan.json", cwd=top, env=environ(docker)).stderr
    assert git(top, "status", "--porcelain", "stack.toml")
