"""The world of one call: a host that follows its repository, one that is given a directory, or one without any record."""

import argparse

import msgspec

from core_ops import outlook, settings, wiring
from core_ops.errors import GivenTreeError, RefusedRevisionError, SourceTreeError, UsageError
from core_ops.host.unrecorded import Unrecorded
from core_ops.ports import Reporter, Store
from core_ops.reconcile.model import Desired
from core_ops.reconcile.pin import Trust
from core_ops.reconcile.record import Record, Status
from core_ops.reconcile.snapshots import Snapshot


def tracked(
    chosen: settings.Settings, *reporters: Reporter, unrecorded: bool = False
) -> tuple[outlook.Ports, outlook.Goal, Record]:
    """Return the world of a run that follows the repository, with a record or without one.

    Raises:
        SettingsError: pin, record and environment contradict each other.
        StateError: the record can't be read.
    """
    ports = wiring.ports(chosen, *reporters)
    if unrecorded:
        ports = ports._replace(store=Unrecorded())
    trust, record = wiring.tracked_trust(chosen, ports.store.load())
    if record.status is not None:
        ports = ports._replace(store=_Begun(ports.store, record))
    return ports, wiring.goal(chosen, trust), record


class _Begun:
    """A store whose first answer is a record that begins with the host's pin; it is saved when the run saves."""

    def __init__(self, store: Store, record: Record) -> None:
        self._store, self._record = store, record

    def load(self) -> Record:
        """Return the record."""
        return self._record

    def salvage(self) -> Record:
        """Return the record: it is not damaged."""
        return self._record

    def snapshot(self, snapshot: Snapshot) -> Desired:
        """Return a state that is kept."""
        return self._store.snapshot(snapshot)

    def save(self, record: Record) -> None:
        """Save it for good."""
        self._store.save(record)
        self._record = record


def stateless(
    chosen: settings.Settings, arguments: argparse.Namespace, *reporters: Reporter
) -> tuple[outlook.Ports, outlook.Goal, Desired, Record]:
    """Return the world of a run towards a plain directory, and what that directory says.

    Raises:
        UsageError: `host-needed`.
        GivenTreeError: the directory's layout is refused.
    """
    if chosen.by_name["host"].origin == "host name":
        raise UsageError(
            "use --source-repo without --host", code="host-needed", hint="add --host <name of a directory in hosts/>"
        )
    unrecorded: bool = getattr(arguments, "force_no_state", False)
    store: Store = Unrecorded() if unrecorded else wiring.stateless_store(chosen)
    ports = wiring.ports(chosen, *reporters)._replace(store=store)
    goal = wiring.goal(chosen, Trust("unsigned", (), ""))
    try:
        origin, tree = wiring.stateless_source(arguments.source_repo.absolute())
        desired = outlook.rendered(tree, goal, origin)
        record = ports.store.load()
        record = msgspec.structs.replace(record, last=outlook.examined(ports, desired, record.last))
    except (SourceTreeError, RefusedRevisionError) as refused:
        raise GivenTreeError(
            refused.message, code=refused.code, hint="mend the source tree", details=refused.details
        ) from refused
    return ports, goal, desired, msgspec.structs.replace(record, status=record.status or Status())
