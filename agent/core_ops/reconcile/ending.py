"""What a run may do of a plan, what it came to, and what is therefore known: decided from values alone."""

import msgspec

from core_ops.reconcile import narrow, retry, verdict
from core_ops.reconcile.graph import build
from core_ops.reconcile.model import Desired
from core_ops.reconcile.planned import Plan, Result
from core_ops.reconcile.record import Ending, Record
from core_ops.reconcile.retry import Diagnosis


def allowed(planned: Plan, desired: Desired, stopped: Diagnosis | None, *, files_only: bool) -> Plan:
    """Return what this run may do of a plan: not what failed too often, and only files where systemd is not to be told."""
    if planned.blocked:
        return planned
    if stopped is not None:
        planned = narrow.without(planned, stopped, build(desired))
    return narrow.files_only(planned) if files_only else planned


def untouched(planned: Plan) -> Result:
    """Return the result of a run that had nothing to do."""
    return Result(planned, verdict.outcome(planned, (), changed=False), ())


def result(seen: Result, desired: Desired, stopped: Diagnosis | None, *, files_only: bool) -> Result:
    """Return what a run came to, from what was seen of it and what it was not allowed to try."""
    if stopped is not None:
        failures = (*retry.held(stopped, desired), *seen.failures)
        return msgspec.structs.replace(seen, outcome="non_converging", failures=failures, message=retry.words(stopped))
    if not seen.failures and files_only:
        return msgspec.structs.replace(seen, outcome="partially_applied", message=narrow.LEFT)
    return seen


def partly(remembered: Record, result: Result) -> Record:
    """Remember which units did start: a broken one must not make its neighbours restart at every run."""
    if any(not f.unit for f in result.failures):
        return remembered  # files are missing, so nothing is known to run from its inputs
    left = {f.unit for f in result.failures}
    left |= {
        o.unit for o in result.plan.owned_after if o.object in result.unreached
    }  # such as a link that was not made
    started = tuple(s for s in result.plan.started_after if s.unit not in left)
    last = msgspec.structs.replace(remembered.last, started=started)
    return msgspec.structs.replace(remembered, last=last)


def ending(remembered: Record, applied: str, result: Result) -> Ending:
    """Return how a run ended as the status has it; `applied` is the revision that now holds, or empty."""
    waits = result.outcome == "partially_applied" and not result.failures
    return Ending(
        status="success" if applied else "in_progress" if waits else "failed",
        applied=applied,
        message=message(result) if result.failures or result.message else "",
        divergence=bool(result.failures),
        diagnosis=retry.diagnosis(remembered.attempts),
        detaches=bool(applied) and remembered.rollback is not None,
    )


def changed(result: Result) -> int:
    """Return how many objects the plan of a run acted on."""
    return sum(1 for e in result.plan.entries if verdict.acts(e))


def message(result: Result) -> str:
    """Return the sentence for a run that the journal and the status get."""
    if result.message:
        return result.message
    host, revision = result.plan.host, result.plan.source.short
    if result.failures:
        names = ", ".join(sorted({f.unit or f.name for f in result.failures}))
        return f"{host} @ {revision}: {result.outcome}, not as desired: {names}"
    if not changed(result):
        return f"{host} @ {revision}: in sync, nothing to do"
    return f"{host} @ {revision}: converged, {changed(result)} changed"
