"""load_stack: from a path to Desired and all problems of the file, in one pass.

Text -> values -> the chosen environment applied on top -> variables replaced -> profiles applied below -> schema ->
Desired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from pydantic_core import ValidationError

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic, Kind, SourceSpan, error, in_reading_order, unacknowledged
from cortexctl.files.checkout import checkout_of
from cortexctl.files.consulted import Consulted
from cortexctl.instance.fingerprint import fingerprint
from cortexctl.instance.labels import owner
from cortexctl.instance.secret import masked
from cortexctl.instance.secret_shape import without_tokens
from cortexctl.instance.spec import SecretRef
from cortexctl.stack.acknowledge import acknowledgements, unknown_rules
from cortexctl.stack.document import Document, UnreadableDocument, fit, not_shown, parse_document, read_document
from cortexctl.stack.hosts import check_hosts
from cortexctl.stack.model_release import Releases
from cortexctl.stack.open_secrets import check_open_secrets
from cortexctl.stack.overlay import with_environment, with_profiles
from cortexctl.stack.resolve import Places, Surroundings, UnresolvedSecret, resolve
from cortexctl.stack.schema import StackFile
from cortexctl.stack.tables import read_table
from cortexctl.stack.variables import VariableInputs, secret_values, with_variables
from cortexctl.text.suggest import nearest

SecretValue = Callable[[str, str], str]
"""(source, key) -> the value; "" if it may stay unknown. Raises UnresolvedSecret."""

NO_MODELS = {"none": {"image": "none", "source": {"repo": "none"}, "gpus": "none", "enabled": False}}
"""The fewest models that the schema accepts."""

__all__ = ["Releases", "SecretValue", "UnresolvedSecret", "VariableInputs", "digest_of", "environments", "load_stack"]


@dataclass(frozen=True, slots=True)
class _Choice:
    env: str
    inputs: VariableInputs
    default_docker: str
    secret_value: SecretValue | None
    releases: Releases
    review: bool
    files: Consulted
    hosts_only: bool = False


def load_stack(
    path: str,
    *,
    default_docker: str,
    secret_value: SecretValue | None,
    env: str = "",
    inputs: VariableInputs = VariableInputs(),  # noqa: B008 - frozen
    text: str | None = None,
    releases: Releases = Releases(),  # noqa: B008 - frozen
    review: bool = False,
    hosts_only: bool = False,
) -> tuple[Desired | None, list[Diagnostic]]:
    """Desired is None if the errors leave nothing to plan.

    `text`: the file's content, if it is not read (another revision of it). `secret_value` None: secrets are not read
    (offline validation), and their fingerprints stay empty. `releases`: facts about the images that are not in the
    file. `review`: read no file outside the stack's checkout. `hosts_only`: errors of models do not matter.
    """
    files = inputs.consulted or Consulted(path)
    inputs = replace(inputs, beside=path, review=review)
    try:
        document = fit(read_document(path, inside=review) if text is None else parse_document(path, text))
        choice = _Choice(env, inputs, default_docker, secret_value, releases, review, files, hosts_only)
        desired, diagnostics = _load(document, choice)
        if desired is None and not document.is_shown:
            raise not_shown(path, "stack")
    except UnreadableDocument as cause:
        return None, [cause.diagnostic]
    return desired, diagnostics


def digest_of(text: str) -> str:
    """The digest that identifies a stack's text in a plan."""
    return hashlib.sha256(text.removeprefix("\ufeff").encode()).hexdigest()[:16]


def environments(path: str, *, review: bool = False) -> list[str]:
    """The names of the stack's environments; none if the file cannot be read."""
    try:
        overlays = read_document(path, inside=review).data.get("env")
    except UnreadableDocument:
        return []
    return sorted(overlays) if isinstance(overlays, dict) else []


def places_in(path: str, text: str, env: str, inputs: VariableInputs) -> Callable[[str], Mapping[str, SourceSpan]]:
    """Model -> field -> its place, of a stack that was resolved before: the same places as in `load_stack`'s result."""
    document = with_environment(parse_document(path, text), env)
    document, _, _ = with_variables(document, replace(inputs, beside=path))
    return partial(Places, with_profiles(document))


def _load(written: Document, choice: _Choice) -> tuple[Desired | None, list[Diagnostic]]:
    diagnostics = list(_known_environment(written, choice.env))
    if diagnostics:
        return None, diagnostics
    document = with_environment(written, choice.env)
    secrets = secret_values(document, choice.inputs)
    document, diagnostics, unfilled = with_variables(document, choice.inputs)
    in_profiles: list[Diagnostic] = []
    if "profiles" in document.data:
        from cortexctl.stack.problems import check_profiles

        in_profiles = check_profiles(document)
    diagnostics += in_profiles
    document = with_profiles(document)
    in_the_open = list(check_open_secrets(document))
    diagnostics += (diagnostic for diagnostic, _ in in_the_open)
    without = partial(_without, tuple(value for _, value in in_the_open))
    try:
        stack = _validated(document, choice)
    except ValidationError as failure:
        from cortexctl.stack.problems import explain

        known = unfilled | {d.span for d in in_profiles}
        diagnostics += (d for d in explain(document, failure) if d.span is None or d.span not in known)
        diagnostics += (d for d in _rest(document, failure, choice, secrets) if d.span is None or d.span not in known)
        return None, in_reading_order(list(map(without, diagnostics)))
    of_text = diagnostics
    desired, more = _resolve(document, stack, choice, secrets)
    accepted = acknowledgements(stack, document)
    more += unknown_rules(accepted)
    # A variable that cannot be set in env at all is not reported as a secret there.
    elsewhere = {d.span for d in more if d.kind is Kind.ENV}
    diagnostics = [d for d in diagnostics if d.kind is not Kind.OPEN_SECRET or d.span not in elsewhere]
    # If a variable could not be replaced, no other problem is reported for that place.
    more = [d for d in more if d.span is None or d.span not in unfilled]
    every = in_reading_order(list(map(without, [*diagnostics, *more])))
    diagnostics = unacknowledged(every, accepted)
    shown = set(diagnostics)
    hidden = tuple(d for d in every if d not in shown)
    desired = replace(desired, acknowledgements=accepted, acknowledged=hidden)
    counted = [*of_text, *check_hosts(stack, document, choice.default_docker)] if choice.hosts_only else diagnostics
    return (None if any(d.is_error for d in counted) else desired), diagnostics


def _validated(document: Document, choice: _Choice) -> StackFile:
    """With `hosts_only`, a disabled model replaces models that have errors. Raises ValidationError."""
    try:
        return read_table(StackFile, document.data)
    except ValidationError:
        if not choice.hosts_only:
            raise
    return read_table(StackFile, {**document.data, "models": NO_MODELS})


def _without(secrets: tuple[str, ...], diagnostic: Diagnostic) -> Diagnostic:
    """The diagnostic may quote a value that is a secret, or has the form of one: it is masked."""
    summary, advice = (without_tokens(masked(text, secrets)) for text in (diagnostic.summary, diagnostic.help))
    return replace(diagnostic, summary=summary, help=advice)


def _rest(document: Document, failure: ValidationError, choice: _Choice, secrets: dict[str, str]) -> list[Diagnostic]:
    """The problems in the parts that the schema accepts: one run reports all problems."""
    from cortexctl.stack.problems import check_dropped, without_faults

    data = without_faults(document.data, failure)
    if data is None:
        return list(check_dropped(document, None))
    try:
        stack = read_table(StackFile, data)
    except ValidationError:
        return list(check_dropped(document, None))
    named = {f'"{name}"' for name in document.data["models"].keys() - data["models"].keys()}
    _, more = _resolve(document, stack, choice, secrets)
    return [*check_dropped(document, data), *(d for d in more if not any(name in d.summary for name in named))]


def _why_unknown(document: Document, name: str) -> str:
    declared = document.written.get("vars")
    table = declared.get(name) if isinstance(declared, dict) else None
    if not isinstance(table, dict):
        return f'there is no variable "{name}"'
    if table.get("secret") is not True:
        return f'the variable "{name}" is not declared secret'
    return f"the variable {name} is not set (CORTEXCTL_VAR_{name})"


def _known_environment(document: Document, env: str) -> list[Diagnostic]:
    overlays = document.data.get("env")
    known = sorted(overlays) if isinstance(overlays, dict) else []
    if not env or env in known:
        return []
    close = nearest(env, known)
    advice = f'did you mean "{close}"?' if close else f"known: {', '.join(known) or 'none'}"
    return [
        error("CX109", f'{document.path} has no environment "{env}"', document.place(("env",), key=True), help=advice)
    ]


def _resolve(
    document: Document, stack: StackFile, choice: _Choice, secret_vars: dict[str, str]
) -> tuple[Desired, list[Diagnostic]]:
    whose = owner(stack.stack, choice.env)
    prints: dict[tuple[str, str, str], str] = {}

    def value_of(reference: SecretRef) -> str:
        if reference.source != "var":
            return choice.secret_value(reference.source, reference.key) if choice.secret_value else ""
        if reference.key not in secret_vars:
            raise UnresolvedSecret(_why_unknown(document, reference.key))
        return secret_vars[reference.key]

    def fingerprint_of(reference: SecretRef) -> str:
        if choice.secret_value is None:
            return ""
        known = (reference.name, reference.source, reference.key)
        if known not in prints:
            value = value_of(reference)
            prints[known] = fingerprint(whose, reference.name, value) if value else ""
        return prints[known]

    within = checkout_of(document.path) if choice.review else None
    around = Surroundings(choice.default_docker, fingerprint_of, choice.files, choice.env, choice.releases, within)
    return resolve(stack, document, around, digest_of(document.text))
