"""No record at all: what `--force-no-state` gives a run in place of the store.

Nothing is known and nothing is kept, so nothing is owned: no file is removed, and one that differs is somebody else's.
"""

from core_ops.errors import StateError
from core_ops.reconcile.model import Desired
from core_ops.reconcile.record import Record
from core_ops.reconcile.snapshots import Snapshot


class Unrecorded:
    """A store that is always empty."""

    def load(self) -> Record:
        """Return an empty record; see `core_ops.ports.Store`."""
        return Record()

    def salvage(self) -> Record:
        """Return an empty record: there is none that could be damaged."""
        return Record()

    def save(self, record: Record) -> None:
        """Forget it."""

    def snapshot(self, snapshot: Snapshot) -> Desired:
        """Have none; see `core_ops.ports.Store`."""
        raise StateError(
            f"read the snapshot of {snapshot.revision}: no record is used",
            code="missing_snapshot",
            hint="run again without --force-no-state",
        )
