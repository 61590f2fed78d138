"""Which modules a command line loads."""

from __future__ import annotations

import subprocess
import sys

from tests.waiting import AT_MOST


def loaded_by(*arguments: str) -> set[str]:
    """The modules that a run of the command line has loaded at its end: top-level names, and our own in full."""
    code = (
        "import sys\n"
        f"sys.argv = ['cortexctl', *{list(arguments)!r}]\n"
        "from cortexctl.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write('LOADED ' + ' '.join(sorted({m if m.startswith('cortexctl.') else m.split('.')[0] for m in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=AT_MOST)
    return set(done.stderr.rpartition("LOADED ")[2].split())


HEAVY = {"docker", "pydantic", "httpx", "jinja2", "deepdiff", "rich", "requests", "tree_sitter", "vllm"}
