"""Files on the host: looked at and changed without ever following a symbolic link or leaving half a file.

Each change walks from the root one directory at a time with `O_NOFOLLOW`. All contents are staged first, as durable temporary
files beside their targets, so that a full or read-only disk is met before anything is stopped; then each is renamed. A cut
at any point leaves the old file, the new file, or a temporary file that the next run removes.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Generator

import msgspec

from core_ops.errors import HostError
from core_ops.reconcile.model import FileState
from core_ops.reconcile.planned import RemoveFile, WriteFile

# A desired file has at most 1 MiB, so one byte more is enough to know that what stands there is something else.
READ_LIMIT_BYTES = 1024 * 1024 + 1
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ON_THE_WAY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC  # only passed through: it may be unreadable
_STAYS = frozenset(
    {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.ENOTDIR}
)  # others use it, or it is a mount or a link
_HINTS = {
    errno.ENOSPC: "free some space on that file system; the next run goes on from here",
    errno.EDQUOT: "raise the quota; the next run goes on from here",
    errno.EROFS: "make that file system writable",
    errno.EACCES: "run as root",
    errno.EPERM: "run as root, and see whether the file is immutable (lsattr)",
    errno.ELOOP: "a directory on the way is a symbolic link; replace it with a directory",
    errno.ENOTDIR: "something on the way is not a directory; move it away",
}


def temporary_name(name: str) -> str:
    """Return the name of the file that is written first: hidden, and with a suffix neither systemd nor Quadlet reads."""
    return f".{name}.core-ops-new"


def observe(path: str) -> FileState:
    """Return what stands at a path: content and mode of a regular file, or that there is none.

    Raises:
        HostError: it is there but can't be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return FileState(path, "absent")
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a symbolic link, or a socket or FIFO without a peer
            return FileState(path, "other")
        raise _failed("read", path, error) from error
    with _attempt("read", path), _closing(descriptor):
        return _state(path, descriptor)


def _state(path: str, descriptor: int) -> FileState:
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        return FileState(path, "other")
    chunks: list[bytes] = []
    left = READ_LIMIT_BYTES
    while left and (chunk := os.read(descriptor, left)):
        chunks.append(chunk)
        left -= len(chunk)
    return FileState(path, "file", b"".join(chunks), stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid)


def stage(effect: WriteFile, owners: tuple[int, int]) -> tuple[str, ...]:
    """Write the content beside its path, durably, under the temporary name; nothing is replaced yet.

    Args:
        effect: what is to be written.
        owners: the ids of the user and the group that it is to belong to.

    Returns:
        The directories that had to be made, outermost first.

    Raises:
        HostError: the kernel refuses; the temporary file and those directories are gone again.
    """
    missing = _missing_directories(effect.path)
    try:
        _stage(effect, owners)
    except HostError:
        unmake(missing)
        raise
    return missing


def _missing_directories(path: str) -> tuple[str, ...]:
    missing: list[str] = []
    parent = path.rpartition("/")[0]
    while parent and not os.path.lexists(parent):
        missing.append(parent)
        parent = parent.rpartition("/")[0]
    return tuple(reversed(missing))


def unmake(directories: tuple[str, ...]) -> None:
    """Remove directories that a run made and left empty, innermost first."""
    for directory in reversed(directories):
        with contextlib.suppress(OSError):
            os.rmdir(directory)


def _stage(effect: WriteFile, owners: tuple[int, int]) -> None:
    with _attempt("write", effect.path), _directory(effect.path, create=True) as (directory, name):
        temporary = temporary_name(name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        try:
            _create(temporary, directory, effect, owners)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise


def commit(effect: WriteFile) -> None:
    """Put what was staged at its path, if what stands there is still what planning saw.

    Raises:
        HostError: `changed-under-us` when it is not, `write-failed` when the kernel refuses.
    """
    _unchanged(effect)
    with _attempt("write", effect.path), _directory(effect.path, create=True) as (directory, name):
        os.rename(temporary_name(name), name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)


def _unchanged(effect: WriteFile) -> None:
    if observe(effect.path) != msgspec.structs.replace(effect.expected, path=effect.path):
        raise HostError(
            f"write {effect.path}: it changed after the plan was made",
            code="changed-under-us",
            hint="run again: the next plan starts from what is there now",
        )


def _create(name: str, directory: int, effect: WriteFile, owners: tuple[int, int]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    with _closing(descriptor):
        view = memoryview(effect.content)
        while view:
            view = view[os.write(descriptor, view) :]
        facts = os.fstat(descriptor)  # not always the agent's own group: the directory may hand down another
        if (facts.st_uid, facts.st_gid) != owners:
            os.fchown(descriptor, *owners)  # before the mode, which would let the wrong group read for a moment
        os.fchmod(descriptor, effect.mode)
        os.fsync(descriptor)


def remove(effect: RemoveFile, keep: frozenset[str]) -> None:
    """Take a file away, with the directories that are empty then; `keep` names those that stay.

    Raises:
        HostError: the kernel refuses. A file that is gone already is no failure.
    """
    with _attempt("remove", effect.path), _directory(effect.path, create=False) as (directory, name):
        if directory >= 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
            os.fsync(directory)
    with _attempt("remove the directory of", effect.path):
        _remove_empty(effect.path.rpartition("/")[0], keep)


def _remove_empty(directory: str, keep: frozenset[str]) -> None:
    """Remove a directory and those above while they are empty, durably: once its last file is forgotten nobody comes back."""
    removed = False
    while directory and directory not in keep:
        try:
            os.rmdir(directory)
            removed = True
        except FileNotFoundError:
            pass  # an earlier run was cut between this one and the one above
        except OSError as error:
            if error.errno not in _STAYS:
                raise
            break
        directory = directory.rpartition("/")[0]
    if removed:
        _keep_names(directory or "/")


def _keep_names(directory: str) -> None:
    """Make what was done to the names in a directory outlast a power cut."""
    descriptor = os.open(directory, _DIRECTORY)
    with _closing(descriptor):
        os.fsync(descriptor)


def sweep(path: str) -> None:
    """Remove the temporary file that a failed or killed run may have left beside a path, so that it does not come back."""
    head, _, name = path.rpartition("/")
    with contextlib.suppress(OSError):
        os.unlink(f"{head}/{temporary_name(name)}")
        _keep_names(head)


@contextlib.contextmanager
def _directory(path: str, *, create: bool) -> Generator[tuple[int, str]]:
    """Open the directory of a path step by step; the number is -1 when it is not there and must not be made."""
    *parents, name = path.strip("/").split("/")
    descriptor = os.open("/", _ON_THE_WAY if parents else _DIRECTORY)
    try:
        with _attempt("open the directory of", path):
            for place, part in enumerate(parents, 1):
                step = _step(descriptor, part, _DIRECTORY if place == len(parents) else _ON_THE_WAY, create=create)
                os.close(descriptor)
                descriptor = step
                if step < 0:
                    break
        yield descriptor, name
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _step(directory: int, name: str, how: int, *, create: bool) -> int:
    try:
        return os.open(name, how, dir_fd=directory)
    except FileNotFoundError:
        if not create:
            return -1
    # Whatever the umask, systemd and others must be able to look inside; a mode set afterwards could be lost in a cut.
    mask = os.umask(0o022)
    try:
        os.mkdir(name, 0o755, dir_fd=directory)
    finally:
        os.umask(mask)
    _sync(directory)
    return os.open(name, how, dir_fd=directory)


def _sync(on_the_way: int) -> None:
    """Make the names in a directory durable that was opened only to pass through."""
    descriptor = os.open(".", _DIRECTORY, dir_fd=on_the_way)
    with _closing(descriptor):
        os.fsync(descriptor)


@contextlib.contextmanager
def _closing(descriptor: int) -> Generator[None]:
    """Close at the end; an error of that is one of the attempt around it."""
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _attempt(verb: str, path: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise _failed(verb, path, error) from error


def _failed(verb: str, path: str, error: OSError) -> HostError:
    hint = _HINTS.get(error.errno or 0, "see the kernel log for the device below it")
    code = "read-failed" if verb == "read" else "write-failed"
    return HostError(f"{verb} {path}: {error.strerror}", code=code, hint=hint)
