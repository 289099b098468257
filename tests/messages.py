"""The messages that a module's source can say of a tree, as patterns: read from the source, so that none is forgotten."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Where each function of the core takes its message, counted without `self`.
_PLACES = {
    "Finding": 3,
    "_refuse": 2,
    "_bad": 2,
    "Refused": 1,
    "NoText": 1,
    "_refused": 2,
    "_complain": 0,
    "_unclear": 0,
}
# Functions whose results are messages or parts of them, or begin with one.
_ANSWERS = frozenset({"more", "misnamed", "_escapes", "_both", "_no_path", "_shared", "_of_units", "_of_others"})


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
    found = (text for function, expression in _said(source) for text in _texts(expression, _assigned(function)))
    return tuple(Template(source.stem, text) for text in dict.fromkeys(found))


def unread(source: Path) -> tuple[str, ...]:
    """The expressions of one module that are messages, but of which no template comes: a helper that is not known here."""
    return tuple(
        f"{source.stem}, line {expression.lineno}: {ast.unparse(expression)}"
        for function, expression in _said(source)
        if not _passed_on(expression, function) and not any(True for _ in _texts(expression, _assigned(function)))
    )


def _said(source: Path) -> Iterator[tuple[ast.FunctionDef, ast.expr]]:
    for function in (n for n in ast.walk(ast.parse(source.read_text())) if isinstance(n, ast.FunctionDef)):
        for node in ast.walk(function):
            yield from ((function, expression) for expression in _expressions(node, function.name))


def _expressions(node: ast.AST, function: str) -> Iterator[ast.expr]:
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args) if name in _PLACES:
            place = _PLACES[name]
            place -= any(isinstance(a, ast.Starred) for a in args[:place])  # a path and a line as one
            yield from args[place : place + 1]
        case ast.Return(value=ast.expr() as answer) | ast.Yield(value=ast.expr() as answer) if function in _ANSWERS:
            yield answer
        case ast.Assign(targets=[ast.Attribute(attr="_fault")], value=fault):
            yield fault
        case _:
            pass


def _passed_on(expression: ast.expr, function: ast.FunctionDef) -> bool:
    """Whether the message was made elsewhere: by who calls this function, in something that was raised, or by a helper."""
    names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    match expression:
        case ast.Attribute(attr="message") | ast.Constant(value=""):
            return True
        case ast.Name(id=name) if name in {a.arg for a in function.args.args}:
            return True
        case _:
            return not names.isdisjoint(_ANSWERS)


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
            for part in _parts(expression):
                yield from _texts(part, local)


def _parts(expression: ast.expr) -> list[ast.expr]:
    """What an expression may come to; of a message with its hint, the message."""
    match expression:
        case ast.IfExp(body=body, orelse=orelse):
            return [body, orelse]
        case ast.BoolOp(values=values):
            return values
        case ast.Tuple(elts=elements):
            return elements[:1]
        case _:
            return []
