"""Warnings about valid but questionable settings in a model's block. None of them stops a run."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from cortexctl.diagnostics import Diagnostic, warning
from cortexctl.engines.registry import DEFAULT, engine_named
from cortexctl.engines.vllm.command.check import check_env
from cortexctl.engines.vllm.version import NEWEST_KNOWN, parse_release
from cortexctl.instance.image import parse_image
from cortexctl.stack.argument_checks import At
from cortexctl.stack.schema import ModelTable

_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_TOKENS_READ = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}
_TOKEN_NAME = re.compile(r"(HF|HUGGING_?FACE)(_HUB)?(_(API|ACCESS|AUTH|USER))?_?(TOKEN|KEY)")
"""Names that people give the token of the Hub."""


def lint_model(model: ModelTable, release: str | None, at: At) -> Iterator[Diagnostic]:
    """Every warning about one model, in the order of the rules."""
    yield from _image(model, release, at)
    yield from _source(model, at)
    yield from _publish(model, at)
    yield from _secret_variables(model, release, at)
    yield from _offload(model, at)
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
        yield _unknown_release(model.image, reference.tag or "", at)
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


def _unknown_release(image: str, tag: str, at: At) -> Diagnostic:
    """The tag may look like a release, and count those of another project."""
    is_number = re.match(r"v?\d+\.\d+\.\d+(?:\.\w+)?(?=$|[-_+])", tag)
    whose = f"the tag of the image \"{image}\" counts that repository's releases, not vLLM's"
    return warning(
        "CX205",
        whose if is_number else f'the image "{image}" does not name its vLLM release',
        at("image"),
        help=(
            ('set vllm_version = "…", the vLLM in it' if is_number else 'pin a release tag, or set vllm_version = "…"')
            + "; until then arguments are checked for no particular release"
        ),
    )


def _offload(model: ModelTable, at: At) -> Iterator[Diagnostic]:
    """Weights in the host's memory: once for each rank, and read in every step."""
    size = model.args.get("cpu_offload_gb")
    if isinstance(size, bool) or not isinstance(size, int | float) or size <= 0:
        return
    gpus = model.gpus if isinstance(model.gpus, int) else len(model.gpus) // model.replicas
    whole = f"{size * max(gpus, 1):g} GiB of the host's memory"
    yield warning(
        "CX234",
        f"cpu_offload_gb = {size:g} takes {whole}, and every step reads those weights over the bus",
        at("args", "cpu_offload_gb"),
        help=(
            "it is the last resort: a quantized checkpoint, a shorter max_model_len or more GPUs decode several times "
            "faster; the host must have that much free memory"
        ),
    )


def _secret_variables(model: ModelTable, release: str | None, at: At) -> Iterator[Diagnostic]:
    """Secrets under a name that nothing reads."""
    for name in model.secrets:
        if _TOKEN_NAME.fullmatch(name) and name not in _TOKENS_READ:
            yield warning(
                "CX308",
                f"neither vLLM nor the Hub's client reads {name}",
                at("secrets", name, key=True),
                help=f"the variable is HF_TOKEN: HF_TOKEN = {{ … }} in place of {name}",
            )
    for issue in check_env(model.secrets, release):
        yield warning(issue.rule, issue.summary, at("secrets", issue.argument, key=True), help=issue.help)


def _source(model: ModelTable, at: At) -> Iterator[Diagnostic]:
    revision = model.source.revision
    if model.source.repo and revision and not _COMMIT.fullmatch(revision):
        yield warning(
            "CX218",
            f'the revision "{revision}" of {model.source.repo} is a branch or a tag, which can move: the weights are '
            "those of the first download",
            at("source", "revision"),
            help='pin the commit, as the repository\'s page "Files and versions" shows it',
        )
    for name in ("tokenizer_revision", "code_revision"):
        other = model.args.get(name)
        if isinstance(other, str) and not _COMMIT.fullmatch(other):
            yield warning(
                "CX218", f'{name} = "{other}" is a branch or a tag, which can move', at("args", name),
                help="pin the commit",
            )  # fmt: skip
    if model.source.repo and not revision:
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
