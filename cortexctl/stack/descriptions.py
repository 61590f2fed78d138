"""The texts below the fields of the stack file's schema: for the JSON Schema, and for the report of a missing key.

Not by pydantic (`use_attribute_docstrings`): it would read the source of every table at each start.
"""

from __future__ import annotations

import ast
import inspect
import itertools

from pydantic import BaseModel


def descriptions(table: type[BaseModel]) -> dict[str, str]:
    """Key -> the text below the field in the source, for the fields that have one."""
    texts: dict[str, str] = {}
    fields = table.model_fields
    for declared in reversed(table.__mro__):
        if issubclass(declared, BaseModel) and declared is not BaseModel:
            texts |= {fields[name].alias or name: text for name, text in _texts_in(declared) if name in fields}
    return texts


def _texts_in(declared: type) -> list[tuple[str, str]]:
    [statement] = ast.parse(inspect.getsource(declared)).body
    texts = []
    for line, below in itertools.pairwise(statement.body if isinstance(statement, ast.ClassDef) else ()):
        match line, below:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                texts.append((name, inspect.cleandoc(text)))
    return texts
