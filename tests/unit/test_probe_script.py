"""The script that runs inside images, in processes of this machine, over small packages laid out as releases are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.small_vllm import LAYOUTS, write

SCRIPT = (Path(__file__).parents[2] / "cortexctl" / "hosts" / "image_parser_script.py").read_text()


def parser_answers(
    folder: Path, program: str, *lists: list[str], seconds: int = 60, **env: str
) -> list[dict[str, Any]]:
    argv = [program, str(seconds), *(json.dumps(each) for each in lists)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *argv],
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", **env},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(params=LAYOUTS)
def release(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    write(tmp_path / "packages", request.param)
    return request.param, tmp_path / "packages"


def test_the_parser_of_every_release_is_found(release: tuple[str, Path]) -> None:
    version, folder = release
    right, wrong = parser_answers(folder, "serve", ["m", "--max_model_len", "8", "--dtype", "auto"], ["m", "--bogus"])
    assert right == {
        "accepted": True,
        "verdict": "ok",
        "text": "",
        "values": {"model_tag": "m", "max_model_len": 8},
        "release": version,
    }
    assert (wrong["accepted"], wrong["text"]) == (False, "unrecognized arguments: --bogus")
    (module,) = parser_answers(folder, "api_server", ["--model", "m", "--port", "1"])
    assert module["values"] == {"model": "m", "port": 1}


@pytest.mark.parametrize(
    ("argv", "verdict"),
    [
        (["--bogus"], "unrecognized"),
        (["--dtype", "float8"], "choice"),
        (["--max-model-len", "many"], "value"),
        (["--max-model-len"], "value"),
        (["--m", "1"], "ambiguous"),
        (["--help"], "exit"),
        (["--chat-template", "/nowhere"], "unknown"),
    ],
)
def test_each_error_has_a_kind(tmp_path: Path, argv: list[str], verdict: str) -> None:
    write(tmp_path / "packages", "0.33.0")
    (answer,) = parser_answers(tmp_path / "packages", "serve", ["m", *argv])
    assert (answer["accepted"], answer["verdict"]) == (False, verdict)
    assert answer["text"]


def test_a_missing_model_is_a_missing_argument(tmp_path: Path) -> None:
    write(tmp_path / "packages", "0.7.0")
    assert [s["verdict"] for s in parser_answers(tmp_path / "packages", "serve", [])] == ["required"]


@pytest.mark.parametrize("version", ["0.9.0", "0.33.0"])
def test_the_cpu_stands_in_for_a_device_under_its_name(tmp_path: Path, version: str) -> None:
    write(tmp_path / "packages", version)
    cuda, cpu = parser_answers(tmp_path / "packages", "serve", ["m", "--device", "cuda"], ["m", "--device", "cpu"])
    assert (cuda["accepted"], cpu["verdict"]) == (True, "choice")


def test_a_package_that_cannot_be_loaded_is_reported(tmp_path: Path) -> None:
    write(tmp_path / "packages", "0.33.0")
    (tmp_path / "packages/vllm/entrypoints/cli/serve.py").write_text("import nothing_like_it\n")
    answers = parser_answers(tmp_path / "packages", "serve", ["m"])
    assert answers == [{"failed": "ModuleNotFoundError: No module named 'nothing_like_it'"}]
    assert parser_answers(tmp_path, "serve", ["m"]) == [
        {"failed": "ModuleNotFoundError: the image's python3 has no package vllm"}
    ]


def test_it_ends_by_itself(tmp_path: Path) -> None:
    write(tmp_path / "packages", "0.33.0")
    assert parser_answers(tmp_path / "packages", "serve", ["m"], seconds=1, SMALL_VLLM_SLEEP="600") == []
