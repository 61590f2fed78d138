"""Edits of what a server is: its image, its model, its names and its arguments."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.edits.edit import Edit, edit_of, replaced
from tests.edits.text import (
    GONE,
    OLD_IMAGE,
    OWN_IMAGE,
    Text,
    image_of_tag,
)


@edit_of("models.image")
def _the_image(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    before = text.but("models", model, "image", to=image_of_tag("v0.32.0"))
    has_release = before.at("models", model, "vllm_version") is not None
    fields = ["image"] if has_release else ["image", "vllm_version"]
    return (
        before,
        before.but("models", model, "image", to=image_of_tag("v0.33.0")),
        replaced(text.addresses(model), *fields),
    )


@edit_of("models.vllm_version", kinds=[("v0.33.0", ["vllm_version"]), ("v0.32.0", [])])
def _the_release_of_an_image_without_one_in_its_tag(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    before = text.but("models", model, "image", to=OWN_IMAGE).but("models", model, "vllm_version", to="0.32.0")
    new, fields = kind
    return before, before.but("models", model, "vllm_version", to=new), replaced(text.addresses(model), *fields)


@edit_of(
    "models.source.path",
    "models.source.repo",
    kinds=[({"path": "two"}, ["model"]), ({"path": "one/"}, []), ({"repo": "o/n"}, ["model", "env.HF_HUB_OFFLINE"])],
)
def _the_source(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    before = text.but("models", model, "source", to={"path": "one"})
    new, fields = kind
    if before.at("models", model, "offline") is not None:
        fields = [f for f in fields if f == "model"]
    return before, before.but("models", model, "source", to=new), replaced(text.addresses(model), *fields)


@edit_of(
    "models.source.revision",
    "models.source.tokenizer",
    "models.source.hf_config_path",
    kinds=[("revision", "def"), ("revision", GONE), ("tokenizer", "o/u"), ("hf_config_path", "/models/x")],
)
def _a_part_of_the_source(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    before = text.but("models", model, "source", to={"repo": "o/n", "revision": "abc", "tokenizer": "o/t"})
    key, new = kind
    return before, before.but("models", model, "source", key, to=new), replaced(text.addresses(model), f"args.{key}")


@edit_of("models.source.gguf")
def _the_gguf_file(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    source = {"gguf": "a/one.gguf", "tokenizer": "o/t"}
    before = text.but("models", model, "image", to=OLD_IMAGE).but("models", model, "source", to=source)
    before = before.but("models", model, "vllm_version", to=GONE)
    after = before.but("models", model, "source", "gguf", to="a/two.gguf")
    return before, after, replaced(text.addresses(model), "model")


@edit_of("models.served_names", kinds=[(GONE, ["new"]), (None, GONE), (["one", "two"], ["two", "one"])])
def _the_served_names(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Left out, it serves under its own name."""
    old, new = kind
    old = [model] if old is None else old
    before = text.but("models", model, "served_names", to=old)
    same = old == [model] and new is GONE
    touched = {} if same else replaced(text.addresses(model), "served_names")
    return before, before.but("models", model, "served_names", to=new), touched


@edit_of("models.task", kinds=[("generate", "embed", ["args.runner"]), ("score", "reward", []), (GONE, "generate", [])])
def _the_task(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    old, new, fields = kind
    before = text.but("models", model, "task", to=old)
    return before, before.but("models", model, "task", to=new), replaced(text.addresses(model), *fields)


@edit_of("models.offline")
def _offline(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    old, new = draw(st.permutations([GONE, True, False]))[:2]
    before = text.but("models", model, "offline", to=old)
    usual = before.at("models", model, "source", "repo") is None
    was, now = (usual if value is GONE else value for value in (old, new))
    fields = [] if was == now else ["env.HF_HUB_OFFLINE"]
    return before, before.but("models", model, "offline", to=new), replaced(text.addresses(model), *fields)


VALUES_OF_ARGS: dict[str, list[Any]] = {
    "max_num_seqs": [GONE, 8, 64],
    "gpu_memory_utilization": [GONE, 0.5, 0.92, 1.0],
    "enforce_eager": [GONE, True, False],
    "kv_cache_dtype": [GONE, "auto", "fp8"],
    "max_model_len": [GONE, 4096, "auto"],
    "cudagraph_capture_sizes": [GONE, [1, 2], [2, 1], []],
    "chat_template": [GONE, "a", "a\n", ""],
    "lora_modules": [GONE, ["a=/a"], []],
    "speculative_config": [GONE, {"method": "ngram"}],
}


@edit_of("models.args", kinds=sorted(VALUES_OF_ARGS))
def _an_argument(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    name, (old, new) = kind, draw(st.permutations(VALUES_OF_ARGS[kind]))[:2]
    before = text.but("models", model, "args", name, to=old)
    return before, before.but("models", model, "args", name, to=new), replaced(text.addresses(model), f"args.{name}")


@edit_of(
    "models.args",
    kinds=[
        (("deep", "one"), 2),
        (("deep", "one"), 1.0),
        (("deep", "one"), True),
        (("deep", "one"), GONE),
        (("deep", "three"), {"a": []}),
        (("deep", "two", 1), 3),
        (("é",), "y"),
    ],
)
def _a_key_of_an_argument_that_is_json(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    before = text.but("models", model, "args", "hf_overrides", to={"deep": {"one": 1, "two": [1, 2]}, "é": "x"})
    path, new = kind
    inner = ".".join(["args.hf_overrides", *map(str, path)])
    after = before.but("models", model, "args", "hf_overrides", *path, to=new)
    return before, after, replaced(text.addresses(model), inner)


@edit_of("models.extra_args")
def _the_extra_arguments(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    old, new = draw(st.permutations([GONE, ["--quux"], ["--quux", ""], ["--quux", "a b"]]))[:2]
    before = text.but("models", model, "extra_args", to=old)
    return before, before.but("models", model, "extra_args", to=new), replaced(text.addresses(model), "extra_args")
