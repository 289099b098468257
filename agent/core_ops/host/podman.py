"""Podman's Quadlet generator, run dry over a directory: the program that systemd itself runs at every reload."""

import os

from core_ops.errors import HostError
from core_ops.host import process
from core_ops.reconcile.complaints import Answer, Generated, generated, generator_answer

# Source: podman-systemd.unit(5); Fedora and Debian have the program in the first place, others in the second.
_PLACES = (
    "/usr/libexec/podman/quadlet",
    "/usr/lib/podman/quadlet",
    "/usr/local/libexec/podman/quadlet",
    "/usr/lib/systemd/system-generators/podman-system-generator",
)
_TIMEOUT_S = 10.0
_ENDS = (0, 1)  # 1: it complained of a file


def generator() -> str:
    """Return the path of the generator, or nothing when it is not here."""
    return next((path for path in _PLACES if os.access(path, os.X_OK)), "")


def generate(program: str, directory: str) -> tuple[tuple[Generated, ...], Answer]:
    """Return the units that the generator makes of the Quadlet files in a directory, and what it says of them.

    Raises:
        HostError: it gives no answer that can be understood.
    """
    argv = (program, "-dryrun", "-no-kmsg-log")
    done = process.run(argv, _TIMEOUT_S, environment={"QUADLET_UNIT_DIRS": directory})
    answer = generator_answer(done.stderr, directory)
    made = generated(done.stdout)
    heard = answer.understood and (made or any(c.fatal for c in answer.complaints))
    if done.status not in _ENDS or not heard:
        raise HostError(
            f"run {program}: exit status {done.status} and no answer that is understood",
            code="exec-failed",
            hint=f"try `{program} -dryrun`",
        )
    return made, answer
