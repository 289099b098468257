"""What a person sees: lines on standard output, coloured only where somebody can see colour, and progress as it goes."""

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import TextIO

from core_ops.errors import printable
from core_ops.reconcile.contract import plan_view
from core_ops.reconcile.events import (
    Changed,
    Doubted,
    Event,
    Failed,
    Planned,
    ProgressStopped,
    RevisionAuthenticated,
    RevisionRefused,
    RunFinished,
    RunStarted,
    SourceUnavailable,
    StoodStill,
    Warned,
    effect_words,
)
from core_ops.reconcile.words import brief_lines, plan_lines

_COLOURS = {"+": "32", "~": "33", "-": "31", "↻": "36", "!": "33", "x": "31", "✗": "31", "✓": "32"}


class Terminal:
    """Writes lines; `colour` says whether escape codes may be used."""

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        self._stream = stream
        self._colour = colour

    def show(self, lines: Iterable[str]) -> None:
        """Write lines, each coloured by the sign it begins with.

        A reader that went away, a full disk behind a redirection, or a terminal without our signs must not end an apply
        between a stop and a start, nor hide its exit status: what can't be written is dropped.
        """
        try:
            for line in lines:
                self._stream.write(f"{self._writable(self._painted(line))}\n")
            self._stream.flush()
        except OSError:
            self._give_up()

    def _writable(self, line: str) -> str:
        encoding = self._stream.encoding or "utf-8"
        return line.encode(encoding, "replace").decode(encoding)

    def _give_up(self) -> None:
        """Send all further output nowhere, also what Python flushes at its end."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def _painted(self, line: str) -> str:
        text = line.lstrip(" [")
        code = _COLOURS.get(text[:1]) if self._colour and line[:1] in {*_COLOURS, "[", " "} else None
        return f"\x1b[{code}m{line}\x1b[0m" if code and (text[1:2] in {" ", "]"} or line.startswith("      ")) else line


class Progress:
    """Reports a run's steps on a terminal, a line each."""

    def __init__(self, terminal: Terminal, *, full: bool) -> None:
        self._terminal = terminal
        self._full = full

    def report(self, event: Event) -> None:
        """Show one event; see `core_ops.ports.Reporter`."""
        if isinstance(event, Planned):
            view = plan_view(event.plan)
            self._terminal.show(plan_lines(view, full=True) if self._full else brief_lines(view))
        self._terminal.show(printable(line) for line in _lines(event))


def _lines(event: Event) -> tuple[str, ...]:
    match event:
        case Changed():
            action, target = effect_words(event.effect)
            return (f"  ✓ {action} {target}".rstrip(),)
        case RevisionAuthenticated():
            return (f"authenticated {event.revision[:8]}, signed by {event.signer or 'nobody'}",)
        case Warned():
            return (f"note: {event.message}",)
        case Doubted():
            return (doubt_line(event),)
        case SourceUnavailable() | RevisionRefused() | RunStarted() | Planned() | Failed() | RunFinished():
            return ()  # the plan, the failures and the summary are shown whole, elsewhere
        case ProgressStopped() | StoodStill():
            return ()  # the record says so too, and is shown at the end


def doubt_line(event: Doubted) -> str:
    """Return a doubt in a line."""
    return f"! {event.words} ({event.code}) -> {event.hint}"


class Doubts:
    """Shows the doubts of a run beside what else is printed, and nothing else of it."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def report(self, event: Event) -> None:
        """Show one doubt; see `core_ops.ports.Reporter`."""
        if isinstance(event, Doubted):
            self._terminal.show([printable(doubt_line(event))])


def is_terminal(stream: TextIO) -> bool:
    """Return whether a person is looking."""
    return stream.isatty()


def reads_journal(stream: TextIO, journal_stream: str) -> bool:
    """Return whether the journal reads this stream, so that a line there would repeat what it was told already."""
    try:
        facts = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return journal_stream == f"{facts.st_dev}:{facts.st_ino}"


def standard() -> tuple[TextIO, TextIO]:
    """Return standard output and standard error."""
    return sys.stdout, sys.stderr
