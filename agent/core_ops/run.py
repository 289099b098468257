"""The steps of a run, in order. It conducts: what to do is decided in `reconcile`, done by the ports.

look (outlook) -> observe -> plan -> own, stage, void, carry out -> look again -> record
"""

from typing import NamedTuple

import msgspec

from core_ops.errors import CoreOpsError, HostError, StateError
from core_ops.outlook import Goal, Ports, initialised, look, with_refusal
from core_ops.reconcile import effects, events, judge, record
from core_ops.reconcile.compare import subjects
from core_ops.reconcile.model import (
    Desired,
    Effect,
    Failure,
    LastApplied,
    Outcome,
    Plan,
    Result,
    WriteFile,
)
from core_ops.reconcile.plan import plan as make_plan
from core_ops.reconcile.record import Record

SETTLE_TIMEOUT_S = 20.0  # how long units may be on their way up after their job was done
SETTLE_STEP_S = 0.25
WATCH_S = 1.0  # a crash under Restart= shows as a new invocation within this time


def plan(ports: Ports, desired: Desired, last: LastApplied) -> Plan:
    """Return what would be done now, changing nothing."""
    return make_plan(desired, last, ports.host.observe(subjects(desired, last)))


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
    found = look(ports, goal)
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
        if initialised(remembered).reconciliation.running:
            ports.host.stage(planned)  # nothing to write, but a run was cut, and what it had staged is swept
        settled = _applied(remembered, planned, desired)
        _finish(ports, settled, revision, Result(planned, "converged", ()))
        return Result(planned, "converged", ())
    status = record.begun(initialised(remembered), goal.controller, revision, ports.clock.now_s())
    remembered = msgspec.structs.replace(remembered, status=status)
    try:
        _unblocked(planned)
        ports.reporter.report(events.Planned(planned))
        carried = _carry_out(ports, planned, remembered)
    except CoreOpsError as error:
        _finish(ports, remembered, "", Result(planned, "failed", (), error.message))
        raise
    failures = carried.failures or _looked_again(ports, planned, desired)
    for failure in failures:
        ports.reporter.report(events.Failed(revision, failure))
    outcome: Outcome = "converged" if not failures else "partially_applied" if carried.changed else "failed"
    result = Result(planned, outcome, failures)
    remembered = _partly(carried, planned, failures) if failures else _applied(carried.record, planned, desired)
    _finish(ports, remembered, "" if failures else revision, result)
    return result


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
    """How a plan was carried out: the record as it was left, what failed, and whether anything was changed.

    `held` says that something could not be stopped, so that no file was changed and what was stopped came back as it was.
    """

    record: Record
    failures: tuple[Failure, ...]
    changed: bool
    held: bool


def _carry_out(ports: Ports, planned: Plan, remembered: Record) -> _Carried:
    owned = msgspec.structs.replace(remembered.last, owned=planned.owned)
    remembered = msgspec.structs.replace(remembered, last=owned)
    ports.store.save(remembered)  # what is about to exist is owned before it exists
    ports.host.stage(planned)
    voided = msgspec.structs.replace(owned, started=planned.started)
    remembered = msgspec.structs.replace(remembered, last=voided)
    ports.store.save(remembered)  # from here on the units that are touched count as started from nothing known
    failures, stuck, changed = _all_batches(ports, planned)
    if stuck:  # nothing was written, and what never stopped still runs from what it was started from
        started = {*planned.started, *(s for s in owned.started if s.unit in stuck)}
        kept = msgspec.structs.replace(voided, started=tuple(sorted(started)))
        remembered = msgspec.structs.replace(remembered, last=kept)
    return _Carried(remembered, failures, changed, held=bool(stuck))


def _all_batches(ports: Ports, planned: Plan) -> tuple[tuple[Failure, ...], frozenset[str], bool]:
    """Return what failed, which units could not be stopped, and whether anything was changed."""
    failures: tuple[Failure, ...] = ()
    stuck: frozenset[str] = frozenset()
    changed = False
    for planned_batch in effects.batches(planned.effects):
        if failures and not all(effects.brings_up(e) for e in planned_batch):
            continue
        batch = effects.put_back(planned_batch, planned.effects) if stuck else planned_batch
        failed = _one_batch(ports, batch) if batch else ()
        failures += failed
        if failed and effects.stops(batch):
            stuck |= {f.unit for f in failed}
        done = _done(batch, failed)
        changed |= bool(done)
        for effect in done:
            ports.reporter.report(events.Changed(planned.source.revision, effect))
    return failures, stuck, changed


def _done(batch: tuple[Effect, ...], failed: tuple[Failure, ...]) -> tuple[Effect, ...]:
    names = {f.unit for f in failed}
    return tuple(
        e for e in batch if getattr(e, "unit", None) not in names and not (failed and isinstance(e, WriteFile))
    )


def _one_batch(ports: Ports, batch: tuple[Effect, ...]) -> tuple[Failure, ...]:
    try:
        return ports.host.carry_out(batch)
    except HostError as error:  # units may be stopped by now: the run goes on to bring them back
        place = getattr(batch[0], "object", None)
        return (Failure(place, "", "applying", f"{error.message} ({error.hint})"),)


def _looked_again(ports: Ports, planned: Plan, desired: Desired) -> tuple[Failure, ...]:
    try:
        return _verify(ports, planned, desired)
    except HostError as error:  # unseen is not good: the run failed, and the record says so
        return (Failure(None, "", "verifying", f"{error.message} ({error.hint})"),)


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
    ports.store.save(msgspec.structs.replace(remembered, status=status))
    revision = result.plan.source.revision
    ports.reporter.report(events.RunFinished(revision, result.outcome, message, bool(applied), changed))


def _summed_up(result: Result, changed: int) -> str:
    host, revision = result.plan.host, result.plan.source.short
    if result.failures:
        names = ", ".join(sorted({f.unit or (f.object.display_id if f.object else "?") for f in result.failures}))
        return f"{host} @ {revision}: {result.outcome}, not as desired: {names}"
    if not changed:
        return f"{host} @ {revision}: in sync, nothing to do"
    return f"{host} @ {revision}: converged, {changed} changed"
