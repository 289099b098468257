"""A comparison becomes effects, in the order in which they are carried out.

What stops is stopped while its old definition is still on disk; then files and links change; then systemd reads everything
once; then units start, prerequisites first. Enabling comes before the reload because systemd counts every unit as outdated
once a link to one has changed.
"""

from collections.abc import Iterator

from core_ops.reconcile.compare import ENABLED, UP, Comparison
from core_ops.reconcile.graph import Graph
from core_ops.reconcile.model import Obj, Owned, UnitState
from core_ops.reconcile.planned import (
    Effect,
    ReloadManager,
    RemoveFile,
    RemoveNetwork,
    SetEnablement,
    UnitJob,
    WriteFile,
)

_ACTIVATORS = frozenset({"timer", "socket", "path"})


def effects(comparison: Comparison, graph: Graph, before: Graph | None) -> tuple[Effect, ...]:
    """Return the effects that lead from what was compared to what is desired, first to last."""
    return (
        *_stops(comparison, graph, before),
        *_networks(comparison),
        *_disables(comparison),
        *_file_changes(comparison),
        *_enables(comparison, graph),
        *_reload(comparison),
        *_resets(comparison, graph),
        *_starts(comparison, graph),
    )


def _stops(comparison: Comparison, graph: Graph, before: Graph | None) -> Iterator[UnitJob]:
    stopping: dict[str, Obj] = {u: c.node.object for u, c in comparison.units.items() if c.stop}
    stopping |= {s.unit: o.object for o, s in _ended(comparison) if s.active in UP or s.active == "deactivating"}
    order = {unit: place for place, unit in enumerate((before or graph).order)}

    def place(unit: str) -> tuple[int, int, str]:
        # An activator goes first, or it would start again what was just stopped. An automount goes last: with it systemd
        # detaches what is mounted there, also while it is in use.
        kind = stopping[unit].resource_type
        rank = 0 if kind in _ACTIVATORS else 2 if kind == "automount" else 1
        return rank, -order.get(unit, len(order)), unit

    for unit in sorted(stopping, key=place):
        yield UnitJob("stop", unit, stopping[unit])


def _networks(comparison: Comparison) -> Iterator[RemoveNetwork]:
    """Yield the networks that are made anew, and those that are needed no more."""
    for unit, change in sorted(comparison.units.items()):
        for name in change.networks:
            yield RemoveNetwork(change.node.object, unit, name)
    for owned, name in sorted(comparison.networks):
        yield RemoveNetwork(owned.object, owned.unit, name)


def _ended(comparison: Comparison) -> Iterator[tuple[Owned, UnitState]]:
    """Yield the removed units that end with their files; a slice ends with the last unit in it."""
    yield from (gone for gone in comparison.gone_units if gone[0].object.resource_type != "slice")


def _disables(comparison: Comparison) -> Iterator[SetEnablement]:
    for owned, state in comparison.gone_units:
        if state.enabled in ENABLED:
            yield SetEnablement("disable", owned.unit, owned.object)


def _file_changes(comparison: Comparison) -> Iterator[Effect]:
    for path in sorted(comparison.files):
        change = comparison.files[path]
        if change.kind == "write":
            item = change.item
            yield WriteFile(item.object, path, item.content, item.mode, change.seen, item.owner, item.group)
    for owned in sorted(comparison.gone):
        yield RemoveFile(owned.object, owned.path, comparison.standing[owned.path])
    yield from comparison.undeclared.removals


def _reload(comparison: Comparison) -> Iterator[ReloadManager]:
    if comparison.reload:
        yield ReloadManager(tuple(sorted(u for u, c in comparison.units.items() if not c.node.template)))


def _resets(comparison: Comparison, graph: Graph) -> Iterator[UnitJob]:
    for owned, state in _ended(comparison):
        if state.active in {*UP, "deactivating", "failed"}:
            yield UnitJob("reset-failed", owned.unit, owned.object)  # or it lingers as failed for ever
    for unit in graph.order:
        if comparison.units[unit].reset:
            yield UnitJob("reset-failed", unit, comparison.units[unit].node.object)


def _enables(comparison: Comparison, graph: Graph) -> Iterator[SetEnablement]:
    for unit in graph.order:
        change = comparison.units[unit]
        if change.enablement:
            yield SetEnablement(change.enablement, unit, change.node.object)


def _starts(comparison: Comparison, graph: Graph) -> Iterator[UnitJob]:
    for unit in graph.order:
        change = comparison.units[unit]
        if change.job:
            yield UnitJob(change.job, unit, change.node.object)


def batches(planned: tuple[Effect, ...]) -> Iterator[tuple[Effect, ...]]:
    """Group neighbouring jobs or links of one verb: systemd orders what it is asked for at once, and waits only once."""
    batch: tuple[Effect, ...] = ()
    for effect in planned:
        if batch and _batch_key(effect) is not None and _batch_key(effect) == _batch_key(batch[0]):
            batch = (*batch, effect)
            continue
        if batch:
            yield batch
        batch = (effect,)
    if batch:
        yield batch


def _batch_key(effect: Effect) -> tuple[str, bool] | None:
    if isinstance(effect, SetEnablement):
        return f"links: {effect.verb}", False
    if not isinstance(effect, UnitJob):
        return None
    return effect.verb, effect.verb == "stop" and effect.object.resource_type == "automount"


def put_back(batch: tuple[Effect, ...], planned: tuple[Effect, ...]) -> tuple[Effect, ...]:
    """Return what brings units up again after something could not be stopped, and so nothing was written.

    They start from the definitions that systemd has loaded; what was not stopped is left alone, and what is not there yet is
    not started.
    """
    new = {e.object for e in planned if isinstance(e, WriteFile) and e.expected.kind == "absent"}
    jobs = (e for e in batch if isinstance(e, UnitJob) and (e.verb == "restart" or e.object not in new))
    return tuple(UnitJob("start", e.unit, e.object) for e in jobs)


def stops(batch: tuple[Effect, ...]) -> bool:
    """Whether these effects stop units or take away what only they used, all of them, since a batch has one verb."""
    return isinstance(batch[0], RemoveNetwork) or (isinstance(batch[0], UnitJob) and batch[0].verb == "stop")


def started(planned: tuple[Effect, ...]) -> frozenset[str]:
    """Return the units that a plan starts or restarts."""
    return frozenset(e.unit for e in planned if isinstance(e, UnitJob) and e.verb in {"start", "restart"})


def brings_up(effect: Effect) -> bool:
    """Whether the effect must be tried even after an earlier one failed: what was stopped has to come back."""
    verbs = {"start", "restart", "reload"}
    return isinstance(effect, ReloadManager) or (isinstance(effect, UnitJob) and effect.verb in verbs)
