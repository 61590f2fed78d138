"""Decodes JSON from outside into values of known types: one entry point, one kind of error. Pure.

Anybody may have written the data on a host, in a plan file or in a snapshot. So size and depth are limited, and every
field is checked for its type; a wrong one is refused with its place and the expected type.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from cortexctl.decoding.readers import PLAIN, NotAsExpected, Reader, at, many, mapping, one_of, refusing

LARGEST = 64 * 2**20
"""The most characters of a document."""
DEEPEST = 64
"""The deepest nesting of lists and tables. Much deeper nesting crashes Python itself."""
LONGEST_NUMBER = 100
"""The most digits of a number; a longer one is not a real number, and is slow to parse."""
_HALF = re.compile(r"\\u[dD][89a-fA-F]")

T = TypeVar("T")


def read_json(
    text: str | bytes,
    *,
    most: int = LARGEST,
    deepest: int | None = DEEPEST,
    repeats: bool = False,
    infinite: bool = False,
) -> Any:
    """Plain values. `deepest` None: as deep as Python allows, for callers that read only known parts. `repeats`: a
    table may have a key twice; the last one wins. `infinite`: Infinity and NaN are allowed, as in some models'
    config.json; no typed field accepts them. Raises NotAsExpected.
    """
    if len(text) > most:
        raise NotAsExpected(f"it is larger than {most // 2**20} MiB" if most >= 2**20 else f"it is longer than {most}")
    try:
        plain = text.decode() if isinstance(text, bytes) else text
        value = json.loads(
            plain,
            parse_int=_integer,
            parse_float=_real,
            parse_constant=None if infinite else _constant,
            object_pairs_hook=None if repeats else _table,
        )
        if deepest is not None and plain.count("[") + plain.count("{") > deepest:
            _check_depth(value, deepest)
        if not plain.isascii():
            plain.encode()
        if _HALF.search(plain):
            json.dumps(value, ensure_ascii=False).encode()
    except NotAsExpected:
        raise
    except RecursionError:
        raise _too_deep(deepest or DEEPEST) from None
    except UnicodeError:
        raise NotAsExpected("it contains an incomplete character") from None
    except ValueError as cause:
        raise NotAsExpected(f"it is not JSON: {cause}") from None
    return value


def _too_deep(most: int) -> NotAsExpected:
    return NotAsExpected(f"lists and tables are nested more than {most} deep")


def _integer(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise NotAsExpected(f"it contains a number of {len(text):,} digits")
    return int(text)


def _real(text: str) -> float:
    number = float(text) if len(text) <= LONGEST_NUMBER else math.inf
    if not math.isfinite(number):
        raise NotAsExpected("it contains a number that is too large")
    return number


def _constant(text: str) -> float:
    raise NotAsExpected(f"it contains {text}, which is not a number")


def _table(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise NotAsExpected(f'it contains the key "{twice[:60]}" twice')
    return table


def _check_depth(value: Any, deepest: int) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > deepest:
            raise _too_deep(deepest)
        inner = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [v for each in inner for v in each if isinstance(v, dict | list)]


class Decoder:
    """Builds dataclasses by their type hints.

    `custom`: readers for types with their own format; they may raise ValueError. `names`: by class, the JSON key of a
    field whose name differs. `may_lack`: by class, the fields that a document may omit; they get their default.
    `strict`: unknown keys are refused; otherwise they are ignored, because a later release may have written them.
    """

    def __init__(
        self,
        custom: Mapping[Any, Reader] | None = None,
        *,
        names: Mapping[type, Mapping[str, str]] | None = None,
        may_lack: Mapping[type, Collection[str]] | None = None,
        strict: bool = False,
    ) -> None:
        self._readers: dict[Any, Reader] = {kind: refusing(reader) for kind, reader in (custom or {}).items()}
        self._names = names or {}
        self._may_lack = may_lack or {}
        self._strict = strict

    def read(self, kind: type[T], value: Any, path: str = "") -> T:
        """A value of this type. Raises NotAsExpected."""
        try:
            values: T = self.reader(kind)(value)
        except NotAsExpected as cause:
            raise (cause.below(path) if path else cause) from None
        return values

    def list_of(self, kind: type[T], value: Any, path: str = "") -> tuple[T, ...]:
        """A tuple of such values. Raises NotAsExpected."""
        return self.read(tuple[kind, ...], value, path)  # type: ignore[valid-type]

    def reader(self, kind: Any) -> Reader:
        """The reader for a type; built once."""
        if kind not in self._readers:
            self._readers[kind] = self._build(kind)
        return self._readers[kind]

    def fields(self, kind: type) -> dict[str, Reader]:
        """A dataclass's fields, each with its reader."""
        hints = get_type_hints(kind)
        return {f.name: self.reader(hints[f.name]) for f in dataclasses.fields(kind)}

    def _build(self, kind: Any) -> Reader:
        origin, arguments = get_origin(kind), get_args(kind)
        if kind in PLAIN:
            return PLAIN[kind]
        if origin is Literal:
            return one_of(arguments)
        if origin in {Union, types.UnionType}:
            return self._union(arguments)
        if origin is tuple:
            return self._tuple(arguments)
        if origin is not None and issubclass(origin, Mapping):
            return mapping(self.reader(arguments[1]))
        if isinstance(kind, type) and issubclass(kind, Enum):
            return one_of([member.value for member in kind], kind)
        if dataclasses.is_dataclass(kind):
            return self._dataclass(kind)
        raise TypeError(f"{kind} is not supported")

    def _dataclass(self, kind: Any) -> Reader:
        names, lacking = self._names.get(kind, {}), self._may_lack.get(kind, ())
        fields = [(name, names.get(name, name), reader) for name, reader in self.fields(kind).items()]
        known = {key for _, key, _ in fields}
        strict = self._strict

        def read(value: Any) -> Any:
            if type(value) is not dict:
                raise NotAsExpected("a table is expected")
            if strict and not value.keys() <= known:
                raise NotAsExpected(f"unknown: {min(value.keys() - known)[:60]}")
            values = {}
            for name, key, reader in fields:
                if key in value:
                    try:
                        values[name] = reader(value[key])
                    except NotAsExpected as cause:
                        raise cause.below(key) from None
                elif name not in lacking:
                    raise NotAsExpected("it is missing", key)
            return kind(**values)

        return read

    def _union(self, kinds: Sequence[Any]) -> Reader:
        others = [self.reader(k) for k in kinds if k is not type(None)]
        allows_null = type(None) in kinds

        def read(value: Any) -> Any:
            if value is None and allows_null:
                return None
            for reader in others[:-1]:
                try:
                    return reader(value)
                except NotAsExpected:
                    continue
            return others[-1](value)

        return read

    def _tuple(self, kinds: Sequence[Any]) -> Reader:
        if len(kinds) == 2 and kinds[1] is Ellipsis:
            return many(self.reader(kinds[0]))
        readers = [self.reader(k) for k in kinds]

        def read(value: Any) -> Any:
            if type(value) is not list or len(value) != len(readers):
                raise NotAsExpected(f"a list of {len(readers)} is expected")
            return tuple(at(number, reader, v) for number, (reader, v) in enumerate(zip(readers, value, strict=True)))

        return read
