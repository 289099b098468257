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
from core_ops.reconcile.model import FileState, RemoveFile, WriteFile

# A desired file has at most 1 MiB, so one byte more is enough to know that what stands there is something else.
READ_LIMIT_BYTES = 1024 * 1024 + 1
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
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
    try:
        return _state(path, descriptor)
    except OSError as error:
        raise _failed("read", path, error) from error
    finally:
        os.close(descriptor)


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
    with _directory(effect.path, create=True) as (directory, name), _attempt("write", effect.path):
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
    with _directory(effect.path, create=True) as (directory, name), _attempt("write", effect.path):
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
    try:
        view = memoryview(effect.content)
        while view:
            view = view[os.write(descriptor, view) :]
        facts = os.fstat(descriptor)  # not always the agent's own group: the directory may hand down another
        if (facts.st_uid, facts.st_gid) != owners:
            os.fchown(descriptor, *owners)  # before the mode, which would let the wrong group read for a moment
        os.fchmod(descriptor, effect.mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(effect: RemoveFile, keep: frozenset[str]) -> None:
    """Take a file away, with the directories that are empty then; `keep` names those that stay.

    Raises:
        HostError: the kernel refuses. A file that is gone already is no failure.
    """
    with _directory(effect.path, create=False) as (directory, name), _attempt("remove", effect.path):
        if directory < 0:
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        os.fsync(directory)
    parent = effect.path.rpartition("/")[0]
    while parent and parent not in keep:
        try:
            os.rmdir(parent)
        except OSError:
            return  # not empty, or not ours to remove
        parent = parent.rpartition("/")[0]


def sweep(path: str) -> None:
    """Remove the temporary file that a failed or killed run may have left beside a path."""
    head, _, name = path.rpartition("/")
    with contextlib.suppress(OSError):
        os.unlink(f"{head}/{temporary_name(name)}")


@contextlib.contextmanager
def _directory(path: str, *, create: bool) -> Generator[tuple[int, str]]:
    """Open the directory of a path step by step; the number is -1 when it is not there and must not be made."""
    *parents, name = path.strip("/").split("/")
    descriptor = os.open("/", _DIRECTORY)
    try:
        with _attempt("open the directory of", path):
            for part in parents:
                step = _step(descriptor, part, create=create)
                os.close(descriptor)
                descriptor = step
                if step < 0:
                    break
        yield descriptor, name
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _step(directory: int, name: str, *, create: bool) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=directory)
    except FileNotFoundError:
        if not create:
            return -1
    os.mkdir(name, 0o755, dir_fd=directory)
    made = os.open(name, _DIRECTORY, dir_fd=directory)
    os.fchmod(made, 0o755)  # whatever the umask: systemd and others must be able to look inside
    os.fsync(directory)
    return made


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
