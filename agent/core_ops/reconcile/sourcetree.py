"""Collect the files below `services/` and `hosts/`, from wherever they are, within limits.

A git tree and a plain directory give the same files by the same rules: names that cannot leave their place or drive a
terminal, one file per name also where case is ignored, no content above the limits. Reading is handed in, so the size
of a thing is always asked before the thing.
"""

import re
from collections.abc import Callable, Iterable
from typing import Generic, Literal, NamedTuple, TypeVar

from core_ops.errors import RefusedRevisionError
from core_ops.reconcile.model import TreeFile, TreeKind

ROOTS = ("hosts", "services")
MAX_ENTRIES = 20_000
MAX_FILE_BYTES = 1 << 20
MAX_TOTAL_BYTES = 32 << 20
MAX_DEPTH = 16
MAX_NAME_BYTES = 255

_NAME = re.compile(rb"[!-.0-~]{1,255}")
_NEVER = frozenset({b".", b"..", b".git"})

Handle = TypeVar("Handle")


class Child(NamedTuple, Generic[Handle]):
    """One entry of a directory; `handle` is whatever its reader opens it by."""

    name: bytes
    kind: Literal["directory", "file", "symlink", "submodule", "special"]
    handle: Handle
    executable: bool = False


class Reader(NamedTuple, Generic[Handle]):
    """How to look into one kind of tree. `size` is asked before `read`, both right after the `children` they are of."""

    children: Callable[[Handle], Iterable[Child[Handle]]]
    size: Callable[[Handle], int]
    read: Callable[[Handle], bytes]


def collect(origin: str, root: Handle, reader: Reader[Handle]) -> tuple[TreeFile, ...]:
    """Return every entry below `services/` and `hosts/`, sorted by path.

    Args:
        origin: What the tree is called in messages.
        root: The handle of the top directory.
        reader: How directories and files are read.

    Raises:
        RefusedRevisionError: `bad-tree` for a name, `limit-exceeded` for too much of something.
    """
    found: list[TreeFile] = []
    waiting: list[tuple[Child[Handle], str]] = []
    inside = [(child, child.name.decode()) for child in reader.children(root) if child.name.decode("latin-1") in ROOTS]
    entries = total = 0
    while True:
        entries += len(inside)
        for child, path in inside:  # files at once, while their directory is at hand; directories later
            _limit(origin, path, entries, MAX_ENTRIES, "entries")
            if child.kind == "directory":
                waiting.append((child, path))
                continue
            found.append(_file(child, path, reader))
            total += len(found[-1].content)
            _limit(origin, path, total, MAX_TOTAL_BYTES, "bytes of content")
        if not waiting:
            return tuple(sorted(found, key=lambda file: file.path))
        child, path = waiting.pop()
        _limit(origin, path, path.count("/") + 1, MAX_DEPTH, "levels of directories")
        inside = _checked(origin, path, reader.children(child.handle))


def _file(child: Child[Handle], path: str, reader: Reader[Handle]) -> TreeFile:
    if child.kind != "file":
        kind: TreeKind = "special" if child.kind == "directory" else child.kind
        return TreeFile(path, b"", kind)
    if reader.size(child.handle) <= MAX_FILE_BYTES:
        content = reader.read(child.handle)
        if len(content) <= MAX_FILE_BYTES:
            return TreeFile(path, content, "file", child.executable)
    return TreeFile(path, b"", "oversize", child.executable)


def _checked(origin: str, path: str, children: Iterable[Child[Handle]]) -> list[tuple[Child[Handle], str]]:
    """Return the children of one directory with their paths, or refuse the whole tree for one name."""
    checked: list[tuple[Child[Handle], str]] = []
    folded: set[bytes] = set()
    for child in children:
        shown = f"{path}/{child.name[:MAX_NAME_BYTES].decode('ascii', 'backslashreplace')}"
        lowered = child.name.lower()
        if not _NAME.fullmatch(child.name) or lowered in _NEVER:
            raise bad_tree(origin, shown, "the name is not plain ASCII without spaces, or not allowed")
        if lowered in folded:
            raise bad_tree(origin, shown, "another name differs from it only in case")
        folded.add(lowered)
        checked.append((child, f"{path}/{child.name.decode()}"))
    return checked


def _limit(origin: str, path: str, found: int, most: int, what: str) -> None:
    if found > most:
        raise RefusedRevisionError(
            f"read {origin} at {path}: there are more than {most} {what}",
            code="limit-exceeded",
            hint="keep large or generated files out of services/ and hosts/",
            place=path,
        )


def bad_tree(origin: str, path: str, why: str) -> RefusedRevisionError:
    """Return the refusal of a tree for one entry, whose name cannot drive a terminal any more."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in path)
    return RefusedRevisionError(
        f"read {origin} at {shown}: {why}",
        code="bad-tree",
        hint="rename or remove the entry and commit again",
        place=shown,
    )
