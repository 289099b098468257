"""The view of a result: how a run came out, object by object, and what a person or a script can do about what failed.

It says of each object what `verdict` found, and adds why: what kept an object from coming out stands among its causes and,
as `blocker`, among its dependencies.
"""

from collections.abc import Iterator
from typing import Literal

from msgspec import UNSET, UnsetType

from core_ops.reconcile.contract import (
    CauseView,
    Count,
    DependencyView,
    DiffView,
    ObjectView,
    RevisionView,
    View,
    cause_views,
    diff_view,
    object_view,
    prerequisites,
    revision_view,
)
from core_ops.reconcile.model import Obj
from core_ops.reconcile.planned import Action, Entry, Failure, FinalState, Outcome, Result
from core_ops.reconcile.verdict import Verdict, verdicts


class ResultEntryView(View, frozen=True):
    """One object after an apply."""

    object: ObjectView
    final_state: FinalState
    action: Action | UnsetType = UNSET
    causes: tuple[CauseView, ...] | UnsetType = UNSET
    dependencies: tuple[DependencyView, ...] | UnsetType = UNSET
    diff: DiffView | UnsetType = UNSET
    notes: tuple[str, ...] | UnsetType = UNSET


class FailureView(View, frozen=True):
    """One thing that did not come out, in the words of systemd or the kernel; without an object it is the run's own."""

    phase: Literal["applying", "verifying"]
    detail: str
    object: ObjectView | UnsetType = UNSET
    unit: str | UnsetType = UNSET
    path: str | UnsetType = UNSET


class ResultSummary(View, frozen=True, omit_defaults=False):
    """How an apply came out, counted."""

    changed_count: Count
    failed_count: Count
    blocked_count: Count
    skipped_count: Count
    unchanged_count: Count
    message: str | UnsetType = UNSET


class ResultView(View, frozen=True, tag_field="view_kind", tag="result"):
    """What was done."""

    revision_context: RevisionView
    outcome: Outcome
    summary: ResultSummary
    entries: tuple[ResultEntryView, ...]
    host: str
    failures: tuple[FailureView, ...] | UnsetType = UNSET
    started_at: str | UnsetType = UNSET


def result_view(result: Result) -> ResultView:
    """Return the view of what an apply did."""
    names = {o.object: o.path for o in result.plan.owned}
    entries = tuple(_entry(entry, verdict, result) for entry, verdict in verdicts(result))
    states = [e.final_state for e in entries]
    return ResultView(
        revision_context=revision_view(result.plan.source, result.plan.previous),
        outcome=result.outcome,
        summary=ResultSummary(
            changed_count=states.count("succeeded"),
            failed_count=states.count("failed"),
            blocked_count=states.count("blocked"),
            skipped_count=states.count("skipped"),
            unchanged_count=states.count("no_op"),
            message=result.message or UNSET,
        ),
        entries=entries,
        host=result.plan.host,
        failures=tuple(_failure(f, names) for f in result.failures if _is_own(f, result)) or UNSET,
        started_at=result.started_at or UNSET,
    )


def _is_own(failure: Failure, result: Result) -> bool:
    """Whether it is a failure by itself, and does not merely follow from an earlier one."""
    return not failure.dependency and failure.object not in result.unreached


def _failure(failure: Failure, paths: dict[Obj, str]) -> FailureView:
    obj = failure.object
    return FailureView(
        phase=failure.phase,
        detail=failure.detail,
        object=object_view(obj) if obj else UNSET,
        unit=failure.unit or UNSET,
        path=paths.get(obj, UNSET) if obj else UNSET,
    )


def _entry(entry: Entry, verdict: Verdict, result: Result) -> ResultEntryView:
    blockers = tuple(DependencyView("blocker", object_view(o)) for o in verdict.blockers)
    return ResultEntryView(
        object=object_view(entry.object),
        final_state=verdict.state,
        action=entry.action,
        causes=(*cause_views(entry), *_because(verdict, result)),
        dependencies=(*prerequisites(entry), *blockers) or UNSET,
        diff=diff_view(entry),
        notes=(*entry.notes, *(verdict.details if verdict.state != "blocked" else ())) or UNSET,
    )


def _because(verdict: Verdict, result: Result) -> Iterator[CauseView]:
    """Yield why an object did not come out, where another one is the reason."""
    details = {f.object: f.detail for f in result.failures if not f.dependency}
    for blocker in verdict.blockers:
        source = object_view(blocker)
        if verdict.state == "skipped":
            yield CauseView("blocked_prerequisite", f"{blocker.display_id} is blocked, so nothing was changed", source)
        else:
            said = details.get(blocker) or UNSET
            what = "failed" if blocker in details else "was not reached"
            yield CauseView("dependency_failure", f"{blocker.display_id} {what}", source, said)
    if verdict.state == "blocked" and not verdict.blockers:
        yield from (CauseView("dependency_failure", detail) for detail in verdict.details)
