"""Networks and volumes outlast the units that make them: podman keeps each as it was made, whatever its file says by now.

A network holds nothing, so one that is to be another is removed while everything that uses it is stopped, and its unit makes it
anew. A volume holds data, so a person decides: its unit and its users are left as they are, and every plan says so.

Source:
    podman-systemd.unit(5); Podman 5.4, whose generated units run `podman network create --ignore` and `podman volume create
    --ignore`.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from core_ops.reconcile.changes import Changes
from core_ops.reconcile.graph import Graph, Node
from core_ops.reconcile.meaning import differences
from core_ops.reconcile.model import Owned, UnitState
from core_ops.reconcile.quoting import unquoted

_SECTIONS = {"network": "Network", "volume": "Volume"}
_NAMES = {"network": "NetworkName", "volume": "VolumeName"}


def kept_name(node: Node) -> str:
    """Return what podman calls the network or volume of a unit; nothing when only the host can tell."""
    kind = node.object.resource_type
    name = unquoted(node.text.last(_SECTIONS[kind], _NAMES[kind])) or f"systemd-{node.object.name}"
    return "" if "%" in name else name


def _made_alike(changes: Changes, before: Node, node: Node) -> bool:
    """Whether podman would make the same network or volume of both."""
    section = _SECTIONS[node.object.resource_type]
    return changes.spare(node) or not any(d.section == section for d in differences(before.text, node.text))


def outdated_networks(
    graph: Graph, changes: Changes, fresh: AbstractSet[str], as_before: AbstractSet[str], owned: AbstractSet[str]
) -> Mapping[str, str]:
    """Return the units whose networks were, or may have been, made from something else, with the networks' names.

    Args:
        graph: the units of the desired state.
        changes: what differs on the host.
        fresh: units that were started from what is desired.
        as_before: units that were started from what was applied last.
        owned: paths of files that this agent wrote.
    """
    found: dict[str, str] = {}
    for unit, node in graph.nodes.items():
        if node.object.resource_type != "network" or node.item.path not in owned or not changes.stood(node):
            continue  # a network that was never ours is taken as it is
        before = changes.old.nodes.get(unit)
        if before is not None and unit in as_before and changes.stands(before):
            outdated = not _made_alike(changes, before, node)
        else:
            outdated = unit not in fresh
        name = kept_name(before or node)
        if outdated and name:
            found[unit] = name
    return found


def abandoned_networks(graph: Graph, before: Graph, gone: Iterable[Owned]) -> tuple[tuple[Owned, str], ...]:
    """Return the removed files of networks with the names of these, unless another file makes a network of that name."""
    made = {kept_name(n) for n in graph.nodes.values() if n.object.resource_type == "network"}
    found: list[tuple[Owned, str]] = []
    for owned in gone:
        if owned.object.resource_type == "network":
            node = before.nodes.get(owned.unit)
            name = kept_name(node) if node is not None else f"systemd-{owned.object.name}"
            found += [(owned, name)] if name and name not in made else []
    return tuple(found)


def kept_volumes(
    graph: Graph,
    changes: Changes,
    states: Mapping[str, UnitState],
    started: Mapping[str, str],
    as_before: AbstractSet[str],
) -> Mapping[str, str]:
    """Return the units of volumes that are left as they were made, each with the reason if one would be made otherwise now.

    Args:
        graph: the units of the desired state.
        changes: what differs on the host.
        states: what systemd says of the units.
        started: what each unit was started from.
        as_before: units that were started from what was applied last.
    """
    found: dict[str, str] = {}
    for unit, node in graph.nodes.items():
        if node.object.resource_type != "volume":
            continue
        before, name = changes.old.nodes.get(unit), kept_name(node)
        if before is None or unit not in started or states[unit].active != "active":
            continue
        if started[unit] == node.inputs:
            found |= (
                {unit: ""} if changes.stands(before) else {}
            )  # it is as it was made, whatever its file said meanwhile
        elif kept_name(before) == name and not (unit in as_before and _made_alike(changes, before, node)):
            found[unit] = _decision(unit, name)
    return found


def _decision(unit: str, name: str) -> str:
    return (
        f"podman keeps the volume {name or 'of this unit'} as it was made, with its data; to have it made anew, save these, "
        f"then `systemctl stop {unit}`, `podman volume rm {name or 'NAME'}` and `core-ops apply`"
    )
