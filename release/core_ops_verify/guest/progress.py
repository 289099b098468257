"""How far a build is, told to whoever draws it: a stage in words and a fraction of the whole from 0 to 1."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

Progress = Callable[[str, float], None]

_TOTAL = re.compile(r"(\d+) newly installed")
_STEP = re.compile(r"(Unpacking|Setting up) ")
_MARKS = (
    ("I: running apt-get update", "reading package lists", 0.02),
    ("I: downloading packages", "downloading packages", 0.08),
    ("I: extracting archives", "unpacking the essential system", 0.12),
    ("I: installing essential", "installing the essential system", 0.38),
    ("I: installing remaining", "installing systemd and podman", 0.49),
    ("I: running --customize-hook", "fetching the interpreter", 0.97),
)


def silent(_stage: str, _fraction: float) -> None:
    """Say nothing; the default of every build."""


def part(progress: Progress, start: float, end: float) -> Progress:
    """Return a progress for a part of a build, its 0..1 mapped to start..end of the whole."""

    def scaled(stage: str, fraction: float) -> None:
        progress(stage, start + (end - start) * fraction)

    return scaled


@dataclass
class InstallerProgress:
    """Reads mmdebstrap's messages: its own marks, and between them packages done of packages wanted.

    The weights of the marks are measured shares of a build of half a minute.
    """

    progress: Progress
    _stage: str = "starting"
    _floor: float = 0.0
    _ceiling: float = 0.02
    _wanted: int = 1
    _done: int = field(default=0)

    def feed(self, line: str) -> None:
        """Take one line of output and report when it moves the bar."""
        for number, (mark, stage, start) in enumerate(_MARKS):
            if line.startswith(mark):
                later = _MARKS[number + 1][2] if number + 1 < len(_MARKS) else 1.0
                self._stage, self._floor, self._ceiling, self._done = stage, start, later, 0
                self.progress(stage, start)
        if total := _TOTAL.search(line):
            # Each package is unpacked once and set up once.
            self._wanted = max(1, 2 * int(total.group(1)))
        elif _STEP.match(line):
            self._done = min(self._done + 1, self._wanted)
            share = self._done / self._wanted
            self.progress(self._stage, self._floor + share * (self._ceiling - self._floor))
