"""Networks and volumes outlast the units that make them: podman keeps each as it was made, whatever its file says by now.

A network holds nothing, so one that is to be another is removed while everything that uses it is stopped, and its unit makes it
anew. A volume holds data, so a person decides: its unit and its users are left as they are, and every plan says so. What each
volume was made from is on record under the name that podman has for it.

Source:
    podman-systemd.unit(5); Podman 5.4, whose generated units run `podman network create --ignore` and `podman volume create
    --ignore`.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from core_ops.reconcile.changes import Changes
from core_ops.reconcile.graph import Graph, Node
from core_ops.reconcile.meaning import differences, fingerprint
from core_ops.reconcile.model import Obj, Owned, Started
from core_ops.reconcile.quoting import unquoted
from core_ops.reconcile.unitfile import UnitText, parse

_SECTIONS = {"network": "Network", "volume": "Volume"}
_NAMES = {"network": "NetworkName", "volume": "VolumeName"}


def kept_name(obj: Obj, text: UnitText) -> str:
    """Return what podman calls the network or volume of a unit; nothing when only the host can tell."""
    kind = obj.resource_type
    name = unquoted(text.last(_SECTIONS[kind], _NAMES[kind])) or f"systemd-{obj.name}"
    return "" if "%" in name else name


def _alike(kind: str, one: UnitText, other: UnitText) -> bool:
    return not any(d.section == _SECTIONS[kind] for d in differences(one, other))


def _made_alike(changes: Changes, before: Node, node: Node) -> bool:
    """Whether podman would make the same network or volume of both."""
    return changes.spare(node) or _alike(node.object.resource_type, before.text, node.text)


# --- networks ---------------------------------------------------------------------------------------------------------


def outdated_networks(
    graph: Graph,
    changes: Changes,
    started: Mapping[str, str],
    fresh: AbstractSet[str],
    owned: AbstractSet[str],
) -> Mapping[str, tuple[str, ...]]:
    """Return the units whose networks were, or may have been, made from something else, with the names these may have.

    Args:
        graph: the units of the desired state.
        changes: what differs on the host.
        started: what each unit was started from.
        fresh: units that were started from what is desired.
        owned: paths of files that this agent wrote.
    """
    nodes = [n for n in graph.nodes.values() if n.object.resource_type == "network"]
    outdated = [n for n in nodes if n.item.path in owned and _is_outdated(n, changes, started, fresh)]
    kept = {kept_name(n.object, n.text) for n in nodes if n not in outdated}
    found: dict[str, tuple[str, ...]] = {}
    for node in outdated:
        applied = changes.files[node.item.path].before is not None
        before, disk = changes.old.nodes.get(node.unit) if applied else None, changes.on_disk(node)
        texts = (text for text in (disk, before.text if before else None) if text is not None)
        names = {kept_name(node.object, text) for text in texts} - kept - {""}
        if names:
            found[node.unit] = tuple(sorted(names))
    return found


def _is_outdated(node: Node, changes: Changes, started: Mapping[str, str], fresh: AbstractSet[str]) -> bool:
    before, disk = changes.old.nodes.get(node.unit), changes.on_disk(node)
    if before is not None and started.get(node.unit) == before.inputs and changes.stands(before):
        return not _made_alike(changes, before, node)
    if node.unit in fresh:
        return False
    # What podman had before this agent came is taken as it is: nothing was applied here yet, and no start is on record.
    ours = changes.files[node.item.path].before is not None or node.unit in started
    return ours or (disk is not None and not _alike("network", disk, node.text))


def abandoned_networks(graph: Graph, changes: Changes, gone: Iterable[Owned]) -> tuple[tuple[Owned, str], ...]:
    """Return the removed files of networks with the names of these, unless a file that stays makes one of that name."""
    stay = (n for u, n in graph.nodes.items() if n.object.resource_type == "network" and u in changes.old.nodes)
    made = {kept_name(n.object, n.text) for n in stay}
    found: list[tuple[Owned, str]] = []
    for owned in gone:
        if owned.object.resource_type == "network":
            names = set(_names_of(owned, changes)) - made - {""}
            found += [(owned, name) for name in sorted(names)]
    return tuple(found)


def _names_of(owned: Owned, changes: Changes) -> Iterable[str]:
    node = changes.old.nodes.get(owned.unit)
    if node is not None:
        yield kept_name(owned.object, node.text)
        disk = changes.on_disk(node)
    else:
        state = changes.seen.get(owned.path)
        read = parse(state.content, owned.path) if state is not None and state.kind == "file" else None
        disk = read if isinstance(read, UnitText) else None
    if disk is not None:
        yield kept_name(owned.object, disk)


# --- volumes ----------------------------------------------------------------------------------------------------------


class Volumes(NamedTuple):
    """What is known of the volumes of a host.

    `made` is what each was made from, by its name at podman: what was on record, and what this plan adds. `undecided` are the
    units of those that would be made otherwise now, each with what a person can do; `anew` are those that podman has no more,
    although their units are up.
    """

    made: tuple[Started, ...]
    undecided: Mapping[str, str]
    anew: frozenset[str]


def volumes(graph: Graph, recorded: Iterable[Started], missing: AbstractSet[str], up: AbstractSet[str]) -> Volumes:
    """Return what is known of the volumes.

    Args:
        graph: the units of the desired state.
        recorded: what each volume was made from, by its name at podman.
        missing: names of volumes on record that podman does not have.
        up: units that are up.
    """
    made = {m.unit: m.inputs for m in recorded if m.unit not in missing}
    undecided: dict[str, str] = {}
    anew: set[str] = set()
    for unit, node in graph.nodes.items():
        if node.object.resource_type != "volume" or not (name := kept_name(node.object, node.text)):
            continue
        if made.setdefault(name, _digest(node)) != _digest(node):
            undecided[unit] = _decision(unit, name)
        if name in missing and unit in up:
            anew.add(unit)
    return Volumes(tuple(sorted(Started(n, d) for n, d in made.items())), undecided, frozenset(anew))


def names_of(graph: Graph, units: Iterable[str]) -> tuple[str, ...]:
    """Return what podman calls the volumes of these units."""
    return tuple(kept_name(graph.nodes[u].object, graph.nodes[u].text) for u in sorted(units))


def _digest(node: Node) -> str:
    kept = (a for a in node.text.assignments if a.section == "Volume" and a.key not in {"VolumeName", "ServiceName"})
    return fingerprint(UnitText(tuple(kept)))


def _decision(unit: str, name: str) -> str:
    return (
        f"podman keeps the volume {name} as it was made, with its data; to have it made anew, save these, then "
        f"`systemctl stop {unit}`, `podman volume rm {name}` and `core-ops apply`"
    )
