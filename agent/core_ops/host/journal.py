"""The journal: every event with its id and fields. A host whose journal is away is told nothing and fails nothing."""

import contextlib
import importlib
import os
from collections.abc import Callable

from core_ops.reconcile.events import Event, journal_entry
from core_ops.reconcile.phases import Applying, PhaseChanged, Pulling

_SOCKET = "/run/systemd/journal/socket"


class Journal:
    """Reports events to journald."""

    def report(self, event: Event) -> None:
        """Send one event; see `core_ops.ports.Reporter`.

        Phases and what is being tried are for whoever looks on: each change and failure has an entry of its own.
        """
        if isinstance(event, PhaseChanged | Applying | Pulling) or not os.path.exists(_SOCKET):
            return
        entry = journal_entry(event)
        fields = [
            f"MESSAGE={entry.message}",
            f"MESSAGE_ID={entry.message_id}",
            f"PRIORITY={entry.priority}",
            "SYSLOG_IDENTIFIER=core-ops",
            *(f"{name}={value}" for name, value in entry.fields),
        ]
        with contextlib.suppress(OSError, ImportError):
            _send(fields)


def _send(fields: list[str]) -> None:
    # The module below systemd.journal imports in 1 ms; the public one pulls in logging and uuid for 15 ms.
    send: Callable[..., None] = importlib.import_module("systemd._journal").sendv
    send(*fields)
