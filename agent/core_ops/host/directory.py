"""Read a source tree from a plain directory, by the same rules as one from git.

No link is followed, at any level: the directory may belong to someone who would like the agent to read another file for
them.
"""

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from core_ops.errors import NotADirectoryGivenError, SourceError
from core_ops.reconcile import sourcetree
from core_ops.reconcile.model import TreeFile
from core_ops.reconcile.sourcetree import Child, Reader

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # non-blocking: a FIFO must not hang the run

_Parts = tuple[bytes, ...]


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
        root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise NotADirectoryGivenError(
            f"open source directory {path}: {error.strerror}",
            code="no-source-dir",
            hint="name a directory that holds services/ and hosts/",
        ) from error
    try:
        top: _Parts = ()
        return sourcetree.collect(f"directory {path}", top, _reader(root))
    except OSError as error:
        raise SourceError(
            f"read source directory {path}: {error.strerror}",
            code="unreadable",
            hint="check who may read the directory and whether something else is changing it",
        ) from error
    finally:
        os.close(root)


def _reader(root: int) -> Reader[_Parts]:
    def children(parts: _Parts) -> list[Child[_Parts]]:
        with _opened(root, parts, _DIRECTORY) as directory, os.scandir(directory) as entries:
            names = sorted(os.fsencode(entry.name) for entry in entries)
            return [_child(directory, (*parts, name)) for name in names]

    def size(parts: _Parts) -> int:
        with _opened(root, parts[:-1], _DIRECTORY) as directory:
            return os.stat(parts[-1], dir_fd=directory, follow_symlinks=False).st_size

    def read(parts: _Parts) -> bytes:
        with _opened(root, parts, _FILE) as file, open(file, "rb", closefd=False) as stream:
            return stream.read(sourcetree.MAX_FILE_BYTES + 1)

    return Reader(children, size, read)


def _child(directory: int, parts: _Parts) -> Child[_Parts]:
    mode = os.stat(parts[-1], dir_fd=directory, follow_symlinks=False).st_mode
    if stat.S_ISDIR(mode):
        return Child(parts[-1], "directory", parts)
    if stat.S_ISREG(mode):
        return Child(parts[-1], "file", parts, bool(mode & stat.S_IXUSR))
    return Child(parts[-1], "symlink" if stat.S_ISLNK(mode) else "special", parts)


@contextmanager
def _opened(root: int, parts: _Parts, flags: int) -> Generator[int]:
    """Yield a descriptor of the entry, reached from the root one component at a time."""
    current = os.dup(root)
    try:
        for index, part in enumerate(parts):
            following = os.open(part, flags if index == len(parts) - 1 else _DIRECTORY, dir_fd=current)
            os.close(current)
            current = following
        yield current
    finally:
        os.close(current)
