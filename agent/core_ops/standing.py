"""`core-ops status`: what this host is on, and how the last run went. Every state is an answer."""

import argparse

import msgspec

from core_ops import settings, wiring
from core_ops.errors import EXIT_OK, StateError, printable, redact
from core_ops.host.lock import is_held
from core_ops.host.terminal import Terminal, is_terminal, standard
from core_ops.reconcile import words
from core_ops.reconcile.record import Lifecycle, Record, Status, lifecycle, notices
from core_ops.reconcile.snapshots import Snapshot

_FLAGS = ("state_file", "lock_path")


class _StatusView(msgspec.Struct, frozen=True):
    lifecycle: Lifecycle
    status: Status | None
    trust: str
    message: str = ""
    snapshots: tuple[Snapshot, ...] = ()


def status(arguments: argparse.Namespace) -> int:
    """Show the record."""
    chosen = settings.read({name: getattr(arguments, name) for name in _FLAGS})
    stream, _ = standard()
    out = Terminal(stream, colour=settings.colour_wanted() and is_terminal(stream))
    if arguments.settings:
        out.show(f"{name:<18} {printable(redact(s.value)) or '-':<36} {s.origin}" for name, s in chosen.by_name.items())
        return EXIT_OK
    trust = wiring.trust_words(chosen)
    record, word, said = _read(chosen)
    if arguments.json:
        view = _StatusView(word, record.status, trust, "; ".join(said), record.history.snapshots)
        out.show([msgspec.json.format(msgspec.json.encode(view), indent=2).decode()])
    else:
        out.show(words.status_lines(record, word, trust, said))
    return EXIT_OK


def _read(chosen: settings.Settings) -> tuple[Record, Lifecycle, tuple[str, ...]]:
    """Return what can be read, the one word for it, and the sentences to say first."""
    store, lock = wiring.store(chosen), chosen.path("lock_path")
    try:
        record = store.load()
        if record.status and record.status.reconciliation.running and not is_held(lock):
            record = store.load()  # it may have ended between the two looks; a killed one has not
    except StateError as error:
        if error.code != "state-unreadable":
            return Record(), "Corrupt", (error.message, *error.details)
        record = Record(store.status())  # not for everybody's eyes: what is, is shown
    busy = is_held(lock)
    return record, lifecycle(record.status, busy=busy), notices(record, busy=busy)
