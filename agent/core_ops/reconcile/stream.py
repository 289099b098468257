"""A run is folded into a stream: each event becomes at most one line, an `apply` view with what is new since the last one.

Sequence numbers grow by one over phases and events together. A stream is a value: it holds what must be known to number and
name the next line, and how each object ended so far.
"""

from collections.abc import Iterator, Mapping

import msgspec
from msgspec import UNSET

from core_ops.reconcile.applyview import ApplySummary, ApplyView, EventKind, EventState, EventView, PhaseView
from core_ops.reconcile.contract import ObjectView, cause_views, object_view, revision_view
from core_ops.reconcile.events import Changed, Event, Failed, ImagePulled, Planned, RunFinished
from core_ops.reconcile.model import Obj, Value
from core_ops.reconcile.phases import Applying, Phase, PhaseChanged, Pulling
from core_ops.reconcile.planned import (
    Effect,
    Entry,
    Failure,
    FinalState,
    Plan,
    ReloadManager,
    RemoveFile,
    RemoveNetwork,
    RemoveUndeclared,
    Result,
    SetEnablement,
    UnitJob,
    WriteFile,
)
from core_ops.reconcile.verdict import acts, verdicts

_NOTHING = ApplySummary(0, 0, 0, 0, 0, 0, 0)


class _Fact(Value, frozen=True):
    """An event before it has its number."""

    object: Obj
    kind: EventKind
    state: EventState
    phase: Phase
    detail: str = ""


class Stream(Value, frozen=True):
    """A run as far as it was told. `trying` is what was begun last for an object, `ends` how objects came out."""

    sequence: int = 0
    plan: Plan | None = None
    entries: Mapping[Obj, Entry] = {}
    trying: Mapping[Obj, EventKind] = {}
    ends: Mapping[Obj, FinalState] = {}
    summary: ApplySummary = _NOTHING


Told = tuple[Stream, ApplyView | None]


def told(stream: Stream, event: Event) -> Told:
    """Return the stream after an event, and the line that tells of it, if it is worth one."""
    match event:
        case PhaseChanged():
            return _phase(stream, event)
        case Planned():
            return _planned(stream, event.plan)
        case Pulling() | ImagePulled() | Applying() | Changed():
            return _executed(stream, event)
        case Failed():
            return _failed(stream, event.failure)
        case RunFinished():
            return _finished(stream, event.result)
        case _:
            return stream, None


def _phase(stream: Stream, event: PhaseChanged) -> Told:
    number = stream.sequence + 1
    facts: list[_Fact] = []
    if event.phase == "convergence_check" and event.state == "started":
        facts = [_Fact(o, "verify", "started", event.phase) for o, e in stream.entries.items() if acts(e)]
    trying: Mapping[Obj, EventKind] = {**stream.trying, **{f.object: f.kind for f in facts}}
    after = msgspec.structs.replace(stream, sequence=number, trying=trying)
    return _with(after, facts, phases=(PhaseView(event.phase, event.state, number),))


def _planned(stream: Stream, plan: Plan) -> Told:
    begun = _ending(Stream(stream.sequence), plan, _at_rest(plan))
    facts = [_Fact(o, "planned", "waiting", "planning") for o, e in begun.entries.items() if acts(e)]
    return _with(begun, facts, revision=True)


def _executed(stream: Stream, event: Pulling | ImagePulled | Applying | Changed) -> Told:
    if isinstance(event, Pulling | ImagePulled):
        state: EventState = "started" if isinstance(event, Pulling) else "succeeded"
        return _with(stream, [_Fact(event.need.object, "pull", state, "execution", event.need.image)])
    if isinstance(event, Changed):
        return _with(stream, [_Fact(o, k, "succeeded", "execution") for o, k in _kinds(event.effect)])
    tried: Mapping[Obj, EventKind] = dict(kind for e in event.effects for kind in _kinds(e))
    facts = [_Fact(o, k, "started", "execution") for o, k in tried.items()]
    return _with(msgspec.structs.replace(stream, trying={**stream.trying, **tried}), facts)


def _failed(stream: Stream, failure: Failure) -> Told:
    if failure.object is None or stream.plan is None:
        return stream, None
    phase: Phase = "execution" if failure.phase == "applying" else "convergence_check"
    kind: EventKind = stream.trying.get(failure.object, "verify")
    state: FinalState = "blocked" if failure.dependency else "failed"
    after = _ending(stream, stream.plan, {**stream.ends, failure.object: state})
    return _with(after, [_Fact(failure.object, kind, state, phase, failure.detail)])


def _finished(stream: Stream, result: Result | None) -> Told:
    if result is None:
        return stream, None
    found = list(verdicts(result))
    ends: Mapping[Obj, FinalState] = {e.object: v.state for e, v in found}
    shown = [(e, v) for e, v in found if acts(e) or v.state not in {"no_op", "skipped"}]
    facts = [_Fact(e.object, "finish", v.state, "final_summary", "; ".join(v.details)) for e, v in shown]
    last = stream.sequence + len(facts) + 1
    phases = (PhaseView("final_summary", "succeeded", last),)
    after, view = _with(_ending(stream, result.plan, ends), facts, phases=phases, revision=stream.plan is None)
    return msgspec.structs.replace(after, sequence=last), view


def _ending(stream: Stream, plan: Plan, ends: Mapping[Obj, FinalState]) -> Stream:
    """Return the stream when it is known of more objects how they end."""
    entries = stream.entries if stream.plan is plan else {e.object: e for e in plan.entries}
    states, total = list(ends.values()), len(entries)
    summary = ApplySummary(
        changed_count=states.count("succeeded"),
        failed_count=states.count("failed"),
        blocked_count=states.count("blocked"),
        skipped_count=states.count("skipped"),
        unchanged_count=states.count("no_op"),
        pending_count=total - len(states),
        total_count=total,
    )
    return msgspec.structs.replace(stream, plan=plan, entries=entries, ends=ends, summary=summary)


def _with(stream: Stream, facts: list[_Fact], *, phases: tuple[PhaseView, ...] = (), revision: bool = False) -> Told:
    after = msgspec.structs.replace(stream, sequence=stream.sequence + len(facts))
    if not facts and not phases and not revision:
        return after, None
    plan = stream.plan
    impacted: Mapping[Obj, tuple[ObjectView, ...]] = (
        _impacted(plan) if plan and facts and facts[0].kind == "planned" else {}
    )
    numbered = enumerate(facts, stream.sequence + 1)
    view = ApplyView(
        phases=phases,
        events=tuple(_event(n, f, stream.entries.get(f.object), impacted) for n, f in numbered),
        summary=stream.summary,
        revision_context=revision_view(plan.source, plan.previous) if revision and plan else UNSET,
        host=plan.host if revision and plan else UNSET,
    )
    return after, view


def _at_rest(plan: Plan) -> Mapping[Obj, FinalState]:
    """Return how those objects end that nothing is done about."""
    ends: dict[Obj, FinalState] = {}
    for entry in plan.entries:
        match entry.action:
            case "no_op" | "blocked" | "skipped":
                ends[entry.object] = entry.action
            case _:
                pass
    return ends


def _kinds(effect: Effect) -> Iterator[tuple[Obj, EventKind]]:
    """Yield the object of an effect and what the effect is called; a reload is for no object."""
    match effect:
        case WriteFile():
            yield effect.object, "write"
        case RemoveFile() | RemoveUndeclared() | RemoveNetwork():
            yield effect.object, "remove"
        case SetEnablement():
            yield effect.object, "enable" if effect.verb == "reenable" else "disable"
        case UnitJob():
            yield effect.object, "reset_failed" if effect.verb == "reset-failed" else effect.verb
        case ReloadManager():
            pass


def _impacted(plan: Plan) -> Mapping[Obj, tuple[ObjectView, ...]]:
    """Return by object whatever changes because of it."""
    found: dict[Obj, tuple[ObjectView, ...]] = {}
    for entry in plan.entries:
        for source in dict.fromkeys(c.source_object for c in entry.causes if c.source_object):
            found[source] = (*found.get(source, ()), object_view(entry.object))
    return found


def _event(number: int, fact: _Fact, entry: Entry | None, impacted: Mapping[Obj, tuple[ObjectView, ...]]) -> EventView:
    planned = fact.kind == "planned" and entry is not None
    return EventView(
        object=object_view(fact.object),
        event_kind=fact.kind,
        state=fact.state,
        sequence=number,
        action=entry.action if entry else UNSET,
        cause=cause_views(entry)[0] if planned and entry else UNSET,
        phase=fact.phase,
        impacted_objects=impacted.get(fact.object, ()) or UNSET,
        detail=fact.detail or UNSET,
    )
