"""The steps of a run, in order. It conducts: what to do is decided in `reconcile`, done by the ports.

look (outlook) -> observe -> plan -> own, stage, void, carry out -> look again -> record
"""

import msgspec

from core_ops import aftermath
from core_ops.carryout import carry_out, phase, skip
from core_ops.errors import CoreOpsError, HostError, StateError
from core_ops.outlook import Goal, Ports, initialised, look, with_refusal
from core_ops.reconcile import effects, ending, events, judge, record, retry, verdict
from core_ops.reconcile.compare import subjects
from core_ops.reconcile.made import NOTHING_MADE, Made, made, worth_asking
from core_ops.reconcile.model import Desired, LastApplied
from core_ops.reconcile.plan import plan as make_plan
from core_ops.reconcile.planned import Failure, Plan, Result
from core_ops.reconcile.record import Record

SETTLE_TIMEOUT_S = 20.0  # how long units may be on their way up after their job was done
SETTLE_STEP_S = 0.25
WATCH_S = 1.0  # a crash under Restart= shows as a new invocation within this time


def plan(ports: Ports, desired: Desired, last: LastApplied) -> Plan:
    """Return what would be done now, changing nothing."""
    phase(ports, "graph_construction", "started")
    observed = ports.host.observe(subjects(desired, last))
    phase(ports, "graph_construction", "succeeded")
    phase(ports, "planning", "started")
    made_units = _made(ports, desired, last)
    planned = make_plan(desired, last, observed, made_units)
    if planned.undecided and (missing := _missing(ports, planned.undecided)):
        planned = make_plan(desired, last, msgspec.structs.replace(observed, missing_volumes=missing), made_units)
    phase(ports, "planning", "succeeded")
    return planned


def _missing(ports: Ports, volumes: tuple[str, ...]) -> frozenset[str]:
    """Return the volumes that somebody removed; where podman gives no answer, a decision stays one."""
    try:
        return frozenset(volumes) - ports.host.volumes(volumes)
    except HostError:
        return frozenset()


def _made(ports: Ports, desired: Desired, last: LastApplied) -> Made:
    if last.desired is None or not worth_asking(desired, last):
        return NOTHING_MADE
    return made(ports.host.generated(last.desired), ports.host.generated(desired))


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
    phase(ports, "resolution", "started")
    found = look(ports, goal)
    phase(ports, "resolution", "succeeded" if found.problem is None else "failed")
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
        skip(ports, "execution", "convergence_check")
        settled = aftermath.applied(ports, goal, remembered, planned, desired)
        return aftermath.finish(ports, settled, revision, ending.untouched(planned))
    remembered = aftermath.counted(ports, remembered, revision)
    stopped = retry.diagnosis(remembered.attempts)
    planned = ending.allowed(planned, desired, stopped, files_only=goal.extent == "files")
    if not planned.effects and not planned.blocked:
        skip(ports, "execution", "convergence_check")
        result = ending.result(ending.untouched(planned), desired, stopped, files_only=goal.extent == "files")
        return aftermath.finish(ports, remembered, "", result)
    now_s = ports.clock.now_s()
    status = record.begun(initialised(remembered), goal.controller, revision, now_s)
    remembered = msgspec.structs.replace(remembered, status=status)
    begun = Result(planned, "failed", (), unreached=verdict.all_unreached(planned), started_at=record.timestamp(now_s))
    try:
        _unblocked(planned)
        ports.reporter.report(events.Planned(planned))
        carried = carry_out(ports, remembered, begun)
    except CoreOpsError as error:
        skip(ports, *(("execution", "convergence_check") if planned.blocked else ("convergence_check",)))
        aftermath.finish(ports, remembered, "", msgspec.structs.replace(begun, message=error.message))
        raise
    seen = _looked_again(ports, carried.result, desired)
    result = ending.result(seen, desired, stopped, files_only=goal.extent == "files")
    kept = carried.record
    if result.outcome in verdict.HOLDS:
        return aftermath.finish(ports, aftermath.applied(ports, goal, kept, planned, desired), revision, result)
    if seen.failures:
        kept = aftermath.attempted(ports, kept, revision, seen.failures)
    if not carried.held:
        kept = ending.partly(kept, result)
    return aftermath.finish(ports, kept, "", result)


def _unblocked(planned: Plan) -> None:
    if planned.blocked:
        details = tuple(f"{e.object.display_id}: {e.causes[0].summary}" for e in planned.blocked)
        raise HostError(
            f"apply {planned.source.short}: {len(details)} blocked",
            code="blocked",
            hint="nothing was changed; clear the way and run again",
            details=details,
        )


def _looked_again(ports: Ports, result: Result, desired: Desired) -> Result:
    """Return the result after a second look, also at what came out beside a unit that failed: a crash takes a moment."""
    if result.outcome == "failed":  # nothing was changed
        skip(ports, "convergence_check")
        return result
    phase(ports, "convergence_check", "started")
    try:
        found = _verify(ports, verdict.remaining(result), desired)
    except HostError as error:  # unseen is not good: the run failed, and the record says so
        found = (Failure(None, "", "verifying", f"{error.message} ({error.hint})"),)
    found = verdict.news(result, found)
    for failure in found:
        ports.reporter.report(events.Failed(result.plan.source.revision, failure))
    phase(ports, "convergence_check", "failed" if found else "succeeded")
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
