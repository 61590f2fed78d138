"""The statements of docs/guides/diagnose.md are true."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from cortexctl.engines.vllm.diagnosis.diagnose import GROUPS, diagnose
from cortexctl.observed.container_state import ContainerState
from cortexctl.operations.results import Diagnosed
from cortexctl.render.diagnosis import diagnosed_json, diagnosed_text
from cortexctl.render.style import Ink

REPO = Path(__file__).parent.parent.parent
GUIDE = (REPO / "docs" / "guides" / "diagnose.md").read_text()
NEXT = "edit stack.toml as shown, then: cortexctl plan --target gpu-1/chat"


def shown() -> Diagnosed:
    """The diagnosis of the guide's example."""
    evidence = re.search(r"^    \| (.*)$", GUIDE, re.MULTILINE)
    assert evidence is not None
    return Diagnosed(
        "gpu-1/chat",
        diagnose([evidence[1]]),
        evidence[1],
        NEXT,
        container="vllm-model-chat--g3",
        role="candidate",
        generation=3,
        state=ContainerState(running=False, exit_code=1),
        stage="weights loaded",
    )


def test_the_guide_shows_a_diagnosis_of_today() -> None:
    example = re.search(r"```text\n\$ cortexctl diagnose gpu-1/chat\n(.*?)```", GUIDE, re.DOTALL)
    assert example is not None
    assert example[1] == diagnosed_text(shown(), Ink(enabled=False))


def test_the_guides_json_has_the_keys_that_there_are() -> None:
    example = re.search(r"```json\n(.*?)```", GUIDE, re.DOTALL)
    assert example is not None
    documented, now = json.loads(example[1]), diagnosed_json(shown())
    assert list(documented) == list(now)
    for key in set(now) - {"cause", "fix", "evidence", "last_error"}:
        assert documented[key] == now[key], key


def test_the_guide_names_every_module_of_the_table_and_every_option() -> None:
    named = re.findall(r"^\| `(\w+)` \| ", GUIDE, re.MULTILINE)
    assert set(named) == {group.__name__.rpartition(".")[2] for group in GROUPS} | {"ending"}
    usage = subprocess.run(
        [sys.executable, "-m", "cortexctl", "diagnose", "--help"], capture_output=True, text=True, check=True, cwd=REPO
    ).stdout
    options = set(re.findall(r"--[a-z-]+", usage)) - {"--help"}
    assert set(re.findall(r"`(--[a-z-]+)", GUIDE)) == options
