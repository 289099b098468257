"""What a run leaves on record: how often it was tried, what it came to, and what the next run may take as known.

Nothing here touches the host. Every ending goes through `finish`, so that the record, the status and the journal agree.
"""

import msgspec

from core_ops.outlook import Goal, Ports, initialised
from core_ops.reconcile import ending, events, record, retry, snapshots
from core_ops.reconcile.model import Desired, LastApplied
from core_ops.reconcile.phases import PhaseChanged
from core_ops.reconcile.planned import Failure, Plan, Result
from core_ops.reconcile.record import Record


def counted(ports: Ports, remembered: Record, revision: str) -> Record:
    """Return the record with the attempts that still count for what is about to be tried."""
    if not remembered.attempts:
        return remembered
    attempts = retry.comparable(remembered.attempts, revision, ports.host.inputs())
    return msgspec.structs.replace(remembered, attempts=attempts)


def attempted(ports: Ports, remembered: Record, revision: str, failures: tuple[Failure, ...]) -> Record:
    """Return the record with one more failed attempt."""
    inputs, at = ports.host.inputs(), record.timestamp(ports.clock.now_s())
    attempts = (*remembered.attempts, retry.attempt(revision, inputs, failures, at))
    return msgspec.structs.replace(remembered, attempts=retry.comparable(attempts, revision, inputs))


def applied(ports: Ports, goal: Goal, remembered: Record, planned: Plan, desired: Desired) -> Record:
    """Return the record of a host that is as desired."""
    examined = remembered.last.examined
    last = LastApplied(desired, planned.owned_after, planned.started_after, examined, planned.volumes)
    history = remembered.history
    if desired != remembered.last.desired:
        history = snapshots.kept(history, desired, goal.scope, record.timestamp(ports.clock.now_s()))
    return msgspec.structs.replace(remembered, last=last, history=history, attempts=())


def finish(ports: Ports, remembered: Record, applied: str, result: Result) -> Result:
    """Save how a run ended, tell of it, and return the result; `applied` is the revision that now holds, or empty."""
    ended = ending.ending(remembered, applied, result)
    status = record.finished(initialised(remembered), ended, ports.clock.now_s())
    rollback = None if applied else remembered.rollback
    ports.reporter.report(PhaseChanged("final_summary", "started"))
    ports.store.save(msgspec.structs.replace(remembered, status=status, rollback=rollback))
    if ended.diagnosis is not None:
        ports.reporter.report(events.ProgressStopped(ended.diagnosis))
    revision, succeeded = result.plan.source.revision, ended.status != "failed"
    changed, message = ending.changed(result), ending.message(result)
    ports.reporter.report(events.RunFinished(revision, result.outcome, message, succeeded, changed, result))
    return result
