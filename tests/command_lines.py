"""Random command lines of a release, drawn from its catalogue: right ones, and ones with all common mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.catalogue.facts import Key, Option
from cortexctl.engines.vllm.command.argv import arguments
from cortexctl.engines.vllm.command.values import argv_of
from tests.specs import new_spec

Line = tuple[str, ...]
RIGHT = {
    "text": ["a", "x/y", "None", "", "1", "ä ö"],
    "int": ["0", "1", "-1", "17", " 3", "1_000", "+4"],
    "float": ["0.5", "1", "1e3", "-2.5", "inf", ".5"],
    "size": ["8192", "8k", "8K", "1.5k", "2M", "1_024"],
    "size_or_auto": ["8192", "8k", "auto", "-1", "AUTO"],
    "json": ["{}", '{"a": 1}', '{"a": {"b": [1, null]}}', "[1]", "3", "null"],
    "json_or_text": ["{}", '{"a": 1}', "cuda:0", "[1]", "text"],
    "items": ["0", "0,1", "a,1", ""],
    "lower": ["AUTO", "auto"],
    "lora": ["a=b", '{"name": "a", "path": "b"}', "a=b=c"],
}
"""Kind -> words that are valid for the kind alone."""
WRONG = ["abc", "1.5", "8q", "1.5K", "{", "[1", "nan,", "true", "--", "-x", "", "null", "[]", "{'a': 1}", "0x10"]
"""Words that are invalid for at least one kind."""
OF_A_STACK: dict[str, list[Any]] = {
    "int": [1, 2, 64],
    "float": [0.5, 1.0],
    "size": [8192],
    "size_or_auto": [4096, "auto"],
    "json": [{"a": 1}],
    "json_or_text": [{"a": 1}],
    "items": ["0,1"],
    "lora": ["a=/b"],
}
"""Kind -> values as a stack file holds them."""
OF_A_KEY: dict[str, list[Any]] = {
    "bool": [True, False],
    "int": [1, 4],
    "float": [0.5, 2],
    "str": ["a"],
    "list": [[]],
    "object": [{}],
    "null": [None],
    "any": [1, "a", None],
}
MISTYPED: list[Any] = [True, 1, 0.5, "a", "7", [], [1, 2], ["a"], {}, {"a": 1}, None, -1]


class Lines:
    """Draws lines of a release. The same seed gives the same lines."""

    def __init__(self, release: Release, seed: int) -> None:
        self.release = release
        self.random = Random(seed)
        self.options = [o for o in release.options.values() if not o.positional and o.entry != "api_server"]
        self.options = [o for o in self.options if o.name != "config"]  # only vLLM reads the file
        self.configs = [o for o in self.options if o.kind in {"config", "json"} and o.config]
        names = (name for name in catalogue.option_names() if release.option(name) is None)
        self.of_others = sorted("--" + name.replace("_", "-") for name in names)

    def draw(self, count: int) -> list[Line]:
        """`count` different lines."""
        lines: dict[Line, None] = {}
        while len(lines) < count:
            lines[self.rendered() if self.random.random() < 0.15 else self.line()] = None
        return list(lines)

    def line(self) -> Line:
        """One to three pieces, in most lines after a model."""
        head = self.random.choices([["m"], [], ["--model", "m"], ["--model=m"]], [90, 4, 3, 3])[0]
        return (*head, *(word for _ in range(self.random.choice([1, 1, 2, 3])) for word in self.piece()))

    def rendered(self) -> Line:
        """The command line that cortexctl renders from valid arguments."""
        chosen = self.random.sample(self.options, self.random.randint(1, 6))
        args = {o.name: self.value(o) for o in chosen if o.name not in {"model", "served_model_name", "host", "port"}}
        return tuple(arguments(new_spec("", "org/m", ("m", "n"), self.release.version, args=args).server))

    def piece(self) -> list[str]:
        pieces: dict[Callable[[], list[str]], int] = {
            self.right: 30,
            self.wrong: 15,
            self.spelled: 12,
            self.json: 20,
            self.dotted: 12,
            self.switched: 10,
            self.unknown: 8,
            self.shortened: 8,
            self.level: 4,
            self.several: 6,
            self.bare: 5,
            self.stray: 3,
        }
        return self.random.choices(list(pieces), list(pieces.values()))[0]()

    def right(self) -> list[str]:
        return argv_of(*self._with_value())

    def wrong(self) -> list[str]:
        option = self.option()
        word = self.random.choice([*WRONG, *map(str, option.choices or ())])
        return [f"{option.flag}={word}"] if self.random.random() < 0.5 else [option.flag, word]

    def spelled(self) -> list[str]:
        """Other spellings of the flag, and of the value."""
        option = self.option()
        flag = self.random.choice([*option.flags, option.flag.replace("-", "_").replace("__", "--", 1)])
        word = self.random.choice([str(c) for c in option.choices or ()] or RIGHT.get(option.kind, ["1"]))
        return [f"{flag}={word}"] if self.random.random() < 0.5 else [flag, word]

    def json(self) -> list[str]:
        option = self.random.choice(self.configs)
        return [option.flag, json.dumps(self.table(option.config))]

    def dotted(self) -> list[str]:
        option = self.random.choice(self.configs)
        keys = self.release.keys(option.config)
        name = self.random.choice([*keys, "zz_unknown"])
        path = f"{self.random.choice(option.flags)}.{name}"
        if name in keys and keys[name].config and self.random.random() < 0.5:
            path += "." + self.random.choice(list(self.release.keys(keys[name].config)) or ["a"])
        path += self.random.choice(["", "", "", "+"])
        value = self.key_value(keys.get(name))
        word = value if isinstance(value, str) else json.dumps(value)
        return [f"{path}={word}"] if self.random.random() < 0.5 else [path, word]

    def switched(self) -> list[str]:
        option = self.random.choice([o for o in self.options if o.kind in {"pair", "switch"}])
        flag = self.random.choice([*option.flags, *option.off_flags, "--no-" + option.flag[2:]])
        return self.random.choice([[flag], [flag], [flag, "true"], [f"{flag}=true"], [f"{flag}=false"]])

    def unknown(self) -> list[str]:
        flag = self.option().flag
        cut = self.random.randrange(3, len(flag))
        misspelt = flag[:cut] + flag[cut + 1 :] if self.random.random() < 0.5 else f"{flag}-x"
        chosen = self.random.choice([misspelt, self.random.choice(self.of_others)])
        return self.random.choice([[chosen], [chosen, "1"], [f"{chosen}=1"]])

    def shortened(self) -> list[str]:
        option = self.option()
        flag = option.flag[: self.random.randrange(4, len(option.flag) + 1)]
        word = self.random.choice(RIGHT.get(option.kind, ["1"]))
        return [flag] if option.kind in {"pair", "switch"} else [flag, word]

    def level(self) -> list[str]:
        return self.random.choice([["-O0"], ["-O3"], ["-O=2"], ["-O", "1"], ["-O9"], ["-O"], ["-Ox"], ["-O.mode=3"]])

    def several(self) -> list[str]:
        """Up to three values, sometimes with the same option again."""
        option = self.random.choice([o for o in self.options if o.nargs] or self.options)
        values = [self.random.choice(RIGHT.get(option.kind, ["1"])) for _ in range(self.random.randint(0, 3))]
        again = [option.flag, *values[:1]] if self.random.random() < 0.3 else []
        return [option.flag, *values, *again]

    def bare(self) -> list[str]:
        return [self.option().flag]

    def stray(self) -> list[str]:
        return [self.random.choice(["extra", "--", "-1", "{}", "serve", ""])]

    def option(self) -> Option:
        return self.random.choice(self.options)

    def _with_value(self) -> tuple[Option, Any]:
        option = self.option()
        return option, self.value(option)

    def value(self, option: Option) -> Any:
        """A value as a stack file holds it."""
        if option.kind in {"pair", "switch"}:
            return option.kind == "switch" or self.random.random() < 0.5
        if option.config:
            return self.table(option.config, mistyped=False)
        choices = [c for c in option.choices or () if c is not None]
        value = self.random.choice(choices or OF_A_STACK.get(option.kind, ["text"]))
        return [value] if option.nargs or option.repeats else value

    def table(self, config: str, *, mistyped: bool = True) -> dict[str, Any]:
        keys = self.release.keys(config)
        names = self.random.sample(list(keys), min(len(keys), self.random.randint(1, 2)))
        table = {name: self.key_value(keys[name], mistyped=mistyped) for name in names}
        return table | ({"zz_unknown": 1} if mistyped and self.random.random() < 0.15 else {})

    def key_value(self, key: Key | None, *, mistyped: bool = True) -> Any:
        if key is None or (mistyped and self.random.random() < 0.3):
            return self.random.choice(MISTYPED)
        right = [v for name in key.types for v in OF_A_KEY[name] if key.allows(v)]
        return self.random.choice([*key.choices, *right] or [None])
