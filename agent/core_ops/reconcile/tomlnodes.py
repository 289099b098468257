"""Reads TOML into nodes.

The text is walked once (`tomlplaces`) for the line of every key and value and for its depth; only what that walk understood
is handed to `tomllib`, which alone decides whether it is TOML and what it says. So no input reaches `tomllib` that could
exhaust it, and a mistake in the walk can lose a manifest but never change what it means.
"""

import datetime as dt
import re
import tomllib

from core_ops.reconcile.nodes import List, Map, Node, Refused, Scalar, decoded, empty
from core_ops.reconcile.tomlplaces import HINT, Place, Way, places

_Said = dict[str, "_Said"] | list["_Said"] | str | int | float | dt.date | dt.time
_AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def toml_node(content: bytes) -> Map:
    """Return what a TOML document says; numbers, truth values and times are the text that stands in the file.

    Raises:
        Refused: it is no TOML, or TOML that a manifest may not hold.
    """
    text = decoded(content)
    found = places(text)
    try:
        said: dict[str, _Said] = tomllib.loads(text)
    except ValueError as error:  # also an integer of more digits than Python converts
        raise _refused(str(error), text) from error
    if not said:
        raise empty()
    return _map(said, (), found)


def _refused(message: str, text: str) -> Refused:
    where = _AT_LINE.search(message)
    line = 0
    if where:
        line = int(where[1]) if where[1] else text.count("\n", 0, len(text.rstrip())) + 1
    return Refused(line, f"is not TOML: {_AT_LINE.sub('', message)}", HINT)


def _place(way: Way, found: dict[Way, Place]) -> Place:
    place = found.get(way)
    if place is None:
        raise Refused(0, f"says “{way[-1]}” in a way that cannot be followed", "write it under a table of its own")
    return place


def _map(table: dict[str, _Said], way: Way, found: dict[Way, Place]) -> Map:
    pairs: list[tuple[Scalar, Node]] = []
    for key, value in table.items():
        inner = (*way, key)
        pairs.append((Scalar(key, _place(inner, found).line), _node(value, inner, found)))
    line = _place(way, found).line if way else min(key.line for key, _ in pairs)
    return Map(tuple(pairs), line)


def _node(value: _Said, way: Way, found: dict[Way, Place]) -> Node:
    place = _place(way, found)
    match value:
        case dict():
            return _map(value, way, found)
        case list():
            return List(tuple(_node(v, (*way, number), found) for number, v in enumerate(value)), place.line)
        case str():
            return Scalar(value, place.line)
        case _:
            return Scalar(place.text, place.line)
