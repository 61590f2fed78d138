"""Inside the stub process: the behaviour of the release's parser class, shown by verdicts on argument lists."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEHAVIOUR = {
    "underscores": ["m", "--tensor_parallel_size", "2"],
    "underscores=": ["m", "--tensor_parallel_size=2"],
    "prefix": ["m", "--tensor-paral", "2"],
    "no model": [],
    "--model": ["--model", "m"],
    "--model=": ["--model=m"],
    "--model and positional": ["p", "--model", "m"],
    "names first": ["--served-model-name", "n", "--port", "1"],
    "dotted": ["m", "--kv-transfer-config.kv_connector", "X"],
    "dotted=": ["m", "--kv-transfer-config.kv_connector=X"],
    "dotted free": ["m", "--hf-overrides.a_b", "1"],
    "dotted underscores": ["m", "--hf_overrides.a_b", "1"],
    "dotted deep": ["m", "--hf-overrides.a.b", "true"],
    "dotted size": ["m", "--hf-overrides.a", "80g"],
    "dotted append": ["m", "--hf-overrides.a+", "x,y"],
    "dotted append twice": ["m", "--hf-overrides.a+", "x", "--hf-overrides.a+", "y"],
    "dotted short": ["m", "-cc.backend", "eager"],
    "dotted -O": ["m", "-O.backend", "eager"],
    "-O3": ["m", "-O3"],
    "-O 3": ["m", "-O", "3"],
    "-O=3": ["m", "-O=3"],
    "-O {}": ["m", "-O", "{}"],
    "-tp2": ["m", "-tp2"],
    "-tp=2": ["m", "-tp=2"],
    "json size": ["m", "--compilation-config", '{"max_cudagraph_capture_size": 1k}'],
    "json number": ["m", "--compilation-config", "3"],
    "unknown key": ["m", "--compilation-config", '{"zz_unknown": 1}'],
    "--help=": ["m", "--help=all"],
    "twice": ["m", "--port", "1", "--port", "2"],
    "-- after": ["m", "--port", "1", "--"],
    "model after --": ["--port", "1", "--", "m"],
    "lora name=path": ["m", "--lora-modules", "a=b", "c=d"],
    "lora json": ["m", "--lora-modules", '{"name": "a", "path": "b"}'],
    "lora json, key missing": ["m", "--lora-modules", '{"name": "a"}'],
    "lora text": ["m", "--lora-modules", "a"],
    "lora two =": ["m", "--lora-modules", "a=b=c"],
    "lora empty": ["m", "--lora-modules", ""],
    "file": ["m", "--config", "port.yaml", "--host", "h"],
    "file after": ["m", "--port", "2", "--config", "port.yaml"],
    "file=": ["m", "--config=port.yaml"],
    "file, model in it": ["--config", "model.yaml"],
    "file, model in neither": ["--config", "port.yaml"],
    "file with list": ["m", "--config", "list.yaml"],
    "file with true": ["m", "--config", "true.yaml"],
    "file with false": ["m", "--config", "false.yaml"],
    "file with keys": ["m", "--config", "keys.yaml"],
    "file with underscores": ["m", "--config", "underscores.yaml"],
    "file, not yaml": ["m", "--config", "port.json"],
}
"""Name -> argument list that shows a behaviour of the parser class which the facts of no option describe."""

FILES = {
    "port.yaml": "port: 7\n",
    "port.json": '{"port": 7}\n',
    "model.yaml": "model: n\nport: 7\n",
    "list.yaml": "served-model-name: [a, b]\n",
    "true.yaml": "enable-prefix-caching: true\n",
    "false.yaml": "enable-prefix-caching: false\n",
    "keys.yaml": "hf-overrides: {a: 1}\n",
    "underscores.yaml": "tensor_parallel_size: 2\n",
}
"""The configuration files in these argument lists. They are in the working directory."""


def shown(judge: Callable[[list[str]], dict[str, Any]]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, text in FILES.items():
            Path(name).write_text(text)
        verdicts = {name: judge(arguments) for name, arguments in BEHAVIOUR.items()}
    for verdict in verdicts.values():
        verdict.pop("text", None)
        verdict.get("values", {}).pop("config", None)
    return verdicts
