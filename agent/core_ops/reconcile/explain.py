"""One object of a host: what it is, from which files and lines it comes, what it needs, and what starts it.

All of it is read off the desired state, so the answer is the same on an author's machine and on the host.
"""

import difflib
from collections.abc import Iterator

from core_ops.reconcile.graph import Graph, Node
from core_ops.reconcile.keys import INSTALL_KEYS
from core_ops.reconcile.layers import Line, effective, layers
from core_ops.reconcile.model import Desired, Item, Obj, Value

_NEAREST = 5


class Explained(Value, frozen=True):
    """What is known of one object.

    `layers` are the files it is made of, as repository path and path on the host, in the order they are read. `lines` are
    those that count. `starts` are the reasons for which its unit is started; empty when there is none or it has no unit.
    """

    item: Item
    layers: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...] = ()
    requires: tuple[Obj, ...] = ()
    required_by: tuple[Obj, ...] = ()
    uses: tuple[Obj, ...] = ()
    starts: tuple[str, ...] = ()


class Unknown(Value, frozen=True):
    """There is no such object; these are called something like it."""

    nearest: tuple[str, ...]


def explain(desired: Desired, graph: Graph, name: str) -> Explained | Unknown:
    """Return what is known of one object.

    Args:
        desired: the host's desired state.
        graph: its units.
        name: display id, unit name, path on the host, or path in the repository.
    """
    item = _found(desired, name)
    if item is None:
        return Unknown(tuple(difflib.get_close_matches(name, sorted(_names(desired)), _NEAREST, 0.5)))
    if item.object.resource_type == "config":
        return _config(item, graph)
    if item.object.resource_type == "dropin":
        return _dropin(item, graph)
    return _unit(graph.nodes[item.unit], graph)


def _found(desired: Desired, name: str) -> Item | None:
    for item in desired.items:
        if name in {item.object.display_id, item.path} or name in item.sources:
            return item
    units = (i for i in desired.items if i.unit == name and i.object.resource_type != "dropin")
    return next(units, None)


def _names(desired: Desired) -> Iterator[str]:
    for item in desired.items:
        yield item.object.display_id
        yield item.path
        if item.unit:
            yield item.unit


def _config(item: Item, graph: Graph) -> Explained:
    users = tuple(sorted(n.object for n in graph.nodes.values() if item in n.configs))
    return Explained(item, tuple((source, item.path) for source in item.sources), required_by=users)


def _dropin(item: Item, graph: Graph) -> Explained:
    """Return one drop-in, with those of its lines that count in a unit that is read with it."""
    nodes = tuple(n for n in graph.nodes.values() if item in n.dropins)
    lines = {line.place: line for n in nodes for line in effective(layers(n)) if line.source in item.sources}
    ordered = tuple(sorted(lines.values(), key=lambda line: line.line))
    return Explained(item, ((item.sources[-1], item.path),), ordered, requires=tuple(sorted(n.object for n in nodes)))


def _unit(node: Node, graph: Graph) -> Explained:
    unit = layers(node)
    return Explained(
        node.item,
        tuple((layer.source, layer.path) for layer in unit),
        effective(unit),
        requires=_objects(graph, _needs(node)),
        required_by=tuple(sorted(n.object for n in graph.nodes.values() if node.unit in _needs(n) and n is not node)),
        uses=tuple(c.object for c in node.configs),
        starts=tuple(_starts(node, graph)),
    )


def _needs(node: Node) -> frozenset[str]:
    return frozenset((*node.relations.strong, *node.relations.wants))


def _objects(graph: Graph, units: frozenset[str]) -> tuple[Obj, ...]:
    return tuple(sorted(graph.nodes[u].object for u in units if u in graph.nodes))


def _starts(node: Node, graph: Graph) -> Iterator[str]:
    """Yield why a unit is started, the reason that counts first."""
    if node.template:
        return
    activators = sorted(u for u, n in graph.nodes.items() if node.unit in n.relations.activates)
    for activator in activators:
        yield f"activated by {activator}"
    for key in INSTALL_KEYS:
        for line in node.text.effective("Install", key):
            left = ", left to what activates it" if activators else ""
            yield f"[Install] {key}={line.value} ({line.place}){left}"
    for other in sorted(u for u, n in graph.nodes.items() if node.unit in n.relations.wants and n is not node):
        yield f"wanted by {other}"
