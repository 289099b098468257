"""A plan and what became of it: entries with their causes, effects in order, images, and the result of a run.

Only values: `plan` makes them, `run` conducts by them, the views show them.
"""

from typing import Literal

from core_ops.reconcile.model import FileState, Obj, Owned, Source, Started, Value

# --- plan ---------------------------------------------------------------------------------------------------------

Action = Literal["create", "update", "replace", "delete", "restart", "recover", "no_op", "blocked", "skipped"]

CauseKind = Literal[
    "desired_change",
    "drift",
    "dependency_change",
    "dependency_failure",
    "blocked_prerequisite",
    "runtime_variance",
    "recovery_required",
    "replacement_required",
    "restart_required",
    "no_change",
]


DiffKind = Literal["line_based", "semantic_only", "replacement", "deletion", "creation"]


Impact = Literal["none", "start", "stop", "restart", "reload", "recreate", "data_decision"]
"""What becomes of what runs: `none` also when systemd takes a change in by reading its units again.

`recreate` is a network that is made anew, `data_decision` a volume that stays as it was made until a person decides.
"""


class Cause(Value, frozen=True):
    """Why an entry is acted on."""

    kind: CauseKind
    summary: str
    source_object: Obj | None = None


class Entry(Value, frozen=True):
    """One object of the plan: what happens to it, why, how its file changes, the jobs its unit gets (`steps`).

    `requires` is what starts before it; `needs` is what it can't be right without: units that take it down, and the drop-ins
    and config files it is started from. The fields of a diff count when `diff_summary` says something. `impact` is what the
    steps come to for what runs.
    """

    object: Obj
    action: Action
    causes: tuple[Cause, ...]
    requires: tuple[Obj, ...] = ()
    diff: str = ""
    diff_summary: str = ""
    diff_kind: DiffKind = "creation"
    diff_details: str = ""
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    needs: tuple[Obj, ...] = ()
    impact: Impact = "none"


class WriteFile(Value, frozen=True, tag="write"):
    """Put exactly this content at a path; `expected` is what planning saw there, so that a race is noticed."""

    object: Obj
    path: str
    content: bytes
    mode: int
    expected: FileState
    owner: str = ""
    group: str = ""


class RemoveFile(Value, frozen=True, tag="remove"):
    """Take away a file the agent owns; `expected` is what planning saw there, so that somebody's edit is not lost unseen."""

    object: Obj
    path: str
    expected: FileState


class RemoveUndeclared(Value, frozen=True, tag="clean"):
    """Take away a file, a link or an empty directory that nobody declared in an exclusive root, which itself stays."""

    object: Obj
    path: str
    kind: Literal["file", "directory"]
    root: str


class ReloadManager(Value, frozen=True, tag="reload"):
    """Have systemd read its units (and run the Quadlet generator) again, once; `units` must be loaded afterwards."""

    units: tuple[str, ...]


class UnitJob(Value, frozen=True, tag="job"):
    """Ask systemd for one job and wait for its result."""

    verb: Literal["stop", "start", "restart", "reload", "reset-failed"]
    unit: str
    object: Obj


class SetEnablement(Value, frozen=True, tag="enablement"):
    """Make a native unit come up, or no longer come up, at boot as its [Install] section says."""

    verb: Literal["reenable", "disable"]
    unit: str
    object: Obj


class RemoveNetwork(Value, frozen=True, tag="network"):
    """Have podman forget a network that nothing uses any more; `unit` is the one that made it."""

    object: Obj
    unit: str
    network: str


Effect = WriteFile | RemoveFile | RemoveUndeclared | ReloadManager | UnitJob | SetEnablement | RemoveNetwork


PullPolicy = Literal["missing", "always", "newer", "never"]


class ImageNeed(Value, frozen=True):
    """An image that a unit starts from: when it is pulled, whose unit it is, and where the repository says so (`place`)."""

    image: str
    policy: PullPolicy
    unit: str
    object: Obj
    place: str


class Plan(Value, frozen=True):
    """What would be done and why: the only thing apply reads.

    `owned` and `started` are what is recorded before the first effect (everything that may be written; start records of
    every unit that is touched taken away), `owned_after` and `started_after` once all effects succeeded. `expect` names the
    units that must be up then, `images` what the started ones start from. `volumes` is what each volume was made from,
    recorded with `started`; `undecided` names those that would be made otherwise now.
    """

    source: Source
    previous: Source | None
    host: str
    entries: tuple[Entry, ...]
    effects: tuple[Effect, ...]
    expect: tuple[str, ...]
    owned: tuple[Owned, ...]
    owned_after: tuple[Owned, ...]
    started: tuple[Started, ...]
    started_after: tuple[Started, ...]
    images: tuple[ImageNeed, ...] = ()
    volumes: tuple[Started, ...] = ()
    undecided: tuple[str, ...] = ()

    @property
    def in_sync(self) -> bool:
        """Whether the host needs nothing."""
        return not self.effects and not self.blocked

    @property
    def blocked(self) -> tuple[Entry, ...]:
        """The entries that keep the whole plan from being carried out."""
        return tuple(e for e in self.entries if e.action == "blocked")


# --- what came of it ------------------------------------------------------------------------------------------------

Outcome = Literal[
    "converged",
    "converged_with_tolerated_variance",
    "partially_applied",
    "failed",
    "non_converging",
    "rolled_back",
]
FinalState = Literal["succeeded", "failed", "blocked", "skipped", "no_op"]


class Failure(Value, frozen=True):
    """One thing that did not come out: which object, in which phase, what systemd or the kernel said.

    `dependency` says that its job was never tried, because that of a unit it needs failed.
    """

    object: Obj | None
    unit: str
    phase: Literal["applying", "verifying"]
    detail: str
    dependency: bool = False

    @property
    def name(self) -> str:
        """What failed, as people call it: the object, a unit that is none of ours, or else the run itself."""
        return self.object.display_id if self.object else self.unit or "the run"


class Result(Value, frozen=True):
    """What a run did, object by object.

    `unreached` are the objects with a step that was not tried, because an earlier one failed. `started_at` is when the run
    began to change the host (RFC 3339), or empty.
    """

    plan: Plan
    outcome: Outcome
    failures: tuple[Failure, ...]
    message: str = ""
    unreached: tuple[Obj, ...] = ()
    started_at: str = ""
