"""Desired, last applied and observed state become a plan: one entry per object with its causes, and the effects in order.

Planning is a function: the same inputs give the same bytes. It trusts nothing it remembers about the host except what was
written down before the host was touched, so after any cut the next plan finishes the work: a unit without a start record is
reloaded and restarted even when all files are right, and what is owned but not desired is removed even when half is gone.
"""

from core_ops.reconcile import exclusive
from core_ops.reconcile.compare import Comparison, UnitChange, compare
from core_ops.reconcile.effects import effects, started
from core_ops.reconcile.entries import entries, ordered, removals
from core_ops.reconcile.graph import build
from core_ops.reconcile.images import image_needs
from core_ops.reconcile.made import NOTHING_MADE, Made
from core_ops.reconcile.model import Desired, LastApplied, Observed, Owned, Started
from core_ops.reconcile.mountpoints import with_mount_points
from core_ops.reconcile.outlasting import names_of
from core_ops.reconcile.planned import Plan


def plan(desired: Desired, last: LastApplied, observed: Observed, made: Made = NOTHING_MADE) -> Plan:
    """Return what has to be done so that a host becomes what it should be, and why."""
    graph = build(desired)
    before = build(last.desired) if last.desired and last.desired != desired else None
    found = with_mount_points(compare(desired, graph, before, last, observed, made), graph, last, observed)
    told = (
        *ordered(entries(desired, graph, found), graph),
        *removals(found),
        *exclusive.entries(found.undeclared),
    )
    blocked = any(e.action == "blocked" for e in told)
    done = () if blocked else effects(found, graph, before)
    owned_after = tuple(sorted(Owned(i.path, i.object, i.unit) for i in desired.items))
    return Plan(
        source=desired.source,
        previous=last.desired.source if last.desired else None,
        host=desired.host,
        entries=told,
        effects=done,
        expect=tuple(u for u, n in graph.nodes.items() if n.wanted),
        owned=tuple(sorted({*last.owned, *owned_after})),
        owned_after=owned_after,
        started=_started_before(last, found),
        started_after=tuple(Started(u, _started_from(c, last)) for u, c in sorted(found.units.items())),
        images=image_needs(graph, started(done)),
        volumes=found.volumes.made,
        undecided=names_of(graph, found.volumes.undecided),
    )


def _started_before(last: LastApplied, found: Comparison) -> tuple[Started, ...]:
    alone = {u for u, c in found.units.items() if u not in found.touched or c.left}
    kept = {u for u in alone if not found.units[u].stop and found.units[u].stale != "unknown"}
    return tuple(s for s in last.started if s.unit in kept)


def _started_from(change: UnitChange, last: LastApplied) -> str:
    if change.left:  # still running what it was started from
        return next((s.inputs for s in last.started if s.unit == change.node.unit), "")
    return change.node.inputs
