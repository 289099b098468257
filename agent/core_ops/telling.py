"""What a person or a program is told of an apply: while it goes on, when it is over, and when it ends in another way.

Whatever a run comes to, its result is shown, also if an error ended it; who interrupts it is told where it stood.
"""

import contextlib
from collections.abc import Generator
from typing import NamedTuple

import msgspec

from core_ops import settings
from core_ops.errors import CoreOpsError
from core_ops.host import unitlog
from core_ops.host.terminal import Progress, Terminal, is_terminal, standard
from core_ops.reconcile.phases import PhaseChanged
from core_ops.reconcile.planned import Result
from core_ops.reconcile.resultview import result_view
from core_ops.reconcile.resultwords import result_lines

JOURNALS_SHOWN = 5  # a person reads the first few; each costs a question to the journal


class Shown(NamedTuple):
    """How a person asked to see a plan or result."""

    json: bool
    full: bool


def progress_of(out: Terminal, shown: Shown) -> Progress:
    """Return who tells of a run in the form that fits: JSON, plain lines, or a board where one can be drawn."""
    live = is_terminal(standard()[0]) and settings.redraw_wanted()
    return Progress(out, "json" if shown.json else "board" if live else "lines", full=shown.full)


@contextlib.contextmanager
def told(progress: Progress | None, shown: Shown, out: Terminal, err: Terminal) -> Generator[None]:
    """Show what a run came to also when it ends in an error, and where it stood when a person ends it."""
    try:
        yield
    except KeyboardInterrupt:
        if progress is not None:
            err.show(["", *progress.interrupted()])  # below the ^C of the terminal
        raise
    except CoreOpsError:
        if progress is not None and progress.result is not None:
            show_result(progress.result, shown, out)
        raise


@contextlib.contextmanager
def resolving(progress: Progress) -> Generator[None]:
    """Tell that a source is read, and whether it could be."""
    progress.report(PhaseChanged("resolution", "started"))
    try:
        yield
    except CoreOpsError:
        progress.report(PhaseChanged("resolution", "failed"))
        raise
    progress.report(PhaseChanged("resolution", "succeeded"))


def show_result(result: Result, shown: Shown, out: Terminal) -> None:
    """Show what a run came to."""
    view = result_view(result)
    if shown.json:
        out.show([msgspec.json.encode(view).decode()])
        return
    looked_at = shown.full or is_terminal(standard()[0])  # a unit's own words may hold secrets: only for who looks on
    units = dict.fromkeys(f.unit for f in result.failures if f.unit and not f.dependency) if looked_at else {}
    out.show(result_lines(view, {u: unitlog.tail(u, result.started_at) for u in tuple(units)[:JOURNALS_SHOWN]}))
