"""Which applied states are kept, and which of them a person means.

A snapshot is a desired state that was applied and seen to hold. Ten different states are kept; revisions that render to the
same state share it, so that commits which concern other hosts push nothing out. What is pushed out is still known by name.
"""

import msgspec

from core_ops.errors import StateError, UsageError
from core_ops.reconcile.model import Desired, Source, Value, sha256_hex

STATES_KEPT = 10
ENTRIES_KEPT = 100  # revisions that share those states
EXPIRED_KEPT = 100
PREFIX_DIGITS = 7  # what git prints as a short id

_NOWHERE = Source("")


class Snapshot(Value, frozen=True):
    """One revision that was applied and verified: `digest` names the file that holds its state.

    `scope` is what it is good for, `rules` the version of the rendering rules, `at` when it was last seen to hold.
    """

    digest: str
    revision: str
    scope: str = ""
    repository: str = ""
    ref: str = ""
    signer: str = ""
    rules: int = 0
    at: str = ""


class History(Value, frozen=True):
    """Snapshots, newest first, and the revisions whose snapshots are gone."""

    snapshots: tuple[Snapshot, ...] = ()
    expired: tuple[str, ...] = ()


def content(desired: Desired) -> bytes:
    """Return a state as it is stored: without its source, so that equal states are equal bytes."""
    return msgspec.json.encode(msgspec.structs.replace(desired, source=_NOWHERE))


def digest(stored: bytes) -> str:
    """Return the name of a stored state."""
    return sha256_hex(stored)[:32]


def kept(history: History, desired: Desired, scope: str, at: str) -> History:
    """Return the history after a state was applied and verified; the oldest beyond what is kept become expired."""
    source = desired.source
    name = digest(content(desired))
    new = Snapshot(name, source.revision, scope, source.repository, source.ref, source.signer, desired.rules, at)
    older = (s for s in history.snapshots if (s.digest, s.revision, s.scope) != (name, source.revision, scope))
    retained: list[Snapshot] = []
    gone: list[str] = []
    states: set[str] = set()
    for snapshot in (new, *older):
        if len(states | {snapshot.digest}) > STATES_KEPT or len(retained) == ENTRIES_KEPT:
            gone.append(snapshot.revision)
        else:
            states.add(snapshot.digest)
            retained.append(snapshot)
    present = {s.revision for s in retained}
    expired = (r for r in dict.fromkeys((*gone, *history.expired)) if r not in present)
    return History(tuple(retained), tuple(expired)[:EXPIRED_KEPT])


def find(history: History, asked: str, scope: str) -> Snapshot:
    """Return the newest snapshot of the revision that a person means.

    Raises:
        UsageError: `bad-revision`: no id, too short, or the beginning of several.
        StateError: `missing_snapshot`, `expired` or `incompatible_scope`.
    """
    wanted = asked.lower()
    if len(wanted) < PREFIX_DIGITS or any(c not in "0123456789abcdef" for c in wanted):
        raise UsageError(
            f"use --rollback-to “{asked}”: not a commit id, nor the first {PREFIX_DIGITS} digits of one or more",
            code="bad-revision",
            hint="`core-ops status` lists what can be rolled back to",
        )
    matching = [s for s in history.snapshots if s.revision.startswith(wanted)]
    if len(found := sorted({s.revision for s in matching})) > 1:
        raise UsageError(
            f"use --rollback-to {asked}: {len(found)} snapshots begin so",
            code="bad-revision",
            hint="give more digits",
            details=tuple(found),
        )
    if not matching:
        raise _missing(history, asked, wanted)
    fitting = [s for s in matching if s.scope == scope]
    if not fitting:
        raise incompatible(asked, f"its snapshot is of {matching[0].scope}, and this is {scope}")
    return fitting[0]


def incompatible(asked: str, why: str) -> StateError:
    """Return the refusal of a snapshot that was made for something else than this host."""
    return StateError(
        f"roll back to {asked}: {why}",
        code="incompatible_scope",
        hint="take a revision that was applied as this host is now, or change it in the repository with `git revert`",
    )


def _missing(history: History, asked: str, wanted: str) -> StateError:
    there = tuple(f"{s.revision}  {s.at}" for s in history.snapshots)
    if any(revision.startswith(wanted) for revision in history.expired):
        return StateError(
            f"roll back to {asked}: its snapshot is no longer kept; there are {STATES_KEPT} states at most",
            code="expired",
            hint="take one of those below, or `git revert` in the repository",
            details=there,
        )
    return StateError(
        f"roll back to {asked}: that revision was never applied and verified here",
        code="missing_snapshot",
        hint="take one of those below, or `git revert` in the repository" if there else "nothing was applied here yet",
        details=there,
    )
