"""Which units have to stop because of a mount, before anything is written.

Unmounting is the one change that somebody else on the host can forbid, by using what is mounted. So it comes first, while all
that depends on it can still be brought back as it was.
"""

from core_ops.reconcile.graph import Graph


def remounted(graph: Graph, before: Graph, outdated: set[str], gone: frozenset[str]) -> frozenset[str]:
    """Return what has to be stopped before anything is written because of a mount.

    A mount may be in use, and then can't be unmounted; that has to show while its old definition is still on disk and its users
    can be brought back. So an outdated mount is stopped first and never restarted, and what needs a removed one stops with it.
    """
    removed = {u for u in gone if u.endswith(".mount") and u not in graph.nodes}
    left_behind = {f"{u.removesuffix('.automount')}.mount" for u in gone if u.endswith(".automount")}
    found = {u for u, n in graph.nodes.items() if n.object.resource_type in {"mount", "automount"} and u in outdated}
    return frozenset((found | left_behind | before.strong_dependents(removed)) & graph.nodes.keys())


def with_mounts(graph: Graph, stopping: frozenset[str], up: set[str]) -> frozenset[str]:
    """Return what stops, with the mounts of the automounts that stop or start.

    With an automount systemd detaches what is mounted there, also while it is in use; and it starts none where something is
    mounted.
    """
    automounts = (n for n in graph.nodes.values() if n.object.resource_type == "automount")
    changing = (n for n in automounts if (n.unit in stopping if n.unit in up else n.wanted))
    return graph.strong_dependents(stopping | {u for n in changing for u in n.relations.activates if u in up})
