"""Edits of a stack's text: each changes its target, and nothing else."""

from __future__ import annotations

import json
import tomllib

import pytest

from cortexctl.stack.document import UnreadableDocument, parse_document
from cortexctl.stack.edit.change import Addition, CannotEdit, Edit
from cortexctl.stack.edit.edits import edited, with_arguments


@pytest.mark.parametrize(
    ("before", "loc", "pairs", "after"),
    [
        ("a = 1 # kept\n", ("a",), {"b": 2}, "b = 2 # kept\n"),
        ("a = 1 # goes\nb = 2\n", ("a",), {}, "b = 2\n"),
        ("[t]\na = 1", ("t", "a"), {}, "[t]\n"),
        ("[t]\n  a = [\n  1, # one\n]\n", ("t", "a"), {"b": 1, "c.d": "x"}, '[t]\n  b = 1\n  c.d = "x"\n'),
        ("t = { a = 1, b = 2 }\n", ("t", "a"), {}, "t = { b = 2 }\n"),
        ("t = { a = 1, b = 2 }\n", ("t", "b"), {}, "t = { a = 1 }\n"),
        ("t = { a = 1 }\n", ("t", "a"), {}, "t = {  }\n"),
        ("t = { a = 1, b = 2 }\n", ("t", "a"), {"x": True, "y": [1]}, "t = { x = true, y = [1], b = 2 }\n"),
        ("t.u.a = 1\nt.u.b = 2\n", ("t", "u", "a"), {"c": 3}, "t.u.c = 3\nt.u.b = 2\n"),
        ('"ü" = 1\na = "ä"\n', ("a",), {"b": "ö"}, '"ü" = 1\nb = "ö"\n'),
        ("[[l]]\na = 1\n[[l]]\na = 2\n", ("l", 1, "a"), {"a": 3}, "[[l]]\na = 1\n[[l]]\na = 3\n"),
    ],
)
def test_an_edit_changes_nothing_else(
    before: str, loc: tuple[str | int, ...], pairs: dict[str, object], after: str
) -> None:
    assert edited(parse_document("s.toml", before), [Edit(loc, pairs)]) == after


def test_an_edit_of_json_keeps_the_order_of_keys() -> None:
    text = edited(parse_document("s.json", '{"a": 1, "t": {"x": 1, "y": 2}}'), [Edit(("t", "x"), {"n.m": 3})])
    assert text == '{\n  "a": 1,\n  "t": {\n    "n": {\n      "m": 3\n    },\n    "y": 2\n  }\n}\n'


ARGS = ("models", "m", "args")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[models.m.args]\na = 1 # one\n# last\n\n[z]\n", "[models.m.args]\na = 1 # one\nn = 2\n# last\n\n[z]\n"),
        ("[models.m.args] # empty\n[z]\n", "[models.m.args] # empty\nn = 2\n[z]\n"),
        ("[models.m.args]", "[models.m.args]\nn = 2"),
        ("[models.m.args]\n\ta = [\n1,\n] # one", "[models.m.args]\n\ta = [\n1,\n] # one\n\tn = 2"),
        ('[ models . "m" . args ]\nx.y = 1\n', '[ models . "m" . args ]\nx.y = 1\nn = 2\n'),
        ("[models.m.args.x]\ny = 1\n", "[models.m.args.x]\ny = 1\n\n[models.m.args]\nn = 2\n"),
        ("[models.m]\nargs = { a = 1 } # few\n", "[models.m]\nargs = { a = 1, n = 2 } # few\n"),
        ("[models.m]\nargs = {}\n", "[models.m]\nargs = { n = 2 }\n"),
        ("[models.m]\nargs.a = 1\nb = 1\n", "[models.m]\nargs.a = 1\nargs.n = 2\nb = 1\n"),
        ("[models.m]\nargs.x.y = 1\n", "[models.m]\nargs.x.y = 1\nargs.n = 2\n"),
        ("[models.m]\nargs.x = { y = 1 }\n", "[models.m]\nargs.x = { y = 1 }\nargs.n = 2\n"),
        ('[models]\n"m".args.a = 1\n', '[models]\n"m".args.a = 1\n"m".args.n = 2\n'),
        ("models.m = { args.a = 1 }\n", "models.m = { args.a = 1, args.n = 2 }\n"),
        ("models.m = { b = 1 }\n", "models.m = { b = 1, args = { n = 2 } }\n"),
        ("models = { m = {} }\n", "models = { m = { args = { n = 2 } } }\n"),
        ("[models]\nm.b = 1\n", "[models]\nm.b = 1\n\n[models.m.args]\nn = 2\n"),
        ("[models.m]\nb = 1", "[models.m]\nb = 1\n\n[models.m.args]\nn = 2\n"),
    ],
)
def test_an_addition_has_the_form_of_its_table(before: str, after: str) -> None:
    assert edited(parse_document("s.toml", before), [Addition(ARGS, {"n": 2})]) == after


def test_the_same_key_keeps_its_spelling() -> None:
    text = '[t]\n"a"   =   1   # one\n'
    assert edited(parse_document("s.toml", text), [Edit(("t", "a"), {"a": 2})]) == text.replace("1", "2")


@pytest.mark.parametrize(
    ("before", "change"),
    [
        ("[t]\na.b = 1\na.c = 2\n", Edit(("t", "a"), {})),
        ("[t.a]\nb = 1\n", Edit(("t", "a"), {"x": 1})),
        ("t = 1\n", Addition(("t", "u"), {"n": 1})),
        ("[[t]]\na = 1\n", Addition(("t",), {"n": 1})),
    ],
)
def test_a_text_that_is_not_one_pair_or_one_table_is_not_edited(before: str, change: Edit | Addition) -> None:
    with pytest.raises((CannotEdit, UnreadableDocument)):
        edited(parse_document("s.toml", before), [change])


BEFORE = """stack = "s"  # ours

[models.a]
image = "v"

[models.a.args]
# the context
max_model_len = 8192  # tokens
dtype = "auto"

[models.b.args]
max_model_len = 1
"""


def test_arguments_are_changed_and_added_and_comments_stay() -> None:
    after = with_arguments("stack.toml", BEFORE, "a", {"max_model_len": 4096, "kv_cache_dtype": "fp8"})
    assert after == BEFORE.replace("8192", "4096").replace('"auto"\n', '"auto"\nkv_cache_dtype = "fp8"\n')


def test_a_model_without_arguments_gets_a_table_for_them() -> None:
    after = with_arguments("stack.toml", '[models.a]\nimage = "v"\n', "a", {"enforce_eager": True})
    assert tomllib.loads(after) == {"models": {"a": {"image": "v", "args": {"enforce_eager": True}}}}


def test_inline_arguments_are_changed_in_place() -> None:
    before = '[models.a]\nargs = { max_model_len = 8, dtype = "auto" }  # few\n'
    after = before.replace("= 8", "= 16").replace('"auto"', '"auto", enforce_eager = true')
    assert with_arguments("s.toml", before, "a", {"max_model_len": 16, "enforce_eager": True}) == after


def test_arguments_of_a_stack_in_json_are_set() -> None:
    after = with_arguments("s.json", '{"models": {"a": {"args": {"dtype": "auto"}}}}', "a", {"dtype": "half", "b": 1})
    assert json.loads(after) == {"models": {"a": {"args": {"dtype": "half", "b": 1}}}}


@pytest.mark.parametrize("text", [BEFORE.replace("models.a", "models.c"), "[models.a]\nargs = 1\n", "models = []\n"])
def test_an_ambiguous_edit_is_left_to_the_user(text: str) -> None:
    with pytest.raises(CannotEdit):
        with_arguments("s.toml", text, "a", {"dtype": "half"})


def test_two_edits_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(UnreadableDocument):
        edited(parse_document("s.toml", "a = 1\nb = 2\n"), [Edit(("a",), {"c": 1}), Edit(("b",), {"c": 2})])
