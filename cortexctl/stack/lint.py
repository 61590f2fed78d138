"""Warnings about valid but questionable settings in a model's block. None of them stops a run."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from cortexctl.diagnostics import Diagnostic, warning
from cortexctl.engines.registry import DEFAULT, engine_named
from cortexctl.engines.vllm.version import NEWEST_KNOWN, parse_release
from cortexctl.instance.image import parse_image
from cortexctl.stack.argument_checks import At
from cortexctl.stack.schema import ModelTable

_COMMIT = re.compile(r"[0-9a-f]{7,40}")


def lint_model(model: ModelTable, release: str | None, at: At) -> Iterator[Diagnostic]:
    """Every warning about one model, in the order of the rules."""
    yield from _image(model, release, at)
    yield from _source(model, at)
    yield from _publish(model, at)
    args = model.args
    pinned = bool(model.source.revision and _COMMIT.fullmatch(model.source.revision))
    if args.get("trust_remote_code") and not (pinned or model.source.path):
        yield warning(
            "CX221",
            "trust_remote_code runs any code that the repository contains at the time of the start",
            at("args", "trust_remote_code"),
            help="review that code, and set source.revision to the commit that you reviewed",
        )
    if args.get("enforce_eager") and model.profile and model.profile.startswith("prod"):
        yield warning(
            "CX222",
            f'enforce_eager in the profile "{model.profile}" turns off CUDA graphs, which slows decoding down',
            at("args", "enforce_eager"),
            help="remove it in production; it is for a quick start and for debugging",
        )


def _image(model: ModelTable, release: str | None, at: At) -> Iterator[Diagnostic]:
    reference = parse_image(model.image)
    floating = reference.digest is None and reference.tag in {None, "latest", "nightly"}
    if release is None and not floating:
        yield warning(
            "CX205",
            f'the image "{model.image}" does not name its vLLM release',
            at("image"),
            help=(
                'pin a release tag, or set vllm_version = "…"; until then arguments are checked for no '
                "particular release"
            ),
        )
    if release is not None and parse_release(release) > parse_release(NEWEST_KNOWN):
        yield warning(
            "CX205",
            f"vLLM {release} is newer than {NEWEST_KNOWN}, the newest that cortexctl knows",
            at("vllm_version" if model.vllm_version else "image"),
            help=(
                f"arguments are checked as for {NEWEST_KNOWN}, with warnings only; a newer cortexctl may know "
                "this release"
            ),
        )
    if floating:
        yield warning(
            "CX209",
            f'the image "{model.image}" has a moving tag: its content depends on the time of the pull',
            at("image"),
            help='pin a release, for example "vllm/vllm-openai:v0.32.0"',
        )


def _source(model: ModelTable, at: At) -> Iterator[Diagnostic]:
    if model.source.repo and not model.source.revision:
        yield warning(
            "CX218",
            f"{model.source.repo} has no revision: the weights are those of the first download",
            at("source"),
            help='pin a commit: source = { repo = "…", revision = "…" }',
        )


def _publish(model: ModelTable, at: At) -> Iterator[Diagnostic]:
    if model.publish is None:
        return
    bare = model.publish.rpartition(":")[0] if re.search(r"[\]\d]:\d+$", model.publish) else model.publish
    address = ipaddress.ip_address(bare.strip("[]"))
    if address.is_unspecified:
        yield warning(
            "CX220",
            "the server is published on all interfaces of the host",
            at("publish"),
            help='set the address that its clients use, or "127.0.0.1" behind a proxy',
        )
    key = engine_named(DEFAULT).contract.key_variable
    if not address.is_loopback and key not in model.secrets:
        yield warning(
            "CX219",
            "the server is published beyond its host, and everybody who can reach it may use it",
            at("publish"),
            help=f'[models.NAME.secrets] {key} = {{ env = "{key}" }}',
        )
