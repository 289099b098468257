"""What Podman's generator and `systemd-analyze verify` print, read line by line into values.

Both programs speak to people, so only the shapes they have kept for years are read, and all other lines are passed over. An
answer in which nothing is recognised is no answer: the caller then says that the program could not be asked.
"""

import re
from collections.abc import Iterable
from typing import Literal

from core_ops.reconcile.kinds import KINDS, unit_name
from core_ops.reconcile.model import Value
from core_ops.reconcile.unitfile import UnitText, parse

Program = Literal["podman", "systemd"]

# Source: podman-systemd.unit(5), `-dryrun`; the messages of Podman 5.4.
_UNIT_STARTS = re.compile(r"^---(\S+)---\n", re.MULTILINE)
_SPEAKER = re.compile(r"^quadlet-generator\[\d+\]: ")
_NOT_CONVERTED = re.compile(r'converting "(?:[^"]*/)?([^"/]+)": (.+)\Z')
_NOT_LOADED = re.compile(r'error loading "([^"]+)", (.+)\Z')
_WARNING = re.compile(r"Warning: (\S+) (.+)\Z")

# Source: the messages of systemd 252 to 257.
_PLACE = re.compile(r"(/.+?):(\d+): (.+)\Z")
_UNIT = re.compile(r"(\S+\.[a-z]+): (.+)\Z")
_VERDICT = re.compile(r"Unit (\S+) (?:has a bad unit file setting|is masked)\.\Z")
_STARTS_NOT = re.compile(r"Failed to create \S+/start: ")
_FATAL = "Unit configuration has fatal error"
_REFUSING = "Refusing."


class Generated(Value, frozen=True):
    """A unit that the generator made: `file` is the name of the Quadlet file it was made from."""

    unit: str
    file: str
    content: str


class Complaint(Value, frozen=True):
    """One thing a program said of a file or unit.

    `file` is relative to the directory that the program looked at, and empty when a `unit` is named instead. `fatal` means
    that there will be no such unit; `line` is 0 when the program names none.
    """

    program: Program
    words: str
    file: str = ""
    line: int = 0
    unit: str = ""
    fatal: bool = False


class Answer(Value, frozen=True):
    """What one program said; `understood` is false when nothing in it was recognised."""

    complaints: tuple[Complaint, ...]
    understood: bool


def generated(stdout: str) -> tuple[Generated, ...]:
    """Return the units that the generator printed; what has no name of a unit is passed over."""
    _, *parts = _UNIT_STARTS.split(stdout)
    return tuple(_generated(unit, text) for unit, text in zip(parts[::2], parts[1::2], strict=True) if _is_native(unit))


def _is_native(unit: str) -> bool:
    name = unit_name(unit)
    return name is not None and KINDS[name.suffix].form == "systemd"


def _generated(unit: str, content: str) -> Generated:
    text = parse(content.encode(), unit)
    source = text.last("Unit", "SourcePath") if isinstance(text, UnitText) else ""
    return Generated(unit, source.rpartition("/")[2], content)


def generator_answer(stderr: str, directory: str) -> Answer:
    """Return what the generator said of the Quadlet files in a directory."""
    lines = stderr.splitlines()
    said = (_of_generator(_SPEAKER.sub("", line), f"{directory}/") for line in lines)
    return Answer(tuple(c for c in said if c is not None), any(_SPEAKER.match(line) for line in lines))


def _of_generator(line: str, directory: str) -> Complaint | None:
    if found := _NOT_CONVERTED.match(line):
        return Complaint("podman", _without(found[2], directory), found[1], fatal=True)
    if found := _NOT_LOADED.match(line):
        return Complaint("podman", _without(found[2], directory), found[1].removeprefix(directory), fatal=True)
    if found := _WARNING.match(line):
        return Complaint("podman", f"{found[1]} {_without(found[2], directory)}", found[1])
    return None


def _without(words: str, directory: str) -> str:
    return words.replace(directory, "").strip()


def verify_answer(stderr: str, directory: str) -> Answer:
    """Return what `systemd-analyze verify` said of the units in a directory; units elsewhere are not looked at."""
    reader = _Verified(f"{directory}/")
    understood = [reader.take(line) for line in stderr.splitlines()]
    return Answer(tuple(reader.complaints), any(understood))


class _Verified:
    """The lines of one answer, in order: a unit's verdict comes after the lines that led to it."""

    def __init__(self, directory: str) -> None:
        self.complaints: list[Complaint] = []
        self._directory = directory
        self._decided: set[str] = set()  # units that have their fatal complaint already

    def take(self, line: str) -> bool:
        """Take one line in and return whether it was understood."""
        if _STARTS_NOT.match(line):
            return True  # a unit that may only be started by others is loaded all the same
        if found := _PLACE.match(line):
            if found[1].startswith(self._directory):
                file = found[1].removeprefix(self._directory)
                self._add(Complaint("systemd", found[3], file, int(found[2])))
        elif found := _VERDICT.match(line):
            if found[1] not in self._decided:
                self._add(Complaint("systemd", line, unit=found[1], fatal=True))
        elif found := _UNIT.match(line):
            self._of_unit(found[1], found[2])
        return found is not None

    def _of_unit(self, unit: str, words: str) -> None:
        if not words.startswith(_FATAL):
            fatal = words.endswith(_REFUSING)
            self._decided.update((unit,) if fatal else ())
            self._add(Complaint("systemd", words, unit=unit, fatal=fatal))
        elif self.complaints and self.complaints[-1].file:
            last = self.complaints.pop()
            self._decided.add(unit)
            self._add(Complaint("systemd", last.words, last.file, last.line, fatal=True))

    def _add(self, complaint: Complaint) -> None:
        self.complaints.append(complaint)


def silent(files: Iterable[str], made: tuple[Generated, ...], said: Answer) -> tuple[Complaint, ...]:
    """Return a complaint for each Quadlet file that no unit was made of without a word.

    An older generator passes over kinds it does not know. When it complained of anything, files that need what it
    complained of may be missing for that reason, so nothing is added then.
    """
    if any(c.fatal for c in said.complaints):
        return ()
    known = {g.file for g in made}
    words = "makes no unit of it and does not say why; it may not know this kind"
    return tuple(Complaint("podman", words, file, fatal=True) for file in files if file not in known)
