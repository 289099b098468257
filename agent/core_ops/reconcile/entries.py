"""What a plan says of each object: what happens to it, why, how its file changes, and the jobs that its unit gets."""

from collections.abc import Iterator

from core_ops.reconcile import exclusive, ownership
from core_ops.reconcile.changes import FileChange
from core_ops.reconcile.compare import ENABLED, UP, Comparison, UnitChange, converged
from core_ops.reconcile.diffs import file_diff
from core_ops.reconcile.graph import Graph, Node
from core_ops.reconcile.meaning import differences
from core_ops.reconcile.model import Desired, Item, Obj, UnitState
from core_ops.reconcile.planned import Action, Cause, Entry, Impact
from core_ops.reconcile.unitfile import UnitText, parse

_KEYS_SHOWN = 4


def entries(desired: Desired, graph: Graph, found: Comparison) -> Iterator[Entry]:
    """Yield the entry of each desired object, as they come."""
    for item in desired.items:
        change = found.files[item.path]
        unit = found.units.get(item.unit) if item.object.resource_type != "dropin" else None
        if change.kind == "blocked":
            yield _blocked(change)
        elif unit is not None and unit.obstacle:
            yield Entry(item.object, "blocked", (Cause("blocked_prerequisite", unit.obstacle),))
        elif change.kind == "write":
            yield _written(change, unit, graph)
        elif unit is not None and (unit.acts or unit.left or unit.decision):
            yield _acted(unit, found, graph)
        elif change.kind == "variance":
            yield _tolerated(change)
        else:
            yield Entry(item.object, "no_op", (Cause("no_change", "in sync"),), notes=_notes(unit, graph))


def _blocked(change: FileChange) -> Entry:
    what = "a file that CoreOps did not write"
    if change.seen.kind == "other":
        what = "something that is no regular file, or lies behind a symbolic link,"
    summary = f"{what} stands at {change.item.path}; move it away, and the next run takes over"
    return Entry(change.item.object, "blocked", (Cause("blocked_prerequisite", summary),))


def _written(change: FileChange, unit: UnitChange | None, graph: Graph) -> Entry:
    action: Action = "create" if change.seen.kind == "absent" else "update"
    diff = file_diff(change)
    return Entry(
        change.item.object,
        "replace" if unit and unit.networks else action,
        (_file_cause(change), *_replaced(unit)),
        _requires(unit.node, graph) if unit else (),
        diff=diff.unified,
        diff_summary=diff.summary,
        diff_kind=diff.kind,
        diff_details=diff.details,
        steps=_steps(unit) if unit else (),
        notes=(*_taken_in(change, unit), *_notes(unit, graph), *ownership.unknown(change.item, change.accounts)),
        needs=_needs(unit.node, graph) if unit else (),
        impact=_impact(unit),
    )


def _taken_in(change: FileChange, unit: UnitChange | None) -> tuple[str, ...]:
    """Return why a unit that runs gets no job although its file changes."""
    if unit is None or unit.acts or unit.left or unit.decision or unit.state.active not in UP or change.before is None:
        return ()
    return (
        ("systemd takes it in by reading its units again; nothing restarts",)
        if _keys(change.before, change.item)
        else ()
    )


def _tolerated(change: FileChange) -> Entry:
    """Return the entry of a file whose difference nobody who reads it would notice."""
    where = "in the repository" if change.by_author else "on the host"
    cause = Cause("runtime_variance", f"was changed {where} in comments or layout only, and is left as it is")
    diff = file_diff(change)
    return Entry(
        change.item.object,
        "no_op",
        (cause,),
        diff=diff.unified,
        diff_summary=f"differs from {change.item.path} in what nobody reads",
        diff_kind="semantic_only",
    )


def _file_cause(change: FileChange) -> Cause:
    if change.by_author:
        summary = "new" if change.before is None else f"changed in the repository{_keys(change.before, change.item)}"
        return Cause("desired_change", summary)
    if change.seen.kind == "absent":
        return Cause("drift", "was removed on the host")
    if change.seen.content != change.item.content:
        return Cause("drift", "was changed on the host")
    whose = ownership.owner_words(change.seen, change.accounts)
    return Cause("drift", f"was given another mode or owner on the host (mode {change.seen.mode:04o}, owner {whose})")


def _keys(before: Item, item: Item) -> str:
    """Return the settings that a unit file says differently, as far as a line holds them."""
    old, new = parse(before.content, item.sources[-1]), parse(item.content, item.sources[-1])
    if item.object.resource_type == "config" or not isinstance(old, UnitText) or not isinstance(new, UnitText):
        return ""
    keys = tuple(dict.fromkeys(f"{d.key}=" for d in differences(old, new)))
    if not keys:
        return ": it means the same as before"
    more = len(keys) - _KEYS_SHOWN
    return f": {', '.join(keys[:_KEYS_SHOWN])}{f' and {more} more' if more > 0 else ''}"


def _acted(unit: UnitChange, found: Comparison, graph: Graph) -> Entry:
    if unit.decision and not unit.acts:
        why = Cause("replacement_required", "it was made from an older definition")
        requires, impact = _requires(unit.node, graph), _impact(unit)
        return Entry(unit.node.object, "skipped", (why,), requires, notes=_notes(unit, graph), impact=impact)
    causes: tuple[Cause, ...] = (*_input_causes(unit.node, found, graph), *_gone_causes(unit.node, found))
    causes = (*causes, *exclusive.causes(unit.node, found.undeclared))
    if not causes and unit.stale:
        causes = (_stale_cause(unit),)
    if not causes and unit.stop:
        causes = (Cause("dependency_change", "its last container stops, and podman ends a pod with that"),)
    if unit.left:
        causes = (*causes, Cause("runtime_variance", "it may differ until its job is over"))
        return Entry(unit.node.object, "skipped", causes, _requires(unit.node, graph), notes=(unit.left,))
    if unit.job not in {"restart", "reload"}:
        causes = (*causes, *_down_causes(unit))
    causes = (*causes, *_replaced(unit))
    action: Action = "replace" if unit.networks else "restart" if unit.job in {"restart", "reload"} else "recover"
    requires, notes, needs = _requires(unit.node, graph), _notes(unit, graph), _needs(unit.node, graph)
    steps, impact = _steps(unit), _impact(unit)
    return Entry(unit.node.object, action, causes, requires, steps=steps, notes=notes, needs=needs, impact=impact)


def _impact(unit: UnitChange | None) -> Impact:
    """Return what becomes of a unit that runs, or should."""
    if unit is None:
        return "none"
    if unit.decision and not unit.job:
        return "data_decision"
    return "recreate" if unit.networks else unit.job or ("stop" if unit.stop else "none")


def _replaced(unit: UnitChange | None) -> Iterator[Cause]:
    if unit is not None and unit.decision:
        yield Cause(
            "replacement_required", "podman keeps the volume as it was made, until a person decides about its data"
        )
    if unit is not None and unit.networks:
        name = " or ".join(unit.networks)
        summary = f"podman keeps the network {name} as it was made, so it is removed and made anew"
        yield Cause("replacement_required", summary)


def _input_causes(node: Node, found: Comparison, graph: Graph) -> Iterator[Cause]:
    for item in (*node.dropins, *node.configs):
        change = found.files[item.path]
        if change.kind == "write":
            what = _file_cause(change).summary
            summary = f"{item.object.display_id} {'is new' if what == 'new' else what}"
            yield Cause("dependency_change", summary, item.object)
    for strong in node.relations.strong:
        if strong in found.touched and strong in found.units and _takes_down(found.units[strong]):
            other = graph.nodes[strong].object
            yield Cause("dependency_change", f"{other.display_id} changes, and it needs it", other)


def _takes_down(change: UnitChange) -> bool:
    """Whether what needs a unit goes down, or comes up, with what happens to it: not when it is spared, left or reloaded."""
    return change.stop or change.job in {"start", "restart"}


def _gone_causes(node: Node, found: Comparison) -> Iterator[Cause]:
    for owned in found.gone:
        if owned.unit == node.unit or (owned.object.resource_type == "dropin" and node.reads(owned.object)):
            yield Cause("dependency_change", f"{owned.object.display_id} is removed", owned.object)


def _stale_cause(unit: UnitChange) -> Cause:
    if unit.stale == "unknown":
        return Cause("recovery_required", "it is not recorded what it was started from")
    return Cause("restart_required", "it was started from older inputs")


def _down_causes(unit: UnitChange) -> Iterator[Cause]:
    if unit.job and not converged(unit.state):
        yield Cause("drift", f"{unit.node.unit} is {unit.state.active} ({unit.state.result})")
    if unit.enablement == "reenable":
        yield Cause("drift", f"{unit.node.unit} is not enabled")
    if unit.enablement == "disable":
        yield Cause("drift", f"{unit.node.unit} is enabled, but has no [Install] section")


def _steps(unit: UnitChange) -> tuple[str, ...]:
    """Return the jobs of one unit in the order in which they come.

    What was stopped is restarted, not started: a socket may have started it again from its old definition meanwhile.
    """
    enablement = "enable" if unit.enablement == "reenable" else unit.enablement
    stop = (f"stop {unit.node.unit}",) if unit.stop else ()
    networks = (f"remove network {name}" for name in unit.networks)
    return (*stop, *networks, *(f"{verb} {unit.node.unit}" for verb in (enablement, unit.job) if verb))


def _notes(unit: UnitChange | None, graph: Graph) -> tuple[str, ...]:
    if unit is None:
        return ()
    own = tuple(note for note in (unit.note, unit.left, unit.decision) if note)
    if unit.node.wanted or unit.node.template:
        return own
    name = unit.node.unit
    activators = [n.unit for n in graph.nodes.values() if name in n.relations.activates]
    if activators:
        return (*own, f"{' and '.join(activators)} starts it when it is time")
    return (*own, f"nothing starts {name}: it has no [Install] section")


def _requires(node: Node, graph: Graph) -> tuple[Obj, ...]:
    units = (u for u in node.relations.after if u in graph.nodes)
    return tuple(sorted(graph.nodes[u].object for u in units))


def _needs(node: Node, graph: Graph) -> tuple[Obj, ...]:
    units = (graph.nodes[u].object for u in node.relations.strong if u in graph.nodes)
    return tuple(sorted({*units, *(i.object for i in (*node.dropins, *node.configs))}))


def removals(found: Comparison) -> Iterator[Entry]:
    """Yield the entries of what leaves the host."""
    for owned in sorted(found.gone, key=lambda o: o.object):
        cause = Cause("desired_change", "no longer in the repository")
        state = next((s for o, s in found.gone_units if o == owned), UnitState(owned.unit))
        stops = state.active in UP and owned.object.resource_type != "slice"
        verbs = ("stop" if stops else "", "disable" if state.enabled in ENABLED else "")
        networks = (f"remove network {name}" for gone, name in found.networks if gone == owned)
        steps = (*(f"{verb} {owned.unit}" for verb in verbs if verb), *networks)
        yield Entry(
            owned.object,
            "delete",
            (cause,),
            diff_summary=f"removes {owned.path}",
            diff_kind="deletion",
            steps=steps,
            impact="stop" if stops else "none",
        )


def ordered(entries: Iterator[Entry], graph: Graph) -> Iterator[Entry]:
    """Sort entries as they take effect: each unit's config files and drop-ins before it, prerequisites first."""
    places: dict[Obj, int] = {}
    for place, node in enumerate(graph.nodes.values()):
        for item in (*node.configs, *node.dropins, node.item):
            places.setdefault(item.object, place)
    ranks = {"config": 0, "dropin": 1}
    yield from sorted(entries, key=lambda e: (places.get(e.object, -1), ranks.get(e.object.resource_type, 2), e.object))
