"""The audit trail of one call: what it came to is written when it ends, also when it ends in an error.

A directory that can't be written is a warning. The run has happened by then, and keeping a host right comes first.
"""

import contextlib
from types import TracebackType
from typing import Self

from core_ops.errors import CoreOpsError, HostError
from core_ops.host import audit
from core_ops.outlook import Ports
from core_ops.reconcile import events
from core_ops.reconcile.audit import Call, audited, file_name
from core_ops.reconcile.planned import Plan, Result
from core_ops.reconcile.record import Controller, timestamp

_NAMES_TRIED = 100


class Trail:
    """Writes one record as its body ends; `directory` is empty when nobody asked for one."""

    def __init__(self, directory: str, verb: str, host: str, controller: Controller) -> None:
        self._directory, self._verb, self._host, self._controller = directory, verb, host, controller
        self._ports: Ports | None = None
        self._began_s = 0.0
        self._done: Plan | Result | None = None
        self._problem: CoreOpsError | None = None

    def began(self, ports: Ports) -> None:
        """Note the world the run is in."""
        self._ports, self._began_s = ports, ports.clock.now_s()

    def ended(self, done: Plan | Result | None, problem: CoreOpsError | None) -> None:
        """Note what the run came to."""
        self._done, self._problem = done, problem

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the record; an error that ends the run goes on."""
        if not self._directory or self._ports is None:
            return
        if error is not None and not isinstance(error, CoreOpsError):
            return  # a bug or an interruption: the next run tells how that ended
        self._write(self._ports, error or self._problem)

    def _write(self, ports: Ports, problem: CoreOpsError | None) -> None:
        generation = 0
        with contextlib.suppress(CoreOpsError):
            status = ports.store.load().status
            generation = status.reconciliation.generation if status else 0
        began, ended = timestamp(self._began_s), timestamp(ports.clock.now_s())
        call = Call(self._verb, self._host, began, ended, generation, self._controller)
        names = (file_name(call, place) for place in range(_NAMES_TRIED))
        try:
            audit.write(self._directory, names, audited(call, self._done, problem))
        except HostError as failed:
            ports.reporter.report(events.Warned(f"{failed.message} ({failed.code}); {failed.hint}"))
