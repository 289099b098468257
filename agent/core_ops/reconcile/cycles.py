"""Units of one host that wait for each other: which they are, and a line that makes one of them wait.

Units that can all be reached from each other are one group, and a group is one refusal, however many circles are in it. The
message names the shortest circle through its first unit; a line that closes it is looked for in the files of its units.
"""

from collections.abc import Iterable, Iterator, Mapping

from core_ops.reconcile.escape import where
from core_ops.reconcile.graph import Graph, Node, prerequisites
from core_ops.reconcile.kinds import KINDS, UnitName, unit_name
from core_ops.reconcile.model import Finding
from core_ops.reconcile.mountneeds import MountNeeds, mount_needs
from core_ops.reconcile.quoting import split
from core_ops.reconcile.references import needed, pod_of
from core_ops.reconcile.unitfile import Assignment, UnitText

_SHOWN = 10  # names in a message: a circle of a thousand units would be a page
_HINT = "remove one of the After=, Before=, Network= or Volume= lines between them"
# The settings that name what a unit starts; it comes before that, also without such a line.
_STARTING = {"timer": ("Timer", "Unit"), "socket": ("Socket", "Service"), "path": ("Path", "Unit")}

_Needs = Mapping[str, frozenset[str]]
_Place = tuple[str, int]


def cycles(graph: Graph) -> tuple[Finding, ...]:
    """Return a refusal for each group of units that wait for each other, sorted by place; linear in the size of the files."""
    if not graph.waiting:
        return ()
    names = {_file_name(node): unit for unit, node in graph.nodes.items()}
    waiting = frozenset(graph.waiting)
    all_needs = prerequisites(graph.nodes)
    needs = {unit: all_needs[unit] & waiting for unit in waiting}
    return tuple(sorted(_finding(graph, group, needs, names) for group in _groups(needs)))


# --- groups -----------------------------------------------------------------------------------------------------------


def _groups(needs: _Needs) -> Iterator[frozenset[str]]:
    """Yield the units of each group.

    Source:
        Kosaraju's algorithm: what is finished last cannot be reached but from its own group, once all arrows are turned.
    """
    users: dict[str, list[str]] = {unit: [] for unit in needs}
    for unit, others in needs.items():
        for other in others:
            users[other].append(unit)
    left = set(needs)
    for root in reversed(_finished(needs)):
        group: list[str] = []
        todo = [root]
        while todo:
            unit = todo.pop()
            if unit in left:
                left.remove(unit)
                group.append(unit)
                todo.extend(users[unit])
        if len(group) > 1:
            yield frozenset(group)


def _finished(needs: _Needs) -> list[str]:
    """Return the units in the order in which a walk in depth is done with them; a chain may be too long to recurse."""
    done: list[str] = []
    seen: set[str] = set()
    for root in needs:
        path = [(root, iter(needs[root]))] if root not in seen else []
        seen.add(root)
        while path:
            unit, others = path[-1]
            following = next((other for other in others if other not in seen), None)
            if following is None:
                done.append(unit)
                path.pop()
            else:
                seen.add(following)
                path.append((following, iter(needs[following])))
    return done


def _circle(group: frozenset[str], needs: _Needs) -> tuple[str, ...]:
    """Return the shortest circle through the first unit of a group by name: each waits for the next, the last for the first."""
    first = min(group)
    before: dict[str, str] = {}
    row = [first]
    while row:
        following: list[str] = []
        for unit in row:
            if unit != first and first in needs[unit]:
                path = [unit]
                while path[-1] != first:
                    path.append(before[path[-1]])
                return tuple(reversed(path))
            for other in sorted(needs[unit] & group):
                if other != first and other not in before:
                    before[other] = unit
                    following.append(other)
        row = following
    msg = f"{first} is in a group without a circle"
    raise AssertionError(msg)


# --- words and places -------------------------------------------------------------------------------------------------


def _finding(graph: Graph, group: frozenset[str], needs: _Needs, names: Mapping[str, str]) -> Finding:
    circle = _circle(group, needs)
    pairs = zip(circle, (*circle[1:], circle[0]), strict=True)
    places = [next(_places(graph.nodes[unit], graph.nodes[other], names)) for unit, other in pairs]
    start = min(range(len(places)), key=lambda number: _rank(places[number]))
    circle = (*circle[start:], *circle[:start])
    message = f"waits for itself: {' -> '.join((*_shown(circle), circle[0]))}"
    if others := sorted(group.difference(circle)):
        message += f"; in circles with them: {', '.join(_shown(others))}"
    path, line = places[start]
    return Finding(path, line, "DependencyCycle", message, _HINT)


def _rank(place: _Place) -> int:
    """Return how late a place is named: what a host adds is what makes the circle there, and no line is hard to mend."""
    path, line = place
    return 2 if not line else 0 if path.startswith("hosts/") else 1


def _shown(names: Iterable[str]) -> tuple[str, ...]:
    known = tuple(names)
    return known if len(known) <= _SHOWN else (*known[: _SHOWN - 1], f"{len(known) - _SHOWN + 1} more")


def _places(unit: Node, other: Node, names: Mapping[str, str]) -> Iterator[_Place]:
    """Yield the lines that make a unit wait for another one, and at last its file, for what follows from a name alone."""
    name, quadlet = _name(unit), KINDS[_name(unit).suffix].form == "quadlet"
    if quadlet:
        pod = pod_of(name, unit.text)
        used = (*needed(name, unit.text), *((pod,) if pod else ()))
        yield from ((r.path, r.line) for r in used if names.get(r.file_name, r.file_name) == other.unit)
    yield from _worded(unit, "After", other.unit, names)
    yield from _of_mount(unit, other)
    yield from _worded(other, "Before", unit.unit, names)
    if unit.unit in other.relations.activates:
        yield from _last(other.text, *_STARTING.get(_name(other).suffix, ("", "")))
    yield unit.item.sources[0], 0


def _worded(node: Node, key: str, target: str, names: Mapping[str, str]) -> Iterator[_Place]:
    """Yield the lines of a dependency of `[Unit]` that name a unit, by itself or, in a Quadlet file, by its file."""
    quadlet = KINDS[_name(node).suffix].form == "quadlet"
    for a in node.text.effective("Unit", key):
        for word in split(a.value, "names").words:
            if target == (names.get(word, word) if quadlet else word):
                yield a.path, a.line


def _of_mount(unit: Node, mount: Node) -> Iterator[_Place]:
    """Yield the lines that need a path of a mount, the last first: an earlier one may have been taken back."""
    name = _name(unit)
    if _name(mount).suffix != "mount":
        return
    mounts = {where(mount.unit): mount.unit}
    if mount_needs(name, unit.text, mounts) == MountNeeds():
        return
    unsaid = mount_needs(name, UnitText(), mounts)
    for a in reversed(unit.text.assignments):
        if _may_be_path(a) and mount_needs(name, UnitText((a,), (a.section,)), mounts) != unsaid:
            yield a.path, a.line
    yield from _last(unit.text, KINDS[name.suffix].section, "Where")  # a mount below another one


def _may_be_path(line: Assignment) -> bool:
    return "/" in line.value or line.key.endswith("Directory")


def _last(text: UnitText, section: str, key: str) -> Iterator[_Place]:
    yield from ((a.path, a.line) for a in text.effective(section, key)[-1:])


def _file_name(node: Node) -> str:
    return node.item.path.rpartition("/")[2]


def _name(node: Node) -> UnitName:
    name = unit_name(_file_name(node))
    if name is None:
        msg = f"{node.item.path} was rendered without being a unit"
        raise AssertionError(msg)
    return name
