"""The JSON views: names, enums and field order that scripts rely on; here what all views share, and the view of a plan.

A view is built from a plan or a result and from nothing else. Absent is not null: an optional field that has nothing to say
is left out. New fields may be added; none is renamed or removed. The JSON Schemas beside the spec are made from these types.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from core_ops.reconcile.model import Obj, ResourceType, Source
from core_ops.reconcile.planned import Action, Cause, CauseKind, DiffKind, Entry, Impact, Plan

Count = Annotated[int, Meta(ge=0)]
Revision = Annotated[str, Meta(pattern=r"^([0-9a-f]{40}|\(stateless(\+dirty)?\))$")]


class View(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of every view."""


class ObjectView(View, frozen=True):
    """An object by its parts and by the name people use."""

    resource_type: ResourceType
    name: str
    display_id: str


class RevisionView(View, frozen=True):
    """Which revision is meant, and which one held before."""

    target_revision: Revision
    requested_repository: str | UnsetType = UNSET
    requested_ref: str | UnsetType = UNSET
    last_applied_revision: Revision | UnsetType = UNSET
    last_applied_requested_repository: str | UnsetType = UNSET
    last_applied_requested_ref: str | UnsetType = UNSET
    change_revision: Revision | UnsetType = UNSET
    signers: tuple[str, ...] | UnsetType = UNSET


class CauseView(View, frozen=True):
    """Why something happens."""

    kind: CauseKind
    summary: str
    source_object: ObjectView | UnsetType = UNSET
    details: str | UnsetType = UNSET


class DependencyView(View, frozen=True):
    """How another object matters to this one."""

    relation: Literal["prerequisite", "dependent", "blocker"]
    object: ObjectView


class DiffView(View, frozen=True):
    """How the object's file changes."""

    kind: DiffKind
    summary: str
    unified_diff: str | UnsetType = UNSET
    details: str | UnsetType = UNSET


class PlanEntryView(View, frozen=True):
    """One object of a plan."""

    object: ObjectView
    action: Action
    causes: Annotated[tuple[CauseView, ...], Meta(min_length=1)]
    dependencies: tuple[DependencyView, ...]
    order_index: Count
    diff: DiffView | UnsetType = UNSET
    unchanged: bool | UnsetType = UNSET
    steps: tuple[str, ...] | UnsetType = UNSET
    notes: tuple[str, ...] | UnsetType = UNSET
    impact: Impact | UnsetType = UNSET


class PlanSummary(View, frozen=True, omit_defaults=False):
    """How many objects a plan has, by what happens to them."""

    changed_count: Count
    unchanged_count: Count
    blocked_count: Count
    skipped_count: Count
    total_count: Count


class PlanView(View, frozen=True, tag_field="view_kind", tag="plan"):
    """What would be done. `recovering` says that nothing was ever applied successfully, but an attempt was made."""

    revision_context: RevisionView
    summary: PlanSummary
    entries: tuple[PlanEntryView, ...]
    host: str
    recovering: bool | UnsetType = UNSET


def plan_view(plan: Plan, *, attempted: bool = False) -> PlanView:
    """Return the view of a plan.

    Args:
        plan: what would be done.
        attempted: a run has tried to change this host before.
    """
    actions = [e.action for e in plan.entries]
    unchanged, blocked, skipped = (actions.count(a) for a in ("no_op", "blocked", "skipped"))
    return PlanView(
        revision_context=revision_view(plan.source, plan.previous),
        summary=PlanSummary(
            changed_count=len(actions) - unchanged - blocked - skipped,
            unchanged_count=unchanged,
            blocked_count=blocked,
            skipped_count=skipped,
            total_count=len(actions),
        ),
        entries=tuple(_entry(e, place) for place, e in enumerate(plan.entries)),
        host=plan.host,
        recovering=True if attempted and plan.previous is None else UNSET,
    )


def revision_view(source: Source, previous: Source | None = None) -> RevisionView:
    """Return which revision is meant, and which one held before.

    Args:
        source: where the desired state comes from.
        previous: where the one that was applied last came from.
    """
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
        causes=cause_views(entry),
        dependencies=prerequisites(entry),
        order_index=place,
        diff=diff_view(entry),
        unchanged=True if entry.action == "no_op" else UNSET,
        steps=entry.steps or UNSET,
        notes=entry.notes or UNSET,
        impact=entry.impact if entry.impact != "none" else UNSET,
    )


def cause_views(entry: Entry) -> tuple[CauseView, ...]:
    """Return why something happens to an object."""
    return tuple(_cause(c) for c in entry.causes)


def prerequisites(entry: Entry) -> tuple[DependencyView, ...]:
    """Return what starts before an object."""
    return tuple(DependencyView("prerequisite", object_view(o)) for o in entry.requires)


def diff_view(entry: Entry) -> DiffView | UnsetType:
    """Return how the object's file changes, if it does."""
    if not entry.diff_summary:
        return UNSET
    return DiffView(entry.diff_kind, entry.diff_summary, entry.diff or UNSET, entry.diff_details or UNSET)


def _cause(cause: Cause) -> CauseView:
    source = object_view(cause.source_object) if cause.source_object else UNSET
    return CauseView(cause.kind, cause.summary, source)


def object_view(obj: Obj) -> ObjectView:
    """Return the view of an object's name."""
    return ObjectView(obj.resource_type, obj.name, obj.display_id)
