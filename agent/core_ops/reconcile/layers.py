"""Which files a unit's text comes from, in the order systemd reads them, and which of their lines still count.

Lints and explanations name a file and a line of the source repository; this is where a setting finds its way back.
"""

from collections.abc import Iterator

import msgspec

from core_ops.reconcile.graph import Node
from core_ops.reconcile.keys import adding, family
from core_ops.reconcile.model import Item, Value
from core_ops.reconcile.unitfile import UnitText, parse


class Layer(Value, frozen=True):
    """One file of a unit: where it stands in the repository, where on the host, and what it says."""

    source: str
    path: str
    text: UnitText


class Line(Value, frozen=True):
    """One assignment and its place in the repository; `overrides` are the places of earlier lines it makes void."""

    source: str
    line: int
    section: str
    key: str
    value: str
    overrides: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The file and line as people write them."""
        return f"{self.source}:{self.line}"


def layers(node: Node) -> tuple[Layer, ...]:
    """Return the files of a unit in the order in which they are read: the generated unit's drop-ins come last."""
    return tuple(_layer(item) for item in node.definition)


def _layer(item: Item) -> Layer:
    text = parse(item.content, item.sources[-1])
    return Layer(item.sources[-1], item.path, text if isinstance(text, UnitText) else UnitText())


def effective(unit: tuple[Layer, ...]) -> tuple[Line, ...]:
    """Return the lines that count, in order, each with the places of those it overrides.

    A reset stays in the answer, since it is what makes earlier lines void. Lines of an unknown setting add up: nobody knows
    that one of them replaces another.
    """
    live: dict[int, Line] = {}
    standing: dict[tuple[str, str], list[int]] = {}  # by what one empty line takes back
    for number, line in enumerate(_lines(unit)):
        kind = adding(line.key, line.section)
        group = standing.setdefault((line.section, family(line.key)), [])
        if kind == "dependency" and not line.value:
            continue
        if not line.value or kind in {"text", "single"}:
            live[number] = msgspec.structs.replace(line, overrides=tuple(live.pop(n).place for n in group))
            group.clear()
        else:
            live[number] = line
        group.append(number)
    return tuple(live.values())


def _lines(unit: tuple[Layer, ...]) -> Iterator[Line]:
    for layer in unit:
        for a in layer.text.assignments:
            yield Line(layer.source, a.line, a.section, a.key, a.value)
