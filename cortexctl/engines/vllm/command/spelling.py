"""Slips in the words of a command line: one dash, the dashes of word processors, two words in one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.catalogue.facts import Option
from cortexctl.engines.vllm.command.dashes import DASHES, TO_MINUS
from cortexctl.engines.vllm.command.other_programs import of_docker
from cortexctl.engines.vllm.command.reserved import ALIASES, RESERVED

_QUOTES = re.compile("^[\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb]|[\u2018\u2019\u201c\u201d\u201f\u00bb]$")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_FLAG = re.compile(r"--?[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Slip:
    """`name`: the option that was meant, if known. `text`: what is wrong; `fix`: what to write instead."""

    name: str
    text: str
    fix: str

    def __str__(self) -> str:
        return f"{self.text}; {self.fix}" if self.fix else self.text


def slip_in(word: str, of: Release, *, may_be_value: bool = False) -> Slip | None:
    """The slip in an argument that is not an option of the release. `may_be_value`: of an unknown option before it;
    then only the name of a known option is a slip. No text contains a value that may be a secret.
    """
    slip = _slip(word, of)
    is_known = slip is not None and (slip.name in RESERVED or bool(catalogue.option_spans(slip.name)))
    return slip if is_known or not may_be_value else None


def _slip(word: str, of: Release) -> Slip | None:
    if not word.strip("\\ \t\r\n"):
        return Slip("", "a word is blank, as after a backslash that is not the last character of its line", "remove it")
    if hidden := _INVISIBLE.search(word):
        name = _name_in(_INVISIBLE.sub("", word))
        text = f"{_long(name)} has an invisible character (U+{ord(hidden.group()):04X}), as copies from web pages have"
        return Slip(name, text, "type it again") if _is_long(name, of) or name in RESERVED else None
    if other := of_docker(word):
        return Slip("", *other)
    return _glued(word, of) or _short_glued(word, of) or _dashes(word, of) or _spelled_otherwise(word, of)


def one_dash(argv: Sequence[str], of: Release) -> Iterator[Slip]:
    """The long names with one dash, which the release may read as a short option and its value: -quantization."""
    for word in argv:
        name = _name_in(word)
        if re.match(r"-[A-Za-z]", word) and len(name) > 2 and _is_long(name, of) and _head(word) not in of.flags():
            yield Slip(
                name, f"{_head(word)} has one dash, with which vLLM reads a short option", f"write {_long(name)}"
            )


def slips_in_line(argv: Sequence[str], of: Release) -> Iterator[Slip]:
    """Slips in words that the parser reads as another option or as a value: short options with two dashes, several
    options in one word.
    """
    flags = of.flags()
    for word in argv:
        head = _head(word)
        if head.startswith("--") and head not in flags and head[1:] in flags:
            yield _short(head, of)
        if word.startswith("-") and "=" in word and not re.search(r"[\[{\"']", word):
            yield from two_in_one(word)


def two_in_one(word: str) -> Iterator[Slip]:
    """A word with an option behind a blank. Contains none of its values."""
    if inner := re.search(r"\s(--?[A-Za-z][\w-]*)", word):
        yield Slip("", f"{inner.group(1)} is in one word with what precedes it", "write each option as its own word")


def _short(head: str, of: Release) -> Slip:
    option = of.flags()[head[1:]]
    text = f"{head} has two dashes, and the short option has one"
    return Slip(option.name, text, f"write {head[1:]} or {option.flag}")


def _dashes(word: str, of: Release) -> Slip | None:
    """Too few dashes, too many, or those of a word processor."""
    head = _head(word)
    typographic = next((c for c in head if c in DASHES), "")
    name = _name_in(word)
    if not word.translate(TO_MINUS).startswith("-") or not name:
        return _quoted(word, of)
    long = _long(name) if _is_long(name, of) or name in RESERVED else "--" + name.replace("_", "-")
    if typographic:
        return Slip(name, f"{head} has a dash of a word processor ({typographic})", f"write {long}")
    if head.startswith("---"):
        return Slip(name, f"{head} has more than two dashes", f"write {long}")
    return next(one_dash([word], of), None)


def _quoted(word: str, of: Release) -> Slip | None:
    """A quote of a word processor, which no shell removes, around an option or its value."""
    quote = _QUOTES.search(word)
    if plain := re.match(r"[\"'](--?[A-Za-z][\w-]*)", word):
        name = _name_in(plain.group(1))
        return Slip(name, f"{plain.group(1)} has quotes that are a part of the word", "remove them")
    if not quote:
        return None
    name = _name_in(word.strip("\u2018\u2019\u201a\u201c\u201d\u201e\u201f\u00ab\u00bb"))
    shown = _long(name) if _is_long(name, of) else "a word"
    return Slip(name, f"{shown} has a quote of a word processor ({quote.group()}), which no shell removes", 'write "')


def _glued(word: str, of: Release) -> Slip | None:
    """Two words in one, with a blank, a colon or nothing between them."""
    plain = word.translate(TO_MINUS)
    if not _FLAG.match(plain):
        return None
    first, _, rest = re.sub(r"\s", " ", plain).partition(" ")
    name = _name_in(first)
    if rest and "=" not in first:
        shown = rest.strip() if _is_long(name, of) and _is_plain(rest.strip(), of.flags()[_long(name)]) else "…"
        return Slip(name, f'two words are in one: "{first} {shown}"', f'write two words: "{first}", "{shown}"')
    flag = plain.partition("=")[0].replace("_", "-")
    if "--" in flag[2:]:
        one, _, two = flag[2:].partition("--")
        return Slip(one.replace("-", "_"), f"two options are in one word: {flag}", f'write "--{one}", "--{two}"')
    for start in sorted((f for f in of.flags() if f.startswith("--") and plain.startswith(f)), key=len, reverse=True):
        value = plain[len(start) :]
        option = of.flags()[start]
        separate = value[:1] == ":" or value[:1].isdigit() or value in (option.choices or ())
        if separate and _is_plain(value.lstrip(":"), option):
            return Slip(
                option.name, f"{start} and its value are in one word", f'write "{start}", "{value.lstrip(":")}"'
            )
    return None


def _short_glued(word: str, of: Release) -> Slip | None:
    """-tp2: argparse accepts a value behind the option only for one letter."""
    glued = re.fullmatch(r"(-[a-z]{2,4})(\d{1,6})", word, re.ASCII)
    if glued is None or glued.group(1) not in of.flags():
        return None
    flag, value = glued.groups()
    return Slip(of.flags()[flag].name, f"{flag} and its value are in one word", f'write "{flag}", "{value}"')


def _spelled_otherwise(word: str, of: Release) -> Slip | None:
    """Capitals, a short option with two dashes, the name of another tool, a negation that does not exist."""
    head, name = _head(word), _name_in(word)
    if not head.startswith("--"):
        return None
    flags: Mapping[str, object] = of.flags()
    if head.lower() != head and _long(name.lower()) in flags:
        return Slip(name.lower(), f"{head} has capitals", f"write {_long(name.lower())}")
    short = head[1:]
    if short in flags:
        return _short(head, of)
    level = next((n for n in ("optimization_level", "compilation_config") if _is_long(n, of)), "")
    if level and re.fullmatch(r"--O\d?", head):
        return Slip(level, f"{head} has two dashes, and -O has one", f"write {head[1:]}")
    alias = ALIASES.get(name, "")
    if alias and not catalogue.option_spans(name) and _is_long(alias, of):
        return Slip(alias, f"vLLM has no {head}", f"write {_long(alias)}")
    positive = name.removeprefix("no_")
    if positive != name and _is_long(positive, of):
        option = of.flags()[_long(positive)]
        return Slip(
            positive, f"vLLM has no {head}: {option.flag} cannot be negated", f"leave {option.flag} out instead"
        )
    return None


def _is_plain(value: str, option: Option) -> bool:
    """Whether a value can be shown: a number, a size, or one of the option's own choices."""
    return bool(re.fullmatch(r"[0-9.]{1,9}[kKmMgG]?", value)) or value in {
        *(option.choices or ()),
        *option.soft_choices,
    }


def _is_long(name: str, of: Release) -> bool:
    return _long(name) in of.flags()


def _long(name: str) -> str:
    return "--" + name.replace("_", "-")


def _head(word: str) -> str:
    return word.partition("=")[0].partition(".")[0].partition(" ")[0]


def _name_in(word: str) -> str:
    return _head(word.translate(TO_MINUS)).lstrip("-").replace("-", "_")
