"""Where in the repository something stands that a program said of a unit.

Programs name files of a directory of their own, generated units that no repository has, and keys without lines. Each of them
leads back to one file of the source tree, and to a line of it wherever one can be told.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from core_ops.reconcile.complaints import Generated
from core_ops.reconcile.graph import Node, build
from core_ops.reconcile.kinds import KINDS, template_of, unit_name
from core_ops.reconcile.layers import Layer, layers
from core_ops.reconcile.model import Desired, Item
from core_ops.reconcile.unitfile import Assignment, UnitText, parse

_GROUP = re.compile(r"in group '([^']+)'")
_LINE = re.compile(r"contains line (\d+):")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_KEY = re.compile(r"([A-Za-z][A-Za-z0-9]*)=")
_QUOTED = re.compile(r"'([^']+)'|(?:unit|of) (\S+\.[a-z]+)\b|: (\S+)\Z")


class Place(NamedTuple):
    """A file of the repository, a line or 0, and the section and key that stand there, if they are known."""

    path: str
    line: int
    section: str = ""
    key: str = ""


class Places:
    """The files of one state, and the units made from them."""

    def __init__(self, desired: Desired, generated: Iterable[Generated]) -> None:
        self._nodes = build(desired).nodes
        self._items = {file_name(item): item for item in desired.items if item.object.resource_type != "config"}
        self._by_file = {file_name(node.item): node for node in self._nodes.values()}
        self._made = {g.unit: g for g in generated}

    def line(self, file: str, line: int) -> Place | None:
        """Return where a line of a native file, a drop-in or a generated unit comes from."""
        if item := self._items.get(file):
            return _in_file(item, line)
        made = self._made.get(file)
        node = self._by_file.get(made.file) if made else None
        if made is None or node is None:
            return None
        content = made.content.encode()
        text = parse(content, file)
        if not isinstance(text, UnitText):
            return _whole(node)
        if meant := _statement(text, content, line):
            return _same(layers(node), meant) or _whole(node)
        return _header(node.definition, _lines(content)[line - 1 : line]) or _whole(node)

    def quadlet(self, file: str, words: str) -> Place | None:
        """Return what the generator means in a Quadlet file, its drop-ins included."""
        if node := self._by_file.get(file):
            group = _GROUP.search(words)
            section = group[1] if group else ""
            return _named(layers(node), _WORD.findall(words), section) or _quoted(layers(node), words) or _whole(node)
        item = self._items.get(file)
        found = _LINE.search(words)
        return Place(item.sources[-1], int(found[1]) if found else 0) if item else None

    def unit(self, unit: str, words: str) -> Place | None:
        """Return the line of the first key that the words name (`ExecStart=`), if the unit has it."""
        node = self._node(unit)
        return _named(layers(node), _KEY.findall(words), "") if node else None

    def command(self, unit: str, program: str) -> Place | None:
        """Return the line that runs a program, or else the unit's file."""
        node = self._node(unit)
        if node is None:
            return None
        runs = (p for p, a in _assignments(layers(node)) if a.key.startswith("Exec") and program in a.value)
        return _last(runs) or _whole(node)

    def section(self, unit: str) -> Place | None:
        """Return the header of the section that a unit of this kind must have, or else its file."""
        node = self._node(unit)
        name = unit_name(node.item.path.rpartition("/")[2]) if node else None
        if node is None or name is None:
            return None
        header = f"[{KINDS[name.suffix].section or 'Unit'}]".encode()
        return _header((node.item,), [header]) or _whole(node)

    def paths(self, unit: str) -> frozenset[str]:
        """Return the repository paths of a unit's files."""
        node = self._node(unit)
        return frozenset(item.sources[-1] for item in node.definition) if node else frozenset()

    def _node(self, unit: str) -> Node | None:
        """Return a unit of this state; a template is looked at under the name of an instance."""
        return self._nodes.get(unit) or self._nodes.get(template_of(unit))


def file_name(item: Item) -> str:
    """Return the name of a unit file or drop-in below the directory of the program that reads it."""
    return item.object.name if item.object.resource_type == "dropin" else item.path.rpartition("/")[2]


def _in_file(item: Item, line: int) -> Place:
    text = parse(item.content, item.path)
    meant = _statement(text, item.content, line) if isinstance(text, UnitText) else None
    return Place(item.sources[-1], meant.line, meant.section, meant.key) if meant else Place(item.sources[-1], line)


def _statement(text: UnitText, content: bytes, line: int) -> Assignment | None:
    """Return the assignment that ends in a line: systemd names the last line of a continued one."""
    lines = _lines(content)
    first = line
    while 1 < first <= len(lines) and lines[first - 2].rstrip().endswith(b"\\"):
        first -= 1
    return next((a for a in text.assignments if first <= a.line <= line), None)


@lru_cache(maxsize=16)  # one file may have many complaints, and they come in a row
def _lines(content: bytes) -> tuple[bytes, ...]:
    return tuple(content.split(b"\n"))


def _assignments(unit: tuple[Layer, ...]) -> Iterator[tuple[Place, Assignment]]:
    for layer in unit:
        for a in layer.text.assignments:
            yield Place(layer.source, a.line, a.section, a.key), a


def _same(unit: tuple[Layer, ...], meant: Assignment) -> Place | None:
    """Return the line of a Quadlet file that became a line of its unit, which may have put it in other words."""
    section = meant.section.removeprefix("X-")
    alike = [(p, a) for p, a in _assignments(unit) if (a.section, a.key) == (section, meant.key)]
    return _last(p for p, a in alike if a.value == meant.value) or _last(p for p, _ in alike)


def _named(unit: tuple[Layer, ...], keys: list[str], section: str) -> Place | None:
    """Return the last line that sets the first of these keys that is set at all."""
    for key in keys:
        found = _last(p for p, a in _assignments(unit) if a.key == key and section in {"", a.section})
        if found:
            return found
    return None


def _quoted(unit: tuple[Layer, ...], words: str) -> Place | None:
    values = ["".join(found) for found in _QUOTED.findall(words)]
    return _last(p for p, a in _assignments(unit) if any(value in a.value for value in values))


def _header(files: Iterable[Item], headers: Iterable[bytes]) -> Place | None:
    """Return where one of these section headers stands first."""
    wanted = {header.strip() for header in headers}
    for item in files:
        for number, line in enumerate(item.content.split(b"\n"), 1):
            if line.strip() in wanted:
                return Place(item.sources[-1], number)
    return None


def _whole(node: Node) -> Place:
    return Place(node.item.sources[-1], 0)


def _last(places: Iterable[Place]) -> Place | None:
    found = tuple(places)
    return found[-1] if found else None
