"""The bytes of a unit file as text, or what in them is no text that systemd and Podman take alike.

systemd reads a carriage return as the end of a line and drops a byte order mark, Podman does neither; systemd refuses a file
with a noncharacter, which Python and Podman let pass. Nothing of that is ever meant, so it is a finding with its line.
"""

import re

from core_ops.reconcile.model import Value

SIZE_LIMIT_BYTES = 1024 * 1024  # systemd refuses longer lines, Quadlet larger files are never written by people

_BOM = "\ufeff"
# systemd's idea of UTF-8 has no noncharacters: it would refuse the file.
_NO_CHARACTER = re.compile(
    f"[\ufdd0-\ufdef{''.join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))}]"
)


class NoText(Value, frozen=True):
    """Why a file is not read, and where."""

    line: int
    message: str
    hint: str


def decoded(content: bytes, *, bom: bool) -> str | NoText:
    """Return a file's text with line feeds only, or why it is none.

    Args:
        content: the file as it stands in the repository.
        bom: whether its reader drops a byte order mark at the beginning.
    """
    if len(content) > SIZE_LIMIT_BYTES:
        return NoText(0, f"is larger than {SIZE_LIMIT_BYTES >> 20} MiB", "keep data out of the repository")
    nul = content.find(b"\0")
    if nul >= 0:
        return NoText(content.count(b"\n", 0, nul) + 1, "holds a NUL byte", "save it as plain text")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        return NoText(content.count(b"\n", 0, error.start) + 1, "is not UTF-8", "save it as UTF-8")
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        if (stray := text.find("\r")) >= 0:
            return _refused(text, stray, "holds a carriage return inside a line", "end lines with a line feed")
    if text.isascii():
        return text
    return _unusual(text.removeprefix(_BOM) if bom else text)


def _unusual(text: str) -> str | NoText:
    mark = 0 if text.startswith(_BOM) else text.find(f"\n{_BOM}") + 1
    if text.startswith(_BOM, mark):
        return _refused(text, mark, "begins with a byte order mark", "save it as UTF-8 without one")
    if found := _NO_CHARACTER.search(text):
        return _refused(text, found.start(), f"holds U+{ord(found.group()):04X}, which is no character", "take it out")
    return text


def _refused(text: str, place: int, message: str, hint: str) -> NoText:
    return NoText(text.count("\n", 0, place) + 1, message, hint)
