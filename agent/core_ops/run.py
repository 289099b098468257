"""The steps of a run, in order. It conducts: what to do is decided in `reconcile`, done by the ports.

look (outlook) -> observe -> plan -> own, stage, void, carry out -> look again -> record
"""

from typing import NamedTuple

import msgspec

from core_ops import aftermath
from core_ops.errors import CoreOpsError, HostError, StateError
from core_ops.outlook import Goal, Ports, initialised, look, with_refusal
from core_ops.reconcile import effects, events, judge, record, retry
from core_ops.reconcile.compare import subjects
from core_ops.reconcile.model import (
    Desired,
    Effect,
    Failure,
    LastApplied,
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

    The result is None when the host is detached: a person rolled it back, and it stands still until they say otherwise. An
    apply by hand begins a new count of attempts.

    Raises:
        CoreOpsError: nothing was ever applied here and the first revision can't be had; or as `converge`.
    """
    known = ports.store.load()
    status = initialised(known)
    if status.detached and known.rollback is None:
        ports.reporter.report(events.StoodStill(status.reconciliation.last_applied_revision, record.detached(status)))
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
    if verb == "apply":
        remembered = msgspec.structs.replace(remembered, attempts=())
    return converge(ports, goal, found.desired, remembered), found.problem


class _Carried(NamedTuple):
    """How a plan was carried out: the record as it was left, what failed, and whether anything was changed.

    `held` says that something could not be stopped, so that no file was changed and what was stopped came back as it was.
    """

    record: Record
    failures: tuple[Failure, ...]
    changed: bool
    held: bool


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
        settled = aftermath.applied(ports, goal, remembered, planned, desired)
        return aftermath.finish(ports, settled, revision, Result(planned, "converged", ()))
    remembered = aftermath.counted(ports, remembered, revision)
    stopped = retry.diagnosis(remembered.attempts)
    planned = aftermath.allowed(planned, goal, desired, stopped)
    if not planned.effects and not planned.blocked:
        return aftermath.finish(ports, remembered, "", aftermath.result(planned, goal, desired, stopped, ()))
    status = record.begun(initialised(remembered), goal.controller, revision, ports.clock.now_s())
    remembered = msgspec.structs.replace(remembered, status=status)
    try:
        _unblocked(planned)
        ports.reporter.report(events.Planned(planned))
        carried = _carry_out(ports, planned, remembered)
    except CoreOpsError as error:
        aftermath.finish(ports, remembered, "", Result(planned, "failed", (), error.message))
        raise
    failures = carried.failures or _looked_again(ports, planned, desired)
    result = aftermath.result(planned, goal, desired, stopped, failures)
    if failures and not carried.changed and stopped is None:
        result = msgspec.structs.replace(result, outcome="failed")
    return _recorded(ports, goal, desired, carried, result, failures)


def _recorded(
    ports: Ports, goal: Goal, desired: Desired, carried: _Carried, result: Result, failures: tuple[Failure, ...]
) -> Result:
    """Remember what became of a run that touched the host; `failures` are those of this run alone."""
    revision, remembered = desired.source.revision, carried.record
    for failure in failures:
        ports.reporter.report(events.Failed(revision, failure))
    if result.outcome == "converged":
        remembered = aftermath.applied(ports, goal, remembered, result.plan, desired)
        return aftermath.finish(ports, remembered, revision, result)
    if failures:
        remembered = aftermath.attempted(ports, remembered, revision, failures)
    if not carried.held:
        remembered = aftermath.partly(remembered, result.plan, result.failures)
    return aftermath.finish(ports, remembered, "", result)


def _unblocked(planned: Plan) -> None:
    if planned.blocked:
        details = tuple(f"{e.object.display_id}: {e.causes[0].summary}" for e in planned.blocked)
        raise HostError(
            f"apply {planned.source.short}: {len(details)} blocked",
            code="blocked",
            hint="nothing was changed; clear the way and run again",
            details=details,
        )


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
