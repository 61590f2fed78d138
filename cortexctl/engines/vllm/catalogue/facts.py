"""The facts about one release's command line, as values. `catalogue` fills them."""

from __future__ import annotations

from typing import Any, Literal

from cortexctl.dataclass import dataclass

Entry = Literal["serve", "api_server"]
"""`vllm serve`, or the module `vllm.entrypoints.openai.api_server`, which images started up to 0.11.0."""
Kind = Literal[
    "text",
    "int",
    "float",
    "size",  # an int that may be written as 8k (8000) or 8K (8192)
    "size_or_auto",
    "pair",  # --x and --no-x, both without a value
    "switch",  # only --x
    "word",  # --x, --x true, --x=false
    "truthy",  # a value; any text except '' is true, even 'false'
    "json",
    "json_or_text",  # an object is read as JSON, everything else is text
    "config",  # a JSON object with the keys of a config class
    "config_or_level",  # the same, or a number from 0 to 3
    "literal_or_level",  # the same, but in Python syntax: {'a': True}, without true and null
    "counts",  # image=2,video=1
    "counts_or_json",
    "colon_pairs",  # a:1,b:2
    "items",  # 0,1,cpu
    "lower",  # text; capitals and dashes are normalised
    "text_or_none",  # text; `none` means no value
    "lora",  # values NAME=PATH, or JSON objects
    "adapters",  # values NAME=PATH
]
Registry = Literal["quantization", "load_format", "attention_backend", "tool_parser", "reasoning_parser"]


@dataclass(frozen=True, slots=True)
class Span:
    """A range of releases, both ends included. `until` is '' if it includes the newest release."""

    since: str
    until: str = ""
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.since} to {self.until}" if self.until else f"since {self.since}"


@dataclass(frozen=True, slots=True)
class Option:
    """One option as one release defines it."""

    name: str
    """The name in a stack: tensor_parallel_size. A positional's name is its destination, model_tag."""
    kind: Kind
    flags: tuple[str, ...]
    """Flags that set it, the main one first: --tensor-parallel-size, -tp. Empty for a positional."""
    off_flags: tuple[str, ...] = ()
    """Flags that set it to false, the preferred one first."""
    dest: str = ""
    """The parser's destination; other options may share it."""
    nargs: str | int | None = None
    """As in argparse: None is one value (none at all for a pair or a switch), '+' one or more, '?' one or none."""
    bare: Any = None
    """With nargs '?': the value if none is given."""
    choices: tuple[Any, ...] | None = None
    """The values that the parser accepts, after conversion. None: it does not check. None in the list: "not set" is
    accepted.
    """
    soft_choices: tuple[str, ...] = ()
    """Known values that the parser does not enforce: the start-up code may, and plugins add to them."""
    default: Any = None
    """None: not set, or decided at start-up. {} is a config object with all its defaults."""
    group: str = ""
    config: str = ""
    """The class whose keys the JSON value has: see Release.keys."""
    strict: bool = False
    """The parser refuses an unknown key of the config."""
    unset: bool = False
    """The values '' and None mean "not set"."""
    repeats: bool = False
    """Each use adds one value; for other options the last use wins."""
    required: bool = False
    deprecated: bool = False
    removal: str = ""
    """The release announced for its removal. Such announcements are often wrong."""
    entry: Entry | None = None
    """The only entry point that has it."""
    bounds: tuple[tuple[str, float], ...] = ()
    """Limits (ge, gt, le, lt) that the start-up code enforces and the parser does not."""
    unsteady: bool = False
    """The release picks one of several lists of choices at random in every process; `choices` contains all of them."""

    @property
    def flag(self) -> str:
        """The main flag, '' for a positional."""
        return self.flags[0] if self.flags else ""

    @property
    def positional(self) -> bool:
        return not self.flags


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a config class."""

    name: str
    types: tuple[str, ...]
    """Any of bool, int, float, str, list, object, null, any."""
    choices: tuple[str, ...] = ()
    """Values; the complete list unless `types` contains str or any."""
    config: str = ""
    """The config class of a nested object."""
    takes: str | None = None
    """The types that the parser accepts, if they differ from `types`: letters for b(ool), i(nt), f(loat), s(tring), d
    (a string of digits), l (empty list), L (list of strings), I (list of ints), o(bject), n(ull), and c (a choice in
    any case).
    """

    def allows(self, value: Any) -> bool:
        """Whether the parser, if it checks at all (a kind with "config" or "level"), accepts this value for the key."""
        taken = "".join(LETTERS[t] for t in self.types) if self.takes is None else self.takes
        is_name = isinstance(value, str) and not value.isdigit()  # a choice of digits is a number
        if is_name or type(value) is int:
            choices = {c.lower() for c in self.choices} if "c" in taken else set(self.choices)
            if (str(value).lower() if "c" in taken else str(value)) in choices:
                return True
        return letter_of(value) in taken or ("b" in taken and "bool" in self.types and _reads_as_bool(value))


LETTERS = {
    "bool": "b",
    "int": "bid",
    "float": "bifd",
    "str": "sd",
    "list": "lLI",
    "object": "o",
    "null": "n",
    "any": "bifsdlLIon",
}
"""Type of a key -> the letters that it accepts by default."""


def _reads_as_bool(value: Any) -> bool:
    """The values that a config class accepts as true or false besides these (pydantic's list)."""
    if isinstance(value, str):
        return value.lower() in {"0", "off", "f", "false", "n", "no", "1", "on", "t", "true", "y", "yes"}
    return isinstance(value, int | float) and value in {0, 1}


def letter_of(value: Any) -> str:
    """The letter of a JSON value in `Key.takes`."""
    match value:
        case None:
            return "n"
        case bool():
            return "b"
        case int():
            return "i"
        case float():
            return "i" if value.is_integer() else "f"
        case str():
            return "d" if value.lstrip("+-").isdigit() else "s"
        case list():
            return "l" if not value else "I" if all(isinstance(v, int) for v in value) else "L"
        case _:
            return "o"


@dataclass(frozen=True, slots=True)
class ParserTraits:
    """How the release's parser treats arguments before it reads options."""

    abbreviations: bool
    """An unambiguous beginning of a long flag counts as the flag."""
    model: Literal["required", "optional"]
    """The positional model of `vllm serve`."""
    model_flag: Literal["unused", "error", "moved"]
    """`vllm serve --model M`: the positional is still required, a traceback, or M counts as the positional."""
    model_flag_equals: Literal["unused", "works", "moved", "unknown"]
    """The same for `--model=M`."""
    names_first: bool
    """--served-model-name may be the first argument without a model before it. In later releases that is a
    traceback.
    """
    dotted: Literal["", "dashes", "text", "json"]
    """`--x.a_b 1`: unknown; {"a-b": "1"}; {"a_b": "1"}; {"a_b": 1}."""
    dotted_short: bool
    """Also `-cc.a 1`."""
    dotted_sizes: bool
    """`--x.a 8k` gives 8000."""
    dotted_append: bool
    """`--x.a+ v` adds to a list."""
    json_sizes: bool
    """{"a": 8k} in a config's JSON."""
    o: Literal["", "compilation_config.level", "compilation_config.mode", "optimization_level"]
    """The effect of -O3, -O 3 and -O=3."""
    file_model: bool
    """`--config FILE` may name the model."""
    file_lists: bool
    """A list in the file becomes several arguments; in earlier releases one argument, in Python's notation."""
    file_keys: bool
    """A table in the file becomes JSON; in earlier releases an error."""
    file_booleans: bool
    """true in the file becomes the bare flag, and false nothing; in earlier releases both became values."""
    help_topics: bool
    """--help=TOPIC."""
    lora_json: bool
    """--lora-modules accepts JSON objects."""
    lora_equals: bool
    """--lora-modules NAME=PATH with another = in the path."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model architecture, as named by `architectures` in a config.json."""

    name: str
    spans: tuple[Span, ...]
    """Each with its group as `kind`. Empty if no release had it but vLLM lists it as removed."""
    plugin: str = ""
    """Its replacement: the address of a plugin."""
    gone_after: str = ""
    """The last release with it, according to vLLM itself; sometimes off by one."""
