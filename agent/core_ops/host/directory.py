"""Read a source tree from a plain directory, by the same rules as one from git.

No link is followed, at any level: the directory may belong to someone who would like the agent to read another file for
them.
"""

import os
import stat
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from core_ops.errors import NotADirectoryGivenError, SourceError
from core_ops.reconcile import sourcetree
from core_ops.reconcile.model import TreeFile
from core_ops.reconcile.sourcetree import Child, Reader

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # non-blocking: a FIFO must not hang the run
_CHUNK_BYTES = 1 << 16


class _Entry(NamedTuple):
    """The way from the top, and the size found there."""

    parts: tuple[bytes, ...]
    size: int = 0


def read_tree(path: Path) -> tuple[TreeFile, ...]:
    """Return the entries below `services/` and `hosts/` of a directory, sorted by path.

    Args:
        path: The top directory; it may itself be reached through a link.

    Raises:
        NotADirectoryGivenError: `no-source-dir`.
        SourceError: `unreadable`.
        RefusedRevisionError: `bad-tree`, `limit-exceeded`.
    """
    try:
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise NotADirectoryGivenError(
            f"open source directory {path}: {error.strerror}",
            code="no-source-dir",
            hint="name a directory that holds services/ and hosts/",
        ) from error
    try:
        with _Tree(top) as tree:
            return sourcetree.collect(f"directory {path}", _Entry(()), Reader(tree.children, tree.size, tree.read))
    except OSError as error:
        raise SourceError(
            f"read source directory {path}: {error.strerror}",
            code="unreadable",
            hint="check who may read the directory and whether something else is changing it",
        ) from error


class _Tree:
    """A directory held open, and the one of its directories that is being read."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._current = os.dup(top)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._current)
        os.close(self._top)

    def children(self, directory: _Entry) -> list[Child[_Entry]]:
        """Go to a directory, one component at a time, and return what it holds, sorted."""
        self._go(os.dup(self._top))
        for part in directory.parts:
            self._go(os.open(part, _DIRECTORY, dir_fd=self._current))
        with os.scandir(self._current) as entries:
            names = sorted(os.fsencode(entry.name) for entry in entries)
        return [self._child((*directory.parts, name)) for name in names]

    def size(self, file: _Entry) -> int:
        """Return the size that was found with the name."""
        return file.size

    def read(self, file: _Entry) -> bytes:
        """Return the content of a file of the directory last listed, and a byte more than a file may have."""
        descriptor = os.open(file.parts[-1], _FILE, dir_fd=self._current)
        try:
            content = b""
            while len(content) <= sourcetree.MAX_FILE_BYTES and (more := os.read(descriptor, _CHUNK_BYTES)):
                content += more
        finally:
            os.close(descriptor)
        return content

    def _go(self, directory: int) -> None:
        os.close(self._current)
        self._current = directory

    def _child(self, parts: tuple[bytes, ...]) -> Child[_Entry]:
        found = os.stat(parts[-1], dir_fd=self._current, follow_symlinks=False)
        entry, mode = _Entry(parts, found.st_size), found.st_mode
        if stat.S_ISDIR(mode):
            return Child(parts[-1], "directory", entry)
        if stat.S_ISREG(mode):
            return Child(parts[-1], "file", entry, bool(mode & stat.S_IXUSR))
        return Child(parts[-1], "symlink" if stat.S_ISLNK(mode) else "special", entry)
