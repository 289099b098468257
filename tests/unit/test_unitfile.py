"""systemd's syntax: what is kept, what is joined, what is reset, what is refused."""

import pytest

from core_ops.reconcile.model import Finding
from core_ops.reconcile.unitfile import UnitText, layered, parse


def text(content: str) -> UnitText:
    parsed = parse(content.encode(), "x.service")
    assert isinstance(parsed, UnitText), parsed
    return parsed


def test_repeated_keys_keep_their_order() -> None:
    """List settings depend on order."""
    assert text("[Service]\nExecStartPre=b\nExecStartPre=a\n").values("Service", "ExecStartPre") == ("b", "a")


def test_an_empty_assignment_resets_what_came_before() -> None:
    """As systemd does, also across drop-ins."""
    base, dropin = text("[Service]\nExecStart=a\n"), text("[Service]\nExecStart=\nExecStart=b\n")
    assert layered((base, dropin)).values("Service", "ExecStart") == ("b",)


def test_lines_are_continued_over_comments() -> None:
    """A comment between continuation lines is dropped and ends nothing."""
    unit = text("[Service]\nExecStart=/bin/a \\\n  # why\n  ; why\n  --flag \\\n  last\n[Install]\nWantedBy=x\n")
    assert unit.last("Service", "ExecStart") == "/bin/a --flag last"
    assert unit.assignments[0].line == 2
    assert unit.sections == ("Service", "Install")


def test_windows_line_ends_are_read() -> None:
    """An author's editor must not change what a unit means."""
    assert text("[Unit]\r\nDescription=a\r\n").last("Unit", "Description") == "a"


def test_a_value_may_hold_anything() -> None:
    """Equals signs, brackets and hashes inside a value belong to it."""
    assert text("[Service]\nEnvironment=A=[b] #c\n").last("Service", "Environment") == "A=[b] #c"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"[Unit]\noops\n", 2),
        (b"Key=1\n", 1),
        (b"[Unit\n", 1),
        (b"[]\n", 1),
        (b"[Unit]\n=x\n", 2),
        (b"[Unit]\nA=\0\n", 2),
        (b"[Unit]\nA=1\nB=\xff\n", 3),
        (b"[Unit]\nA=1 \\\nB\noops", 4),
    ],
)
def test_what_systemd_would_ignore_is_refused_with_its_line(content: bytes, line: int) -> None:
    """A line that silently does nothing is a mistake somebody wants to know of."""
    parsed = parse(content, "x.service")
    assert not isinstance(parsed, UnitText)
    assert [(f.code, f.line) for f in parsed] == [("BadUnit", line)]


def test_an_endless_file_is_refused_without_being_read() -> None:
    """A megabyte is more than anybody writes."""
    parsed = parse(b"#" * (1024 * 1024 + 1), "x.service")
    assert isinstance(parsed, tuple)
    assert isinstance(parsed[0], Finding)
