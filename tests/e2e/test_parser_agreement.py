"""Random command lines, read by us and by the real parser in the image. All are in one probe, which takes half a minute."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from cortexctl.desired.stack import Host
from cortexctl.engines.vllm.catalogue.catalogue import release
from cortexctl.engines.vllm.command.parse import MODEL_TAG, Parsed, parse
from cortexctl.engines.vllm.command.verdict import judge
from cortexctl.hosts.image_parser import probe_parser
from cortexctl.hosts.transports.choice import connection_to
from cortexctl.observed.parser_verdict import ParserVerdict
from tests.command_lines import Line, Lines
from tests.live import REAL_VLLM, live_daemon

pytestmark = pytest.mark.vllm

RELEASE = release("0.32.0")
COUNT, SEED = 1000, 32
OTHERWISE = {
    ("mm-processor-device", "cuda"): "the CPU build has only its own device; the catalogue describes the CUDA build",
}
"""(Part of one argument, part of the next or the same) -> why a CPU build differs."""
MADE_OF_IT = {
    *("backend", "mla_prefill_backend"),  # a class
    *("mode", "cudagraph_mode"),  # a number
    *("fused_add_rms_norm", "gelu_and_mul_sparse", "rms_norm"),  # a list
    *("debug_dump_path", "engine_id"),  # a path, a random id
}
"""Keys whose value their config's class converts to another type."""
NO_LIST = {"weight", "activation"}
"""Keys of QuantSpec. They take names of quantisations, of which the catalogue has no list."""

Verdicts = list[tuple[Line, ParserVerdict]]


@pytest.fixture(scope="module")
def verdicts() -> Verdicts:
    lines = Lines(RELEASE, SEED).draw(COUNT)
    with live_daemon(f"cxt-{secrets.token_hex(3)}") as live:
        image = live.docker_cli("image", "inspect", "--format", "{{.Id}}", REAL_VLLM)
        answer = probe_parser(connection_to(Host("here", live.docker)), live.stack, image, "serve", lines)
    assert answer.problem == ""
    return [pair for pair in zip(lines, answer.verdicts, strict=True) if not differs_on_a_cpu(pair[0])]


def differs_on_a_cpu(line: Line) -> bool:
    text = " ".join(line).replace("_", "-")
    return any(a in text and b in text for a, b in OTHERWISE) or any(
        f'"{k}"' in text or f".{k}" in text for k in NO_LIST
    )


def test_there_is_enough_of_everything(verdicts: Verdicts) -> None:
    kinds = [v.verdict for _, v in verdicts]
    assert len(verdicts) > 0.98 * COUNT
    assert kinds.count("ok") > COUNT / 4
    for kind in ("unrecognized", "choice", "value", "explicit", "ambiguous"):
        assert kinds.count(kind) > 10, kind


def test_what_the_parser_accepts_we_accept_and_nothing_else(verdicts: Verdicts) -> None:
    wrong = [(line, v.verdict, v.text) for line, v in verdicts if parse(line, RELEASE).accepted is not v.accepted]
    assert wrong == []
    wrong = [(line, v.verdict, v.text) for line, v in verdicts if judge(line, "0.32.0").accepted is not v.accepted]
    assert wrong == []


def test_what_the_parser_reads_we_read(verdicts: Verdicts) -> None:
    pairs = [(line, parse(line, RELEASE), v) for line, v in verdicts if v.accepted]
    wrong = [(line, different) for line, parsed, v in pairs if (different := unlike(parsed, v.values))]
    assert wrong == []


def unlike(parsed: Parsed, values: Any) -> dict[str, Any]:
    """Option -> (our value, the parser's value), for each difference."""
    ours = {name: (value, RELEASE.options[name]) for name, value in parsed.options.items()}
    different = {}
    for name, (value, option) in ours.items():
        theirs = values.get(
            option.dest,
            {"object": option.config} if isinstance(value, dict) and option.kind == "config" else option.default,
        )
        if option.kind == "lora":
            theirs = [lora(one) if isinstance(mine, str) else one for mine, one in zip(value, theirs, strict=True)]
        if not same(value, theirs):
            different[name] = (value, theirs)
    if parsed.model != (values.get(MODEL_TAG) or ""):
        different[MODEL_TAG] = (parsed.model, values.get(MODEL_TAG))
    known = {option.dest for _, option in ours.values()} | {MODEL_TAG}
    return different | {dest: (..., values[dest]) for dest in values.keys() - known}


def lora(module: Any) -> str:
    return f"{module['name']}={module['path']}"


def same(ours: Any, theirs: Any) -> bool:
    """Whether two values are equal. A config's class adds keys, omits defaults, and converts digits to numbers."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        is_class = "object" in theirs
        if not is_class and ours.keys() != theirs.keys():
            return False
        return all((is_class and k in MADE_OF_IT) or same(v, theirs[k]) for k, v in ours.items() if k in theirs)
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(theirs) == len(ours) and all(map(same, ours, theirs))
    return bool(ours == theirs) or str(ours).lower() == str(theirs).lower()
