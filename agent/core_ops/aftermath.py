"""What a run leaves on record: how often it was tried, what it came to, and what the next run may take as known.

Nothing here touches the host. Every ending goes through `finish`, so that the record, the status and the journal agree.
"""

import msgspec

from core_ops.outlook import Goal, Ports, initialised
from core_ops.reconcile import events, narrow, record, retry, snapshots, verdict
from core_ops.reconcile.graph import build
from core_ops.reconcile.model import Desired, Failure, LastApplied, Plan, Result
from core_ops.reconcile.phases import PhaseChanged
from core_ops.reconcile.record import Ending, Record
from core_ops.reconcile.retry import Diagnosis


def counted(ports: Ports, remembered: Record, revision: str) -> Record:
    """Return the record with the attempts that still count for what is about to be tried."""
    if not remembered.attempts:
        return remembered
    attempts = retry.comparable(remembered.attempts, revision, ports.host.inputs())
    return msgspec.structs.replace(remembered, attempts=attempts)


def allowed(planned: Plan, goal: Goal, desired: Desired, stopped: Diagnosis | None) -> Plan:
    """Return what this run may do of a plan."""
    if planned.blocked:
        return planned
    if stopped is not None:
        planned = narrow.without(planned, stopped, build(desired))
    return narrow.files_only(planned) if goal.extent == "files" else planned


def untouched(planned: Plan) -> Result:
    """Return the result of a run that had nothing to do."""
    return Result(planned, verdict.outcome(planned, (), changed=False), ())


def result(seen: Result, goal: Goal, desired: Desired, stopped: Diagnosis | None) -> Result:
    """Return what a run came to, from what was seen of it and what it was not allowed to try."""
    if stopped is not None:
        failures = (*retry.held(stopped, desired), *seen.failures)
        return msgspec.structs.replace(seen, outcome="non_converging", failures=failures, message=retry.words(stopped))
    if not seen.failures and goal.extent == "files":
        return msgspec.structs.replace(seen, outcome="partially_applied", message=narrow.LEFT)
    return seen


def attempted(ports: Ports, remembered: Record, revision: str, failures: tuple[Failure, ...]) -> Record:
    """Return the record with one more failed attempt."""
    inputs, at = ports.host.inputs(), record.timestamp(ports.clock.now_s())
    attempts = (*remembered.attempts, retry.attempt(revision, inputs, failures, at))
    return msgspec.structs.replace(remembered, attempts=retry.comparable(attempts, revision, inputs))


def applied(ports: Ports, goal: Goal, remembered: Record, planned: Plan, desired: Desired) -> Record:
    """Return the record of a host that is as desired."""
    last = LastApplied(desired, planned.owned_after, planned.started_after, remembered.last.examined)
    history = remembered.history
    if desired != remembered.last.desired:
        history = snapshots.kept(history, desired, goal.scope, record.timestamp(ports.clock.now_s()))
    return msgspec.structs.replace(remembered, last=last, history=history, attempts=())


def partly(remembered: Record, planned: Plan, failures: tuple[Failure, ...]) -> Record:
    """Remember which units did start: a broken one must not make its neighbours restart at every run."""
    if any(not f.unit for f in failures):
        return remembered  # files are missing, so nothing is known to run from its inputs
    failed = {f.unit for f in failures}
    started = tuple(s for s in planned.started_after if s.unit not in failed)
    last = msgspec.structs.replace(remembered.last, started=started)
    return msgspec.structs.replace(remembered, last=last)


def finish(ports: Ports, remembered: Record, applied: str, result: Result) -> Result:
    """Save how a run ended, tell of it, and return the result; `applied` is the revision that now holds, or empty."""
    changed = sum(1 for e in result.plan.entries if e.action not in {"no_op", "skipped", "blocked"})
    message = result.message or _summed_up(result, changed)
    waits = result.outcome == "partially_applied" and not result.failures
    diagnosis = retry.diagnosis(remembered.attempts)
    ending = Ending(
        status="success" if applied else "in_progress" if waits else "failed",
        applied=applied,
        message=message if result.failures or result.message else "",
        divergence=bool(result.failures),
        diagnosis=diagnosis,
        detaches=bool(applied) and remembered.rollback is not None,
    )
    status = record.finished(initialised(remembered), ending, ports.clock.now_s())
    rollback = None if applied else remembered.rollback
    ports.reporter.report(PhaseChanged("final_summary", "started"))
    ports.store.save(msgspec.structs.replace(remembered, status=status, rollback=rollback))
    if diagnosis is not None:
        ports.reporter.report(events.ProgressStopped(diagnosis))
    revision = result.plan.source.revision
    ports.reporter.report(
        events.RunFinished(revision, result.outcome, message, bool(applied) or waits, changed, result)
    )
    return result


def _summed_up(result: Result, changed: int) -> str:
    host, revision = result.plan.host, result.plan.source.short
    if result.failures:
        names = ", ".join(sorted({f.unit or (f.object.display_id if f.object else "?") for f in result.failures}))
        return f"{host} @ {revision}: {result.outcome}, not as desired: {names}"
    if not changed:
        return f"{host} @ {revision}: in sync, nothing to do"
    return f"{host} @ {revision}: converged, {changed} changed"
