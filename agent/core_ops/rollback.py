"""Going back by hand: the same planner, the same apply and the same second look, towards a snapshot instead of a revision.

It is a person's decision about a revision that was authenticated and seen to hold before: the repository is not asked, no key
is looked at, and the anchor stays where it is. Once the snapshot holds, the host is detached.
"""

import msgspec

from core_ops import run
from core_ops.errors import HostError
from core_ops.outlook import Goal, Ports, initialised
from core_ops.reconcile import events, snapshots
from core_ops.reconcile.model import Desired
from core_ops.reconcile.planned import Plan, Result
from core_ops.reconcile.record import Record


def target(ports: Ports, goal: Goal, asked: str) -> tuple[Desired, Record]:
    """Return the state that a person means, and the record with the way back noted in it; nothing is written.

    Raises:
        StateError: no such snapshot, or not one of this host.
        UsageError: no revision is meant by that.
    """
    known = ports.store.load()
    initialised(known)
    found = snapshots.find(known.history, asked, goal.scope)
    desired = ports.store.snapshot(found)
    if desired.directories != goal.directories:
        raise snapshots.incompatible(asked, "its files were for other directories")
    return desired, msgspec.structs.replace(known, rollback=found, attempts=())


def plan(ports: Ports, goal: Goal, asked: str) -> tuple[Plan, Record]:
    """Return what going back would do, changing nothing.

    Raises:
        StateError: as `target`.
        UsageError: as `target`.
    """
    desired, record = target(ports, goal, asked)
    return run.plan(ports, desired, record.last), record


def roll_back(ports: Ports, goal: Goal, asked: str) -> Result:
    """Bring the host back to a snapshot and detach it.

    Once something was touched, the way back is on record: a run that is cut, or in which a unit fails, is gone on with by
    the next one instead of turning round half-way.

    Raises:
        StateError: as `target`.
        UsageError: as `target`.
        HostError: a file could not be written, or something stands in the way; nothing was done, also not on record.
    """
    desired, record = target(ports, goal, asked)
    before = ports.store.load().rollback
    ports.reporter.report(events.RunStarted("rollback", goal.host))
    try:
        return run.converge(ports, goal, desired, record)
    except HostError:
        ports.store.save(msgspec.structs.replace(ports.store.load(), rollback=before))
        raise
