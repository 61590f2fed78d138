"""Command lines by lot, read by us and by the real parser in the image: in one probe, which takes half a minute."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from cortexctl.desired.stack import Host
from cortexctl.engines.vllm.catalogue.catalogue import release
from cortexctl.engines.vllm.command.parse import MODEL_TAG, Parsed, parse
from cortexctl.engines.vllm.command.verdict import judge
from cortexctl.hosts.image_parser import probe_parser
from cortexctl.observed.parser_verdict import ParserVerdict
from tests.command_lines import Line, Lines
from tests.live import REAL_VLLM, live_daemon

pytestmark = pytest.mark.vllm

RELEASE = release("0.32.0")
COUNT, SEED = 1000, 32
OTHERWISE = {
    ("mm-processor-device", "cuda"): "the CPU build knows its own device alone; the catalogue is of the CUDA build",
}
"""(Part of one word, part of the next or the same): where a CPU build differs, and why."""
MADE_OF_IT = {
    *("backend", "mla_prefill_backend"),  # a class
    *("mode", "cudagraph_mode"),  # a number
    *("fused_add_rms_norm", "gelu_and_mul_sparse", "rms_norm"),  # a list
    *("debug_dump_path", "engine_id"),  # a path, an id by lot
}
"""Keys whose value their config's class turns into something of its own."""
NO_LIST = {"weight", "activation"}
"""Keys of QuantSpec. They take names of quantisations, of which the catalogue has no list."""

Asked = list[tuple[Line, ParserVerdict]]


@pytest.fixture(scope="module")
def asked() -> Asked:
    lines = Lines(RELEASE, SEED).draw(COUNT)
    with live_daemon(f"cxt-{secrets.token_hex(3)}") as live:
        image = live.docker_cli("image", "inspect", "--format", "{{.Id}}", REAL_VLLM)
        answer = probe_parser(Host("here", live.docker), live.stack, image, "serve", lines)
    assert answer.problem == ""
    return [pair for pair in zip(lines, answer.verdicts, strict=True) if not differs_on_a_cpu(pair[0])]


def differs_on_a_cpu(line: Line) -> bool:
    text = " ".join(line).replace("_", "-")
    return any(a in text and b in text for a, b in OTHERWISE) or any(
        f'"{k}"' in text or f".{k}" in text for k in NO_LIST
    )


def test_there_is_enough_of_everything(asked: Asked) -> None:
    kinds = [v.verdict for _, v in asked]
    assert len(asked) > 0.98 * COUNT
    assert kinds.count("ok") > COUNT / 4
    for kind in ("unrecognized", "choice", "value", "explicit", "ambiguous"):
        assert kinds.count(kind) > 10, kind


def test_what_the_parser_accepts_we_accept_and_nothing_else(asked: Asked) -> None:
    wrong = [(line, v.verdict, v.text) for line, v in asked if parse(line, RELEASE).accepted is not v.accepted]
    assert wrong == []
    wrong = [(line, v.verdict, v.text) for line, v in asked if judge(line, "0.32.0").accepted is not v.accepted]
    assert wrong == []


def test_what_the_parser_reads_we_read(asked: Asked) -> None:
    pairs = [(line, parse(line, RELEASE), v) for line, v in asked if v.accepted]
    wrong = [(line, found) for line, parsed, v in pairs if (found := unlike(parsed, v.values))]
    assert wrong == []


def unlike(parsed: Parsed, values: Any) -> dict[str, Any]:
    """By option: (ours, the parser's) where they differ."""
    ours = {name: (value, RELEASE.options[name]) for name, value in parsed.options.items()}
    found = {}
    for name, (value, option) in ours.items():
        theirs = values.get(
            option.dest,
            {"object": option.config} if isinstance(value, dict) and option.kind == "config" else option.default,
        )
        if option.kind == "lora":
            theirs = [lora(one) if isinstance(mine, str) else one for mine, one in zip(value, theirs, strict=True)]
        if not same(value, theirs):
            found[name] = (value, theirs)
    if parsed.model != (values.get(MODEL_TAG) or ""):
        found[MODEL_TAG] = (parsed.model, values.get(MODEL_TAG))
    known = {option.dest for _, option in ours.values()} | {MODEL_TAG}
    return found | {dest: (..., values[dest]) for dest in values.keys() - known}


def lora(module: Any) -> str:
    return f"{module['name']}={module['path']}"


def same(ours: Any, theirs: Any) -> bool:
    """A config's class fills in more than was said, leaves out what is its default, and makes numbers of digits."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        is_class = "object" in theirs
        if not is_class and ours.keys() != theirs.keys():
            return False
        return all((is_class and k in MADE_OF_IT) or same(v, theirs[k]) for k, v in ours.items() if k in theirs)
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(theirs) == len(ours) and all(map(same, ours, theirs))
    return bool(ours == theirs) or str(ours).lower() == str(theirs).lower()
