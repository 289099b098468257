"""Words of a value: quotes, escapes, white space, and what a reader would lose."""

import pytest

from core_ops.reconcile.quoting import Reading, Words, split, unquoted

_LETTERS = r"\a\b\f\n\r\t\v\s\\\"\'"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", ()),
        (" \t ", ()),
        ("a  b\tc", ("a", "b", "c")),
        ('"a b" c', ("a b", "c")),
        ("'a b'c\"d e\"", ("a bcd e",)),
        ('"it\'s" \'say "x"\'', ("it's", 'say "x"')),
        ("'' \"\" a", ("", "", "a")),
        (_LETTERS, ("\a\b\f\n\r\t\v \\\"'",)),
        (r"\x41\101\u00e9\U0001f642", ("AAé🙂",)),
        (r"\xc3\xa9", ("é",)),
        (r"\xff", ("\ufffd",)),
        ("a\u00a0b\u2003c\vd", ("a\u00a0b\u2003c\vd",)),
        (r"a\ b", ("a\\ b",)),
        (r"\d \x4 \000 \400 \ud800 \U00110000", ("\\d", "\\x4", "\\000", "\\400", "\\ud800", "\\U00110000")),
        ("a\\", ("a\\",)),
    ],
)
def test_a_command_is_taken_apart_like_a_shell_line(value: str, words: tuple[str, ...]) -> None:
    """Quotes may stand anywhere in a word, C escapes anywhere at all, and an unknown escape stays as it is."""
    assert split(value, "command") == Words(words)


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        ("names", ('"a', 'b"', r"c\x41\d")),
        ("text", ("a b", "cx41d")),
        ("strings", ("a b", r"c\x41\d")),
        ("list", ("a b", r"c\x41\d")),
        ("command", ("a b", r"cA\d")),
    ],
)
def test_each_reading_has_its_own_quotes_and_escapes(reading: Reading, words: tuple[str, ...]) -> None:
    """Names are never quoted, strings have no escapes, and text makes the next character an ordinary one."""
    assert split(r'"a b" c\x41\d', reading) == Words(words)


@pytest.mark.parametrize(
    ("value", "reading", "words"),
    [
        ('a "b c', "command", ("a",)),
        ("a 'b", "text", ("a",)),
        ("a 'b", "strings", ("a",)),
        (r"A=1 B=\d C=2", "assignments", ("A=1",)),
        ("A=1 B\\", "assignments", ("A=1",)),
        (r"a b\d c", "arguments", ()),
        ('a "" b', "arguments", ("a",)),
        ("a ''", "arguments", ("a",)),
        ("a '' b", "list", ("a",)),
        ("a 'b", "list", ("a",)),
    ],
)
def test_what_a_reader_loses_has_a_reason(value: str, reading: Reading, words: tuple[str, ...]) -> None:
    """The words it keeps are those before the fault; of a list of arguments with an unknown escape, none."""
    found = split(value, reading)
    assert found.words == words
    assert found.fault


@pytest.mark.parametrize(
    ("value", "words"),
    [('a "b c', ("a", "b c")), ("a b\\", ("a", "b")), (r"\xe9 \351", ("é", "é")), (r'"a\tb"', ("a\tb",))],
)
def test_podman_reads_arguments_in_its_own_way(value: str, words: tuple[str, ...]) -> None:
    """A quote may stay open, a last backslash is dropped, and an escape of a number is a character, not a byte."""
    assert split(value, "arguments") == Words(words)


def test_a_single_quadlet_setting_loses_the_quotes_at_its_ends() -> None:
    """All double quotes at either end, paired or not."""
    assert [unquoted(v) for v in ('"a b"', 'a"', '""a', "'a'", 'a"b')] == ["a b", "a", "a", "'a'", 'a"b']
