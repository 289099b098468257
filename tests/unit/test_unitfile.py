"""systemd's syntax: what is kept, what is joined, what is reset, what is refused."""

from pathlib import Path

import pytest

from core_ops.reconcile.model import Finding
from core_ops.reconcile.quadlet import host_paths
from core_ops.reconcile.unitfile import UnitText, layered, parse

CASES = sorted((Path(__file__).parents[2] / "fixtures" / "unitfile").iterdir())


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
    assert unit.words("Service", "ExecStart") == ("/bin/a", "--flag", "last")
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
        (b"[Unit]\nA=1\rB=2\n", 2),
        (b"[Unit]\rA=1\r", 1),
        (b"[Unit]\r\n\r\r\n", 2),
        (b"[ Unit ]\nA=1\n", 1),
        (b"[Unit\x1b]\nA=1\n", 1),
        (b"[Unit]\nA b=1\n", 2),
        (b"[Unit]\n\xef\xbb\xbfA=1\n", 2),
        (b"[Unit]\nA=1 \\ \nB=2\n", 2),
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


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_odd_files_are_read_or_refused_at_their_lines(case: Path) -> None:
    """The folder says which lines are refused; what it does not name is read."""
    places = [
        f"{f.path}:{f.line}: {f.code}"
        for path in sorted(case.glob("x.*"))
        if not isinstance(parsed := parse(path.read_bytes(), path.name), UnitText)
        for f in parsed
    ]
    expected = case / "expected"
    assert places == (expected.read_text().splitlines() if expected.exists() else [])


def test_each_file_is_held_to_its_own_readers() -> None:
    """Podman joins lines without a space, which a native unit does not care about."""
    content = b"[Service]\nExecStart=/bin/a\\\nb\n"
    refused = (
        "x.container",
        "services/web/x.container.d/a.conf",
        "hosts/h/web/quadlet/x.pod.d/a.conf",
        "unknown",
        "a.conf",
    )
    accepted = ("x.service", "services/web/x.service.d/a.conf", "services/web/x.container/x.timer")
    assert not [p for p in refused if isinstance(parse(content, p), UnitText)]
    assert not [p for p in accepted if not isinstance(parse(content, p), UnitText)]


def test_dependencies_are_never_taken_back() -> None:
    """An empty `After=` resets nothing, as systemd has it; an empty `Documentation=` does."""
    unit = text("[Unit]\nAfter=a\nAfter=\nAfter=b c\nDocumentation=man:a\nDocumentation=\n")
    assert unit.words("Unit", "After") == ("a", "b", "c")
    assert unit.words("Unit", "Documentation") == ()


def test_an_empty_line_resets_its_whole_family() -> None:
    """All triggers of a timer are one list, all conditions another."""
    unit = text("[Timer]\nOnCalendar=daily\nOnBootSec=\n[Unit]\nConditionHost=a\nAssertHost=a\nConditionUser=\n")
    assert unit.values("Timer", "OnCalendar") == ()
    assert (unit.values("Unit", "ConditionHost"), unit.values("Unit", "AssertHost")) == ((), ("a",))


@pytest.mark.parametrize(
    ("setting", "paths"),
    [
        ('Environment="A=/etc/x y"', ("/etc/x", "/etc/x y")),
        ("ExecStart=-/bin/sh -c 'cat /etc/app/x;ls'", ("/bin/sh", "/etc/app/x")),
        ("ExecStart=/bin/a --file=%E/app/x --other %E/b,c", ("/bin/a", "/etc/app/x", "/etc/b,c", "/etc/b")),
        ("ExecStart=/bin/a \\x2fetc\\x2fapp", ("/etc/app",)),
        ("Volume=%E/web/site:/srv:ro,Z", ("/etc/web/site", "/srv")),
        ('Volume="/etc/a b:/c"', ("/etc/a b",)),
        ("EnvironmentFile=-/etc//app/./x", ("/etc/app/x",)),
        ("EnvironmentFile=/etc/app/", ("/etc/app",)),
        ("EnvironmentFile=/etc/a%%b", ("/etc/a%b",)),
        ("LoadCredential=key:/etc/app/key", ("/etc/app/key",)),
        ('Mount=type=bind,"source=/etc/a,b",destination=/c', ("/etc/a", "/c")),
    ],
)
def test_paths_are_found_in_every_setting(setting: str, paths: tuple[str, ...]) -> None:
    """Quoted, escaped, inside a command, after a prefix, or as a part of a word."""
    assert set(paths) <= set(host_paths(text(f"[Service]\n{setting}\n")))


def test_what_is_no_path_is_not_found() -> None:
    """Relative ones, the root, and settings without any."""
    assert host_paths(text("[Service]\nExecStart=a/b %t/x / -/ a\nUser=b\n")) == ()
