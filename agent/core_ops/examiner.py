"""Has this machine's own programs look at a state before anything is written where it counts.

    Quadlet files -> Podman's generator -> generated units, with native ones -> systemd-analyze verify

It conducts and never decides: what the answers mean is decided in `reconcile.preflight`. A program that is missing, crashes,
hangs or cannot be understood is no fault of the tree, so its failure is part of the answer and never raised.
"""

from collections.abc import Iterable
from pathlib import Path

from core_ops.errors import HostError
from core_ops.host import analyze, podman, scratch
from core_ops.reconcile.complaints import Complaint, Generated, silent
from core_ops.reconcile.model import Desired
from core_ops.reconcile.preflight import Examination, Staged, seal, staged


def examine(desired: Desired, sealed: str, parent: str) -> Examination:
    """Return what the generator and systemd say of a state.

    Args:
        desired: the state.
        sealed: the seal of an earlier look; if it is the same state under the same programs, nobody is asked again.
        parent: where a private directory may be made for a moment; empty is where temporary files go.

    Returns:
        What was said; its seal is empty when a program gave no answer, so that the next run asks again.
    """
    generator, analyzer = podman.generator(), analyze.program()
    mark = seal(desired, f"{_which(generator)}\n{_which(analyzer)}")
    if mark == sealed:
        return Examination(mark)
    look = _Look(staged(desired))
    try:
        with scratch.directory(parent) as top:
            look.quadlet(generator, f"{top}/quadlet")
            look.systemd(analyzer, f"{top}/systemd")
    except HostError as error:
        look.unanswered(error)
    return Examination("" if look.failed else mark, tuple(look.generated), tuple(look.complaints), tuple(look.undone))


def generated(desired: Desired, parent: str) -> tuple[Generated, ...]:
    """Return the units that the generator makes of a state, as it would where they belong.

    Args:
        desired: the state.
        parent: where a private directory may be made for a moment; empty is where temporary files go.

    Returns:
        Nothing when there is no generator, or when it gives no answer or refuses a file.
    """
    files, generator = staged(desired).quadlet, podman.generator()
    if not files or not generator:
        return ()
    try:
        with scratch.directory(parent) as top:
            scratch.write(f"{top}/quadlet", files)
            made, answer = podman.generate(generator, f"{top}/quadlet")
    except HostError:
        return ()
    there = desired.directories.quadlet
    units = (Generated(g.unit, g.file, g.content.replace(f"{top}/quadlet", there)) for g in made)
    return () if any(c.fatal for c in answer.complaints) else tuple(units)


def _which(program: str) -> str:
    """Return what tells one build of a program from another without running it."""
    if not program:
        return "none"
    facts = Path(program).stat()
    return f"{program} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns}"


class _Look:
    def __init__(self, files: Staged) -> None:
        self._files = files
        self.generated: list[Generated] = []
        self.complaints: list[Complaint] = []
        self.undone: list[str] = []
        self.failed = False

    def unanswered(self, error: HostError) -> None:
        self.undone.append(error.message)
        self.failed = True

    def quadlet(self, generator: str, directory: str) -> None:
        names = tuple(name for name, _ in self._files.quadlet if "/" not in name)
        if not names:
            return
        if not generator:
            self.undone.append("Podman's Quadlet generator is not on this machine")
            return
        scratch.write(directory, self._files.quadlet)
        try:
            made, answer = podman.generate(generator, directory)
        except HostError as error:
            self.unanswered(error)
            return
        self.generated += made
        self.complaints += (*answer.complaints, *silent(names, made, answer))

    def systemd(self, analyzer: str, directory: str) -> None:
        made = tuple((g.unit, g.content.encode()) for g in self.generated)
        units = _units((*self._files.systemd, *made))
        if not units:
            return
        if not analyzer:
            self.undone.append("systemd-analyze is not on this machine")
            return
        scratch.write(directory, (*self._files.systemd, *made))
        try:
            self.complaints += analyze.verify(analyzer, directory, units).complaints
        except HostError as error:
            self.unanswered(error)


def _units(files: Iterable[tuple[str, bytes]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name, _ in files if "/" not in name))
