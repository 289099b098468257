"""The way to a directory, one step at a time from the root, so that no symbolic link is ever followed.

Only descriptors are used on the way: a directory that somebody replaces by a link leads nowhere else, whenever they do it.
That holds for the whole path, also above the directories that files go to.
"""

import errno
import os
import stat
from collections.abc import Set as AbstractSet
from types import TracebackType
from typing import Self

from core_ops.errors import HostError

READABLE = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PASSED = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC  # only passed through: it may be unreadable
_STAYS = frozenset(
    {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.ENOTDIR, errno.ELOOP}
)  # others use it, or it is a mount, or a link has taken its place


class Walk:
    """The directories that are open on the way to one, and those that had to be made (`made`, outermost first).

    The next way goes on from where it parts with the last one, so that many paths in order cost little more than one. From
    `guarded` on, if that is given, each directory must be one in which nobody but root and this user may change names.
    """

    def __init__(self, guarded: str = "") -> None:
        self.made: list[str] = []
        self._guarded = guarded.strip("/").split("/") if guarded else None
        self._parts: list[str] = []
        self._open: list[int] = []  # the root, then one for each part

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._back_to(0)

    def to(self, directory: str, how: int = PASSED, *, create: bool = False) -> int:
        """Go to a directory and return its descriptor, which stays open until the next way leaves it.

        Args:
            directory: an absolute path without `.` or `..`; empty is the root.
            how: how it is opened if it is not open yet; those on the way are only passed through.
            create: whether what is missing is made, durably.

        Returns:
            The descriptor, or -1 when it is not there and must not be made.

        Raises:
            OSError: the kernel refuses; ELOOP when a link is on the way, ENOTDIR when something else is.
            HostError: `write-failed`: a guarded directory is not safe.
        """
        parts = directory.strip("/").split("/") if directory.strip("/") else []
        same = next((n for n, (a, b) in enumerate(zip(parts, self._parts, strict=False)) if a != b), None)
        self._back_to(1 + (min(len(parts), len(self._parts)) if same is None else same))
        if not self._open:
            self._open.append(os.open("/", PASSED if parts else how))
        while len(self._parts) < len(parts):
            part = parts[len(self._parts)]
            step = self._step(part, how if len(self._parts) + 1 == len(parts) else PASSED, create=create)
            if step < 0:
                return -1
            self._parts.append(part)
            self._open.append(step)
            if self._guarded and self._parts[: len(self._guarded)] == self._guarded:
                _guard("/".join(("", *self._parts)), os.fstat(step))
        return self._open[-1]

    def _back_to(self, kept: int) -> None:
        """Close what lies further down, all of it, also when the kernel complains about one."""
        failed: OSError | None = None
        while len(self._open) > kept:
            del self._parts[max(len(self._open) - 2, 0) :]
            try:
                os.close(self._open.pop())
            except OSError as error:
                failed = error
        if failed:
            raise failed

    def _step(self, name: str, how: int, *, create: bool) -> int:
        above = self._open[-1]
        try:
            return os.open(name, how, dir_fd=above)
        except FileNotFoundError:
            if not create:
                return -1
        except NotADirectoryError as error:  # what the kernel says of a link, too, if only a directory will do
            if stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
            raise
        # Whatever the umask, systemd and others must be able to look inside; a mode set afterwards could be lost in a cut.
        mask = os.umask(0o022)
        try:
            os.mkdir(name, 0o755, dir_fd=above)
        finally:
            os.umask(mask)
        self.made.append("/".join(("", *self._parts, name)))
        sync(above)
        return os.open(name, how, dir_fd=above)

    def remove_empty(self, directory: str, keep: AbstractSet[str]) -> None:
        """Remove a directory and those above while they are empty, durably, up to one of `keep`.

        What is gone already is passed over: an earlier run may have been cut between it and the one above.

        Raises:
            OSError: the kernel refuses. What is not empty, is a mount or has become a link stays, and is no failure.
        """
        removed = False
        try:
            while directory and directory not in keep:
                removed |= self.remove(directory)
                directory = directory.rpartition("/")[0]
        except OSError as error:
            if error.errno not in _STAYS:
                raise
        if removed:
            self._keep_names(directory)

    def _keep_names(self, directory: str) -> None:
        try:
            if (left := self.to(directory)) >= 0:
                sync(left)
        except OSError as error:
            if error.errno not in _STAYS:
                raise

    def remove(self, directory: str) -> bool:
        """Remove an empty directory; return whether it was there.

        Raises:
            OSError: the kernel refuses, or it is not empty.
        """
        above, _, name = directory.rpartition("/")
        parent = self.to(above)
        if parent < 0:
            return False
        try:
            os.rmdir(name, dir_fd=parent)
        except FileNotFoundError:
            return False
        return True


def _guard(directory: str, facts: os.stat_result) -> None:
    """Refuse a directory in which somebody else could put another file in the place of ours.

    It is judged here and not when a plan is made: only what is true of the open directory holds for what is written there.
    """
    if facts.st_uid not in {0, os.geteuid()}:
        raise HostError(
            f"write below {directory}: it belongs to the user with the number {facts.st_uid}",
            code="write-failed",
            hint=f"`chown root {directory}`, or put the file elsewhere: its owner could replace what is written there",
        )
    others = stat.S_IWOTH if facts.st_gid in {0, os.getegid()} else stat.S_IWOTH | stat.S_IWGRP
    if facts.st_mode & others and not facts.st_mode & stat.S_ISVTX:  # in a sticky one only the owner replaces a file
        raise HostError(
            f"write below {directory}: its group or everybody may write there",
            code="write-failed",
            hint=f"`chmod go-w {directory}`, or put the file elsewhere: others could replace what is written there",
        )


def sync(passed: int) -> None:
    """Make what was done to the names in an open directory outlast a power cut, also if it was opened to pass through."""
    descriptor = os.open(".", READABLE, dir_fd=passed)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
