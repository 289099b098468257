"""Exclusive roots on the host: what stands below one, within limits, and taking a piece of it away.

No link is followed, at any level, and no other file system is entered. A directory that is too large or too deep is named
and listed no further, so that nothing is removed on the strength of half a look.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from core_ops.errors import HostError
from core_ops.host.walk import READABLE, Walk
from core_ops.reconcile.model import RootEntry, RootState
from core_ops.reconcile.mounted import LIMIT_BYTES, parse
from core_ops.reconcile.planned import RemoveUndeclared

ENTRY_LIMIT = 10_000
DEPTH_LIMIT = 16


class _Unlistable(Exception):  # noqa: N818 - it never leaves this module
    """Why a root can't be told, in words that follow its name."""


def observe(path: str) -> RootState:
    """Return what stands below a root; nothing where there is none.

    Raises:
        HostError: the kernel refuses.
    """
    try:
        with Walk() as way:
            if (root := _opened(way, path)) < 0:
                return RootState(path)
            return RootState(path, tuple(sorted(_Listing(root).below(root, path, 1))))
    except _Unlistable as error:
        return RootState(path, problem=str(error))
    except OSError as error:
        raise HostError(
            f"read {path}: {error.strerror}",
            code="read-failed",
            hint="see whether it is a readable directory; run as root",
        ) from error


def _opened(way: Walk, path: str) -> int:
    """Go to a directory without following a link; the number is -1 when it is not there."""
    try:
        return way.to(path, READABLE)
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP}:
            raise _Unlistable("it, or something on the way to it, is no directory") from error
        raise


class _Listing:
    """One look below a root; it counts as it goes."""

    def __init__(self, root: int) -> None:
        self._device = os.fstat(root).st_dev
        self._mounts = _mount_points()
        self._left = ENTRY_LIMIT

    def below(self, directory: int, path: str, depth: int) -> Iterator[RootEntry]:
        """Yield the entries of an open directory and of those in it; a directory is yielded when it is empty."""
        if depth > DEPTH_LIMIT:
            raise _Unlistable(f"it holds directories deeper than {DEPTH_LIMIT} levels")
        for name in self._names(directory):
            with contextlib.suppress(FileNotFoundError):  # gone since its directory was read
                yield from self._entry(directory, name, f"{path}/{name}", depth)

    def _entry(self, directory: int, name: str, place: str, depth: int) -> Iterator[RootEntry]:
        facts = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if place in self._mounts or facts.st_dev != self._device:
            yield RootEntry(place, "special")
        elif stat.S_ISDIR(facts.st_mode):
            yield from self._inside(directory, name, place, depth)
        else:
            plain = stat.S_ISREG(facts.st_mode) or stat.S_ISLNK(facts.st_mode)
            yield RootEntry(place, "file" if plain else "special")

    def _inside(self, directory: int, name: str, place: str, depth: int) -> Iterator[RootEntry]:
        inner = os.open(name, READABLE, dir_fd=directory)
        try:
            entries = tuple(self.below(inner, place, depth + 1))
        finally:
            os.close(inner)
        yield from entries or (RootEntry(place, "directory"),)

    def _names(self, directory: int) -> list[str]:
        names: list[str] = []
        with os.scandir(directory) as entries:
            for entry in entries:
                self._left -= 1
                if self._left < 0:
                    raise _Unlistable(f"it holds more than {ENTRY_LIMIT} entries")
                try:
                    entry.name.encode()
                except UnicodeEncodeError as error:
                    raise _Unlistable(f"it holds a name that is not UTF-8: {os.fsencode(entry.name)!r}") from error
                names.append(entry.name)
        return names


def _mount_points() -> frozenset[str]:
    """Return where something is mounted; a bind mount may be of the same device as what is around it."""
    with open("/proc/self/mountinfo", "rb") as file:
        content = file.read(LIMIT_BYTES + 1)
    if len(content) > LIMIT_BYTES:
        raise _Unlistable(f"there are more than {LIMIT_BYTES} bytes of mounts")
    return frozenset(m.path for m in parse(content))


def remove(effect: RemoveUndeclared) -> None:
    """Take away what nobody declared, with the directories that are empty then; the root stays.

    Raises:
        HostError: the kernel refuses. What is gone already, or is no longer an empty directory, is no failure.
    """
    head, _, name = effect.path.rpartition("/")
    try:
        with Walk() as way:
            directory = _opened(way, head)
            if directory >= 0 and effect.kind == "file":
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=directory)
                os.fsync(directory)
            way.remove_empty(head if effect.kind == "file" else effect.path, {effect.root})
    except (_Unlistable, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise HostError(
            f"remove {effect.path}: {why}", code="write-failed", hint="see whether it is immutable (lsattr); run again"
        ) from error
