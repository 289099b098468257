"""The steps of a run, in order. It conducts: what to do is decided in `reconcile`, done by the ports.

look (outlook) -> observe -> plan -> own, stage, void, carry out -> look again -> record
"""

from typing import NamedTuple

import msgspec

from core_ops.errors import CoreOpsError, HostError, StateError
from core_ops.outlook import Goal, Ports, initialised, look, with_refusal
from core_ops.reconcile import effects, events, judge, record, verdict
from core_ops.reconcile.compare import subjects
from core_ops.reconcile.model import (
    Desired,
    Effect,
    Failure,
    LastApplied,
    Plan,
    Result,
)
from core_ops.reconcile.phases import Applying, Phase, PhaseChanged, PhaseState
from core_ops.reconcile.plan import plan as make_plan
from core_ops.reconcile.record import Record

SETTLE_TIMEOUT_S = 20.0  # how long units may be on their way up after their job was done
SETTLE_STEP_S = 0.25
WATCH_S = 1.0  # a crash under Restart= shows as a new invocation within this time


def plan(ports: Ports, desired: Desired, last: LastApplied) -> Plan:
    """Return what would be done now, changing nothing."""
    _phase(ports, "graph_construction", "started")
    observed = ports.host.observe(subjects(desired, last))
    _phase(ports, "graph_construction", "succeeded")
    _phase(ports, "planning", "started")
    planned = make_plan(desired, last, observed)
    _phase(ports, "planning", "succeeded")
    return planned


def tracked(ports: Ports, goal: Goal, verb: str) -> tuple[Result | None, CoreOpsError | None]:
    """Converge a host to the repository it tracks; returns what was done and what kept a newer revision away.

    The result is None when the host is detached: a person rolled it back, and it stands still until they say otherwise.

    Raises:
        CoreOpsError: nothing was ever applied here and the first revision can't be had; or as `converge`.
    """
    known = ports.store.load()
    if initialised(known).detached:
        return None, None
    ports.reporter.report(events.RunStarted(verb, goal.host))
    _phase(ports, "resolution", "started")
    found = look(ports, goal)
    _phase(ports, "resolution", "succeeded" if found.problem is None else "failed")
    remembered = with_refusal(found.record, found.problem, ports.clock.now_s())
    if remembered.anchor and remembered.anchor != known.anchor:
        ports.store.save(remembered)  # from here on an older revision is a rollback, whatever becomes of this run
        anchor, ref = remembered.anchor, initialised(remembered).desired_state.requested_ref
        ports.reporter.report(events.RevisionAuthenticated(anchor.commit, ref, anchor.signer, anchor.key))
    if found.desired is None:
        ports.store.save(remembered)
        raise found.problem or StateError("find a desired state", code="no-desired-state")
    return converge(ports, goal, found.desired, remembered), found.problem


def converge(ports: Ports, goal: Goal, desired: Desired, remembered: Record) -> Result:
    """Make the host what it should be, look again, and remember what became of it.

    Raises:
        HostError: a file could not be written, or something stands in the way; nothing was stopped then.
    """
    planned = plan(ports, desired, remembered.last)
    revision = desired.source.revision
    if planned.in_sync:
        _skip(ports, "execution", "convergence_check")
        settled = _applied(remembered, planned, desired)
        result = Result(planned, verdict.outcome(planned, (), changed=False), ())
        _finish(ports, settled, revision, result)
        return result
    now_s = ports.clock.now_s()
    status = record.begun(initialised(remembered), goal.controller, revision, now_s)
    remembered = msgspec.structs.replace(remembered, status=status)
    result = Result(planned, "failed", (), unreached=verdict.all_unreached(planned), started_at=record.timestamp(now_s))
    try:
        _unblocked(planned)
        ports.reporter.report(events.Planned(planned))
        carried = _carry_out(ports, remembered, result)
    except CoreOpsError as error:
        _skip(ports, *(("execution", "convergence_check") if planned.blocked else ("convergence_check",)))
        _finish(ports, remembered, "", msgspec.structs.replace(result, message=error.message))
        raise
    result = _looked_again(ports, carried.result, desired)
    failures = result.failures
    remembered = _partly(carried, planned, failures) if failures else _applied(carried.record, planned, desired)
    _finish(ports, remembered, "" if failures else revision, result)
    return result


def _phase(ports: Ports, phase: Phase, state: PhaseState) -> None:
    ports.reporter.report(PhaseChanged(phase, state))


def _skip(ports: Ports, *phases: Phase) -> None:
    for phase in phases:
        _phase(ports, phase, "skipped")


def _unblocked(planned: Plan) -> None:
    if planned.blocked:
        details = tuple(f"{e.object.display_id}: {e.causes[0].summary}" for e in planned.blocked)
        raise HostError(
            f"apply {planned.source.short}: {len(details)} blocked",
            code="blocked",
            hint="nothing was changed; clear the way and run again",
            details=details,
        )


class _Carried(NamedTuple):
    """How a plan was carried out: the record as it was left, and what became of the plan until then.

    `held` says that something could not be stopped, so that no file was changed and what was stopped came back as it was.
    """

    record: Record
    result: Result
    held: bool


class _Tried(NamedTuple):
    """What failed, which units could not be stopped, what was not done, and whether anything was changed."""

    failures: tuple[Failure, ...] = ()
    stuck: frozenset[str] = frozenset()
    untried: tuple[Effect, ...] = ()
    changed: bool = False


def _carry_out(ports: Ports, remembered: Record, begun: Result) -> _Carried:
    planned, before = begun.plan, remembered.last
    remembered = _prepared(ports, remembered, planned)
    tried = _Tried()
    for batch in effects.batches(planned.effects):
        tried = _next(ports, planned, tried, batch)
    _phase(ports, "execution", "failed" if tried.failures else "succeeded")
    if tried.stuck:  # nothing was written, and what never stopped still runs from what it was started from
        started = {*planned.started, *(s for s in before.started if s.unit in tried.stuck)}
        kept = msgspec.structs.replace(remembered.last, started=tuple(sorted(started)))
        remembered = msgspec.structs.replace(remembered, last=kept)
    outcome = verdict.outcome(planned, tried.failures, changed=tried.changed)
    unreached = verdict.unreached(planned, tried.untried)
    result = msgspec.structs.replace(begun, outcome=outcome, failures=tried.failures, unreached=unreached)
    return _Carried(remembered, result, held=bool(tried.stuck))


def _next(ports: Ports, planned: Plan, tried: _Tried, planned_batch: tuple[Effect, ...]) -> _Tried:
    """Return what was tried after one more batch; once something failed, only what brings units up is."""
    if tried.failures and not all(effects.brings_up(e) for e in planned_batch):
        return tried._replace(untried=tried.untried + planned_batch)
    batch = effects.put_back(planned_batch, planned.effects) if tried.stuck else planned_batch
    failed, undone = _one_batch(ports, batch) if batch else ((), ())
    for failure in failed:
        ports.reporter.report(events.Failed(planned.source.revision, failure))
    names = {f.unit for f in failed}
    done = tuple(e for e in batch if e not in undone and getattr(e, "unit", None) not in names)
    for effect in done:
        ports.reporter.report(events.Changed(planned.source.revision, effect))
    missed = planned_batch if tried.stuck else undone  # what was put back is as it was, not as it was planned
    return _Tried(
        tried.failures + failed,
        tried.stuck | names if failed and effects.stops(batch) else tried.stuck,
        tried.untried + tuple(e for e in missed if getattr(e, "object", e) not in {f.object for f in failed}),
        tried.changed or bool(done),
    )


def _prepared(ports: Ports, remembered: Record, planned: Plan) -> Record:
    """Return the record after everything that can fail without harm: it is written, and new contents are staged."""
    _phase(ports, "execution", "started")
    owned = msgspec.structs.replace(remembered.last, owned=planned.owned)
    voided = msgspec.structs.replace(owned, started=planned.started)
    try:
        ports.store.save(msgspec.structs.replace(remembered, last=owned))  # what is to exist is owned before it exists
        ports.host.stage(planned)
        remembered = msgspec.structs.replace(remembered, last=voided)
        ports.store.save(remembered)  # from here on the units that are touched count as started from nothing known
    except CoreOpsError:
        _phase(ports, "execution", "failed")
        raise
    return remembered


def _one_batch(ports: Ports, batch: tuple[Effect, ...]) -> tuple[tuple[Failure, ...], tuple[Effect, ...]]:
    """Return what failed, and what was not done at all."""
    ports.reporter.report(Applying(batch))
    try:
        return ports.host.carry_out(batch), ()
    except HostError as error:  # units may be stopped by now: the run goes on to bring them back
        place = getattr(batch[0], "object", None)
        return (Failure(place, "", "applying", f"{error.message} ({error.hint})"),), batch


def _looked_again(ports: Ports, result: Result, desired: Desired) -> Result:
    """Return the result after a second look, also at what came out beside a unit that failed: a crash takes a moment."""
    if result.outcome == "failed":  # nothing was changed
        _skip(ports, "convergence_check")
        return result
    _phase(ports, "convergence_check", "started")
    try:
        found = _verify(ports, verdict.remaining(result), desired)
    except HostError as error:  # unseen is not good: the run failed, and the record says so
        found = (Failure(None, "", "verifying", f"{error.message} ({error.hint})"),)
    found = verdict.news(result, found)
    for failure in found:
        ports.reporter.report(events.Failed(result.plan.source.revision, failure))
    _phase(ports, "convergence_check", "failed" if found else "succeeded")
    failures = (*result.failures, *found)
    outcome = verdict.outcome(result.plan, failures, changed=True)
    return msgspec.structs.replace(result, failures=failures, outcome=outcome)


def _verify(ports: Ports, planned: Plan, desired: Desired) -> tuple[Failure, ...]:
    wanted = msgspec.structs.replace(subjects(desired, LastApplied()), closely=effects.started(planned.effects))
    first = ports.host.observe(wanted)
    waited_s = 0.0
    while judge.unsettled(planned, first) and waited_s < SETTLE_TIMEOUT_S:
        ports.clock.pause(SETTLE_STEP_S)
        waited_s += SETTLE_STEP_S
        first = ports.host.observe(wanted)
    if not planned.expect:
        return judge.judge(planned, desired, first, frozenset())
    ports.clock.pause(WATCH_S)
    second = ports.host.observe(wanted)
    return judge.judge(planned, desired, second, judge.unstable(first, second))


def _applied(remembered: Record, planned: Plan, desired: Desired) -> Record:
    last = LastApplied(desired, planned.owned_after, planned.started_after, remembered.last.examined)
    return msgspec.structs.replace(remembered, last=last)


def _partly(carried: _Carried, planned: Plan, failures: tuple[Failure, ...]) -> Record:
    """Remember which units did start: a broken one must not make its neighbours restart at every run."""
    remembered = carried.record
    if carried.held or any(not f.unit for f in failures):
        return remembered  # files are missing, so nothing is known to run from its inputs
    failed = {f.unit for f in failures}
    started = tuple(s for s in planned.started_after if s.unit not in failed)
    last = msgspec.structs.replace(remembered.last, started=started)
    return msgspec.structs.replace(remembered, last=last)


def _finish(ports: Ports, remembered: Record, applied: str, result: Result) -> None:
    changed = sum(1 for e in result.plan.entries if e.action not in {"no_op", "skipped", "blocked"})
    message = result.message or _summed_up(result, changed)
    status = record.finished(
        initialised(remembered),
        applied=applied,
        message=message if result.failures or result.message else "",
        divergence=bool(result.failures),
        now_s=ports.clock.now_s(),
    )
    _phase(ports, "final_summary", "started")
    ports.store.save(msgspec.structs.replace(remembered, status=status))
    revision = result.plan.source.revision
    ports.reporter.report(events.RunFinished(revision, result.outcome, message, bool(applied), changed, result))


def _summed_up(result: Result, changed: int) -> str:
    host, revision = result.plan.host, result.plan.source.short
    if result.failures:
        names = ", ".join(sorted({f.unit or (f.object.display_id if f.object else "?") for f in result.failures}))
        return f"{host} @ {revision}: {result.outcome}, not as desired: {names}"
    if not changed:
        return f"{host} @ {revision}: in sync, nothing to do"
    return f"{host} @ {revision}: converged, {changed} changed"
