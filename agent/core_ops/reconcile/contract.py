"""The JSON views: names, enums and field order that scripts rely on.

A view is built from a plan or a result and from nothing else. Absent is not null: an optional field that has nothing to say
is left out. New fields may be added; none is renamed or removed.
"""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from core_ops.reconcile.model import (
    Action,
    Cause,
    CauseKind,
    Entry,
    Failure,
    FinalState,
    Obj,
    Outcome,
    Plan,
    Result,
    Source,
)


class View(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of every view."""


class ObjectView(View, frozen=True):
    """An object by its parts and by the name people use."""

    resource_type: str
    name: str
    display_id: str


class RevisionView(View, frozen=True):
    """Which revision is meant, and which one held before."""

    target_revision: str
    requested_repository: str | UnsetType = UNSET
    requested_ref: str | UnsetType = UNSET
    last_applied_revision: str | UnsetType = UNSET
    last_applied_requested_repository: str | UnsetType = UNSET
    last_applied_requested_ref: str | UnsetType = UNSET
    signers: tuple[str, ...] | UnsetType = UNSET


class CauseView(View, frozen=True):
    """Why something happens."""

    kind: CauseKind
    summary: str
    source_object: ObjectView | UnsetType = UNSET


class DependencyView(View, frozen=True):
    """How another object matters to this one."""

    relation: Literal["prerequisite", "dependent", "blocker"]
    object: ObjectView


class DiffView(View, frozen=True):
    """How the object's file changes."""

    kind: Literal["line_based", "semantic_only", "replacement", "deletion", "creation"]
    summary: str
    unified_diff: str | UnsetType = UNSET


class PlanEntryView(View, frozen=True):
    """One object of a plan."""

    object: ObjectView
    action: Action
    causes: tuple[CauseView, ...]
    dependencies: tuple[DependencyView, ...]
    order_index: int
    diff: DiffView | UnsetType = UNSET
    unchanged: bool | UnsetType = UNSET
    steps: tuple[str, ...] | UnsetType = UNSET
    notes: tuple[str, ...] | UnsetType = UNSET


class PlanSummary(msgspec.Struct, frozen=True):
    """How many objects a plan has, by what happens to them."""

    changed_count: int
    unchanged_count: int
    blocked_count: int
    skipped_count: int
    total_count: int


class PlanView(msgspec.Struct, frozen=True, tag_field="view_kind", tag="plan"):
    """What would be done."""

    revision_context: RevisionView
    summary: PlanSummary
    entries: tuple[PlanEntryView, ...]
    host: str


class ResultEntryView(View, frozen=True):
    """One object after an apply."""

    object: ObjectView
    final_state: FinalState
    action: Action | UnsetType = UNSET
    causes: tuple[CauseView, ...] | UnsetType = UNSET
    notes: tuple[str, ...] | UnsetType = UNSET


class ResultSummary(View, frozen=True, omit_defaults=False):
    """How an apply came out, counted."""

    changed_count: int
    failed_count: int
    blocked_count: int
    skipped_count: int
    unchanged_count: int
    message: str | UnsetType = UNSET


class ResultView(msgspec.Struct, frozen=True, tag_field="view_kind", tag="result"):
    """What was done."""

    revision_context: RevisionView
    outcome: Outcome
    summary: ResultSummary
    entries: tuple[ResultEntryView, ...]
    host: str


def plan_view(plan: Plan) -> PlanView:
    """Return the view of a plan."""
    actions = [e.action for e in plan.entries]
    unchanged, blocked, skipped = (actions.count(a) for a in ("no_op", "blocked", "skipped"))
    return PlanView(
        revision_context=_revision(plan.source, plan.previous),
        summary=PlanSummary(
            changed_count=len(actions) - unchanged - blocked - skipped,
            unchanged_count=unchanged,
            blocked_count=blocked,
            skipped_count=skipped,
            total_count=len(actions),
        ),
        entries=tuple(_entry(e, place) for place, e in enumerate(plan.entries)),
        host=plan.host,
    )


def result_view(result: Result) -> ResultView:
    """Return the view of what an apply did."""
    failed = {f.object: f for f in result.failures if f.object}
    entries = tuple(_result_entry(e, failed.get(e.object), result) for e in result.plan.entries)
    states = [e.final_state for e in entries]
    return ResultView(
        revision_context=_revision(result.plan.source, result.plan.previous),
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
    )


def _result_entry(entry: Entry, failure: Failure | None, result: Result) -> ResultEntryView:
    state: FinalState = "succeeded"
    if failure is not None:
        state = "failed"
    elif entry.action in {"no_op", "blocked", "skipped"}:
        state = "no_op" if entry.action == "no_op" else "blocked" if entry.action == "blocked" else "skipped"
    elif result.outcome == "failed":
        state = "skipped"
    return ResultEntryView(
        object=object_view(entry.object),
        final_state=state,
        action=entry.action,
        causes=tuple(_cause(c) for c in entry.causes),
        notes=(failure.detail,) if failure else UNSET,
    )


def _revision(source: Source, previous: Source | None) -> RevisionView:
    return RevisionView(
        target_revision=source.revision,
        requested_repository=source.repository or UNSET,
        requested_ref=source.ref or UNSET,
        last_applied_revision=previous.revision if previous else UNSET,
        last_applied_requested_repository=(previous.repository or UNSET) if previous else UNSET,
        last_applied_requested_ref=(previous.ref or UNSET) if previous else UNSET,
        signers=(source.signer,) if source.signer else UNSET,
    )


def _entry(entry: Entry, place: int) -> PlanEntryView:
    return PlanEntryView(
        object=object_view(entry.object),
        action=entry.action,
        causes=tuple(_cause(c) for c in entry.causes),
        dependencies=tuple(DependencyView("prerequisite", object_view(o)) for o in entry.requires),
        order_index=place,
        diff=_diff(entry) or UNSET,
        unchanged=True if entry.action == "no_op" else UNSET,
        steps=entry.steps or UNSET,
        notes=entry.notes or UNSET,
    )


def _diff(entry: Entry) -> DiffView | None:
    if not entry.diff_summary:
        return None
    if entry.action == "delete":
        return DiffView("deletion", entry.diff_summary)
    kind: Literal["creation", "line_based", "replacement"] = "creation"
    if entry.action != "create":
        kind = "line_based" if entry.diff else "replacement"
    return DiffView(kind, entry.diff_summary, entry.diff or UNSET)


def _cause(cause: Cause) -> CauseView:
    source = object_view(cause.source_object) if cause.source_object else UNSET
    return CauseView(cause.kind, cause.summary, source)


def object_view(obj: Obj) -> ObjectView:
    """Return the view of an object's name."""
    return ObjectView(obj.resource_type, obj.name, obj.display_id)
