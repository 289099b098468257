"""What the agent remembers between runs, and the lifecycle a person sees in it.

`Status` is the file people and scripts read; its fields are a promise. `LastApplied` is what planning needs; the anchor is what
trust needs. They are kept apart because they change at different moments: the anchor moves when a revision is authenticated,
ownership before the first write, the status when a run begins and ends.
"""

import datetime as dt
from typing import Literal

import msgspec

from core_ops.reconcile.model import Anchor, LastApplied, Value

SCHEMA_VERSION = 1

RunStatus = Literal["never_run", "in_progress", "success", "failed"]
Lifecycle = Literal["Uninitialized", "Corrupt", "Initialized", "Reconciling", "Converged", "Diverged", "Detached"]


class Controller(Value, frozen=True):
    """Which program wrote the record."""

    version: str = ""
    revision: str = ""
    build_time: str = ""
    tree_state: str = ""


class DesiredState(Value, frozen=True, rename={"layout_version": "layout-version"}):
    """What is tracked, and what the remote last said of it."""

    repository: str = ""
    requested_ref: str = ""
    last_observed_revision: str = ""
    last_observed_at: str = ""
    layout_version: int = 1


class Refusal(Value, frozen=True):
    """Why the newest revision is not applied."""

    revision: str
    code: str
    message: str
    at: str


class Reconciliation(Value, frozen=True):
    """How the runs went. `generation` counts attempts; `last_applied_revision` moves only after success."""

    generation: int = 0
    status: RunStatus = "never_run"
    running: bool = False
    last_attempted_revision: str = ""
    last_applied_revision: str = ""
    last_started_at: str = ""
    last_finished_at: str = ""
    attempted_observed_divergence: bool = False
    message: str = ""
    refused: Refusal | None = None


class Status(Value, frozen=True):
    """`status.json`."""

    schema_version: int = SCHEMA_VERSION
    controller: Controller = Controller()
    desired_state: DesiredState = DesiredState()
    reconciliation: Reconciliation = Reconciliation()
    detached: bool = False


class Record(Value, frozen=True):
    """Everything remembered; `status` is None on a host that was never initialised."""

    status: Status | None = None
    anchor: Anchor | None = None
    last: LastApplied = LastApplied()


def timestamp(now_s: float) -> str:
    """Return RFC 3339 in UTC, whole seconds."""
    return dt.datetime.fromtimestamp(int(now_s), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def lifecycle(status: Status | None) -> Lifecycle:
    """Return the one word for a record that could be read; `Corrupt` is for one that could not."""
    if status is None:
        return "Uninitialized"
    run = status.reconciliation
    if status.detached:
        return "Detached"
    if run.running:
        return "Reconciling"
    if run.status == "never_run":
        return "Initialized"
    return "Converged" if run.status == "success" else "Diverged"


def begun(status: Status, controller: Controller, revision: str, now_s: float) -> Status:
    """Return the status of a run that starts to change the host towards `revision`."""
    run = msgspec.structs.replace(
        status.reconciliation,
        generation=status.reconciliation.generation + 1,
        status="in_progress",
        running=True,
        last_attempted_revision=revision,
        last_started_at=timestamp(now_s),
        message="",
    )
    return msgspec.structs.replace(status, controller=controller, reconciliation=run)


def finished(status: Status, *, applied: str, message: str, divergence: bool, now_s: float) -> Status:
    """Return the status after a run; `applied` is the revision that now holds, or empty when it failed."""
    run = msgspec.structs.replace(
        status.reconciliation,
        status="success" if applied else "failed",
        running=False,
        last_applied_revision=applied or status.reconciliation.last_applied_revision,
        last_finished_at=timestamp(now_s),
        attempted_observed_divergence=divergence,
        message=message,
    )
    return msgspec.structs.replace(status, reconciliation=run)


def observed(status: Status, revision: str, now_s: float) -> Status:
    """Return the status after the remote was heard."""
    seen = msgspec.structs.replace(
        status.desired_state, last_observed_revision=revision, last_observed_at=timestamp(now_s)
    )
    return msgspec.structs.replace(status, desired_state=seen)


def refused(status: Status, refusal: Refusal | None) -> Status:
    """Return the status with the newest refusal, or without one when the newest revision was accepted."""
    run = msgspec.structs.replace(status.reconciliation, refused=refusal)
    return msgspec.structs.replace(status, reconciliation=run)
