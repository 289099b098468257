"""A directory for one look at files before they are anywhere else: private, unguessable, gone afterwards.

A lock on the directory says that somebody works in it. The kernel drops the lock with the process, so what a killed run left
behind is told from what is in use, and is removed by the next one.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator, Iterable

from core_ops.errors import HostError

_PREFIX = "core-ops-preflight-"
_TRIES = 3  # another run may sweep a directory between its making and its lock


@contextlib.contextmanager
def directory(parent: str) -> Generator[str]:
    """Make a directory below `parent`, or where temporary files go if that may not be written, and remove it afterwards.

    Raises:
        HostError: neither can be had.
    """
    try:
        path, lock = _made(parent)
    except OSError as error:
        raise HostError(
            f"make a directory below {parent or 'the directory of temporary files'}: {error.strerror}",
            code="write-failed",
            hint="free some space there",
        ) from error
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):  # also what `ignore_errors` lets through; the next run sweeps what is left
            shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.close(lock)


def write(top: str, files: Iterable[tuple[str, bytes]]) -> None:
    """Write files by their names below a directory; one that is there already stays as it is.

    Raises:
        HostError: the kernel refuses.
    """
    try:
        os.makedirs(top, mode=0o700, exist_ok=True)
        for name, content in files:
            _write(f"{top}/{name}", content)
    except OSError as error:
        raise HostError(
            f"write below {top}: {error.strerror}", code="write-failed", hint="free some space there"
        ) from error


def _write(path: str, content: bytes) -> None:
    os.makedirs(path.rpartition("/")[0], mode=0o700, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(FileExistsError), os.fdopen(os.open(path, flags, 0o644), "wb") as file:
        file.write(content)


def _made(parent: str) -> tuple[str, int]:
    with contextlib.suppress(OSError):
        if parent and ":" not in parent:  # which separates directories for the programs that look
            return _locked(parent)
    return _locked(tempfile.gettempdir())


def _locked(parent: str) -> tuple[str, int]:
    sweep(parent)
    for _ in range(_TRIES):
        path = os.path.realpath(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        with contextlib.suppress(FileNotFoundError):
            if (lock := _lock(path)) >= 0:
                return path, lock
    raise OSError(errno.ENOENT, "what is made there is taken away again")


def sweep(parent: str) -> None:
    """Remove the directories that killed runs of this user left below a directory."""
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False):
                _remove(entry)


def _remove(entry: "os.DirEntry[str]") -> None:
    with contextlib.suppress(OSError):
        if entry.stat(follow_symlinks=False).st_uid == os.geteuid() and (lock := _lock(entry.path)) >= 0:
            shutil.rmtree(entry.path, ignore_errors=True)
            os.close(lock)


def _lock(path: str) -> int:
    """Return a descriptor that holds the lock of a directory, or -1 when somebody else does."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return -1
    return descriptor
