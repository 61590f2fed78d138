"""Health checks: one request to a server. A starting server refuses or resets the connection, one whose engine has died
answers with an error, a hung one accepts the request and never answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

from cortexctl.concurrently import at_once
from cortexctl.errors import NotListening, PathFailed
from cortexctl.health.exchange import NoAnswer, NotHttp, Request, answer_to, encoded
from cortexctl.observed.health import Answer, HealthOutcome
from cortexctl.reach import Reach

QUICK = 2.0
"""Seconds for a whole answer of a server that has nothing to compute."""
CONNECTS = 10.0
"""The minimum seconds for a connection: it may first have to start a program inside a container."""
PARALLEL = 64
"""Parallel requests; each is a waiting connection."""
_MOST = 256 * 1024
"""The most bytes of an answer that are read; only its status matters."""
_OK = 200

Key = TypeVar("Key", bound=Hashable)


def query_all(
    reaches: Mapping[Key, tuple[Reach, str]], seconds: float, answered: Callable[[Key], None] = lambda _key: None
) -> dict[Key, Answer]:
    """One request to each server at its health path, many in parallel, each with this many seconds to answer.
    `answered`: called after each, from several threads.
    """

    def query(key: Key) -> Answer:
        reach, path = reaches[key]
        try:
            return query_health(reach, seconds, path)
        finally:
            answered(key)

    return dict(zip(reaches, at_once(query, list(reaches), most=PARALLEL), strict=True))


def query_health(reach: Reach, seconds: float, path: str) -> Answer:
    """GET the health path. A failure is an answer, too: of the server, or (UNREACHED) of the path to it."""
    patience, request = max(seconds, CONNECTS), Request("GET", path)
    try:
        stream = reach.connect(patience, encoded(request))
    except NotListening:
        return Answer(HealthOutcome.REFUSED)
    except PathFailed as cause:
        return Answer(HealthOutcome.UNREACHED, why=cause.message)
    except TimeoutError:
        return Answer(HealthOutcome.UNREACHED, why=f"no connection within {patience:g} s")
    except OSError as cause:
        return Answer(HealthOutcome.UNREACHED, why=f"no connection ({cause.strerror or 'it was closed'})")
    end = time.monotonic() + seconds
    try:
        status, _ = answer_to(stream, request, end, _MOST)
    except NotHttp:
        return Answer(HealthOutcome.STATUS)
    except (TimeoutError, NoAnswer):
        return Answer(HealthOutcome.SILENT)
    except OSError:
        return Answer(HealthOutcome.RESET)
    finally:
        stream.close()
    return Answer(HealthOutcome.HEALTHY if status == _OK else HealthOutcome.STATUS, status)
