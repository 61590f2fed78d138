"""The resolved stack in the user's cache: it never changes a result, and never holds a secret."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cortexctl.operations import cached_stack
from cortexctl.operations.read_stack import SecretMode, StackReader, StackReading
from cortexctl.operations.run_secrets import KNOWN
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.stack import load
from cortexctl.store import private_cache
from cortexctl.store.cache_folder import cache_folder
from tests.loading import loaded_by
from tests.reading import DOCKER, model_text, stack_text
from tests.record_stack_case import CASES, stack_file
from tests.waiting import AT_MOST

VALID = [
    case / stack_file(case)
    for case in sorted(CASES.iterdir())
    if "Error[" not in (case / "diagnostics.txt").read_text()
]
STACKS = [
    *VALID,
    *sorted(CASES.parent.glob("plan/*/stack.toml")),
    *sorted(Path(CASES.parents[2], "stacks").glob("*.toml")),
]
FIELDS = ("", "image", "gpus", "args", "publish", "source.path", "args.max_model_len", "no such field")
RUNS = (StackChoice(), StackChoice(env="staging"))


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    KNOWN.forget()
    monkeypatch.setenv("DOCKER_HOST", DOCKER)


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the stacks that were resolved: the others came from the cache."""
    paths: list[str] = []
    original = load.load_stack

    def counted(path: str, **options: Any) -> Any:
        paths.append(path)
        return original(path, **options)

    monkeypatch.setattr(load, "load_stack", counted)
    return paths


def reader(path: Path | str, choice: StackChoice = RUNS[0], mode: SecretMode = SecretMode.LENIENT) -> StackReader:
    return StackReader(str(path), choice, mode)


def uncached(one: StackReader) -> StackReading:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cached_stack.OFF, "1")
        return one.read()


def entries() -> list[Path]:
    folder = cache_folder() / "stacks"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def whole(reading: StackReading) -> tuple[Any, ...]:
    """Everything of a reading, also what does not count when two stacks are compared."""
    desired = reading.desired
    if desired is None:
        return (None, reading.diagnostics)
    places = [(i.address, field, i.where.get(field), i.place_of(field)) for i in desired.instances for field in FIELDS]
    types = [repr((i.spec, i.policy)) for i in desired.instances]
    return (
        desired,
        desired.acknowledgements,
        desired.acknowledged,
        desired.invocation,
        reading.diagnostics,
        types,
        places,
    )


# --- it is the same stack


@pytest.mark.parametrize("path", STACKS, ids=lambda p: p.parent.name)
def test_a_cached_stack_is_the_stack(path: Path, resolved: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    one = reader(path.name)
    expected = whole(uncached(one))
    assert whole(one.read()) == expected
    once = len(resolved)
    assert whole(one.read()) == expected
    assert (len(resolved) == once) == bool(entries())


def test_nearly_every_stack_is_cached(resolved: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the test above would show nothing."""
    cached = 0
    monkeypatch.setattr(private_cache, "RETAINED", 1000)
    for path in STACKS:
        monkeypatch.chdir(path.parent)
        reader(path.name).read()
        cached += len(entries()) > cached
    assert len(STACKS) > 80
    assert cached > 0.9 * len(STACKS), f"{cached} of {len(STACKS)}"
    assert resolved


WHOLE = """\
stack = "demo"
acknowledge = { CX218 = "we read every change" }
not_secret = ["models.chat.env.NOTE"]

[vars.tag]
default = "latest"  # hunter2-in-a-comment

[hosts.gpu-1]
models_dir = "models"
[hosts.gpu-2]
docker = "ssh://ops@gpu-2"
models_dir = "/models"

[profiles.prod.args]
max_num_seqs = 8

[models.chat]
image = "vllm/vllm-openai:{{ vars.tag }}"  # hunter2-in-a-comment
source = { path = "chat" }
hosts = ["gpu-*"]
replicas = 2
gpus = "none"
profile = "prod"
env = { B = "2", A = "1", NOTE = "password=correct-horse" }
volumes = ["/certs:/certs:ro"]
args = { max_model_len = 8192, hf_overrides = { b = [1, 1.0, true], a = {} } }
acknowledge = { CX315 = "tried on a CPU" }
gate = { max_ttft = "2s", min_tokens_per_second = 2.0 }
hooks.notify = { on = "post_healthy", command = ["true"], timeout = "7s" }

[env.staging.models.chat]
replicas = 1
"""


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "stack.toml"
    (path.parent / "models" / "chat").mkdir(parents=True)
    (path.parent / "models" / "chat" / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    path.write_text(WHOLE)
    return path


def test_every_part_of_a_stack_is_cached(stack: Path, resolved: list[str]) -> None:
    expected = whole(uncached(reader(stack)))
    assert [d.rule for d in expected[4]] == ["CX209"]
    assert {d.rule for d in expected[2]} == {"CX315"}
    assert [whole(reader(stack).read()) == expected for _ in range(3)] == [True] * 3
    assert len(resolved) == 2


def test_hosts_share_the_specs_of_a_cached_stack(stack: Path) -> None:
    assert len(entries()) == 0
    for _ in range(2):
        instances = reader(stack).read().usable.instances
        assert len({id(i.spec) for i in instances}) == 4  # two hosts that differ, two replicas
        assert len({id(i.policy) for i in instances}) == 1


# --- any other input is another stack


def _edit(old: str, new: str) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def edit(stack: Path, _: pytest.MonkeyPatch) -> None:
        text = stack.read_text()
        assert old in text
        stack.write_text(text.replace(old, new))

    return edit


def _set(name: str, value: str) -> Callable[[Path, pytest.MonkeyPatch], None]:
    return lambda _, patch: patch.setenv(name, value)


def _write(name: str, text: str) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def write(stack: Path, _: pytest.MonkeyPatch) -> None:
        (stack.parent / name).parent.mkdir(exist_ok=True)
        (stack.parent / name).write_text(text)

    return write


def _moved_models(stack: Path, _: pytest.MonkeyPatch) -> None:
    (stack.parent / "models").rename(stack.parent / "elsewhere")
    (stack.parent / "models").symlink_to("elsewhere")


def _without_folder(stack: Path, _: pytest.MonkeyPatch) -> None:
    (stack.parent / "models" / "chat").rename(stack.parent / "models" / "other")


INPUTS: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "value": _edit("max_model_len = 8192", "max_model_len = 4096"),
    "comment": _edit('stack = "demo"', 'stack = "demo"  # a comment moves the places'),
    "overlay": _edit("replicas = 1", "replicas = 3"),
    "variable": _set("CORTEXCTL_VAR_tag", "v0.32.0"),
    "variable in another case": _set("CORTEXCTL_VAR_TAG", "v0.32.0"),
    "daemon": _set("DOCKER_HOST", "unix:///elsewhere.sock"),
    "file of variables": _write("vars.toml", 'tag = "v0.32.0"'),
    "config of a model": _write("models/chat/config.json", '{"quantization_config": {"quant_method": "nothing"}}'),
    "weights of a model": _write("models/chat/model.gguf", ""),
    "folder of a model": _without_folder,
    "link": _moved_models,
}


@pytest.mark.parametrize("change", INPUTS.values(), ids=list(INPUTS))
@pytest.mark.parametrize("choice", RUNS, ids=["", "staging"])
def test_a_changed_input_is_another_stack(
    change: Callable[[Path, pytest.MonkeyPatch], None],
    choice: StackChoice,
    stack: Path,
    resolved: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (stack.parent / "vars.toml").write_text('tag = "latest"')
    files = (str(stack.parent / "vars.toml"),) if change is INPUTS["file of variables"] else ()
    one = reader(stack, StackChoice(choice.env, (), files))
    one.read()
    one.read()
    assert len(resolved) == 1
    assert len(entries()) == 1
    change(stack, monkeypatch)
    after = whole(one.read())
    assert len(resolved) == 2
    assert after == whole(uncached(one))


def test_another_run_is_another_stack(stack: Path, resolved: list[str]) -> None:
    """The options of the command line, and the path in the form that the user wrote."""
    beside = stack.with_name("copy.toml")
    beside.write_text(stack.read_text())
    runs = [
        reader(stack),
        reader(beside),
        reader(stack.parent / "." / ".." / "folder" / "stack.toml"),
        reader(stack, StackChoice(env="staging")),
        reader(stack, StackChoice(variables=("tag=v0.32.0",))),
        StackReader(str(stack), StackChoice(), SecretMode.LENIENT, release="0.11.0"),
    ]
    first = [whole(run.read()) for run in runs]
    assert len(resolved) == len(runs)
    assert [whole(run.read()) for run in runs] == first
    assert len(resolved) == len(runs)
    assert len(entries()) == len(runs)


@pytest.mark.parametrize("what", ["release", "python", "package", "file"])
def test_another_program_resolves_again(
    what: str, stack: Path, resolved: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "site-packages"
    (packages / "cortexctl").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [*sys.path, str(packages)])
    reader(stack).read()
    if what == "release":
        monkeypatch.setattr("cortexctl.__version__", "9.9.9")
    elif what == "python":
        monkeypatch.setattr(sys, "version", "3.99")
    elif what == "package":
        (packages / "pydantic").mkdir()
        os.utime(packages, (1, 1))
    else:
        monkeypatch.setattr("cortexctl.__file__", str(tmp_path / "folder" / "cortexctl" / "__init__.py"))
        (tmp_path / "folder" / "cortexctl").mkdir()
    reader(stack).read()
    assert len(resolved) == 2


def test_a_changed_file_of_a_checkout_is_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "checkout" / "cortexctl"
    (home / "stack").mkdir(parents=True)
    (home / "stack" / "load.py").write_text("one = 1\n")
    (home / "__pycache__").mkdir()
    monkeypatch.setattr("cortexctl.__file__", str(home / "__init__.py"))
    before = cached_stack._program()
    (home / "__pycache__" / "load.pyc").write_text("")
    assert cached_stack._program() == before
    (home / "stack" / "load.py").write_text("one = 12\n")
    assert cached_stack._program() != before


# --- what is not cached


def test_errors_reviews_and_other_texts_are_not_cached(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader(stack, mode=SecretMode.REVIEW).read()
    reader(stack).read(text=stack.read_text())
    reader(stack).read(hosts_only=True)
    monkeypatch.setenv(cached_stack.OFF, "1")
    reader(stack).read()
    monkeypatch.delenv(cached_stack.OFF)
    stack.write_text(WHOLE.replace("replicas = 2", "replicas = 0"))
    assert reader(stack).read().desired is None
    assert entries() == []


def test_a_stack_behind_a_link_out_of_its_checkout_is_not_cached(stack: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(stack)
    (tmp_path / "checkout" / ".git").mkdir(parents=True)
    inside = tmp_path / "checkout" / "stack.toml"
    inside.symlink_to(stack)
    reader(inside).read()
    assert entries() == []


def test_a_model_with_a_draft_model_is_not_cached(stack: Path) -> None:
    """Its check reads more files than are recorded."""
    draft = '{ model = "/models/draft", num_speculative_tokens = 2, method = "eagle3" }'
    text = WHOLE.replace("max_model_len = 8192", f"speculative_config = {draft}")
    stack.write_text(text.replace("latest", "v0.11.0"))
    assert reader(stack).read().desired is not None
    assert entries() == []


def test_it_never_fails_without_a_home(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert reader(stack).read().desired is not None


# --- secrets

SECRET = "Ahnu7-Gei2o-quie4"
HIDDEN = "uy8Ee-Vah1a-oTh9d"
WITH_SECRETS = stack_text(
    model_text(secrets='{ A = { env = "PLANTED" }, B = { file = "planted" }, C = { command = ["cat", "planted"] } }')
    + '[models.tiny.hooks.h]\non = "pre_stop"\nurl = { env = "PLANTED" }\n',
)


def _forms(value: str) -> list[bytes]:
    raw = value.encode()
    digests = [hashlib.new(name, raw).hexdigest().encode() for name in ("md5", "sha1", "sha256")]
    return [raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"="), json.dumps(value)[1:-1].encode(), *digests]


def _cached() -> bytes:
    return b"\n".join(str(e).encode() + e.read_bytes() for e in cache_folder().rglob("*") if e.is_file())


def test_a_secret_is_read_in_every_run_and_never_cached(
    tmp_path: Path, resolved: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = tmp_path / "stack.toml"
    stack.write_text(WITH_SECRETS)
    prints = set()
    for value in (SECRET, HIDDEN):
        (tmp_path / "planted").write_text(value)
        monkeypatch.setenv("PLANTED", value)
        one = reader(stack, mode=SecretMode.RESOLVE)
        assert whole(one.read()) == whole(one.read()) == whole(uncached(one))
        current = {s.fingerprint for i in one.read().usable.instances for s in i.spec.container.secrets}
        assert len(current) == 3
        prints |= current
        assert KNOWN.hide(value) == "***"
    assert len(prints) == 6
    assert resolved.count(str(stack)) == 3  # once for the cache, and twice without it
    assert len(entries()) == 1
    content = _cached()
    assert b"PLANTED" in content
    assert not [p for p in prints if p.encode() in content]
    assert not [text for value in (SECRET, HIDDEN) for text in _forms(value) if text in content]


def test_a_secret_without_a_value_is_reported_as_ever(
    tmp_path: Path, resolved: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = tmp_path / "stack.toml"
    stack.write_text(WITH_SECRETS)
    (tmp_path / "planted").write_text(SECRET)
    monkeypatch.setenv("PLANTED", SECRET)
    one, lenient = reader(stack, mode=SecretMode.RESOLVE), reader(stack)
    one.read()
    monkeypatch.delenv("PLANTED")
    assert [d.rule for d in one.read().diagnostics if d.is_error] == ["CX204"]
    assert whole(one.read()) == whole(uncached(one))
    resolved.clear()
    assert whole(lenient.read()) == whole(uncached(lenient))
    assert resolved == [str(stack)]


def test_secret_variables_comments_and_passwords_are_not_in_the_cache(
    tmp_path: Path, stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader(stack).read()
    assert b"hunter2" not in _cached()
    values = tmp_path / "values.toml"
    values.write_text(f'planted = "{SECRET}"\n')
    secret = tmp_path / "secret.toml"
    secret.write_text(stack_text(model_text(secrets='{ A = { var = "planted" } }')) + "[vars.planted]\nsecret = true\n")
    other = tmp_path / "other.toml"
    other.write_text(stack_text(model_text()))
    monkeypatch.setenv("CORTEXCTL_VAR_planted", HIDDEN)
    for one in (secret, other):
        for choice in (StackChoice(), StackChoice(variables=(f"planted={SECRET}",)), StackChoice(files=(str(values),))):
            for mode in (SecretMode.RESOLVE, SecretMode.LENIENT, SecretMode.SKIP):
                reader(one, choice, mode).read()
    monkeypatch.setenv("DOCKER_HOST", f"tcp://ops:{SECRET}@gpu-1:2376")
    reader(other).read()
    content = _cached()
    assert b"tiny" in content
    assert not [text for value in (SECRET, HIDDEN) for text in _forms(value) if text in content]


def test_a_stack_that_has_the_value_of_a_secret_in_the_open_is_not_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = tmp_path / "stack.toml"
    stack.write_text(stack_text(model_text(secrets='{ A = { env = "PLANTED" } }', env='{ NOTE = "plainword" }')))
    monkeypatch.setenv("PLANTED", "plainword")
    assert reader(stack, mode=SecretMode.RESOLVE).read().desired is not None
    assert entries() == []


# --- the files


def _damage(entry: Path, content: bytes) -> None:
    entry.write_bytes(content)


def _with_digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def _altered(entry: Path, change: Callable[[Any], None]) -> None:
    data = json.loads(entry.read_bytes().partition(b"\n")[2])
    change(data)
    _damage(entry, _with_digest(json.dumps(data).encode()))


def _link(entry: Path) -> None:
    entry.rename(entry.with_name("target"))
    entry.symlink_to("target")


def _pipe(entry: Path) -> None:
    entry.unlink()
    os.mkfifo(entry, 0o600)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "empty": lambda e: _damage(e, b""),
    "truncated": lambda e: _damage(e, e.read_bytes()[:-20]),
    "one bit": lambda e: _damage(e, e.read_bytes().replace(b'"max_model_len":8192', b'"max_model_len":8193')),
    "no JSON": lambda e: _damage(e, _with_digest(b"{")),
    "deep": lambda e: _damage(e, _with_digest(b"[" * 100_000)),
    "a list": lambda e: _damage(e, _with_digest(b"[]")),
    "bytes": lambda e: _damage(e, _with_digest(b"\xff\xfe")),
    "large": lambda e: _damage(e, _with_digest(b" " * (private_cache.LARGEST + 1))),
    "a host that is missing": lambda e: _altered(e, lambda d: d["groups"][0].extend([7, 8])),
    "a field of a wrong type": lambda e: _altered(e, lambda d: d["specs"][0]["container"].update(image=7)),
    "an unknown field": lambda e: _altered(e, lambda d: d["specs"][0]["server"].update(more=7)),
    "a line that is missing": lambda e: _altered(e, lambda d: d["diagnostics"][0].update(span=[999, 1, 2, []])),
    "no facts": lambda e: _altered(e, lambda d: d.pop("facts")),
    "variables in a list": lambda e: _altered(e, lambda d: d.update(variables=[])),
    "another question": lambda e: _altered(e, lambda d: d.update(facts=[["run", "/bin/true", ""]])),
    "readable for others": lambda e: e.chmod(0o644),
    "writable for others": lambda e: e.chmod(0o622),
    "a link": _link,
    "a pipe": _pipe,
    "a folder of others": lambda e: e.parent.chmod(0o777),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_a_file_that_cannot_be_trusted_is_written_again(
    damage: Callable[[Path], None], stack: Path, resolved: list[str]
) -> None:
    expected = whole(reader(stack).read())
    (entry,) = entries()
    assert entry.stat().st_mode & 0o777 == 0o600
    good = entry.read_bytes()
    damage(entry)
    assert whole(reader(stack).read()) == expected
    assert len(resolved) == 2
    assert entry.read_bytes() == good
    assert not entry.is_symlink()
    assert entry.stat().st_mode & 0o777 == 0o600
    assert entry.parent.stat().st_mode & 0o777 == 0o700
    assert whole(reader(stack).read()) == expected
    assert len(resolved) == 2


def test_files_of_another_user_are_neither_read_nor_written(
    stack: Path, resolved: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = whole(reader(stack).read())
    before = [(e, e.stat().st_mtime_ns) for e in entries()]
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert whole(reader(stack).read()) == expected
    assert len(resolved) == 2
    assert [(e, e.stat().st_mtime_ns) for e in entries()] == before


def test_a_linked_folder_is_not_used(stack: Path, tmp_path: Path, resolved: list[str]) -> None:
    (tmp_path / "target").mkdir(mode=0o700)
    cache_folder().mkdir(parents=True)
    (cache_folder() / "stacks").symlink_to(tmp_path / "target")
    assert whole(reader(stack).read()) == whole(reader(stack).read())
    assert len(resolved) == 2
    assert list((tmp_path / "target").iterdir()) == []


@pytest.mark.parametrize("call", ["fdopen", "replace", "mkdir"])
def test_a_disk_that_takes_nothing_is_no_error(
    call: str, stack: Path, resolved: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(os, call)

    def refused(file: Any, *more: Any, **options: Any) -> Any:
        if call == "fdopen" and more == ("rb",):
            return original(file, *more, **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refused)
        assert reader(stack).read().desired is not None
    assert entries() == []
    assert reader(stack).read().desired is not None
    assert len(resolved) == 2


def test_the_oldest_files_are_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    for number in range(private_cache.RETAINED + 4):
        private_cache.write(folder, f"{number:02}", b"content")
        os.utime(folder / f"{number:02}", (number, number))
    private_cache.write(folder, "last", b"content")
    assert sorted(p.name for p in folder.iterdir()) == [*(f"{n:02}" for n in range(5, 20)), "last"]
    private_cache.write(folder, "large", b" " * private_cache.LARGEST)
    assert not (folder / "large").exists()


def test_a_reader_sees_a_whole_file_while_others_write(tmp_path: Path) -> None:
    contents = [bytes([65 + number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            list(pool.map(lambda content: private_cache.write(tmp_path / "cache", "one", content), contents))
            seen = pool.map(lambda _: private_cache.read(tmp_path / "cache", "one"), range(8))
            assert set(seen) <= set(contents)
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["one"]


# --- it is quick because little is imported


def test_a_cached_stack_needs_no_reader_of_stacks(tmp_path: Path) -> None:
    stack = tmp_path / "stack.toml"
    stack.write_text(
        stack_text(model_text(), hosts='[hosts.here]\ndocker = "unix:///nowhere.sock"\nmodels_dir = "/m"\n')
    )
    code = (
        "import sys\n"
        "from cortexctl.operations.read_stack import StackReader\n"
        "from cortexctl.operations.stack_choice import StackChoice\n"
        f"assert StackReader({str(stack)!r}, StackChoice()).read().usable\n"
        "print(*(m for m in sys.modules if m.startswith(('cortexctl.stack', 'cortexctl.engines.vllm.command.check'))))\n"
    )
    run = [sys.executable, "-c", code]
    cold, warm = (subprocess.run(run, capture_output=True, text=True, check=True, timeout=AT_MOST) for _ in range(2))
    assert "cortexctl.stack.load" in cold.stdout.split()
    assert warm.stdout.split() == []
    assert not {"pydantic", "tree_sitter"} & loaded_by("plan", str(stack), "--allow-unreachable")
