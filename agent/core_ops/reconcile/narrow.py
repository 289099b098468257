"""A plan cut down to what one run may do of it: without some units, or only its files.

What is left out stays undone and is recorded so: a unit whose job was taken out counts as not started from its new inputs,
and the next run that may, does the rest.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import msgspec

from core_ops.reconcile.graph import Graph
from core_ops.reconcile.model import Obj, Started
from core_ops.reconcile.planned import (
    Effect,
    Entry,
    Plan,
    ReloadManager,
    RemoveFile,
    RemoveNetwork,
    SetEnablement,
    UnitJob,
    WriteFile,
)
from core_ops.reconcile.retry import NOT_TRIED, Diagnosis

_WRITTEN = frozenset({"create", "update", "replace"})
LEFT = "files are written, systemd was not told of them (--no-reload); a run without it finishes"
WAITING = "waits for a run without --no-reload"


def without(plan: Plan, found: Diagnosis, graph: Graph) -> Plan:
    """Return the plan without a job for what failed too often, nor for what would pull it up again.

    A file that drifted is still written. When what failed is no unit, nothing is done at all; nor is a mere reload.
    """
    units = graph.strong_dependents({*found.units, *_mounts(found, graph)})
    objects = {graph.nodes[u].object for u in units if u in graph.nodes}
    running = {o.path for o in plan.owned if o.unit in units and o.unit not in graph.nodes}  # it could not be stopped
    effects = tuple(e for e in plan.effects if not _held(e, units, running))
    if not found.units or all(isinstance(e, ReloadManager) for e in effects):
        effects = ()
    return msgspec.structs.replace(
        plan,
        entries=tuple(_entry(e, NOT_TRIED) if e.object in objects else e for e in plan.entries),
        effects=effects,
        expect=tuple(u for u in plan.expect if u not in units),
        started_after=_not_started(plan, units),
    )


def _mounts(found: Diagnosis, graph: Graph) -> Iterator[str]:
    """Yield the mounts of automounts that are held: they only stop so that the automount can start."""
    for unit in found.units:
        node = graph.nodes.get(unit)
        if node is not None and node.object.resource_type == "automount":
            yield from node.relations.activates


def files_only(plan: Plan) -> Plan:
    """Return the plan that only writes files: no reload, no job, and so no removal either.

    A unit is stopped with its old definition; removing that without a stop would leave it running with nobody to end it.
    """
    written = {e.object for e in plan.effects if isinstance(e, WriteFile)}
    return msgspec.structs.replace(
        plan,
        entries=tuple(_waiting(e, written) for e in plan.entries),
        effects=tuple(e for e in plan.effects if isinstance(e, WriteFile)),
        expect=(),
        owned_after=plan.owned,  # what is no longer desired stays owned until it is removed
        started_after=plan.started,
    )


def _held(effect: Effect, units: AbstractSet[str], running: AbstractSet[str]) -> bool:
    if isinstance(effect, UnitJob | SetEnablement | RemoveNetwork):
        return effect.unit in units
    return isinstance(effect, RemoveFile) and effect.path in running


def _waiting(entry: Entry, written: AbstractSet[Obj]) -> Entry:
    if entry.action in {"no_op", "skipped", "blocked"} or (entry.object in written and not entry.steps):
        return entry
    return _entry(entry, WAITING)


def _entry(entry: Entry, why: str) -> Entry:
    if entry.action in {"no_op", "skipped", "blocked"}:
        return entry
    action = entry.action if entry.action in _WRITTEN else "skipped"
    return msgspec.structs.replace(entry, action=action, steps=(), notes=(*entry.notes, why), impact="none")


def _not_started(plan: Plan, units: AbstractSet[str]) -> tuple[Started, ...]:
    before = {s.unit: s for s in plan.started}
    kept = (before.get(s.unit) if s.unit in units else s for s in plan.started_after)
    return tuple(s for s in kept if s is not None)
