"""What stands where a host mounts something: what forbids a mount, what it hides, and whether it is really there.

systemd makes a missing mount point by itself and mounts over whatever lies in it. What an author or a person on the host would
not want is found while planning, before anything is touched.
"""

import shlex
from collections.abc import Mapping

import msgspec

from core_ops.reconcile.compare import UP, Comparison, UnitChange
from core_ops.reconcile.escape import covers, where
from core_ops.reconcile.graph import Graph, Node
from core_ops.reconcile.model import LastApplied, MountPoint, Observed, UnitState
from core_ops.reconcile.mounts import creates, is_bind


def with_mount_points(found: Comparison, graph: Graph, last: LastApplied, observed: Observed) -> Comparison:
    """Return a comparison in which each mount knows what stands in its way and what it hides.

    Args:
        found: what differs.
        graph: the units of the host.
        last: what this agent put there.
        observed: the look at the host.
    """
    points = {p.path: p for p in observed.mounts}
    owned = {o.path for o in last.owned}
    units = dict(found.units)
    for unit, node in graph.nodes.items():
        if node.object.resource_type == "mount":
            point = points.get(where(unit), MountPoint(where(unit)))
            change = units[unit]
            if point.mounted and found.files[node.item.path].seen.kind == "absent" and node.item.path not in owned:
                obstacle = f"something else is mounted at {point.path}; unmount it, and the next run takes over"
                units[unit] = msgspec.structs.replace(change, obstacle=obstacle)
            elif not point.mounted and _used(node, graph):
                units[unit] = _judged(change, point, outer_is_there=_outer_is_there(point, points))
    return msgspec.structs.replace(found, units=units)


def _used(node: Node, graph: Graph) -> bool:
    return node.wanted or any(n.wanted and node.unit in n.relations.activates for n in graph.nodes.values())


def _outer_is_there(point: MountPoint, points: Mapping[str, MountPoint]) -> bool:
    """Whether every mount above is mounted, so that what is seen is what will be mounted over."""
    return all(p.mounted for p in points.values() if p.path != point.path and covers(p.path, point.path))


def _judged(change: UnitChange, point: MountPoint, *, outer_is_there: bool) -> UnitChange:
    text = change.node.text
    obstacle = ""
    if point.kind == "link":
        obstacle = f"{point.at} is a symbolic link, and systemd mounts at real paths only; name the real path in Where="
    elif point.kind == "other" or (point.kind == "file" and not (is_bind(text) and point.at == point.path)):
        obstacle = f"{point.at} is no directory, and nothing can be mounted at {point.path}; move it away"
    elif point.kind == "absent" and outer_is_there and not creates(text):
        obstacle = f"{point.path} is missing, and CreateMountpoint= says no; make the directory, or take the line out"
    note = f"what lies in {point.path} now is hidden while it is mounted" if not point.empty else ""
    return msgspec.structs.replace(change, obstacle=obstacle, note=note)


def unmounted(state: UnitState, observed: Observed) -> str:
    """Return what is wrong with a mount that systemd takes for active, although the kernel shows nothing there."""
    if not state.unit.endswith(".mount") or state.active not in UP:
        return ""
    path = where(state.unit)
    there = any(p.mounted for p in observed.mounts if p.path == path)
    return "" if there else f"{state.unit} is active, but nothing is mounted at {path}"


def advice(verb: str, unit: str) -> str:
    """Return how to find out who keeps a mount from being unmounted; nothing for other units and jobs."""
    if verb not in {"stop", "restart"} or not unit.endswith(".mount"):
        return ""
    path = shlex.quote(where(unit))
    return f"; `fuser -vm {path}` or `lsof {path}` shows who uses it, and the next run tries again"
