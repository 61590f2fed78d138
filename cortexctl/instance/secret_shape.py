"""How a secret is recognised: by its own form, and by the name of its field.

Two strengths. `shape_of_secret` is certain enough to refuse a stack; `may_be_secret` hides text, where a mistake costs
less. Every pattern reads a text once, because some of these texts are logs of other programs.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Iterator

_BODY = r"(?:[A-Za-z0-9_-]{12,}|(?=[A-Za-z_-]{0,11}[0-9]|[a-z0-9_-]{0,11}[A-Z])[A-Za-z0-9_-]{6,})"
"""What follows a prefix: long, or not a word that a person would write in a path."""
_HUGGING_FACE = r"(?:[A-Za-z0-9]{12,}|(?=[A-Za-z]{0,11}[0-9]|[a-z0-9]{0,11}[A-Z])[A-Za-z0-9]{6,})"
_PREFIX = (
    r"sk-|[sr]k_(?:live|test)_|whsec_|gh[pousr]_|github_pat_|gl(?:pat|dt|rt|ptt|cbt|soat|ft|imt|agent)-|xox[a-z]-|xapp-"
    r"|npm_|pypi-|dckr_pat_|nvapi-|dop_v1_|gsk_|r8_|xai-|pplx-|lsv2_|eyJ|AIza|AGE-SECRET-KEY-"
)
_TOKEN = re.compile(
    rf"(?<![A-Za-z0-9_-])(?:(?:hf|api_org)_{_HUGGING_FACE}|(?:{_PREFIX}){_BODY}|(?:AKIA|ASIA)[0-9A-Z]{{8,}}"
    r"|(?:ya29|SG|hv[sbr])\.[A-Za-z0-9_.-]{8,}|[0-9]{8,10}:[A-Za-z0-9_-]{30,})"
)
"""Prefixes of tokens of known services, with enough of the rest."""
_BEGINS = re.compile(r"^(hf_|sk-|gh[pousr]_|github_pat_|glpat-|xox[a-z]-|AKIA|eyJ)|://[^/@\s]*@")
"""The prefixes alone, and a URL with credentials."""
_URL_PASSWORD = re.compile(r"://[^/@\s:]*:(?!\$|\{\{|<)[^/@\s]+@|https?://(?!\$|\{\{|<)[^/@\s]+@")
# Patterns for what few stacks have are texts: `re` compiles one when a value first needs it.
_USER_AT_HOST = (
    r"(?<![\w./:@+-])(?!mailto:)([\w.+-]{1,64}:)(?!\$|\{\{|<)[^/@\s:]{3,256}@(?!sha(?:256|512):)(?=[A-Za-z0-9])"
)
"""USER:PASSWORD@HOST without a scheme. An image's digest follows an @, too."""
_SIGNED = (
    r"(?i)[?&](?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|sig|signature|auth|code|key|api_?key|password"
    r"|(?:access_?|auth_?|id_?|sas_?)?token|(?:client_?)?secret)=(?!\$|\{\{|<)[^&\s'\"]{4,}"
)
_BEARER = r"\b(?:Bearer|Token)\s+(?=[A-Za-z0-9._~+/-]{0,40}[0-9A-Z_.~+/=-])[A-Za-z0-9._~+/=-]{4,}"
_BEARER_ALONE = r"(?i)\s*(?:authorization\s*[:=]\s*)?(?:bearer|token)\s+(?![$<{])\S+\s*"
_BASIC_ALONE = r"(?i)\s*(?:authorization\s*[:=]\s*)?basic\s+(?=[A-Za-z+/_-]{0,80}[0-9])[A-Za-z0-9+/_-]{8,}={0,2}\s*"
_BASIC = r"(?i)\bBasic\s+([A-Za-z0-9+/_-]{4,}={0,2})"
_PRIVATE_KEY = r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY|PuTTY-User-Key-File-"
_CHAT_HOOK = (
    r"(?i)//hooks\.slack\.com/(?:services|workflows|triggers)/|//(?:[a-z]+\.)?discord(?:app)?\.com/api/webhooks/"
    r"|//[a-z0-9.-]*webhook\.office\.com/webhook|//chat\.googleapis\.com/v1/spaces/|//api\.telegram\.org/bot"
    r"|//[a-z0-9.-]*\.logic\.azure\.com[:/]|//hooks\.zapier\.com/hooks/"
)
_ASSIGNED = re.compile(
    r"(?<![A-Za-z0-9_.-])([A-Za-z0-9_.-]{1,64})(?![A-Za-z0-9_.-])\\?[\"']?\s{0,3}[=:](?![=:/])\s{0,3}\\?[\"']?"
    r"(?=((?:(?:Bearer|Basic|Token)\s+)?[^\s\"',;&}\\]{1,200}))",
    re.IGNORECASE,
)
"""NAME=VALUE, Name: value and "name": "value" inside a text."""
_OPTION = re.compile(r"(?<![\w-])--?([A-Za-z][\w.-]{1,63})\s{1,3}(?=([^\s\"',;&}\\-][^\s\"',;&}\\]{0,200}))")
"""--NAME VALUE inside a text."""

_ALWAYS = {"password", "passwd", "passphrase", "passwort", "secret", "secrets", "credential", "credentials"}
_AT_THE_END = {
    *_ALWAYS,
    "pass",
    "pwd",
    "token",
    "apikey",
    "dsn",
    "pin",
    "auth",
    "authorization",
    "cookie",
    "bearer",
    "pat",
}
_OF_A_TEXT = {
    *("bos", "eos", "pad", "unk", "sep", "cls", "mask", "image", "video", "audio", "stop", "special", "begin", "end"),
    *("first", "last", "per", "each", "max", "min", "next", "prompt", "start", "think", "placeholder", "new"),
}
"""Words before "token" in names of text pieces of a model."""
_OPEN_KEYS = {
    *(
        "cache",
        "column",
        "config",
        "dict",
        "foreign",
        "group",
        "hash",
        "host",
        "hot",
        "index",
        "json",
        "label",
        "lookup",
    ),
    *("map", "object", "partition", "prefix", "primary", "pub", "public", "routing", "row", "shard", "sort", "state"),
    *("store", "tag"),
}
"""Words before "key" in names of keys that open nothing."""
_REFERENCE = re.compile(
    r"\s*(?:(?:Bearer|Basic|Token)\s+)?(?:\$|\{\{|<|%|\*{3}|\(hidden\)).*", re.DOTALL | re.IGNORECASE
)
"""Not the value but its source: a shell variable, a template variable, a placeholder."""
_PLAIN = re.compile(
    r"(?i)true|false|yes|no|on|off|none|null|auto|default|required|optional|enabled|disabled|basic|[0-9.]*"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RANDOM = 20
"""Length in characters beyond which no person has written a segment or a name."""


def may_be_secret(value: str) -> bool:
    """Whether a value may be a secret by itself, regardless of its name."""
    return bool(_BEGINS.search(value)) or bool(shape_of_secret(value))


@functools.lru_cache(maxsize=4096)
def shape_of_secret(text: str) -> str:
    """Describes the secret that the text contains, recognised by its form; empty if there is none."""
    if ("KEY" in text or "Key" in text) and re.search(_PRIVATE_KEY, text):
        return "a private key"
    if _TOKEN.search(text):
        return "a token"
    if "://" in text and _URL_PASSWORD.search(text):
        return "a URL with a password"
    if "@" in text and re.search(_USER_AT_HOST, text):
        return "a user with a password"
    if "//" in text and re.search(_CHAT_HOOK, text):
        return "the URL of a chat service's hook"
    if "=" in text and re.search(_SIGNED, text):
        return "a signed URL"
    if not any(map(str.isspace, text)):
        return ""
    if (
        re.fullmatch(_BASIC_ALONE, text)
        or re.fullmatch(_BEARER_ALONE, text)
        or re.search(_BEARER, text)
        or any(map(_is_basic, re.findall(_BASIC, text)))
    ):
        return "a header with credentials"
    return ""


@functools.lru_cache(maxsize=4096)
def assigned_secret(text: str) -> str:
    """The name in a text that is followed by a secret, as in "password=V" or "--token V"; empty if there is none."""
    pairs = [(m[1], m[2]) for m in _ASSIGNED.finditer(text)] if "=" in text or ":" in text else []
    pairs += [(m[1], m[2]) for m in _OPTION.finditer(text)] if "-" in text else []
    return next((name for name, value in pairs if holds_secret(name, value)), "")


def holds_secret(name: str, value: str) -> bool:
    """Whether the value of this name is a secret, judged by the name."""
    kind = _kind_of_name(name)
    if not kind or not value.strip() or _REFERENCE.fullmatch(value):
        return False
    if kind == "password":
        return True
    is_place = value.startswith(("/", "./", "../", "~/", "file:")) or value.endswith((".pem", ".key", ".crt"))
    return not _PLAIN.fullmatch(value.strip()) and not is_place


def is_token_not_name(text: str) -> bool:
    """Whether the text that should be the name of a variable looks like its value."""
    if not _NAME.fullmatch(text):
        return False
    if re.fullmatch(r"(?:hf|api_org)_[A-Za-z0-9]{10,}", text) or (
        not text.startswith(("hf_", "api_org_")) and _TOKEN.match(text)
    ):
        return True
    kinds = (r"[0-9]", r"[a-z]", r"[A-Z]")
    mixed = "_" not in text and all(re.search(kind, text) for kind in kinds)
    return (len(text) >= _RANDOM and mixed) or bool(re.fullmatch(r"[0-9a-f]{32,}", text))


def is_random(segment: str) -> bool:
    """Whether a part of a URL's path was generated, so that the path may be the secret."""
    bare = segment.replace("-", "").replace("_", "")
    if re.fullmatch(r"[0-9a-fA-F]{24,}", bare):
        return True
    return len(bare) >= _RANDOM and bool(re.search(r"[0-9]", bare)) and bool(re.search(r"[A-Za-z]", bare))


def without_tokens(text: str) -> str:
    """The text with *** in place of every secret that is recognised by its form: for messages that quote user input."""
    for pattern in (_URL_PASSWORD, _SIGNED, _BEARER, _TOKEN):
        text = re.sub(pattern, _stars, text)
    return re.sub(_USER_AT_HOST, r"\1***@", text)


def _stars(match: re.Match[str]) -> str:
    """The part that shows the kind stays: "://***@", "?sig=***", "Bearer ***"."""
    whole = match[0]
    if whole.endswith("@"):
        return whole[: whole.index("://") + 3] + "***@"
    if whole[0] in "?&":
        return whole[: whole.index("=") + 1] + "***"
    head, space, _ = whole.partition(" ")
    return f"{head}{space}***" if space else "***"


def _is_basic(encoded: str) -> bool:
    """Whether this is base64 of USER:PASSWORD, and not an ordinary word after "basic"."""
    try:
        return b":" in base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        try:
            return b":" in base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except (binascii.Error, ValueError):
            return False


@functools.lru_cache(maxsize=4096)
def _kind_of_name(name: str) -> str:
    """Password: every value of this name is a secret; other: it is one unless it is a switch, a number or a path;
    empty: neither.
    """
    parts = list(_name_parts(name))
    if not parts:
        return ""
    last, before = parts[-1], parts[-2] if len(parts) > 1 else ""
    if last.endswith(("password", "passwd", "passphrase", "passwort")) or last in {"pass", "pwd", "pin"}:
        return "" if last == "pwd" and len(parts) == 1 else "password"
    if last in _AT_THE_END or last.endswith(("secret", "apikey")):
        return "" if last == "token" and before in _OF_A_TEXT else "other"
    if last == "key":
        return "other" if before and before not in _OPEN_KEYS else ""
    if last == "headers":
        return "other" if "otlp" in parts else ""
    if last == "string" and before == "connection":
        return "other"
    return ""


def _name_parts(name: str) -> Iterator[str]:
    """DB_PASS, db-pass, db.pass and dbPass are two words each."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return (part.lower() for part in re.split(r"[^A-Za-z0-9]+", spaced) if part)
