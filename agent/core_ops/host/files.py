"""Files on the host: looked at and changed without ever following a symbolic link or leaving half a file.

Each change walks from the root one directory at a time with `O_NOFOLLOW`. All contents are staged first, as durable temporary
files beside their targets, so that a full or read-only disk is met before anything is stopped; then each is renamed. A cut
at any point leaves the old file, the new file, or a temporary file that the next run removes.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Generator, Iterable
from collections.abc import Set as AbstractSet

import msgspec

from core_ops.errors import HostError
from core_ops.host import walk
from core_ops.host.walk import Walk
from core_ops.reconcile.model import FileState
from core_ops.reconcile.planned import RemoveFile, WriteFile

# A desired file has at most 1 MiB, so one byte more is enough to know that what stands there is something else.
READ_LIMIT_BYTES = 1024 * 1024 + 1
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
    (state,) = observe_all((path,))
    return state


def observe_all(paths: Iterable[str]) -> tuple[FileState, ...]:
    """Return what stands at each path, as `observe`; paths that are sorted share the way.

    What lies behind a link is `other`, as a link itself: it is no file of ours, whatever it says, and nothing is written there.

    Raises:
        HostError: one is there but can't be read.
    """
    path, states = "/", list[FileState]()
    try:
        with Walk() as way:
            for path in paths:
                states.append(_seen(way, path))
    except OSError as error:
        raise _failed("read", path, error) from error
    return tuple(states)


def _seen(way: Walk, path: str) -> FileState:
    head, _, name = path.rpartition("/")
    try:
        directory = way.to(head)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return FileState(path, "other")
        if error.errno == errno.ENOTDIR:
            return FileState(path, "absent")
        raise
    return _state(path, directory, name)


def _state(path: str, directory: int, name: str) -> FileState:
    """Return what has a name in an open directory; -1 is one that is not there."""
    if directory < 0:
        return FileState(path, "absent")
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return FileState(path, "absent")
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a symbolic link, or a socket or FIFO without a peer
            return FileState(path, "other")
        raise
    with _closing(descriptor):
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return FileState(path, "other")
        chunks: list[bytes] = []
        left = READ_LIMIT_BYTES
        while left and (chunk := os.read(descriptor, left)):
            chunks.append(chunk)
            left -= len(chunk)
        return FileState(path, "file", b"".join(chunks), stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid)


def stage(effect: WriteFile, owners: tuple[int, int], tops: AbstractSet[str] = frozenset()) -> tuple[str, ...]:
    """Write the content beside its path, durably, under the temporary name; nothing is replaced yet.

    Args:
        effect: what is to be written.
        owners: the ids of the user and the group that it is to belong to.
        tops: directories from which on nobody else may be able to replace it; the innermost above the path counts.

    Returns:
        The directories that had to be made, outermost first.

    Raises:
        HostError: the kernel refuses, or somebody else could replace the file; the temporary file and those directories are
            gone again.
    """
    way = Walk(max((t for t in tops if effect.path.startswith(f"{t}/")), key=len, default=""))
    try:
        with _attempt("write", effect.path), way:
            _stage(way, effect, owners)
    except HostError:
        unmake(way.made)
        raise
    return tuple(way.made)


def _stage(way: Walk, effect: WriteFile, owners: tuple[int, int]) -> None:
    directory, name = _directory(way, effect.path, create=True)
    temporary = temporary_name(name)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=directory)
    try:
        _create(temporary, directory, effect, owners)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=directory)
        raise


def unmake(directories: Iterable[str]) -> None:
    """Remove directories that a run made and left empty, given outermost first."""
    with contextlib.suppress(OSError), Walk() as way:
        for directory in reversed(tuple(directories)):
            with contextlib.suppress(OSError):
                way.remove(directory)


def commit(effect: WriteFile) -> None:
    """Put what was staged at its path, if what stands there is still what planning saw.

    Raises:
        HostError: `changed-under-us` when it is not, `write-failed` when the kernel refuses.
    """
    with _attempt("write", effect.path), Walk() as way:
        directory, name = _directory(way, effect.path)
        _unchanged("write", effect, directory, name)
        if directory < 0:  # what was staged is gone, too
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        os.rename(temporary_name(name), name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)


def _unchanged(verb: str, effect: WriteFile | RemoveFile, directory: int, name: str) -> None:
    with _attempt("read", effect.path):
        now = _state(effect.path, directory, name)
    if now.kind == "absent" and isinstance(effect, RemoveFile):
        return
    if now != msgspec.structs.replace(effect.expected, path=effect.path):
        raise HostError(
            f"{verb} {effect.path}: it changed after the plan was made",
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
        HostError: `changed-under-us` when it is not what planning saw, `write-failed` when the kernel refuses. A file that is
            gone already is no failure.
    """
    with _attempt("remove", effect.path), Walk() as way:
        directory, name = _directory(way, effect.path)
        if directory >= 0:
            _unchanged("remove", effect, directory, name)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
            os.fsync(directory)
        with _attempt("remove the directory of", effect.path):
            way.remove_empty(effect.path.rpartition("/")[0], keep)  # once its last file is forgotten nobody comes back


def sweep(paths: Iterable[str]) -> None:
    """Remove the temporary files that a failed or killed run may have left beside paths, so that they do not come back."""
    with contextlib.suppress(OSError), Walk() as way:
        for path in paths:
            head, _, name = path.rpartition("/")
            with contextlib.suppress(OSError):
                if (directory := way.to(head)) >= 0:
                    os.unlink(temporary_name(name), dir_fd=directory)
                    walk.sync(directory)


def _directory(way: Walk, path: str, *, create: bool = False) -> tuple[int, str]:
    """Open the directory of a path, so that its names can be kept; the number is -1 when it is not there."""
    head, _, name = path.rpartition("/")
    with _attempt("open the directory of", path):
        return way.to(head, walk.READABLE, create=create), name


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
