"""What is shown must never decide what is done, and a terminal must stay readable."""

import fcntl
import io
import os
import re
import struct
import termios
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from core_ops.host.terminal import Progress, Terminal
from core_ops.reconcile.model import Desired
from scenes import Scene
from trees import rendered

INSTALL = "[Install]\nWantedBy=multi-user.target\n"


def test_a_reader_that_went_away_ends_nothing() -> None:
    """After the other end of a pipe is closed, showing goes on quietly, also when the stream is closed at last."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        terminal = Terminal(stream, colour=False)
        terminal.show(["one"])
        terminal.show(["two"])


def test_a_terminal_without_our_signs_is_no_error() -> None:
    """What an encoding can't hold is replaced."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
    Terminal(stream, colour=False).show(["  ✓ start web.service"])
    assert raw.getvalue() == b"  ? start web.service\n"


# --- a board on a real pseudo terminal ----------------------------------------------------------------------------------


class Screen:
    """As much of a terminal as a board needs: lines, wrapping, scrolling, cursor up, clear to the end."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.gone: list[str] = []
        self.lines = [""]
        self.cursor = 0

    def feed(self, text: str) -> None:
        for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
            if part.endswith("A") and part.startswith("\x1b"):
                self.cursor = max(self.cursor - int(part[2:-1]), 0)
            elif part == "\x1b[J":
                self.lines = [*self.lines[: self.cursor], ""]
            elif part == "\n":
                self._down()
            elif part != "\r" and not part.startswith("\x1b"):
                self._write(part)

    def _write(self, text: str) -> None:
        while len(text) > self.columns:
            self.lines[self.cursor] = text[: self.columns]
            text = text[self.columns :]
            self._down()
        self.lines[self.cursor] = text

    def _down(self) -> None:
        self.cursor += 1
        if self.cursor == len(self.lines):
            self.lines.append("")
        if len(self.lines) > self.rows:
            self.gone.append(self.lines.pop(0))
            self.cursor -= 1


class Pty:
    """Both ends of a pseudo terminal of some size."""

    def __init__(self, columns: int, rows: int) -> None:
        self.master, slave = os.openpty()
        self.slave = os.fdopen(slave, "w", encoding="utf-8")
        self.screen = Screen(columns, rows)
        self.written = ""
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.set_blocking(self.master, False)

    def read(self) -> None:
        found = b""
        while True:
            try:
                found += os.read(self.master, 65536)
            except BlockingIOError:
                break
        self.written += found.decode()
        self.screen.feed(found.decode())


@contextmanager
def pty(columns: int, rows: int) -> Generator[Pty]:
    """A pseudo terminal."""
    both = Pty(columns, rows)
    try:
        yield both
    finally:
        both.slave.close()
        os.close(both.master)


def many(count: int) -> Desired:
    """A host with so many services."""
    return rendered(
        {f"services/x/s{n:02d}.service": f"[Service]\nExecStart=/bin/true\n{INSTALL}" for n in range(count)}
    )


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 50), (40, 10), (30, 4)])
@pytest.mark.parametrize("count", [1, 8, 30])
def test_a_board_is_redrawn_in_its_place(columns: int, rows: int, count: int) -> None:
    """However small the terminal, nothing of an older drawing is left behind, and in the end every object stands there."""
    scene = Scene()
    scene.converge(many(count))
    with pty(columns, rows) as both:
        progress = Progress(Terminal(both.slave, colour=False), "board")
        for event in scene.recorder.events:
            progress.report(event)
            both.read()
            assert not [line for line in both.screen.gone if "appl" in line or "verif" in line or "wait" in line]
        shown = [*both.screen.gone, *both.screen.lines]
    text = "".join(line.ljust(columns) if len(line) < columns else line for line in shown)
    assert re.findall(r"✓ create   (\S+) ", text) == [f"service/s{n:02d}" for n in range(count)]
    assert shown[-1] == ""
    assert "\x1b[?" not in both.written


def test_a_terminal_that_becomes_narrower_is_no_error() -> None:
    """Lines that were wrapped since are cleared too; the end is all there."""
    scene = Scene()
    scene.converge(many(5))
    with pty(80, 24) as both:
        terminal = Terminal(both.slave, colour=True)
        progress = Progress(terminal, "board")
        for place, event in enumerate(scene.recorder.events):
            if place == 12:
                fcntl.ioctl(both.slave.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 24, 30, 0, 0))
            progress.report(event)
            both.read()
    assert both.written.count("done") == 5
    assert "\x1b[32m✓ create" in both.written


def test_each_event_is_drawn_in_one_write() -> None:
    """What is cleared and what is drawn instead leave together, so that nothing flickers."""
    scene = Scene()
    scene.converge(many(5))
    written: list[str] = []

    class Writes(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    progress = Progress(Terminal(Writes(), colour=False), "board")
    for event in scene.recorder.events[5:]:
        written.clear()
        progress.report(event)
        assert len(written) <= 1
