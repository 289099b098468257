"""What is shown must never decide what is done."""

import io
import os

from core_ops.host.terminal import Terminal


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
