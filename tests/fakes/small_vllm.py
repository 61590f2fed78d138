"""A package `vllm` of a few lines, with the layouts of real releases, for the script of a probe."""

from __future__ import annotations

from pathlib import Path

PARSER = """
import argparse, json, os, time
from pathlib import Path

class FlexibleArgumentParser(argparse.ArgumentParser):
    def parse_args(self, args=None, namespace=None):
        return super().parse_args([w.replace("_", "-") if w.startswith("--") else w for w in args], namespace)

def permissions(_):
    "Reports the permissions of the process as the error of an argument."
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    limits = [p for p in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes") if os.path.exists(p)]
    raise argparse.ArgumentTypeError(json.dumps({
        "interfaces": sorted(os.listdir("/sys/class/net")), "capabilities": status["CapEff"].strip(),
        "no_new_privileges": status["NoNewPrivs"].strip(), "root": os.access("/", os.W_OK), "tmp": os.access("/tmp", os.W_OK),
        "memory": [Path(p).read_text().strip() for p in limits], "environment": dict(os.environ), "folder": os.getcwd(),
    }))
"""
ARGS = """
import os, sys, time
def make_arg_parser(parser):
    time.sleep(float(os.environ.get("SMALL_VLLM_SLEEP", "0")))
    print("a release logs to stdout")
    {device}
    for flag in ("--host", "--served-model-name", "--model", "--revision"):
        parser.add_argument(flag, nargs="+" if flag == "--served-model-name" else None)
    parser.add_argument("--dtype", choices=["auto", "half"], default="auto")
    for flag in ("--port", "--shutdown-timeout", "--max-model-len"):
        parser.add_argument(flag, type=int)
    parser.add_argument("--chat-template", type=open)
    parser.add_argument("--permissions", type=permissions)
    return parser
"""
SERVE = """
from vllm.{args} import make_arg_parser
class Serve:
    name = "serve"
    def subparser_init(self, commands):
        parser = commands.add_parser("serve")
        parser.add_argument("model_tag", nargs="?")
        return make_arg_parser(parser)
def cmd_init():
    return [Serve()]
"""
SCRIPTS = """
from vllm.entrypoints.openai.cli_args import make_arg_parser
from vllm.utils import FlexibleArgumentParser
def main():
    parser = FlexibleArgumentParser()
    commands = parser.add_subparsers(required=True)
    serve = commands.add_parser("serve")
    serve.add_argument("model_tag")
    make_arg_parser(serve)
    args = parser.parse_args()
    args.dispatch_function(args)
"""
PLATFORMS = """
class Unspecified:
    device_type = ""
_current_platform = None
def __getattr__(name):
    global _current_platform
    if name != "current_platform":
        raise AttributeError(name)
    _current_platform = _current_platform or Unspecified()
    return _current_platform
"""
CPU = "class CpuPlatform:\n    device_type = 'cpu'\n"
BINDS = "from vllm.platforms import current_platform\n"
DEVICE = """
    from vllm import current_platform
    if not current_platform.device_type:
        raise RuntimeError("Failed to infer device type")
    parser.add_argument("--device", choices=[current_platform.device_type])
""".strip("\n").lstrip()

LAYOUTS: dict[str, dict[str, str]] = {
    "0.7.0": {
        "__init__": "",
        "utils": PARSER,
        "entrypoints/openai/cli_args": "from vllm.utils import permissions\n" + ARGS.format(device=""),
        "scripts": SCRIPTS,
    },
    "0.9.0": {
        "__init__": BINDS,
        "utils/__init__": PARSER,
        "platforms/__init__": PLATFORMS,
        "platforms/cpu": CPU,
        "entrypoints/openai/cli_args": "from vllm.utils import permissions\n" + ARGS.format(device=DEVICE),
        "entrypoints/cli/serve": SERVE.format(args="entrypoints.openai.cli_args"),
    },
    "0.33.0": {
        "__init__": BINDS,
        "utils/__init__": "",
        "utils/argparse_utils": PARSER,
        "platforms/__init__": PLATFORMS,
        "platforms/cpu": CPU,
        "entrypoints/common/cli_args": "from vllm.utils.argparse_utils import permissions\n"
        + ARGS.format(device=DEVICE),
        "entrypoints/cli/serve": SERVE.format(args="entrypoints.common.cli_args"),
    },
}
"""Release -> module -> text."""


def write(folder: Path, release: str) -> None:
    """The package, its metadata, and a torch that was built for CUDA."""
    for module, text in LAYOUTS[release].items():
        path = folder / "vllm" / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "torch").mkdir()
    (folder / "torch/__init__.py").write_text(
        "from types import SimpleNamespace\nversion = SimpleNamespace(cuda='13.0')\n"
    )
    metadata = folder / f"vllm-{release}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {release}\n")
