"""Unit files as systemd and the Quadlet generator read them: parse with positions, layer drop-ins, print.

The order of lines is kept, because list settings depend on it. A file is read as its own readers do: a native unit by
systemd, a Quadlet file first by the generator and then, as far as it is passed on, by systemd. What one of them would drop
without a word, or what the two read differently, is refused with its line; `specs/001-desired-state` has the table.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from core_ops.reconcile.flood import MOST_FINDINGS, more
from core_ops.reconcile.keys import misread, reading, resets
from core_ops.reconcile.kinds import KINDS
from core_ops.reconcile.model import Finding, Value
from core_ops.reconcile.quoting import SPECIAL, split
from core_ops.reconcile.unitbytes import NoText, decoded

_BLANK = " \t"
_KEY = re.compile(r"[A-Za-z0-9_.-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Podman takes these from the ends of a line as white space, systemd does not.
_ODD_SPACE = re.compile(r"[\v\f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_SHOWN = 60  # of a line that is refused


class Assignment(Value, frozen=True):
    """One `Key=value` line: where it stands and what it says, continuation lines already joined."""

    section: str
    key: str
    value: str
    line: int
    path: str = ""

    @property
    def place(self) -> str:
        """The file and line as people write them."""
        return f"{self.path}:{self.line}"


class UnitText(Value, frozen=True):
    """A parsed unit file or drop-in: its assignments in order and the sections that were opened."""

    assignments: tuple[Assignment, ...] = ()
    sections: tuple[str, ...] = ()

    def effective(self, section: str, key: str) -> tuple[Assignment, ...]:
        """Return the lines of a setting that may be repeated that still count after resets."""
        result: list[Assignment] = []
        for a in self.assignments:
            if a.section == section:
                if a.value and a.key == key:
                    result.append(a)
                elif not a.value and resets(a.key, key):
                    result.clear()
        return tuple(result)

    def values(self, section: str, key: str) -> tuple[str, ...]:
        """Return the effective values of a setting that may be repeated, after resets."""
        return tuple(a.value for a in self.effective(section, key))

    def last(self, section: str, key: str) -> str:
        """Return the effective value of a setting that holds one value; empty when it is unset or reset."""
        values = self.values(section, key)
        return values[-1] if values else ""

    def words(self, section: str, key: str) -> tuple[str, ...]:
        """Return the effective values as words, as the setting's reader takes them apart."""
        how = reading(section, key) or "text"
        return tuple(word for value in self.values(section, key) for word in split(value, how).words)


def layered(texts: Iterable[UnitText]) -> UnitText:
    """Return one text that means the same as a unit followed by its drop-ins in the given order."""
    assignments: list[Assignment] = []
    sections: dict[str, None] = {}
    for text in texts:
        assignments.extend(text.assignments)
        sections.update(dict.fromkeys(text.sections))
    return UnitText(tuple(assignments), tuple(sections))


@lru_cache(maxsize=16384)  # rendering looks at a file several times, and 20 hosts of one tree share most files
def parse(content: bytes, path: str) -> UnitText | tuple[Finding, ...]:
    """Return the parsed file, or every reason why it is not one.

    Args:
        content: the file as it stands in the repository.
        path: repository path, for the findings; its name says who reads the file.

    Source:
        systemd.syntax(7), podman-systemd.unit(5); systemd 257 and Podman 5.4, which `fixtures/unitfile` is compared with.
    """
    quadlet = _is_for_generator(path)
    text = decoded(content, bom=not quadlet)
    if isinstance(text, NoText):
        return (_bad(path, text.line, text.message, text.hint),)
    return _usual(text, path) or _Reader(path, text, quadlet=quadlet).read()


def _usual(text: str, path: str) -> UnitText | None:
    """Return a file that holds nothing out of the ordinary, as nearly all do, or None when it has to be looked at closely."""
    if "\\" in text or not text.isascii() or "\f" in text or "\v" in text:
        return None
    quoted = '"' in text or "'" in text
    section = ""
    sections: dict[str, None] = {}
    found: list[Assignment] = []
    append = found.append
    for number, line in enumerate(text.split("\n"), 1):
        key, equals, value = line.partition("=")
        if equals and key.isalnum() and section:
            if quoted and ('"' in value or "'" in value) and misread(section, key, value):
                return None
            append(Assignment(section, key, value.strip(_BLANK), number, path))
        elif line:
            if line[0] == "[" and line[-1] == "]" and line[1:-1].isalnum():
                section = line[1:-1]
                sections[section] = None
            elif line[0] not in "#;":
                return None
    return UnitText(tuple(found), tuple(sections))


def _is_for_generator(path: str) -> bool:
    """Whether the generator reads the file; one of no known kind is held to both readers."""
    suffix = path.rpartition(".")[2]
    if suffix == "conf":
        suffix = path.rpartition("/")[0].removesuffix(".d").rpartition(".")[2]
    kind = KINDS.get(suffix)
    return kind is None or kind.form == "quadlet"


def _bad(path: str, line: int, message: str, hint: str) -> Finding:
    return Finding(path=path, line=line, code="BadUnit", message=message, hint=hint)


class _Reader:
    """Line by line, each line once: linear in the size of the file whatever it holds."""

    def __init__(self, path: str, text: str, *, quadlet: bool) -> None:
        self._path = path
        self._text = text
        self._quadlet = quadlet
        self._odd = quadlet and _ODD_SPACE.search(text) is not None
        self._quoted = SPECIAL.search(text) is not None
        self._section = ""
        self._assignments: list[Assignment] = []
        self._sections: dict[str, None] = {}
        self._findings: list[Finding] = []
        self._start = 0
        self._faulty = 0  # lines so far that are wrong, and the last of them
        self._last_fault = 0
        self._parts: list[str] = []  # of a line that goes on
        self._end = ""  # the last character so far of a line that goes on, as the generator joins it

    def read(self) -> UnitText | tuple[Finding, ...]:
        lines = self._text.removesuffix("\n").split("\n")
        for number, line in enumerate(lines, 1):
            stripped = line.strip(_BLANK)
            if stripped.startswith(("#", ";")):
                continue  # a comment between continuation lines does not end them
            if self._odd and _ODD_SPACE.search(stripped[:1] + stripped[-1:]):
                self._complain("begins or ends with white space that is neither space nor tab", "take it out", number)
            if self._parts or stripped.endswith("\\"):
                self._go_on(number, line, stripped)
            elif stripped:
                self._start = number
                self._statement(stripped)
        if self._parts:
            self._end_of_file(lines[-1])
        return self._all_findings() or UnitText(tuple(self._assignments), tuple(self._sections))

    def _go_on(self, number: int, line: str, stripped: str) -> None:
        """Take a line that ends in a backslash, or that follows one."""
        if not self._parts:
            self._start = number
            self._end = ""
        elif not stripped and self._quadlet:
            hint = "remove the empty line, or the backslash before it"
            self._complain("is empty after a backslash: podman reads on below it", hint, number)
        elif self._quadlet and stripped != "\\" and self._end not in _BLANK and not self._after_equals():
            self._complain("no space before the backslash above: podman puts the words together", "add one", number)
        if not self._is_open(number, line, stripped):
            self._parts.append(stripped if self._quadlet else line)
            self._finish()
            return
        self._parts.append(stripped[:-1] if self._quadlet else f"{line[:-1]} ")
        self._end = self._parts[-1][-1:] or self._end

    def _after_equals(self) -> bool:
        """Whether nothing of the value has been read yet, so that nothing can run together."""
        return self._end == "=" and len(self._parts) == 1 and self._parts[0].index("=") == len(self._parts[0]) - 1

    def _is_open(self, number: int, line: str, stripped: str) -> bool:
        if not stripped.endswith("\\"):
            return False
        if not line.endswith("\\"):
            hint = "remove the white space, so that the line goes on"
            self._complain("has white space after its last backslash", hint, number)
            return False
        escaped = (len(line) - len(line.rstrip("\\"))) % 2 == 0
        if escaped and self._quadlet:
            self._complain("ends in an escaped backslash, which podman takes for one", "quote the word", number)
        return not escaped

    def _finish(self) -> None:
        text = "".join(self._parts).strip(_BLANK)
        self._parts = []
        if self._quadlet and text.endswith("\\"):
            self._complain("ends in a backslash, which podman takes for one that goes on", "quote the word")
        elif text:
            self._statement(text)

    def _end_of_file(self, last: str) -> None:
        """Take a file that ends while its last line goes on."""
        if self._quadlet and not last.endswith("\\"):
            self._complain("goes on to the end of the file: podman drops it", "remove the last backslash", self._start)
        self._finish()

    def _statement(self, text: str) -> None:
        key, equals, value = text.partition("=")
        key = key.rstrip(_BLANK)
        if text[0] == "[":
            self._open(text)
        elif not equals or not key:
            self._complain(f"“{text[:_SHOWN]}” is neither a section, an assignment nor a comment", "write Key=value")
        elif not _KEY.fullmatch(key):
            self._complain(f"“{key[:_SHOWN]}” is no name of a setting", "write Key=value")
        elif not self._section:
            self._complain(f"{key}= stands before any [Section]", "put it under a section header")
        else:
            self._assign(key, value.strip(_BLANK))

    def _assign(self, key: str, value: str) -> None:
        if self._odd and _ODD_SPACE.search(value[:1] + value[-1:]):
            # An end that a backslash kept would be gone as soon as the value stands on one line.
            self._complain(f"{key}= begins or ends with white space that is neither space nor tab", "take it out")
        if self._quoted and (fault := misread(self._section, key, value)):
            self._complain(f"{key}= has {fault}", "see systemd.syntax(7) on quoting; a backslash is written twice")
        self._assignments.append(Assignment(self._section, key, value, self._start, self._path))

    def _open(self, text: str) -> None:
        name = text[1:-1]
        if not text.endswith("]") or not name or "[" in name or "]" in name or _CONTROL.search(name):
            self._complain(f"“{text[:_SHOWN]}” is not a section header", "write [Section]")
            self._section = "?"  # what follows is not at fault
            return
        if name != name.strip():
            self._complain(f"[{name[:_SHOWN]}] is a section that nobody reads", f"write [{name.strip()[:_SHOWN]}]")
        self._section = name
        self._sections[name] = None

    def _complain(self, message: str, hint: str, line: int = 0) -> None:
        place = line or self._start
        if self._last_fault == place:
            return  # what is wrong next to it follows from it
        self._last_fault = place
        self._faulty += 1
        if self._faulty <= MOST_FINDINGS + 1:  # a file of nothing else has half a million
            self._findings.append(_bad(self._path, place, message, hint))

    def _all_findings(self) -> tuple[Finding, ...]:
        if self._faulty > MOST_FINDINGS + 1:
            first = self._findings.pop()
            hint = "see whether this is a unit file at all"
            self._findings.append(_bad(self._path, first.line, more(self._faulty - MOST_FINDINGS), hint))
        return tuple(self._findings)
