"""One question to a server: is it healthy?

A starting vLLM refuses or resets the connection, a dead engine answers 503, a hung one takes the question and is
silent.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cortexctl.errors import NobodyListens, PathFailed
from cortexctl.health.exchange import NoAnswer, NotHttp, Request, answer_to
from cortexctl.observed.health import Answer, Heard
from cortexctl.reach import Reach

CONNECTS = 10.0
"""Seconds that a connection may take at the least: a program inside a container may have to be started first."""
PARALLEL = 64
"""Questions at a time: each is a connection that waits."""
_MOST = 256 * 1024
"""Bytes of an answer that are read; only its status counts."""
_OK = 200
_HEALTH = Request("GET", "/health")

Key = TypeVar("Key", bound=Hashable)


def ask_all(reaches: Mapping[Key, Reach], seconds: float) -> dict[Key, Answer]:
    """Each once, many at a time, each answer within so many seconds."""
    if not reaches:
        return {}
    with ThreadPoolExecutor(max_workers=min(PARALLEL, len(reaches))) as pool:
        return dict(zip(reaches, pool.map(lambda r: ask_health(r, seconds), reaches.values()), strict=True))


def ask_health(reach: Reach, seconds: float) -> Answer:
    """GET /health. What goes wrong is an answer, too: of the server, or (UNREACHED) of the way to it."""
    patience = max(seconds, CONNECTS)
    try:
        stream = reach.connect(patience)
    except NobodyListens:
        return Answer(Heard.REFUSED)
    except PathFailed as cause:
        return Answer(Heard.UNREACHED, why=cause.message)
    except TimeoutError:
        return Answer(Heard.UNREACHED, why=f"no connection within {patience:g} s")
    except OSError as cause:
        return Answer(Heard.UNREACHED, why=f"no connection ({cause.strerror or 'it broke off'})")
    end = time.monotonic() + seconds
    try:
        status, _ = answer_to(stream, _HEALTH, end, _MOST)
    except NotHttp:
        return Answer(Heard.STATUS)
    except (TimeoutError, NoAnswer):
        return Answer(Heard.SILENT)
    except OSError:
        return Answer(Heard.RESET)
    finally:
        stream.close()
    return Answer(Heard.HEALTHY if status == _OK else Heard.STATUS, status)
