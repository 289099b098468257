"""The messages that a module's source can say of a tree, as patterns: read from the source, so that none is forgotten."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Where each function of the core takes its message, counted without `self`.
_PLACES = {"Finding": 3, "_refuse": 2, "_bad": 2, "Refused": 1, "NoText": 1, "_refused": 2, "_complain": 0}
# Functions whose results are messages, or begin with one.
_ANSWERS = ("misnamed", "_escapes")


class Template(NamedTuple):
    """One message with `{...}` where something of the tree is put in."""

    module: str
    text: str

    def fits(self, line: str) -> bool:
        """Whether a line of a fixture says this."""
        parts = (re.escape(part) for part in re.split(r"\{[^}]*\}", self.text))
        return re.search(".*".join(parts), line) is not None

    def __str__(self) -> str:
        """Shown as the id of a test."""
        return f"{self.module}: {self.text}"


def templates(source: Path) -> tuple[Template, ...]:
    """Every message of one module."""
    found: dict[str, None] = {}
    for function in (n for n in ast.walk(ast.parse(source.read_text())) if isinstance(n, ast.FunctionDef)):
        local = _assigned(function)
        for node in ast.walk(function):
            for expression in _expressions(node, function.name):
                found |= dict.fromkeys(_texts(expression, local))
    return tuple(Template(source.stem, text) for text in found)


def _expressions(node: ast.AST, function: str) -> Iterator[ast.expr]:
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args) if name in _PLACES:
            place = _PLACES[name] - any(isinstance(a, ast.Starred) for a in args)  # a path and a line as one
            if len(args) > place:
                yield args[place]
        case ast.Return(value=ast.Tuple(elts=[first, *_])) if function in _ANSWERS:
            yield first
        case ast.Return(value=ast.Constant() | ast.JoinedStr() as answer) if function in _ANSWERS:
            yield answer
        case _:
            pass


def _assigned(function: ast.FunctionDef) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found.setdefault(name, []).append(value)
            case _:
                pass
    return found


def _texts(expression: ast.expr, local: dict[str, list[ast.expr]]) -> Iterator[str]:
    match expression:
        case ast.Constant(value=str(text)) if text:
            yield text
        case ast.JoinedStr(values=values):
            yield "".join(str(v.value) if isinstance(v, ast.Constant) else "{...}" for v in values)
        case ast.Name(id=name):
            for value in local.get(name, []):
                if not isinstance(value, ast.Name):
                    yield from _texts(value, {})
        case _:
            pass
