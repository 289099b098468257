"""What a unit's fate depends on besides files, in one line: the kernel, this boot, systemd and podman.

It is asked only once something has failed, so that a run that finds nothing to do does not pay for it.
"""

import os

from core_ops.errors import HostError
from core_ops.host import process

_TIMEOUT_S = 30.0
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def inputs() -> str:
    """Return kernel release, boot id, and the versions of systemd and podman; `-` for what is not there."""
    known = (os.uname().release, _boot_id(), _version("systemctl"), _version("podman"))
    return "kernel {} boot {} systemd {} podman {}".format(*known)


def _boot_id() -> str:
    """Return the id of this boot.

    Source:
        random(4).
    """
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read(64).strip()
    except (OSError, UnicodeDecodeError):
        return "-"


def _version(program: str) -> str:
    try:
        done = process.run((program, "--version"), _TIMEOUT_S)
    except HostError:
        return "-"
    first = done.stdout.splitlines()[:1]
    return first[0].strip()[:80] if first else "-"
