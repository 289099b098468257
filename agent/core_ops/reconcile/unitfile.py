"""systemd's unit file syntax: parse with positions, layer drop-ins, ask for effective values.

The order of lines is kept, because systemd's list settings depend on it. An empty assignment resets what came before it.
The syntax is that of systemd.syntax(7); where the Quadlet generator is stricter than systemd (a line that is neither a
section, an assignment nor a comment), the stricter rule holds, since systemd would silently drop the line.
"""

from codecs import BOM_UTF8
from collections.abc import Iterable
from functools import lru_cache

from core_ops.reconcile.model import Finding, Value

SIZE_LIMIT_BYTES = 1024 * 1024  # systemd refuses longer lines, Quadlet larger files are never written by people

MOST_FINDINGS = 20  # of one file: a file of something else would bury the rest of a check


class Assignment(Value, frozen=True):
    """One `Key=value` line: where it stands and what it says, continuation lines already joined by a space."""

    section: str
    key: str
    value: str
    line: int
    path: str = ""


class UnitText(Value, frozen=True):
    """A parsed unit file or drop-in: its assignments in order and the sections that were opened."""

    assignments: tuple[Assignment, ...] = ()
    sections: tuple[str, ...] = ()

    def effective(self, section: str, key: str) -> tuple[Assignment, ...]:
        """Return the lines of a setting that may be repeated that still count after resets."""
        result: list[Assignment] = []
        for a in self.assignments:
            if a.section == section and a.key == key:
                if a.value == "":
                    result.clear()
                else:
                    result.append(a)
        return tuple(result)

    def values(self, section: str, key: str) -> tuple[str, ...]:
        """Return the effective values of a setting that may be repeated, after resets."""
        return tuple(a.value for a in self.effective(section, key))

    def last(self, section: str, key: str) -> str:
        """Return the effective value of a setting that holds one value; empty when it is unset or reset."""
        values = self.values(section, key)
        return values[-1] if values else ""

    def words(self, section: str, key: str) -> tuple[str, ...]:
        """Return the effective values split at white space, for settings that are lists of names."""
        values = self.values(section, key)
        return tuple(word for value in values for word in value.split()) if values else ()


def layered(texts: Iterable[UnitText]) -> UnitText:
    """Return one text that means the same as a unit followed by its drop-ins in the given order."""
    assignments: list[Assignment] = []
    sections: list[str] = []
    for text in texts:
        assignments.extend(text.assignments)
        sections.extend(s for s in text.sections if s not in sections)
    return UnitText(tuple(assignments), tuple(sections))


@lru_cache(maxsize=4096)  # rendering looks at a file several times, and 20 hosts of one tree share most files
def parse(content: bytes, path: str) -> UnitText | tuple[Finding, ...]:
    """Return the parsed file, or every reason why it is not one.

    Args:
        content: the file as it stands in the repository.
        path: repository path, for the findings.

    Source:
        systemd.syntax(7); podman-systemd.unit(5) for lines that are neither key nor section.
    """
    text = _decoded(content, path)
    if isinstance(text, Finding):
        return (text,)
    reader = _Reader(path)
    for number, line in enumerate(text.split("\n"), 1):
        reader.take(number, line)
    return reader.finish()


def _decoded(content: bytes, path: str) -> str | Finding:
    if len(content) > SIZE_LIMIT_BYTES:
        return _bad(path, 0, f"is larger than {SIZE_LIMIT_BYTES >> 20} MiB", "keep data out of the repository")
    if content.startswith(BOM_UTF8):
        return _bad(path, 1, "begins with a byte order mark", "save it as UTF-8 without one")
    nul = content.find(b"\0")
    if nul >= 0:
        return _bad(path, content.count(b"\n", 0, nul) + 1, "holds a NUL byte", "save it as plain text")
    try:
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return _bad(path, line, "is not UTF-8", "save it as UTF-8")


def _bad(path: str, line: int, message: str, hint: str) -> Finding:
    return Finding(path=path, line=line, code="BadUnit", message=message, hint=hint)


class _Reader:
    """Line by line, each line once: linear in the size of the file whatever it holds."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._section = ""
        self._assignments: list[Assignment] = []
        self._sections: list[str] = []
        self._findings: list[Finding] = []
        self._joined: list[str] = []  # parts of a line that goes on
        self._start = 0
        self._more = 0  # the first line whose fault is not listed

    def take(self, number: int, line: str) -> None:
        stripped = line.strip()
        if stripped.startswith(("#", ";")):
            return  # a comment between continuation lines does not end them
        if not self._joined:
            self._start = number
        if stripped.endswith("\\"):
            self._joined.append(stripped[:-1].strip())
            return
        if self._joined:
            stripped = " ".join([*self._joined, stripped]).strip()
            self._joined = []
        if stripped:
            self._statement(stripped)

    def _statement(self, text: str) -> None:
        if text.startswith("["):
            self._open(text)
            return
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            self._complain(f"“{text[:60]}” is neither a section, an assignment nor a comment", "write Key=value")
        elif not self._section:
            self._complain(f"{key}= stands before any [Section]", "put it under a section header")
        else:
            self._assignments.append(Assignment(self._section, key, value.strip(), self._start, self._path))

    def _open(self, text: str) -> None:
        name = text[1:-1]
        if not text.endswith("]") or not name or "[" in name or "]" in name:
            self._complain(f"“{text[:60]}” is not a section header", "write [Section]")
            self._section = "?"  # what follows is not at fault
            return
        self._section = name
        if name not in self._sections:
            self._sections.append(name)

    def _complain(self, message: str, hint: str) -> None:
        if len(self._findings) < MOST_FINDINGS:
            self._findings.append(_bad(self._path, self._start, message, hint))
        else:
            self._more = self._more or self._start

    def finish(self) -> UnitText | tuple[Finding, ...]:
        if self._joined:  # the file ends inside a continuation: systemd takes what is there
            text = " ".join(self._joined).strip()
            self._joined = []
            if text:
                self._statement(text)
        if self._more:
            message = "is wrong in more lines than are listed, from this one on"
            self._findings.append(_bad(self._path, self._more, message, "see whether this is a unit file at all"))
        if self._findings:
            return tuple(self._findings)
        return UnitText(tuple(self._assignments), tuple(self._sections))
