# ruff: noqa: INP001 - separate scripts, not a package
"""Writes the plan as a comment on a pull request: one comment per stack and environment, which is updated.

The comment is identified by a hidden marker at its very start and by its author. Without the author, anybody could
write a comment that begins with the marker, receive the plan in it, and then change the text.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from forge import Busy, Refused, error, notice, patiently, send

PAGE = 100
MARKER_LENGTH = 100
COMMIT = re.compile(r"[0-9a-f]{7,64}")


class Comment(NamedTuple):
    id: int
    author: Mapping[str, Any]
    body: str
    url: str


class Forge(Protocol):
    @property
    def why_not(self) -> str:
        """Why no comment can be written here; empty when one can."""

    @property
    def origin(self) -> str:
        """The commit and the job of the plan, in Markdown."""

    def me(self) -> Mapping[str, Any]:
        """The account of our token."""

    def wrote(self, me: Mapping[str, Any], comment: Comment) -> bool:
        """Whether this account wrote the comment."""

    def comments(self) -> Iterator[Comment]:
        """All, the oldest first."""

    def create(self, body: str) -> Comment: ...

    def update(self, comment: Comment, body: str) -> Comment: ...


class GitHub:
    def __init__(self, environ: Mapping[str, str]) -> None:
        event = json.loads(Path(environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
        pull_request = event.get("pull_request") or {}
        token = environ.get("GITHUB_TOKEN", "")
        self.why_not = _why_not(pull_request, token, "pull request", "the input `token`")
        commit = pull_request.get("head", {}).get("sha") or environ.get("GITHUB_SHA", "")
        repository = environ["GITHUB_REPOSITORY"]
        self.origin = _origin(
            commit, f"{environ['GITHUB_SERVER_URL']}/{repository}/actions/runs/{environ['GITHUB_RUN_ID']}"
        )
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
        self._graphql = environ["GITHUB_GRAPHQL_URL"]
        self._issues = f"{environ['GITHUB_API_URL']}/repos/{repository}/issues"
        self._here = f"{self._issues}/{pull_request.get('number')}/comments"

    def me(self) -> Mapping[str, Any]:
        """GraphQL, because a workflow's own token may not read its account over REST."""
        try:
            content = send("POST", self._graphql, self._headers, {"query": "{viewer{login}}"}).content
        except Refused:
            return {}
        return ((content or {}).get("data") or {}).get("viewer") or {}

    def wrote(self, me: Mapping[str, Any], comment: Comment) -> bool:
        """If our own account is unknown, a bot: a participant of a pull request cannot be one."""
        is_bot = comment.author.get("type") == "Bot"
        name, ours = str(comment.author.get("login")), str(me.get("login", ""))
        if is_bot:
            return not ours or name.removesuffix("[bot]") == ours.removesuffix("[bot]")
        return bool(ours) and name == ours

    def comments(self) -> Iterator[Comment]:
        return (self._comment(c) for c in _pages(self._here, self._headers))

    def create(self, body: str) -> Comment:
        return self._comment(send("POST", self._here, self._headers, {"body": body}).content)

    def update(self, comment: Comment, body: str) -> Comment:
        url = f"{self._issues}/comments/{comment.id}"
        return self._comment(send("PATCH", url, self._headers, {"body": body}).content)

    def _comment(self, c: Mapping[str, Any]) -> Comment:
        return Comment(c["id"], c.get("user") or {}, c.get("body") or "", c.get("html_url") or "")


class GitLab:
    def __init__(self, environ: Mapping[str, str]) -> None:
        number = environ.get("CI_MERGE_REQUEST_IID", "")
        token = environ.get("CORTEXCTL_GITLAB_TOKEN", "")
        self.why_not = _why_not(number, token, "merge request", "the variable CORTEXCTL_GITLAB_TOKEN")
        commit = environ.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or environ.get("CI_COMMIT_SHA", "")
        self.origin = _origin(commit, environ.get("CI_JOB_URL", ""))
        self._headers = {"PRIVATE-TOKEN": token}
        self._api = environ["CI_API_V4_URL"]
        project = environ.get("CI_MERGE_REQUEST_PROJECT_ID", "")
        self._here = f"{self._api}/projects/{project}/merge_requests/{number}/notes"
        self._page = f"{environ.get('CI_MERGE_REQUEST_PROJECT_URL', '')}/-/merge_requests/{number}"

    def me(self) -> Mapping[str, Any]:
        me: Mapping[str, Any] = send("GET", f"{self._api}/user", self._headers).content
        return me

    def wrote(self, me: Mapping[str, Any], comment: Comment) -> bool:
        return bool(me["id"] == comment.author.get("id"))

    def comments(self) -> Iterator[Comment]:
        notes = _pages(f"{self._here}?sort=asc&order_by=created_at", self._headers)
        return (self._comment(n) for n in notes if not n.get("system"))

    def create(self, body: str) -> Comment:
        return self._comment(send("POST", self._here, self._headers, {"body": body}).content)

    def update(self, comment: Comment, body: str) -> Comment:
        return self._comment(send("PUT", f"{self._here}/{comment.id}", self._headers, {"body": body}).content)

    def _comment(self, n: Mapping[str, Any]) -> Comment:
        return Comment(n["id"], n.get("author") or {}, n.get("body") or "", f"{self._page}#note_{n['id']}")


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    options = _options(arguments)
    forge: Forge = GitHub(environ) if options.forge == "github" else GitLab(environ)
    if forge.why_not:
        notice(f"no comment is written: {forge.why_not}")
        return 0
    plan = Path(options.body).read_text(encoding="utf-8").strip()
    mark = marker(options.stack, options.env)
    body = "\n\n".join([mark, plan, f"<sub>{forge.origin}</sub>"]) + "\n"
    try:
        written = patiently(lambda: stick(forge, mark, body, only_update=options.only_update))
    except Refused as cause:
        if cause.status == 403:
            notice(
                f"the comment may not be written ({cause}): this is a pull request from a fork, or the token lacks "
                "the right to comment; the plan is in the job's summary and log"
            )
            return 0
        error(f"the comment could not be written ({cause}): see that the token is for this repository and still valid")
        return 1
    except Busy as cause:
        error(f"the comment could not be written ({cause}): run the job again when the code host answers")
        return 1
    if written:
        sys.stdout.write(f"The comment: {written.url}\n")
        _set_output(environ, "comment-url", written.url)
    return 0


def stick(forge: Forge, mark: str, body: str, *, only_update: bool) -> Comment | None:
    """Our comment, updated or created; None if there is none and none may be created."""
    me = forge.me()
    for comment in forge.comments():
        if comment.body.startswith(mark) and forge.wrote(me, comment):
            return comment if comment.body.strip() == body.strip() else forge.update(comment, body)
    return None if only_update else forge.create(body)


def marker(stack: str, env: str) -> str:
    return f"<!-- cortexctl-plan:{_in_marker(stack)}:{_in_marker(env)} -->"


def _in_marker(value: str) -> str:
    """No blank, no colon, no `>` and no two hyphens in a row; a value too long for a marker keeps a fingerprint."""
    plain = quote(value, safe="/").replace("--", "-%2D")
    if len(plain) <= MARKER_LENGTH:
        return plain
    return f"{plain[-MARKER_LENGTH:]}~{hashlib.sha256(plain.encode()).hexdigest()[:16]}"


def _pages(url: str, headers: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    number, more = 1, True
    while more:
        page = send("GET", f"{url}{'&' if '?' in url else '?'}per_page={PAGE}&page={number}", headers)
        yield from page.content
        number, more = number + 1, page.has_next_page


def _why_not(request: object, token: str, what: str, where: str) -> str:
    if not request:
        return f"this job does not run for a {what}"
    return "" if token else f"{where} is empty, as it is in a {what} from a fork"


def _origin(commit: str, job: str) -> str:
    return " · ".join([f"commit {commit[:12]}"] * bool(COMMIT.fullmatch(commit)) + [f"[job]({job})"] * bool(job))


def _set_output(environ: Mapping[str, str], name: str, value: str) -> None:
    if environ.get("GITHUB_OUTPUT") and value.isprintable():
        with Path(environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
            file.write(f"{name}={value}\n")


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="comment.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--forge", choices=["github", "gitlab"], required=True)
    parser.add_argument("--stack", required=True, help="with --env, which comment it is")
    parser.add_argument("--env", default="")
    parser.add_argument("--body", required=True, metavar="FILE", help="Markdown")
    parser.add_argument("--only-update", action="store_true", help="write nothing where there is no comment yet")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
