"""How the units of one host depend on each other, and what each of them is started from.

A unit's inputs are its own file and drop-ins, the config files its text names, and the inputs of every unit that takes it
down when it stops. One digest over them answers the only question a restart depends on: is what runs what is on disk?
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from core_ops.reconcile.definition import Definition, defined
from core_ops.reconcile.kinds import KINDS, dropin_targets, is_template, unit_name
from core_ops.reconcile.model import NATIVE_TYPES, Desired, Item, Obj, Value, sha256_hex
from core_ops.reconcile.mountneeds import mount_needs
from core_ops.reconcile.quadlet import Peers, Relations, peers, related
from core_ops.reconcile.unitfile import UnitText


class Node(Value, frozen=True):
    """One unit of the host.

    `native` units have their file where systemd reads it and can be enabled; others are generated. `installs` says whether
    the unit asks to be started at boot; `wanted` whether it should be up now. `configs` are the config files it uses,
    `paths` all paths that its text names. `text` is its file with its drop-ins, `meaning` a digest of what that means.
    `inputs` is a digest over all that it is started from, `own` over its part of that: without the units it needs.
    """

    unit: str
    item: Item
    dropins: tuple[Item, ...]
    configs: tuple[Item, ...]
    relations: Relations
    native: bool
    template: bool
    installs: bool
    wanted: bool
    inputs: str
    paths: tuple[str, ...] = ()
    text: UnitText = UnitText()
    meaning: str = ""
    own: str = ""

    @property
    def object(self) -> Obj:
        """The object of the unit's own file."""
        return self.item.object

    @property
    def definition(self) -> tuple[Item, ...]:
        """The files that make up the unit itself: a change to one of them needs a reload."""
        return (self.item, *self.dropins)

    def reads(self, dropin: Obj) -> bool:
        """Whether the unit would be read with such a drop-in: it is for this unit, and no other of its name counts more."""
        file_name = dropin.name.partition("/")[2]
        own = {_target(d.object) for d in self.dropins if _file_name(d) == file_name}
        for name in (_file_name(self.item), self.unit):
            targets = dropin_targets(name)
            if _target(dropin) in targets:
                return own.isdisjoint(targets[: targets.index(_target(dropin))])
        return False


class Graph(Value, frozen=True):
    """The units of one host by name, and the order in which they start (prerequisites first, ties by name).

    `waiting` are units that wait for each other, and those that wait for one of them; rendering refuses such a state, so the
    order of the rest is all that counts.
    """

    nodes: dict[str, Node]
    order: tuple[str, ...]
    waiting: tuple[str, ...] = ()

    def inputs_with(self, own: Mapping[str, str]) -> dict[str, str]:
        """Return the inputs of the units that these digests reach, with these in place of their own part of some units."""
        parts = {u: own.get(u, n.own) for u, n in self.nodes.items()}
        reached = self.strong_dependents(own.keys() & self.nodes.keys()) if own else frozenset[str]()
        return {unit: _all_inputs(unit, parts, self.nodes) for unit in reached}

    def strong_dependents(self, units: Iterable[str]) -> frozenset[str]:
        """Return the given units and all that systemd takes down when one of them stops."""
        found = set(units)
        while more := {u for u, n in self.nodes.items() if u not in found and found.intersection(n.relations.strong)}:
            found |= more
        return frozenset(found)


def build(desired: Desired) -> Graph:
    """Return the dependency graph of a host's desired state."""
    mains = [i for i in desired.items if i.unit and i.object.resource_type != "dropin"]
    dropins, configs = _dropins_by_target(desired), _configs_by_path(desired)
    sources = [_source(i, dropins) for i in mains]
    known = peers((s.means.name, s.means.said, s.item.unit) for s in sources)
    drafts = {s.item.unit: _draft(s, known, configs) for s in sources}
    order, waiting = _ordered(prerequisites(drafts))
    wanted, own = _wanted(drafts), {unit: _own_inputs(node) for unit, node in drafts.items()}
    nodes = {
        unit: msgspec.structs.replace(
            drafts[unit], wanted=unit in wanted, own=own[unit], inputs=_all_inputs(unit, own, drafts)
        )
        for unit in order
    }
    return Graph(nodes, order, waiting)


def _file_name(item: Item) -> str:
    return item.path.rpartition("/")[2]


class _Source(Value, frozen=True):
    """A unit file with the drop-ins that apply to it, and what they say together."""

    item: Item
    dropins: tuple[Item, ...]
    means: Definition


def _source(item: Item, dropins: Mapping[str, tuple[Item, ...]]) -> _Source:
    name = unit_name(_file_name(item))
    if name is None:
        msg = f"{item.path} was rendered without being a unit"
        raise AssertionError(msg)
    own = _dropins_of(item, dropins)
    return _Source(item, own, defined(name, tuple((i.content, i.sources[-1]) for i in (item, *own))))


def _dropins_by_target(desired: Desired) -> Mapping[str, tuple[Item, ...]]:
    """Return the drop-ins by the file or unit that their directory names."""
    found: dict[str, list[Item]] = {}
    for item in desired.items:
        if item.object.resource_type == "dropin":
            found.setdefault(_target(item.object), []).append(item)
    return {target: tuple(items) for target, items in found.items()}


def _target(dropin: Obj) -> str:
    return dropin.name.partition("/")[0].removesuffix(".d")


def _dropins_of(item: Item, dropins: Mapping[str, tuple[Item, ...]]) -> tuple[Item, ...]:
    """Return a unit's drop-ins as they are read: the generator's before systemd's, each of two kinds by name."""
    names = tuple(dict.fromkeys((_file_name(item), item.unit)))
    return tuple(dropin for name in names for dropin in _by_name(name, dropins))


def _by_name(name: str, dropins: Mapping[str, tuple[Item, ...]]) -> Iterator[Item]:
    found: dict[str, Item] = {}
    for target in dropin_targets(name):
        for dropin in dropins.get(target, ()):
            found.setdefault(_file_name(dropin), dropin)
    yield from (found[file_name] for file_name in sorted(found))


def _configs_by_path(desired: Desired) -> Mapping[str, tuple[Item, ...]]:
    """Return the config files by every path that means them: their own and each directory above, `/etc` itself excepted."""
    found: dict[str, list[Item]] = {}
    for item in desired.items:
        if item.object.resource_type == "config":
            for path in config_names(item.object):
                found.setdefault(path, []).append(item)
    return {path: tuple(items) for path, items in found.items()}


def config_names(config: Obj) -> Iterator[str]:
    """Yield every path that means a config file: each directory above it but `/etc` itself, and its own."""
    parts = config.name.split("/")
    for length in range(2, len(parts) + 1):
        yield "/" + "/".join(parts[:length])


def _draft(source: _Source, known: Peers, configs: Mapping[str, tuple[Item, ...]]) -> Node:
    item, means = source.item, source.means
    template = is_template(item.unit)
    used = {c.object: c for path in means.paths for c in configs.get(path, ())}
    mounts = mount_needs(means.name, means.text, known.mounts)
    return Node(
        unit=item.unit,
        item=item,
        dropins=source.dropins,
        configs=tuple(used[o] for o in sorted(used)),
        relations=related(means.name, means.said, item.unit, known, mounts),
        native=KINDS[means.name.suffix].type in NATIVE_TYPES,
        template=template,
        installs=not template and means.installs,
        wanted=False,
        inputs="",
        paths=means.paths,
        text=means.text,
        meaning=means.meaning,
    )


def prerequisites(nodes: Mapping[str, Node]) -> dict[str, frozenset[str]]:
    """Return for each unit those of the host that start before it."""
    found: dict[str, set[str]] = {unit: set() for unit in nodes}
    for unit, node in nodes.items():
        found[unit].update(u for u in node.relations.after if u in nodes)
        for later in node.relations.before:
            if later in nodes:
                found[later].add(unit)
    return {unit: frozenset(needs - {unit}) for unit, needs in found.items()}


def _ordered(needs: Mapping[str, frozenset[str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the order, and the units that never get their turn (they come last, by name); linear in all that is needed."""
    left = {unit: len(needed) for unit, needed in needs.items()}
    users: dict[str, list[str]] = {unit: [] for unit in needs}
    for unit, needed in needs.items():
        for other in needed:
            users[other].append(unit)
    order: list[str] = []
    ready = sorted(unit for unit, count in left.items() if not count)
    while ready:
        order.extend(ready)
        following: list[str] = []
        for unit in ready:
            del left[unit]
            for user in users[unit]:
                left[user] -= 1
                if not left[user]:
                    following.append(user)
        ready = sorted(following)
    waiting = tuple(sorted(left))
    return (*order, *waiting), waiting


def _wanted(nodes: Mapping[str, Node]) -> frozenset[str]:
    """Return the units that should be up: those with an [Install] section and what these pull in.

    A unit that a timer, socket or path of the host starts is left to it, even if it could be enabled too: starting a backup now
    because its timer was deployed is not what anybody asked for.
    """
    activated = {u for n in nodes.values() for u in n.relations.activates}
    todo = [u for u, n in nodes.items() if n.installs and u not in activated]
    found: set[str] = set()
    while todo:
        unit = todo.pop()
        if unit in nodes and unit not in found and _startable(nodes[unit]):
            found.add(unit)
            todo.extend(nodes[unit].relations.wants)
    return frozenset(found)


def _startable(node: Node) -> bool:
    """Whether the unit is started at all: a template can't be, and a slice comes with the first unit in it."""
    return not node.template and node.object.resource_type != "slice"


def _all_inputs(unit: str, own: Mapping[str, str], nodes: Mapping[str, Node]) -> str:
    return _hash(f"{u} {own[u]}" for u in sorted(_strong_closure(unit, nodes)))


def _own_inputs(node: Node) -> str:
    configs = (f"{i.path} {i.mode:o} {sha256_hex(i.content)}{_owners(i)}" for i in node.configs)
    return _hash((f"{node.object.display_id} {node.meaning}", *configs))


def _owners(item: Item) -> str:
    """Return the owners where any are asked for: without, a digest stays what it was before there were owners."""
    return f" {item.owner}:{item.group}" if item.owner or item.group else ""


def _strong_closure(unit: str, nodes: Mapping[str, Node]) -> frozenset[str]:
    found = {unit}
    todo = [unit]
    while todo:
        for strong in nodes[todo.pop()].relations.strong:
            if strong in nodes and strong not in found:
                found.add(strong)
                todo.append(strong)
    return frozenset(found)


def _hash(lines: Iterable[str]) -> str:
    return sha256_hex("\n".join(lines).encode())
