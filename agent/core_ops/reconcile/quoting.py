"""Values taken apart into words, as the programs that read unit files do it: quotes, escapes and white space.

systemd reads its own sections, Podman's generator those of Quadlet files, and neither does it in one way only: unit names are
never quoted, commands keep an escape that they do not know, a Quadlet list with one is dropped as a whole. `Reading` names
the ways, `core_ops.reconcile.keys` says which setting is read in which.
"""

import re
from collections.abc import Mapping
from typing import Literal

from core_ops.reconcile.model import Value

Reading = Literal["names", "text", "strings", "assignments", "command", "list", "arguments"]
"""How a value becomes words.

`names`: white space only. `text`: quotes; a backslash makes the next character an ordinary one. `strings`: quotes; a
backslash is one itself. `assignments`: quotes and C escapes; an unknown one ends the reading. `command`: the same, but an
unknown escape stays as it is written. Podman's own: `list`: as `strings`, but an empty word ends the reading. `arguments`:
as `list`, with C escapes; quotes may stay open, and an unknown escape drops the value.
"""

_SPACE = " \t\n\r"
_WORD = re.compile(rf"[^{_SPACE}]+")
SPECIAL = re.compile(r"[\"'\\]")
_ESCAPE = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})|([abfnrtvs\\\"'])")
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
_UNICODE_END = 0x110000
_SURROGATES = range(0xD800, 0xE000)

# What goes on as it is: outside quotes, inside double and inside single ones.
_RUNS: Mapping[str, re.Pattern[str]] = {
    "": re.compile(rf"[^{_SPACE}\"'\\]+"),
    '"': re.compile(r'[^"\\]+'),
    "'": re.compile(r"[^'\\]+"),
}
_RUNS_KEPT: Mapping[str, re.Pattern[str]] = {
    "": re.compile(rf"[^{_SPACE}\"']+"),
    '"': re.compile(r'[^"]+'),
    "'": re.compile(r"[^']+"),
}


class Words(Value, frozen=True):
    """The words that a program reads, and why it reads no further; `fault` is empty when it reads all of them."""

    words: tuple[str, ...]
    fault: str = ""


def split(value: str, reading: Reading) -> Words:
    """Return the words of a value.

    Source:
        systemd.syntax(7), “Quoting”; systemd 257 and Podman 5.4, which `fixtures/unitfile` is compared with.
    """
    if reading == "names" or not SPECIAL.search(value):
        return Words(tuple(_WORD.findall(value)))
    return _Splitter(value, reading).split()


def unquoted(value: str) -> str:
    """Return a Quadlet setting that holds one value as Podman takes it: without double quotes at either end."""
    return value.strip('"')


class _Splitter:
    """One pass over a value; each character is looked at once."""

    def __init__(self, value: str, reading: Reading) -> None:
        self._value = value
        self._reading = reading
        self._runs = _RUNS_KEPT if reading in {"strings", "list"} else _RUNS
        self._words: list[str] = []
        self._word: list[str] = []
        self._quote = ""
        self._at = 0
        self._fault = ""

    def split(self) -> Words:
        value, end = self._value, len(self._value)
        while self._at < end and not self._fault:
            run = self._runs[self._quote].match(value, self._at)
            if run:
                self._word.append(run.group())
                self._at = run.end()
            else:
                self._special(value[self._at])
        if self._quote and self._reading != "arguments":
            self._fault = self._fault or "a quote that is not closed"
        if not self._fault:
            self._close()
        return Words(tuple(self._words), self._fault)

    def _special(self, char: str) -> None:
        """Take a quote, a backslash or a space."""
        self._at += 1
        if char == "\\":
            self._escape()
        elif self._quote:
            self._quote = ""
        elif char in _SPACE:
            self._close()
        else:
            self._quote = char
            self._word.append("")

    def _close(self) -> None:
        """End a word, if one was begun."""
        word = _text(self._word)
        if word or (self._word and self._reading not in {"list", "arguments"}):
            self._words.append(word)
        elif self._word:
            self._fault = "an empty word"
        self._word = []

    def _escape(self) -> None:
        following = self._value[self._at : self._at + 1]
        found = None if self._reading == "text" else _ESCAPE.match(self._value, self._at)
        char = _unescaped(found, bytewise=self._reading != "arguments") if found else ""
        if found and char:
            self._at = found.end()
            self._word.append(char)
        elif self._reading == "command":
            self._at += 1
            self._word.append(f"\\{following}")
        elif self._reading == "text" or (self._reading == "arguments" and not following):
            self._at += 1
            self._word.append(following)
        else:
            self._fault = f"the unknown escape “\\{following}”"
            self._words = [] if self._reading == "arguments" else self._words


def _unescaped(found: re.Match[str], *, bytewise: bool) -> str:
    """Return the character of an escape; empty when there is none of that number."""
    hexadecimal, short, long, octal, letter = found.groups()
    if letter:
        return _LETTERS.get(letter, letter)
    if short or long:
        number = int(short or long, 16)
        return chr(number) if 0 < number < _UNICODE_END and number not in _SURROGATES else ""
    byte = int(hexadecimal, 16) if hexadecimal else int(octal, 8)
    if not 0 < byte < 256:  # noqa: PLR2004 - what a byte can be; octal digits reach 511
        return ""
    return bytes((byte,)).decode("utf-8", "surrogateescape") if bytewise else chr(byte)


def _text(parts: list[str]) -> str:
    """Return a word; bytes that were written one by one become the characters they spell."""
    word = "".join(parts)
    return word if word.isascii() else word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
