"""What the agent remembers between runs, and the lifecycle a person sees in it.

`Status` is the file people and scripts read; its fields are a promise. `LastApplied` is what planning needs; the anchor is what
trust needs. They are kept apart because they change at different moments: the anchor moves when a revision is authenticated,
ownership before the first write, the status when a run begins and ends.
"""

import datetime as dt
from typing import Literal

import msgspec

from core_ops.reconcile.model import Anchor, LastApplied, Value
from core_ops.reconcile.retry import Attempt, Diagnosis, words
from core_ops.reconcile.snapshots import History, Snapshot

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
    diagnosis: Diagnosis | None = None


class Status(Value, frozen=True):
    """`status.json`."""

    schema_version: int = SCHEMA_VERSION
    controller: Controller = Controller()
    desired_state: DesiredState = DesiredState()
    reconciliation: Reconciliation = Reconciliation()
    detached: bool = False


class Record(Value, frozen=True):
    """Everything remembered; `status` is None on a host that was never initialised.

    `attempts` are the failed ones that still count. `rollback` is the snapshot that a person sent the host back to, from the
    first effect on until it holds: whoever runs next goes on with it.
    """

    status: Status | None = None
    anchor: Anchor | None = None
    last: LastApplied = LastApplied()
    history: History = History()
    attempts: tuple[Attempt, ...] = ()
    rollback: Snapshot | None = None


class Ending(Value, frozen=True):
    """How a run ended: `applied` is the revision that now holds, or empty when none newly does.

    `status` is `in_progress` when the run did all it was allowed to and left the rest to another.
    """

    status: RunStatus
    applied: str
    message: str
    divergence: bool
    diagnosis: Diagnosis | None
    detaches: bool


def timestamp(now_s: float) -> str:
    """Return RFC 3339 in UTC, whole seconds."""
    return dt.datetime.fromtimestamp(int(now_s), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def lifecycle(status: Status | None, *, busy: bool) -> Lifecycle:
    """Return the one word for a record that could be read; `Corrupt` is for one that could not.

    Args:
        status: what was read.
        busy: whether somebody holds the lock now; without that, a run that is said to be going on was killed.
    """
    if status is None:
        return "Uninitialized"
    run = status.reconciliation
    if run.running and busy:
        return "Reconciling"
    if status.detached:
        return "Detached"
    if run.status == "never_run":
        return "Initialized"
    return "Converged" if run.status == "success" else "Diverged"


def notices(record: Record, *, busy: bool) -> tuple[str, ...]:
    """Return the sentences that a person has to know before anything else about this record."""
    status = record.status
    if status is None:
        return ("controller is not initialized; run 'core-ops init <repository> <ref>' to initialize",)
    run = status.reconciliation
    found: list[str] = []
    if run.running and not busy:
        found.append(f"the run that began at {run.last_started_at} was interrupted; the next one goes on from there")
    if status.detached:
        found.append(detached(status))
    if record.rollback is not None:
        found.append(f"a rollback to {record.rollback.revision} has begun; the next run goes on with it")
    if run.diagnosis is not None:
        found.append(f"{words(run.diagnosis)}; what lifts it: {run.diagnosis.lifted_by}")
    return tuple(found)


def detached(status: Status) -> str:
    """Return the sentence about a host that stands still."""
    revision = status.reconciliation.last_applied_revision
    return (
        f"controller is detached at revision {revision}; "
        "run 'core-ops init <repository> <ref> --force' to follow the repository again"
    )


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


def finished(status: Status, ending: Ending, now_s: float) -> Status:
    """Return the status after a run."""
    run = msgspec.structs.replace(
        status.reconciliation,
        status=ending.status,
        running=False,
        last_applied_revision=ending.applied or status.reconciliation.last_applied_revision,
        last_finished_at=timestamp(now_s),
        attempted_observed_divergence=ending.divergence,
        message=ending.message,
        diagnosis=ending.diagnosis,
    )
    return msgspec.structs.replace(status, reconciliation=run, detached=status.detached or ending.detaches)


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
