"""What a person sees: lines on standard output, coloured only where somebody can see colour, and progress as it goes.

Nothing here hides the cursor, scrolls or switches screens: whoever ends a run at any moment has a terminal as before.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TextIO

import msgspec

from core_ops.errors import printable
from core_ops.reconcile.board import Board
from core_ops.reconcile.contract import plan_view
from core_ops.reconcile.events import (
    Changed,
    Doubted,
    Event,
    ImagePulled,
    Planned,
    RevisionAuthenticated,
    RunFinished,
    Warned,
    effect_words,
)
from core_ops.reconcile.phases import Applying, Pulling
from core_ops.reconcile.planned import RemoveFile, RemoveUndeclared, Result, WriteFile
from core_ops.reconcile.stream import Stream, told
from core_ops.reconcile.words import brief_lines, heading_lines, plan_lines

Form = Literal["json", "lines", "board"]
Drawing = Callable[[int, int], Iterable[str]]  # the lines for so many columns and at most so many rows

_SMALL = 100

_COLOURS = {"+": "32", "~": "33", "-": "31", "↻": "36", "!": "33", "x": "31", "✗": "31", "✓": "32"}


class Terminal:
    """Writes lines; `colour` says whether escape codes may be used."""

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        self._stream = stream
        self._colour = colour
        self._drawn: tuple[str, ...] = ()

    def show(self, lines: Iterable[str]) -> None:
        """Write lines, each coloured by the sign it begins with.

        A reader that went away, a full disk behind a redirection, or a terminal without our signs must not end an apply
        between a stop and a start, nor hide its exit status: what can't be written is dropped.
        """
        self._write(f"{self._erased()}{self._text(lines)}")
        self._drawn = ()

    def redraw(self, drawing: Drawing) -> None:
        """Replace what was drawn last, in one write, so that nothing flickers. Only for terminals that know escape codes.

        The bottom row stays free for the cursor: a terminal scrolls when it is written, and what scrolled can't be replaced.
        """
        columns, rows = self._size()
        before = self._erased()
        self._drawn = tuple(drawing(columns, max(rows - 1, 2)))
        self._write(f"{before}{self._text(self._drawn)}")

    def keep(self, lines: Callable[[int], Iterable[str]]) -> None:
        """Replace what was drawn last, for good, by the lines for so many columns."""
        self.show(lines(self._size()[0]))

    def _erased(self) -> str:
        """Return what takes the cursor to the beginning of the last drawing and clears from there on.

        A terminal that became narrower has wrapped lines since.
        """
        columns, rows = self._size() if self._drawn else (1, 1)
        height = sum(max(1, -(-len(line) // columns)) for line in self._drawn)
        return f"\x1b[{min(height, rows)}A\r\x1b[J" if height else ""

    def _size(self) -> tuple[int, int]:
        with contextlib.suppress(OSError, ValueError):
            size = os.get_terminal_size(self._stream.fileno())
            if size.columns > 0 and size.lines > 0:
                return size.columns, size.lines
        return 80, 24

    def _text(self, lines: Iterable[str]) -> str:
        return "".join(f"{self._writable(self._painted(line))}\n" for line in lines)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
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
    """Tells of a run while it goes on: as JSON lines, as lines, or on a terminal as a board that is redrawn in place."""

    def __init__(self, terminal: Terminal, form: Form, *, full: bool = False) -> None:
        self._terminal = terminal
        self._form: Form = form
        self._full = full
        self._stream = Stream()
        self._board = Board()
        self.result: Result | None = None

    def report(self, event: Event) -> None:
        """Show one event; see `core_ops.ports.Reporter`."""
        self._stream, view = told(self._stream, event)
        if view is not None:
            self._board = self._board.after(view)
        if isinstance(event, RunFinished):
            self.result = event.result
        if self._form == "json":
            if view is not None:
                self._terminal.show([msgspec.json.encode(view).decode()])
            return
        if lines := tuple(self._lines(event)):
            self._terminal.show(lines)
        if self._form == "board" and self._board.rows:
            self._draw(event)

    def _draw(self, event: Event) -> None:
        if isinstance(event, RunFinished):
            self._terminal.keep(self._board.last_lines)
        elif len(self._board.rows) <= _SMALL or not _is_quick(event):
            self._terminal.redraw(self._board.lines)

    def interrupted(self) -> Iterator[str]:
        """Yield in which state the run leaves the host if it ends now."""
        return self._board.interrupted()

    def _lines(self, event: Event) -> Iterator[str]:
        match event:
            case Planned() if self._full:
                yield from plan_lines(plan_view(event.plan), full=True)
            case Planned():
                view = plan_view(event.plan)
                yield from heading_lines(view) if self._form == "board" else brief_lines(view)
            case Pulling() | ImagePulled() | Changed():
                yield from self._steps(event)
            case RevisionAuthenticated():
                yield printable(f"authenticated {event.revision[:8]}, signed by {event.signer or 'nobody'}")
            case Warned():
                yield printable(f"note: {event.message}")
            case Doubted():
                yield printable(doubt_line(event))
            case _:
                pass  # the failures and the summary are shown whole, elsewhere

    def _steps(self, event: Pulling | ImagePulled | Changed) -> Iterator[str]:
        """Yield what was done, unless a board shows it; which image is waited for is shown in any case."""
        match event:
            case Pulling():
                place = f" ({event.number} of {event.count})" if event.count > 1 else ""
                yield printable(f"  pulling {event.need.image} for {event.need.unit}{place} ...")
            case ImagePulled() if self._form == "lines":
                yield printable(f"  ✓ pull {event.need.image}")
            case Changed() if self._form == "lines":
                action, target = effect_words(event.effect)
                yield printable(f"  ✓ {action} {target}".rstrip())
            case _:
                pass


def _is_quick(event: Event) -> bool:
    """Whether the next event follows at once: nobody sees what is drawn in between, and a large board takes a while."""
    match event:
        case Changed():
            return True
        case Applying():
            return isinstance(event.effects[0], WriteFile | RemoveFile | RemoveUndeclared)
        case _:
            return False


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
    """Return standard output and standard error; one that was closed takes what is written and drops it."""
    return _open(sys.stdout), _open(sys.stderr)


def _open(stream: TextIO | None) -> TextIO:
    return open(os.devnull, "w", encoding="utf-8") if stream is None else stream
