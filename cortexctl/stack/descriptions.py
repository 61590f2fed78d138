"""The texts below the fields of the stack file's schema: for the JSON Schema, and for the report of a missing key.

Not read with the tables: every command would read the source of every table.
"""

from __future__ import annotations

import ast
import inspect
import itertools

from cortexctl.stack.tables import Table, fields_of, is_table


def descriptions(table: type[Table]) -> dict[str, str]:
    """Key -> the text below the field in the source, for the fields that have one."""
    texts: dict[str, str] = {}
    keys = {field.name: field.key for field in fields_of(table)}
    for declared in reversed(table.__mro__):
        if is_table(declared) and declared is not Table:
            texts |= {keys[name]: text for name, text in _texts_in(declared) if name in keys}
    return texts


def _texts_in(declared: type) -> list[tuple[str, str]]:
    [statement] = ast.parse(inspect.getsource(declared)).body
    texts = []
    for line, below in itertools.pairwise(statement.body if isinstance(statement, ast.ClassDef) else ()):
        match line, below:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                texts.append((name, inspect.cleandoc(text)))
    return texts
