"""Comparing unit texts by what they mean, and printing them again."""

import pytest

from core_ops.reconcile.keys import DEPENDENCIES, LISTS, SINGLES, TEXTS, adding, family
from core_ops.reconcile.meaning import Difference, differences
from core_ops.reconcile.unitfile import UnitText, layered, parse
from core_ops.reconcile.unitprint import print_text, says_the_same


def text(content: str, path: str = "x.service") -> UnitText:
    parsed = parse(content.encode(), path)
    assert isinstance(parsed, UnitText), parsed
    return parsed


_FORMATTING = [
    ("[Unit]\nDescription=a\n", "# c\n\n[Unit]\n; c\n  Description =\ta  \n"),
    ("[Unit]\nAfter=a b\nDescription=c\n", "[Unit]\nDescription=c\nAfter=a\nAfter=b\n"),
    ("[Unit]\nWants=a\n[Service]\nUser=b\n", "[Service]\nUser=b\n[Unit]\n[Unit]\nWants=a\n[Service]\n"),
    ("[Service]\nExecStart=/bin/a b c\n", "[Service]\nExecStart=/bin/a \\\n  # why\n  b \\\n  c\n"),
    ("[Service]\nExecStart=/bin/a 'b c'\n", '[Service]\nExecStart=/bin/a  "b\\x20c"\n'),
    ("[Service]\nEnvironment=A=1 B=2\n", '[Service]\nEnvironment="A=1"\nEnvironment=B=2\n'),
    ("[Service]\nExecStart=b\n", "[Service]\nExecStart=a\nExecStart=\nExecStart=b\n"),
    ("[Service]\nEnvironment=A\nEnvironment=\n", "[Service]\n"),
    ("[Service]\nRestart=no\n", "[Service]\nRestart=always\nRestart=\nRestart=no\n"),
    ("[Service]\nUser=a\nUser=\n", "[Service]\n"),
    ("[Unit]\nAfter=a\n", "[Unit]\nAfter=a\nAfter=\n"),
    ("[Timer]\nOnBootSec=2\n", "[Timer]\nOnCalendar=daily\nOnBootSec=1\nOnCalendar=\nOnBootSec=2\n"),
    ("[Unit]\nConditionHost=a\n", "[Unit]\nConditionUser=b\nConditionHost=\nConditionHost=a\n"),
    ("[Container]\nExec=a 'b'\n", "[Container]\nExec=c\nExec=a   b\n"),
    ("[Install]\nWantedBy=a b\n", "[Install]\nWantedBy=a\nWantedBy='b'\n"),
]
_CHANGES = [
    (("Service", "ExecStart"), ("/bin/a b",), ("/bin/a c",)),
    (("Service", "ExecStart"), ("/bin/a 'b c'",), ("/bin/a b c",)),
    (("Service", "ExecStartPre"), ("a", "b"), ("b", "a")),
    (("Service", "Environment"), ("A=1", "B=2"), ("B=2", "A=1")),
    (("Service", "User"), ("a",), ()),
    (("Unit", "Description"), ("a  b",), ("a b",)),
    (("Unit", "After"), ("a", "b"), ("a",)),
    (("Container", "Image"), ("x:1",), ("x:2",)),
    (("Container", "Volume"), ("a:/b", "c:/d"), ("c:/d", "a:/b")),
    (("Service", "NobodyKnows"), ("a", "a"), ("a",)),
    (("Service", "NobodyKnows"), ("a", ""), ("a",)),
    (("Service", "NobodyKnows"), ("a", "b"), ("b", "a")),
]


@pytest.mark.parametrize(("one", "other"), _FORMATTING)
def test_formatting_means_nothing(one: str, other: str) -> None:
    """Comments, white space, order of settings, repeated headers, quoting, and lines that are taken back."""
    assert differences(text(one), text(other)) == ()
    assert differences(text(other), text(one)) == ()


@pytest.mark.parametrize(("place", "old", "new"), _CHANGES)
def test_a_change_names_the_setting_and_both_sides(
    place: tuple[str, str], old: tuple[str, ...], new: tuple[str, ...]
) -> None:
    """Section, key, what counted and what counts; the same the other way round."""
    section, key = place
    one, other = (text("\n".join([f"[{section}]", *(f"{key}={v}" for v in values)])) for values in (old, new))
    assert differences(one, other) == (Difference(section, key, old, new),)
    assert differences(other, one) == (Difference(section, key, new, old),)


def test_an_empty_line_that_some_readers_ignore_is_kept() -> None:
    """Neither what it may reset to nor what it may leave is the same text."""
    kept, reset, never = (text(f"[Service]\n{t}") for t in ("Restart=no\n", "Restart=no\nRestart=\n", ""))
    assert differences(kept, reset) == (Difference("Service", "Restart", ("no",), ("no", "")),)
    assert differences(reset, never) == (Difference("Service", "Restart", ("no", ""), ()),)


def test_no_capabilities_are_not_all_capabilities() -> None:
    """An empty bounding set takes everything away; without one nothing is."""
    none, every = text("[Service]\nCapabilityBoundingSet=\n"), text("[Service]\n")
    assert differences(none, every) == (Difference("Service", "CapabilityBoundingSet", ("",), ()),)


def test_addresses_of_a_socket_are_passed_in_the_order_of_their_lines() -> None:
    """Also between different settings, which is the one order of settings that counts."""
    one, other = "ListenStream=1", "ListenDatagram=2"
    found = differences(text(f"[Socket]\n{one}\n{other}\n"), text(f"[Socket]\n{other}\n{one}\n"))
    assert found == (Difference("Socket", "ListenStream", (one, other), (other, one)),)


def test_drop_ins_are_compared_with_their_unit() -> None:
    """A unit with a drop-in means what one file with all of it means."""
    base, dropin = text("[Service]\nExecStart=a\nUser=b\n"), text("[Service]\nExecStart=\nExecStart=c\nUser=d\n")
    assert differences(layered((base, dropin)), text("[Service]\nUser=d\nExecStart=c\n")) == ()


def test_each_setting_adds_up_in_one_way() -> None:
    """No setting stands in two sets of the table, and families are made of lists."""
    sets = (DEPENDENCIES, LISTS, TEXTS, SINGLES)
    assert sum(map(len, sets)) == len(DEPENDENCIES | LISTS | TEXTS | SINGLES)
    assert {adding(k) for k in LISTS | DEPENDENCIES | TEXTS | SINGLES} == {"list", "dependency", "text", "single"}
    assert all(adding(k) == "list" for s in sets for k in s if family(k) != k)
    assert (adding("ConditionNobodyKnows"), adding("NobodyKnows")) == ("list", "unknown")


_ODD = [
    "",
    "# only a comment\n",
    "[A]\n[B]\n",
    "[A]\n[B]\nx=1\n[A]\ny=2\n[C]\n",
    "[A]\nx=1 \\\n  # c\n  2 \\\n3\ny=\\\n 4\nz=5 \\",
    "[A]\nx=\nx=1\nx=\n",
    "[A]\nx=[B]\ny=# c\nz= = =\nv=;\n",
    "[A]\r\nx=1 \\\r\n 2\r\n",
    "[A]\nx=\"a b\" 'c' \\x41 \\\\\n",
    "[A]\nx=a\\\\\ny=\\\\\\\\\n",
    "[A]\nx=\u00a0é\u2003🙂\u00a0\n",
    "\ufeff[A]\nx=a\x01\x0b\x1cb\n",
]


@pytest.mark.parametrize("content", _ODD)
def test_what_is_printed_is_read_back(content: str) -> None:
    """`parse(print_text(text))` says the same as `text`, and what was printed prints as it is."""
    read = text(content)
    printed = print_text(read)
    again = text(printed.decode())
    assert says_the_same(again, read)
    assert print_text(again) == printed


def test_saying_the_same_is_more_than_meaning_the_same() -> None:
    """Order and resets count, places do not."""
    assert says_the_same(text("[A]\nx=1\n"), text("# c\n[A]\n\nx = 1\n", "y.service"))
    assert not says_the_same(text("[A]\nx=1\n"), text("[A]\nx=1\nx=1\n"))
    assert not says_the_same(text("[A]\nx=1\n"), text("[A]\nx=1\n[B]\n"))
