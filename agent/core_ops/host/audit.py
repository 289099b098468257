"""The audit directory: one file per run, whole or not there, never replaced and never removed by the agent.

A plan writes without the lock, so each writer has a file of its own: one without a name until it is finished, or, where the
file system has none of these, one with a name that nobody else uses. A lock on that one tells what is in use from what a killed
run left.
"""

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Generator, Iterator

from core_ops.errors import HostError

MODE = 0o600
_FLAGS = os.O_WRONLY | os.O_CLOEXEC
_NO_UNNAMED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL})  # open(2), O_TMPFILE
_PREFIX, _SUFFIX = ".core-ops-audit", ".new"


def write(directory: str, names: Iterator[str], content: bytes) -> str:
    """Write a record under the first name that is free and return its path.

    Raises:
        HostError: the directory can't be made or written.
    """
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{_PREFIX}{_SUFFIX}", dir_fd=place)  # what a killed run of an older version left
            return f"{directory}/{_written(place, names, content)}"
        finally:
            os.close(place)
    except OSError as error:
        raise HostError(
            f"write a record to {directory}: {error.strerror}",
            code="audit-failed",
            hint="make that directory readable and writable, or leave out --audit-dir",
        ) from error


def _written(place: int, names: Iterator[str], content: bytes) -> str:
    with _new(place) as descriptor:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
        name = _named(place, names, descriptor)
    os.fsync(place)
    return name


def _named(place: int, names: Iterator[str], descriptor: int) -> str:
    """Give a finished record its name; a link, unlike a rename, never replaces another record."""
    for name in names:
        with contextlib.suppress(FileExistsError):
            os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=place, follow_symlinks=True)  # open(2), O_TMPFILE
            return name
    raise FileExistsError(errno.EEXIST, "too many records of this second")


@contextlib.contextmanager
def _new(place: int) -> Generator[int]:
    """Open an empty file of this writer's own in a directory; it is gone afterwards unless it was given a name."""
    temporary = ""
    try:
        descriptor = os.open(".", _FLAGS | os.O_TMPFILE, MODE, dir_fd=place)
    except OSError as error:
        if error.errno not in _NO_UNNAMED:
            raise
        descriptor, temporary = _with_a_name(place)
    try:
        yield descriptor
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=place)
        os.close(descriptor)


def _with_a_name(place: int) -> tuple[int, str]:
    _sweep(place)
    while True:
        name = f"{_PREFIX}-{secrets.token_hex(8)}{_SUFFIX}"
        descriptor = os.open(name, _FLAGS | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE, dir_fd=place)
        if _locked(descriptor, fcntl.LOCK_EX) and not os.fstat(descriptor).st_nlink:
            os.close(descriptor)  # another run swept it between its making and its lock
            continue
        return descriptor, name


def _sweep(place: int) -> None:
    """Remove what killed runs left; what can't be removed is no obstacle."""
    for name in os.listdir(place):
        if name.startswith(_PREFIX) and name.endswith(_SUFFIX):
            with contextlib.suppress(OSError):
                descriptor = os.open(name, _FLAGS | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
                try:
                    if _locked(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
                        os.unlink(name, dir_fd=place)
                finally:
                    os.close(descriptor)


def _locked(descriptor: int, how: int) -> bool:
    """Lock a file; not every file system can, and where none can nothing is swept."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, how)
        return True
    return False
