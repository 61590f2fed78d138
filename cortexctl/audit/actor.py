"""Identifies who runs apply: a person at a machine, or a pipeline job on behalf of a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_GITHUB = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
_JOB_URLS = ("CI_JOB_URL", "BUILD_URL", "BUILDKITE_BUILD_URL", "CIRCLE_BUILD_URL", "CI_PIPELINE_URL")
"""GitLab, Jenkins, Buildkite, CircleCI, Woodpecker."""
_ACTORS = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILD_USER_ID", "BUILDKITE_BUILD_AUTHOR", "CIRCLE_USERNAME")


@dataclass(frozen=True, slots=True)
class Identity:
    """`job` is the URL of a pipeline job, `actor` the person that the job names. Both are empty at a terminal."""

    user: str
    machine: str
    actor: str = ""
    job: str = ""

    @property
    def author(self) -> str:
        """One word, for a label."""
        return self.actor or f"{self.user}@{self.machine}"


def identity_of(user: str, machine: str, environ: Mapping[str, str]) -> Identity:
    """The identity, from the variables of the common CI systems."""
    actor = next((environ[name] for name in _ACTORS if environ.get(name)), "")
    if all(environ.get(name) for name in _GITHUB):
        server, repository, run = (environ[name] for name in _GITHUB)
        return Identity(user, machine, actor, f"{server}/{repository}/actions/runs/{run}")
    return Identity(user, machine, actor, next((environ[name] for name in _JOB_URLS if environ.get(name)), ""))
