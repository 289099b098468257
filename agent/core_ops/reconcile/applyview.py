"""The view of an apply that goes on: one line of a stream, with what is new since the line before.

Lines add up: whoever keeps the last state of each phase and object has the whole picture at any moment, and so has a terminal,
which is drawn from nothing else.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from core_ops.reconcile.contract import CauseView, Count, ObjectView, RevisionView, View
from core_ops.reconcile.phases import Phase, PhaseState
from core_ops.reconcile.planned import Action

EventKind = Literal[
    "planned",
    "pull",
    "write",
    "remove",
    "stop",
    "start",
    "restart",
    "reload",
    "reset_failed",
    "enable",
    "disable",
    "verify",
    "finish",
]
EventState = Literal["waiting", "started", "succeeded", "failed", "blocked", "skipped", "no_op"]
Sequence = Annotated[int, Meta(ge=1)]


class PhaseView(View, frozen=True):
    """A phase of the run began or ended."""

    phase: Phase
    state: PhaseState
    sequence: Sequence


class EventView(View, frozen=True):
    """Something was planned for an object, tried, done, or failed."""

    object: ObjectView
    event_kind: EventKind
    state: EventState
    sequence: Sequence
    action: Action | UnsetType = UNSET
    cause: CauseView | UnsetType = UNSET
    phase: Phase | UnsetType = UNSET
    impacted_objects: tuple[ObjectView, ...] | UnsetType = UNSET
    detail: str | UnsetType = UNSET


class ApplySummary(View, frozen=True):
    """All objects, counted by where they are; the counts but the last add up to the last."""

    changed_count: Count
    failed_count: Count
    blocked_count: Count
    skipped_count: Count
    unchanged_count: Count
    pending_count: Count
    total_count: Count


class ApplyView(View, frozen=True, tag_field="view_kind", tag="apply"):
    """What is new in a run; the revision and the host are said once, when they are known."""

    phases: tuple[PhaseView, ...]
    events: tuple[EventView, ...]
    summary: ApplySummary
    revision_context: RevisionView | UnsetType = UNSET
    host: str | UnsetType = UNSET
