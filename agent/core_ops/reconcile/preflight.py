"""Whether a state may become the goal of this host, by what the host's own Quadlet generator and systemd say of it.

Each complaint finds its way back to a file and line of the repository. What would leave the host without a unit is a refusal;
what systemd ignores, and what may be right although this machine does not know it, is a doubt that refuses nothing. The table
in `specs/001-desired-state/contracts/preflight.md` says which is which.
"""

import hashlib
import re
from collections.abc import Iterator

from core_ops.reconcile.complaints import Complaint, Generated
from core_ops.reconcile.kinds import KINDS
from core_ops.reconcile.model import Desired, Finding, Value
from core_ops.reconcile.places import Place, Places, file_name

_NOT_EXECUTABLE = re.compile(r"Command (.+) is not executable: (.+)\Z")
REMARK_LIMIT = 200  # a unit file of nothing but mistakes must not fill the journal
_SPEAKERS = {"podman": "Podman", "systemd": "systemd"}


class Kind(Value, frozen=True):
    """One kind of doubt: its code, and what it means."""

    code: str
    paragraph: str


IGNORED = Kind(
    "IgnoredSetting",
    "systemd does not take a line as it stands: it does not know the key or the section, cannot read the value, or has another "
    "word for it today. The unit runs without what the line says. Another version of systemd may know it.",
)
PROGRAM = Kind(
    "MissingProgram",
    "A unit runs a program that this machine does not have and the tree does not install, or that may not be executed.",
)
REMARK = Kind("UnitRemark", "Podman's generator or systemd says something else of a unit that it accepts.")
UNDONE = Kind(
    "PreflightNotDone",
    "The Quadlet generator or `systemd-analyze` is not on this machine, or gave no answer, so that nothing is known of what "
    "it would say.",
)
KINDS_OF_DOUBT = (IGNORED, PROGRAM, UNDONE, REMARK)
DOUBT_CODES = frozenset(kind.code for kind in KINDS_OF_DOUBT)


class Doubt(Value, frozen=True, order=True):
    """A remark on one place that refuses nothing; `path` is `.` when it is about no file."""

    path: str
    line: int
    code: str
    message: str
    hint: str


class Examination(Value, frozen=True):
    """What a machine's programs say of a state.

    `seal` stands for the state together with the programs: the same seal needs no other look; empty when the look was
    cut short. `undone` says why a program could not be asked.
    """

    seal: str
    generated: tuple[Generated, ...] = ()
    complaints: tuple[Complaint, ...] = ()
    undone: tuple[str, ...] = ()


class Verdict(Value, frozen=True):
    """What an examination comes to."""

    refusals: tuple[Finding, ...]
    doubts: tuple[Doubt, ...]


class Staged(Value, frozen=True):
    """The files that the programs look at, by name relative to a directory of their own: Quadlet files and native ones."""

    quadlet: tuple[tuple[str, bytes], ...]
    systemd: tuple[tuple[str, bytes], ...]


def staged(desired: Desired) -> Staged:
    """Return the unit files and drop-ins of a state."""
    by_form: dict[str, list[tuple[str, bytes]]] = {"quadlet": [], "systemd": []}
    for item in desired.items:
        if item.object.resource_type != "config":
            name = file_name(item)
            suffix = name.partition("/")[0].removesuffix(".d").rpartition(".")[2]
            by_form[KINDS[suffix].form].append((name, item.content))
    return Staged(tuple(by_form["quadlet"]), tuple(by_form["systemd"]))


def seal(desired: Desired, programs: str) -> str:
    """Return a digest over all that a verdict depends on: unit files, the names and modes of all files, rules, programs."""
    digest = hashlib.sha256(f"{desired.rules}\n{programs}".encode())
    for item in desired.items:
        head = f"\0{item.path}\0{item.mode:o}\0{item.unit}\0{item.sources[-1]}\0"
        digest.update(head.encode())
        if item.object.resource_type != "config":
            digest.update(hashlib.sha256(item.content).digest())
    return digest.hexdigest()


def judge(desired: Desired, said: Examination) -> Verdict:
    """Return what is refused and what is doubtful, each with its place in the repository, sorted."""
    if not said.complaints and not said.undone:
        return Verdict((), ())  # an ordinary run pays for nothing
    fatal = tuple(c for c in said.complaints if c.fatal)
    others = tuple(c for c in said.complaints if not c.fatal)
    looked_at = (*others[:REMARK_LIMIT], *fatal)
    judgement = _Judge(desired, said.generated, looked_at)
    refusals: set[Finding] = set()
    doubts = {Doubt(".", 0, UNDONE.code, f"preflight could not be done: {why}", _UNDONE_HINT) for why in said.undone}
    if (more := len(others) - REMARK_LIMIT) > 0:
        doubts.add(Doubt(".", 0, REMARK.code, f"{more} further remarks are left out", "mend what is shown first"))
    for complaint in looked_at:
        for found in judgement.of(complaint):
            if isinstance(found, Finding):
                refusals.add(found)
            else:
                doubts.add(found)
    return Verdict(tuple(sorted(refusals)), tuple(sorted(doubts)))


_UNDONE_HINT = "what only these programs notice shows when the units are started"


class _Judge:
    def __init__(self, desired: Desired, made: tuple[Generated, ...], complaints: tuple[Complaint, ...]) -> None:
        self._places = Places(desired, made)
        self._modes = {item.path: item.mode for item in desired.items}
        self._located = tuple(c for c in complaints if c.file and c.line)

    def of(self, complaint: Complaint) -> Iterator[Finding | Doubt]:
        """Yield what a complaint comes to: nothing, when it is not about this tree."""
        place = self._place(complaint)
        if place is None:
            return
        message = f"{_SPEAKERS[complaint.program]} says: {complaint.words}"
        if complaint.fatal:
            hint = "mend it; this host would have no such unit"
            yield Finding(place.path, place.line, "BadUnit", message, hint)
        elif complaint.line and (place.section, place.key) == ("Service", "Type"):
            hint = "name a type that systemd knows; it would run the unit as another one"
            yield Finding(place.path, place.line, "BadUnit", message, hint)
        elif found := _NOT_EXECUTABLE.match(complaint.words):
            yield from self._program(place, message, found[1])
        elif complaint.line:
            yield _doubt(IGNORED, place, message, "correct it, or remove it if this host's systemd is to ignore it")
        else:
            yield _doubt(REMARK, place, message, "see whether that is meant")

    def _place(self, complaint: Complaint) -> Place | None:
        if complaint.line:
            return self._places.line(complaint.file, complaint.line)
        if complaint.file:
            return self._places.quadlet(complaint.file, complaint.words)
        if found := _NOT_EXECUTABLE.match(complaint.words):
            return self._places.command(complaint.unit, found[1])
        return self._places.unit(complaint.unit, complaint.words) or self._led_to(complaint.unit)

    def _led_to(self, unit: str) -> Place | None:
        """Return the place of the last value of a unit that systemd could not read, or else of its section."""
        own = (self._places.line(c.file, c.line) for c in self._located if not c.words.startswith("Unknown "))
        mine = [p for p in own if p is not None and p.path in self._places.paths(unit)]
        return mine[-1] if mine else self._places.section(unit)

    def _program(self, place: Place, message: str, program: str) -> Iterator[Doubt]:
        mode = self._modes.get(program)
        if mode is None:
            yield _doubt(PROGRAM, place, message, "see that something else installs it before the unit starts")
        elif not mode & 0o111:
            hint = "give the file its executable bit in git"
            yield _doubt(PROGRAM, place, f"{program} is installed from this tree and may not be executed", hint)


def _doubt(kind: Kind, place: Place, message: str, hint: str) -> Doubt:
    return Doubt(place.path, place.line, kind.code, message, hint)
