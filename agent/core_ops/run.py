"""The steps of a run, in order. It conducts: what to do is decided in `reconcile`, done by the ports.

    fetch -> authenticate -> render -> observe -> plan -> (stage, intent, carry out, look again, record)

A revision that can't be fetched, is not authentic or does not render never ends a run by itself: the host is then held to the
last good revision, so that drift is repaired while somebody mends the repository.
"""

from typing import NamedTuple

import msgspec

from core_ops.errors import CoreOpsError, Disposition, HostError, SourceTreeError, StateError
from core_ops.ports import Clock, Host, Prover, Reporter, Source, Store
from core_ops.reconcile import authority, effects, events, judge, record
from core_ops.reconcile.compare import subjects
from core_ops.reconcile.layout import read_layout
from core_ops.reconcile.model import (
    Desired,
    Directories,
    Effect,
    Failure,
    LastApplied,
    Outcome,
    Plan,
    Result,
    TreeFile,
    TrustedRevision,
    UntrustedRevision,
    WriteFile,
)
from core_ops.reconcile.model import Source as Origin
from core_ops.reconcile.pin import Trust
from core_ops.reconcile.plan import plan as make_plan
from core_ops.reconcile.record import Controller, Record, Refusal, Status
from core_ops.reconcile.render import RULES, render

SETTLE_TIMEOUT_S = 20.0  # how long units may be on their way up after their job was done
SETTLE_STEP_S = 0.25
WATCH_S = 1.0  # a crash under Restart= shows as a new invocation within this time


class Ports(NamedTuple):
    """The world of one run."""

    source: Source
    prover: Prover
    host: Host
    store: Store
    reporter: Reporter
    clock: Clock


class Goal(NamedTuple):
    """What this run is for: which host, where its files go, whom it trusts, and which program it is."""

    host: str
    directories: Directories
    trust: Trust
    controller: Controller


class Outlook(NamedTuple):
    """What a run would converge to: the state, the record it starts from, and what kept a newer revision away.

    `desired` is None when nothing was ever applied here and the first revision can't be had; `problem` then says why.
    """

    desired: Desired | None
    record: Record
    problem: CoreOpsError | None


# --- what to converge to ----------------------------------------------------------------------------------------------


def look(ports: Ports, goal: Goal) -> Outlook:
    """Return what the host should become: the newest acceptable revision, or else the last good one.

    Nothing is written but the local store of fetched objects.

    Raises:
        StateError: the host is not initialised, or its record is unusable.
    """
    remembered = ports.store.load()
    status = _initialised(remembered)
    try:
        candidate = ports.source.fetch(
            status.desired_state.repository,
            status.desired_state.requested_ref,
            remembered.anchor.commit if remembered.anchor else goal.trust.introduction,
        )
        for warning in ports.source.warnings:
            ports.reporter.report(events.Warned(warning))
        heard = record.observed(status, candidate.commit, ports.clock.now_s())
        remembered = msgspec.structs.replace(remembered, status=heard)
        trusted = _authenticate(ports, goal, candidate, remembered)
        remembered = msgspec.structs.replace(remembered, anchor=authority.anchored(trusted))
        return Outlook(_desired(ports, goal, trusted, remembered.last), remembered, None)
    except CoreOpsError as problem:
        _tell(ports, _initialised(remembered), problem)
        return _fallback(ports, goal, remembered, problem)


def recall(ports: Ports, goal: Goal, problem: CoreOpsError) -> Outlook:
    """Return what the host should be by what is already in the local store, without asking the repository."""
    return _fallback(ports, goal, ports.store.load(), problem)


def _initialised(remembered: Record) -> Status:
    if remembered.status is None:
        raise StateError(
            "controller is not initialized; run 'core-ops init <repository> <ref>' to initialize",
            code="not-initialized",
            hint="core-ops init https://git.example.com/hosts.git main --signers allowed_signers",
        )
    return remembered.status


def _authenticate(ports: Ports, goal: Goal, candidate: UntrustedRevision, remembered: Record) -> TrustedRevision:
    if goal.trust.mode == "unsigned":
        return authority.accept_unsigned(candidate, remembered.anchor, goal.trust.introduction)
    proof = ports.prover.prove(candidate)
    now_s = int(ports.clock.now_s())
    return authority.authenticate(
        candidate, proof, goal.trust.signers, remembered.anchor, goal.trust.introduction, now_s
    )


def _desired(ports: Ports, goal: Goal, trusted: TrustedRevision, last: LastApplied) -> Desired:
    origin = Origin(trusted.commit, trusted.repository, trusted.ref, trusted.signer)
    known = last.desired
    if known and (known.source, known.host, known.directories, known.rules) == (
        origin,
        goal.host,
        goal.directories,
        RULES,
    ):
        return known
    return rendered(ports.source.tree(trusted.commit), goal, origin)


def rendered(files: tuple[TreeFile, ...], goal: Goal, origin: Origin) -> Desired:
    """Return a tree's desired state for the host of the goal.

    Raises:
        SourceTreeError: with every finding that concerns this host.
    """
    desired = render(read_layout(files), goal.host, origin, goal.directories)
    if isinstance(desired, Desired):
        return desired
    lines = tuple(f"{f.path}{f':{f.line}' if f.line else ''}: {f.code}: {f.message} -> {f.hint}" for f in desired)
    count = f"{len(lines)} refusal{'s' if len(lines) > 1 else ''}"
    raise SourceTreeError(
        f"render revision {origin.revision[:12]} for host {goal.host}: {count}",
        code=desired[0].code if len(desired) == 1 else "invalid",
        hint="mend the repository; the host stays as it is until then",
        details=lines,
    )


def _fallback(ports: Ports, goal: Goal, remembered: Record, problem: CoreOpsError) -> Outlook:
    """Hold the host to the newest revision that was authenticated before, or else to what was applied last."""
    anchor, status = remembered.anchor, _initialised(remembered)
    if anchor and problem.disposition is Disposition.RETRY:
        known = remembered.last.desired
        same = known is not None and known.source.revision == anchor.commit
        trusted = TrustedRevision(
            status.desired_state.repository,
            known.source.ref if known and same else status.desired_state.requested_ref,
            anchor.commit,
            anchor.tree,
            anchor.payload_sha256,
            anchor.signer,
            anchor.key,
            anchor.committer_time,
        )
        try:
            return Outlook(_desired(ports, goal, trusted, remembered.last), remembered, problem)
        except CoreOpsError as worse:
            problem = problem if worse.disposition is Disposition.RETRY else worse
    return Outlook(remembered.last.desired, remembered, problem)


def _tell(ports: Ports, status: Status, problem: CoreOpsError) -> None:
    if problem.disposition is Disposition.RETRY:
        repository = status.desired_state.repository
        ports.reporter.report(events.SourceUnavailable(repository, problem.code, problem.message, problem.hint))
    else:
        message = "; ".join((problem.message, *problem.details))
        revision = status.desired_state.last_observed_revision
        ports.reporter.report(events.RevisionRefused(revision, problem.code, message, problem.hint))


def _with_refusal(remembered: Record, problem: CoreOpsError | None, now_s: float) -> Record:
    status = _initialised(remembered)
    refusal = None
    if problem is not None and problem.disposition is not Disposition.RETRY:
        revision = status.desired_state.last_observed_revision
        message = "; ".join((problem.message, *problem.details[:5]))
        refusal = Refusal(revision, problem.code, message, record.timestamp(now_s))
    elif problem is not None:
        refusal = status.reconciliation.refused  # not heard from: what was refused stays refused
    return msgspec.structs.replace(remembered, status=record.refused(status, refusal))


# --- plan and apply -----------------------------------------------------------------------------------------------


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
    if _initialised(known).detached:
        return None, None
    ports.reporter.report(events.RunStarted(verb, goal.host))
    outlook = look(ports, goal)
    remembered = _with_refusal(outlook.record, outlook.problem, ports.clock.now_s())
    if remembered.anchor and remembered.anchor != known.anchor:
        ports.store.save(remembered)  # from here on an older revision is a rollback, whatever becomes of this run
        anchor, ref = remembered.anchor, _initialised(remembered).desired_state.requested_ref
        ports.reporter.report(events.RevisionAuthenticated(anchor.commit, ref, anchor.signer, anchor.key))
    if outlook.desired is None:
        ports.store.save(remembered)
        raise outlook.problem or StateError("find a desired state", code="no-desired-state")
    return converge(ports, goal, outlook.desired, remembered), outlook.problem


def converge(ports: Ports, goal: Goal, desired: Desired, remembered: Record) -> Result:
    """Make the host what it should be, look again, and remember what became of it.

    Raises:
        HostError: a file could not be written, or something stands in the way; nothing was stopped then.
    """
    planned = plan(ports, desired, remembered.last)
    revision = desired.source.revision
    if planned.in_sync:
        settled = _applied(remembered, planned, desired)
        _finish(ports, settled, revision, Result(planned, "converged", ()))
        return Result(planned, "converged", ())
    status = record.begun(_initialised(remembered), goal.controller, revision, ports.clock.now_s())
    remembered = msgspec.structs.replace(remembered, status=status)
    try:
        _unblocked(planned)
        ports.reporter.report(events.Planned(planned))
        remembered, failures, done = _carry_out(ports, planned, remembered)
    except CoreOpsError as error:
        _finish(ports, remembered, "", Result(planned, "failed", (), error.message))
        raise
    if not failures:
        failures = _verify(ports, planned, desired)
    for failure in failures:
        ports.reporter.report(events.Failed(revision, failure))
    outcome: Outcome = "converged" if not failures else "partially_applied" if done else "failed"
    result = Result(planned, outcome, failures)
    remembered = _partly(remembered, planned, failures) if failures else _applied(remembered, planned, desired)
    _finish(ports, remembered, "" if failures else revision, result)
    return result


def _unblocked(planned: Plan) -> None:
    if planned.blocked:
        details = tuple(f"{e.object.display_id}: {e.causes[0].summary}" for e in planned.blocked)
        raise HostError(
            f"apply {planned.source.revision[:12]}: {len(details)} objects are blocked",
            code="blocked",
            hint="nothing was changed; clear the way and run again",
            details=details,
        )


def _carry_out(ports: Ports, planned: Plan, remembered: Record) -> tuple[Record, tuple[Failure, ...], bool]:
    """Return the record as it was left, what failed, and whether anything was changed."""
    revision = planned.source.revision
    owned = msgspec.structs.replace(remembered.last, owned=planned.owned)
    remembered = msgspec.structs.replace(remembered, last=owned)
    ports.store.save(remembered)  # what is about to exist is owned before it exists
    ports.host.stage(planned)
    voided = msgspec.structs.replace(owned, started=planned.started)
    remembered = msgspec.structs.replace(remembered, last=voided)
    ports.store.save(remembered)  # from here on the units that are touched count as started from nothing known
    failures: tuple[Failure, ...] = ()
    done = False
    for batch in effects.batches(planned.effects):
        if failures and not all(effects.brings_up(e) for e in batch):
            continue
        failed = _one_batch(ports, batch)
        failures += failed
        names = {f.unit for f in failed}
        for effect in batch:
            if getattr(effect, "unit", None) not in names and not (failed and isinstance(effect, WriteFile)):
                done = True
                ports.reporter.report(events.Changed(revision, effect))
    return remembered, failures, done


def _one_batch(ports: Ports, batch: tuple[Effect, ...]) -> tuple[Failure, ...]:
    try:
        return ports.host.carry_out(batch)
    except HostError as error:  # units may be stopped by now: the run goes on to bring them back
        place = getattr(batch[0], "object", None)
        return (Failure(place, "", "applying", f"{error.message} ({error.hint})"),)


def _verify(ports: Ports, planned: Plan, desired: Desired) -> tuple[Failure, ...]:
    wanted = subjects(desired, LastApplied())
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
    last = LastApplied(desired, planned.owned_after, planned.started_after)
    return msgspec.structs.replace(remembered, last=last)


def _partly(remembered: Record, planned: Plan, failures: tuple[Failure, ...]) -> Record:
    """Remember which units did start: a broken one must not make its neighbours restart at every run."""
    if any(not f.unit for f in failures):
        return remembered  # files are missing, so nothing is known to run from its inputs
    failed = {f.unit for f in failures}
    started = tuple(s for s in planned.started_after if s.unit not in failed)
    last = msgspec.structs.replace(remembered.last, started=started)
    return msgspec.structs.replace(remembered, last=last)


def _finish(ports: Ports, remembered: Record, applied: str, result: Result) -> None:
    changed = sum(1 for e in result.plan.entries if e.action not in {"no_op", "skipped", "blocked"})
    message = result.message or _summed_up(result, changed)
    status = record.finished(
        _initialised(remembered),
        applied=applied,
        message=message if result.failures or result.message else "",
        divergence=bool(result.failures),
        now_s=ports.clock.now_s(),
    )
    ports.store.save(msgspec.structs.replace(remembered, status=status))
    revision = result.plan.source.revision
    ports.reporter.report(events.RunFinished(revision, result.outcome, message, bool(applied), changed))


def _summed_up(result: Result, changed: int) -> str:
    host, revision = result.plan.host, result.plan.source.revision[:8]
    if result.failures:
        names = ", ".join(sorted({f.unit or (f.object.display_id if f.object else "?") for f in result.failures}))
        return f"{host} @ {revision}: {result.outcome}, not as desired: {names}"
    if not changed:
        return f"{host} @ {revision}: in sync, nothing to do"
    return f"{host} @ {revision}: converged, {changed} objects changed"
