"""What the reader sees: numbered steps, a sentence, the command, its real output, and what was checked.

Colour and redrawing happen on a terminal only; anywhere else the same words come out as plain lines. Nothing
here knows what the story is about.
"""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple, TextIO

_NARRATION_WIDTH = 78
_BAR_WIDTH = 30
_INDENT = "    "
_CONTINUED = " \\"
_BOLD, _DIM, _GREEN = "1", "2", "32"
_SIGNS = {"+": "32", "-": "31", "~": "33", "↻": "36", "!": "33", "✗": "31", "✓": "32"}
"""Colours of the signs that lines of a plan or a diff begin with, as the agent itself paints them."""


class Cut(NamedTuple):
    """How much of a long output is shown: its first and its last lines."""

    head: int = 24
    tail: int = 0


USUAL = Cut()


class Screen:
    """Writes the transcript."""

    def __init__(self, stream: TextIO, *, lively: bool, width: int) -> None:
        """Take the stream to write to.

        Args:
            stream: Where the transcript goes.
            lively: Whether colours and redrawing are understood there.
            width: Columns to wrap output at; 0 leaves lines as they are, for a file or a pipe.
        """
        self._stream = stream
        self._lively = lively
        self._width = width
        self._steps = 0
        self._stage = ""
        self._last = ""
        """What kind of line came last: a row of silent commands or of ticks reads better without gaps."""

    def title(self, text: str, sentence: str) -> None:
        """Open the transcript."""
        self._line(self._paint(text, _BOLD))
        self.say(sentence)

    def step(self, title: str, sentence: str) -> None:
        """Begin the next numbered step with what it is about to show."""
        self._steps += 1
        self._gap("step")
        self._line(self._paint(f"{self._steps}. {title}", _BOLD))
        self.say(sentence)

    def say(self, sentence: str) -> None:
        """Narrate."""
        width = min(self._width or _NARRATION_WIDTH, _NARRATION_WIDTH)
        self._line(textwrap.fill(sentence, width, initial_indent="   ", subsequent_indent="   "))

    def meanwhile(self, sentence: str) -> None:
        """Narrate between two commands."""
        self._gap("sentence")
        self.say(sentence)

    def command(self, prompt: str, line: str) -> None:
        """Show a command as somebody types it at a prompt."""
        self._gap(prompt)
        *before, last = self._wrapped(f"{prompt} {line}", spare=len(_CONTINUED))
        for part in (*(part + _CONTINUED for part in before), last):
            typed = part.removeprefix(prompt)
            self._line(_INDENT + self._paint(part[: len(part) - len(typed)], _DIM) + self._paint(typed, _BOLD))

    def output(self, text: str, cut: Cut = USUAL) -> None:
        """Show what a command printed, a long one with its middle or its end left out and counted."""
        lines = text.rstrip("\n").splitlines()
        self._last = "output"
        tail = _from_gap(lines[len(lines) - cut.tail :])
        left_out = len(lines) - cut.head - len(tail)
        if left_out <= 1:  # a note about one line would take as much room as the line
            self._lines(lines)
            return
        self._lines(lines[: cut.head])
        self._line(self._paint(f"{_INDENT}… {left_out} more lines", _DIM))
        self._lines(tail)

    def checked(self, text: str) -> None:
        """Say what was verified; only ever called after it was."""
        wrapped = textwrap.fill(
            text, min(self._width or 10_000, 10_000), initial_indent="   ✓ ", subsequent_indent="     "
        )
        self._gap("tick")
        self._line(self._paint(wrapped, _GREEN))

    def table(self, rows: Sequence[tuple[str, ...]]) -> None:
        """Show rows in columns; the first one names them."""
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        self._gap("table")
        for number, row in enumerate(rows):
            cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self._line(_INDENT + self._paint(cells.rstrip(), _DIM if number == 0 else ""))

    def closing(self, sentence: str, facts: list[tuple[str, str]]) -> None:
        """Close the transcript with what can be done next, each on a line to copy."""
        self._gap("closing")
        self._line(self._paint(sentence, _BOLD))
        for name, value in facts:
            self._line(f"   {name}")
            self._line(f"{_INDENT}  {self._paint(value, _BOLD)}")

    def progress(self, stage: str, fraction: float) -> None:
        """Draw how far a long step is: a bar where it can be redrawn, elsewhere each stage once."""
        if self._lively:
            full = round(fraction * _BAR_WIDTH)
            bar = "█" * full + "░" * (_BAR_WIDTH - full)
            self._stream.write(f"\r{_INDENT}{bar} {fraction:4.0%} {stage}\x1b[K")
            self._stream.flush()
        elif stage not in {self._stage, "ready"}:
            self._line(f"{_INDENT}{stage} ...")
        self._stage = stage

    def waiting(self, text: str, seconds: float) -> None:
        """Show on a terminal that a wait is going on and for how long; nothing elsewhere."""
        if self._lively:
            self._stream.write(f"\r{_INDENT}{self._paint(f'{text} … {seconds:.0f} s', _DIM)}\x1b[K")
            self._stream.flush()

    def clear(self) -> None:
        """Take away a bar or a wait that was drawn on the current line."""
        if self._lively:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _gap(self, kind: str) -> None:
        if not (kind == self._last and kind in {"guest#", "author$", "tick"}):
            self._line()
        self._last = kind

    def _lines(self, lines: list[str]) -> None:
        for line in lines:
            for part in self._wrapped(line.expandtabs(4)):
                self._line(f"{_INDENT}{self._paint(part, _colour(line))}")

    def _wrapped(self, line: str, spare: int = 0) -> list[str]:
        room = self._width - len(_INDENT)
        if not self._width or len(line) <= room:
            return [line]
        deeper = " " * (len(line) - len(line.lstrip()) + 4)
        return textwrap.wrap(line, room - spare, subsequent_indent=deeper, break_on_hyphens=False)

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._lively and code else text

    def _line(self, text: str = "") -> None:
        self._stream.write(f"{text.rstrip()}\n")
        self._stream.flush()


def _colour(line: str) -> str:
    text = line.lstrip(" [")
    return _SIGNS.get(text[:1], "") if text[1:2] in {" ", "]", "<"} or line.startswith("      ") else ""


def _from_gap(lines: list[str]) -> list[str]:
    """Return the lines from the first empty one on, so that what is shown begins with a block's beginning."""
    return lines[lines.index("") :] if "" in lines else lines
