"""What the kernel's list of mounts says: where a file system is mounted, and of which type."""

import re
from typing import NamedTuple

LIMIT_BYTES = 8 * 1024 * 1024  # tens of thousands of mounts
_OCTAL = re.compile(rb"\\([0-7]{3})")


class Mounted(NamedTuple):
    """One file system as the kernel lists it: where, and of which type."""

    path: str
    type: str


def parse(content: bytes) -> tuple[Mounted, ...]:
    """Return what a `mountinfo` lists, in its order; a line that is none is left out.

    Source:
        proc_pid_mountinfo(5): the fifth field is the mount point, the first after the single hyphen the type. Space, tab,
        newline and backslash are written as three octal digits.
    """
    found: list[Mounted] = []
    for line in content.split(b"\n"):
        head, hyphen, tail = line.partition(b" - ")
        fields = head.split(b" ")
        if hyphen and len(fields) > 5:  # noqa: PLR2004 - the six fields that are always there
            found.append(Mounted(_text(fields[4]), _text(tail.split(b" ")[0])))
    return tuple(found)


def _text(field: bytes) -> str:
    plain = _OCTAL.sub(lambda octal: bytes((int(octal[1], 8) & 0xFF,)), field)
    return plain.decode("utf-8", "surrogateescape")
