r"""Paths as unit names: `/srv/my-data` is mounted by `srv-my\x2ddata.mount`.

A mount and an automount are found by the path they are for, so their file names are that path in systemd's own spelling.
Everything here is about text; whether a path exists is nobody's question.
"""

import re
import string

_PLAIN = frozenset((string.ascii_letters + string.digits + ":_.").encode())
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


def simple(path: str) -> str:
    """Return an absolute path without doubled slashes, `.` components and a slash at its end.

    Source:
        systemd.unit(5): paths are written in this form before they are escaped.
    """
    return "/" + "/".join(part for part in path.split("/") if part not in {"", "."})


def climbs(path: str) -> bool:
    """Return whether a path has a `..` component, which systemd has no unit name for."""
    return ".." in path.split("/")


def escaped(path: str) -> str:
    r"""Return the stem of the unit that mounts an absolute path: `-` for `/`, `srv-a\x2db` for `/srv/a-b`.

    Source:
        systemd.unit(5), "String Escaping for Inclusion in Unit Names"; systemd-escape(1), `--path`.
    """
    inner = simple(path).strip("/").encode("utf-8", "surrogateescape")
    return "".join(_one(byte, first=place == 0) for place, byte in enumerate(inner)) or "-"


def _one(byte: int, *, first: bool) -> str:
    if byte == ord("/"):
        return "-"
    return chr(byte) if byte in _PLAIN and not (first and byte == ord(".")) else f"\\x{byte:02x}"


def unescaped(stem: str) -> str:
    """Return the path that a stem is the spelling of; every stem gives some path, also one that no path gives."""
    if stem == "-":
        return "/"
    raw = stem.replace("-", "/").encode("utf-8", "surrogateescape")
    path = _ESCAPED.sub(lambda found: bytes((int(found[1], 16),)), raw)
    return "/" + path.decode("utf-8", "surrogateescape")


def where(unit: str) -> str:
    """Return the path that a mount or automount of this name is for."""
    return unescaped(unit.rpartition(".")[0])


def covers(outer: str, path: str) -> bool:
    """Return whether a path is another one or lies below it."""
    return path == outer or path.startswith(outer if outer == "/" else f"{outer}/")
