"""What a host should become: the newest acceptable revision, or else the last good one.

    fetch -> authenticate -> render -> examine

A revision that can't be fetched, is not authentic, does not render, or has units that this machine's programs would not take
never ends a run by itself: the host is then held to the last good revision, so that drift is repaired while somebody mends the
repository.
"""

from typing import NamedTuple

import msgspec

from core_ops.errors import CoreOpsError, Disposition, SourceTreeError, StateError
from core_ops.ports import Clock, Host, Prover, Reporter, Source, Store
from core_ops.reconcile import authority, events, record
from core_ops.reconcile.layout import read_layout
from core_ops.reconcile.model import (
    Desired,
    Directories,
    Finding,
    LastApplied,
    TreeFile,
    TrustedRevision,
    UntrustedRevision,
)
from core_ops.reconcile.model import Source as Origin
from core_ops.reconcile.pin import Trust
from core_ops.reconcile.preflight import judge
from core_ops.reconcile.record import Controller, Record, Refusal, Status
from core_ops.reconcile.render import RULES, render


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


def look(ports: Ports, goal: Goal) -> Outlook:
    """Return what the host should become: the newest acceptable revision, or else the last good one.

    Nothing is written but the local store of fetched objects.

    Raises:
        StateError: the host is not initialised, or its record is unusable.
    """
    remembered = ports.store.load()
    status = initialised(remembered)
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
        desired, last = _desired(ports, goal, trusted, remembered.last)
        return Outlook(desired, msgspec.structs.replace(remembered, last=last), None)
    except CoreOpsError as problem:
        _tell(ports, initialised(remembered), problem)
        return _fallback(ports, goal, remembered, problem)


def recall(ports: Ports, goal: Goal, problem: CoreOpsError) -> Outlook:
    """Return what the host should be by what is already in the local store, without asking the repository."""
    return _fallback(ports, goal, ports.store.load(), problem)


def initialised(remembered: Record) -> Status:
    """Return the status of a host that tracks something.

    Raises:
        StateError: `not-initialized`.
    """
    if remembered.status is None:
        raise StateError(
            "controller is not initialized; run 'core-ops init <repository> <ref>' to initialize",
            code="not-initialized",
            hint="for example: core-ops init https://git.example.com/hosts.git main --signers allowed_signers",
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


def _desired(ports: Ports, goal: Goal, trusted: TrustedRevision, last: LastApplied) -> tuple[Desired, LastApplied]:
    origin = Origin(trusted.commit, trusted.repository, trusted.ref, trusted.signer)
    known = last.desired
    if known and (known.source, known.host, known.directories, known.rules) == (
        origin,
        goal.host,
        goal.directories,
        RULES,
    ):
        return known, examined(ports, known, last)
    desired = rendered(ports.source.tree(trusted.commit), goal, origin)
    return desired, examined(ports, desired, last)


def rendered(files: tuple[TreeFile, ...], goal: Goal, origin: Origin) -> Desired:
    """Return a tree's desired state for the host of the goal.

    Raises:
        SourceTreeError: with every finding that concerns this host.
    """
    desired = render(read_layout(files), goal.host, origin, goal.directories)
    if isinstance(desired, Desired):
        return desired
    raise _refusal(f"render {origin.short} for host {goal.host}", desired)


def examined(ports: Ports, desired: Desired, last: LastApplied) -> LastApplied:
    """Return the record of a state that this machine's generator and systemd accept, and pass their doubts on.

    Raises:
        SourceTreeError: with every unit that the host would not have.
    """
    said = ports.host.examine(desired, last.examined)
    verdict = judge(desired, said)
    if verdict.refusals:
        raise _refusal(f"examine {desired.source.short} for host {desired.host}", verdict.refusals)
    for doubt in verdict.doubts:
        place = "" if doubt.path == "." else _place(doubt.path, doubt.line)
        ports.reporter.report(events.Doubted(desired.source.revision, place, doubt.code, doubt.message, doubt.hint))
    return msgspec.structs.replace(last, examined=said.seal)


def _refusal(attempt: str, findings: tuple[Finding, ...]) -> SourceTreeError:
    lines = tuple(f"{_place(f.path, f.line)}: {f.code}: {f.message} -> {f.hint}" for f in findings)
    return SourceTreeError(
        f"{attempt}: {len(lines)} refusal{'s' if len(lines) > 1 else ''}",
        code=findings[0].code if len(findings) == 1 else "invalid",
        hint="mend the repository; the host stays as it is until then",
        details=lines,
    )


def _place(path: str, line: int) -> str:
    return f"{path}:{line}" if line else path


def _fallback(ports: Ports, goal: Goal, remembered: Record, problem: CoreOpsError) -> Outlook:
    """Hold the host to the newest revision that was authenticated before, or else to what was applied last."""
    anchor, status = remembered.anchor, initialised(remembered)
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
            desired, last = _desired(ports, goal, trusted, remembered.last)
            return Outlook(desired, msgspec.structs.replace(remembered, last=last), problem)
        except CoreOpsError as worse:
            problem = problem if worse.disposition is Disposition.RETRY else worse
    return Outlook(remembered.last.desired, remembered, problem)


def _tell(ports: Ports, status: Status, problem: CoreOpsError) -> None:
    if problem.disposition is Disposition.RETRY:
        repository = status.desired_state.repository
        ports.reporter.report(events.SourceUnavailable(repository, problem.code, problem.message, problem.hint))
    else:
        message = "; ".join((problem.message, *problem.details[:20]))  # a journal entry, not the whole report
        revision = status.desired_state.last_observed_revision
        ports.reporter.report(events.RevisionRefused(revision, problem.code, message, problem.hint))


def with_refusal(remembered: Record, problem: CoreOpsError | None, now_s: float) -> Record:
    """Return the record that also says why the newest revision is not applied, or that it is."""
    status = initialised(remembered)
    refusal = None
    if problem is not None and problem.disposition is not Disposition.RETRY:
        revision = status.desired_state.last_observed_revision
        message = "; ".join((problem.message, *problem.details[:5]))
        refusal = Refusal(revision, problem.code, message, record.timestamp(now_s))
    elif problem is not None:
        refusal = status.reconciliation.refused  # not heard from: what was refused stays refused
    return msgspec.structs.replace(remembered, status=record.refused(status, refusal))
