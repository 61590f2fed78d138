"""Secret values by reference: the values that are read, and the errors if there is none. No error shows a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortexctl.errors import SecretUnresolved
from cortexctl.instance.spec import SecretRef
from cortexctl.secrets.resolver import SecretReader


def reader(tmp_path: Path) -> SecretReader:
    (tmp_path / "key").write_text("from-a-file\n")
    (tmp_path / "two").write_text("first\nsecond\r\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    return SecretReader({"KEY": "from-env", "EMPTY": ""}, tmp_path, lambda: {"name": "from-a-variable"})


@pytest.mark.parametrize(
    ("source", "key", "value"),
    [
        ("env", "KEY", "from-env"),
        ("file", "key", "from-a-file"),
        ("file", "two", "first\nsecond"),
        ("var", "name", "from-a-variable"),
        ("command", "printf 'from a program\\n'", "from a program"),
        ("command", "cat two", "first\nsecond"),
        ("command", "echo '$KEY' '`id`'", "$KEY `id`"),
    ],
)
def test_a_value_is_read_from_its_source(tmp_path: Path, source: str, key: str, value: str) -> None:
    assert reader(tmp_path).read(source, key) == value


def test_the_value_of_a_reference_is_read_from_its_source(tmp_path: Path) -> None:
    assert reader(tmp_path).value(SecretRef("HF_TOKEN", "file", "key", "")) == "from-a-file"


@pytest.mark.parametrize(
    ("source", "key", "message"),
    [
        ("env", "NOT_SET", "the environment variable NOT_SET is not set"),
        ("env", "EMPTY", "the environment variable EMPTY is empty"),
        ("file", "missing", "the file missing cannot be read: No such file or directory"),
        ("file", ".", "the file . cannot be read: Is a directory"),
        ("file", "empty", "the file empty is empty"),
        ("file", "binary", "the file binary is not UTF-8 text"),
        ("command", "no-such-program x", "the command no-such-program cannot be run: No such file or directory"),
        ("command", "sh -c 'echo planted >&2; echo planted; exit 3'", "the command sh failed with exit code 3"),
        ("command", "true", "the command true printed nothing"),
        ("command", "cat binary", "the command cat printed text that is not UTF-8"),
        ("var", "other", "the variable other has no value; give it with CORTEXCTL_VAR_other"),
    ],
)
def test_an_unresolved_secret_is_named_by_its_reference(tmp_path: Path, source: str, key: str, message: str) -> None:
    with pytest.raises(SecretUnresolved) as failure:
        reader(tmp_path).read(source, key)
    assert failure.value.message == message
