"""What `init` does: decide what this host tracks and whom it trusts, and write that down.

Starting again (`--force`) forgets which revision was authenticated last, because another repository or another set of keys
begins another history; only a detached host that is attached again keeps it. It never forgets which files are on the host:
they are still removed when the new source lacks them.
"""

from typing import NamedTuple

import msgspec

from core_ops.errors import SourceError, StateError, UsageError
from core_ops.ports import Store
from core_ops.reconcile import remote
from core_ops.reconcile.pin import Pin, is_commit
from core_ops.reconcile.record import DesiredState, Record, Status


class Enrolment(NamedTuple):
    """What a person asks for."""

    repository: str
    ref: str
    signers: str
    anchor: str
    unsigned: bool


def pin_of(asked: Enrolment) -> Pin:
    """Return the pin that says what was asked for.

    Raises:
        UsageError: the transport is not one that is allowed, the ref is a commit, or the anchor is none.
    """
    try:
        without_secrets(asked.repository)
        remote.ref_names(asked.ref)
    except SourceError as error:  # asked for, not met on the way: who asked must ask otherwise
        raise UsageError(error.message, code=error.code, hint=error.hint) from error
    if asked.anchor and not is_commit(asked.anchor):
        raise UsageError(
            f"use --anchor “{asked.anchor}”: not a full commit id",
            code="bad-anchor",
            hint="give all 40 digits, as `git rev-parse HEAD` prints them",
        )
    return Pin(
        repository=asked.repository,
        ref=asked.ref,
        mode="unsigned" if asked.unsigned else "simple",
        signers=asked.signers,
        introduction=asked.anchor or "first-use",
    )


def without_secrets(repository: str) -> None:
    """Refuse a repository URL that carries credentials: it is stored and shown where anybody may read it.

    Raises:
        UsageError: `credentials-in-url`.
        SourceError: the transport is not one that is allowed.
    """
    if remote.parse_repository(repository).userinfo:
        raise UsageError(
            f"track {repository}: a URL with credentials would be stored and shown",
            code="credentials-in-url",
            hint="take the user and password out of the URL",
        )


def recorded(store: Store, pin: Pin, *, force: bool) -> Record:
    """Return the record of a host that begins to track what the pin says; nothing is written yet.

    Raises:
        StateError: the host tracks something already, or its record is corrupt, and nobody said `--force`.
    """
    try:
        known = store.load()
    except StateError:
        if not force:
            raise
        known = store.salvage()
    if known.status is not None and not force:
        tracked = known.status.desired_state
        raise StateError(
            f"initialise: this host tracks {tracked.repository} ({tracked.requested_ref}) already",
            code="already-initialized",
            hint="add --force to track something else from now on",
        )
    return begun(known, pin)


def begun(known: Record, pin: Pin) -> Record:
    """Return the record with what the pin says to track, and without an anchor, attempts or a way back.

    A detached host that is attached to what it tracked before keeps its anchor: going back by hand must not be a way to have
    an older revision accepted. Said a second time, or with a commit to start from, it forgets that too.
    """
    tracked = DesiredState(repository=pin.repository, requested_ref=pin.ref)
    anchor = known.anchor if _attaches(known, pin) else None
    status = Status(desired_state=tracked)
    return msgspec.structs.replace(known, status=status, anchor=anchor, attempts=(), rollback=None)


def _attaches(known: Record, pin: Pin) -> bool:
    if known.status is None or not known.status.detached or pin.introduction != "first-use":
        return False
    before = known.status.desired_state
    return (before.repository, before.requested_ref) == (pin.repository, pin.ref)
