"""The audit directory: one file per run, whole or not there, never replaced and never removed by the agent."""

import contextlib
import os
from collections.abc import Iterator

from core_ops.errors import HostError

MODE = 0o600


def write(directory: str, names: Iterator[str], content: bytes) -> str:
    """Write a record under the first name that is free and return its path.

    Raises:
        HostError: the directory can't be made or written.
    """
    temporary = f"{directory}/.core-ops-audit.new"
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)  # what a killed run left
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        return _named(directory, names, temporary)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise HostError(
            f"write a record to {directory}: {error.strerror}",
            code="audit-failed",
            hint="make that directory writable, or leave out --audit-dir",
        ) from error


def _named(directory: str, names: Iterator[str], temporary: str) -> str:
    """Give a finished record its name; a link, unlike a rename, never replaces another record."""
    for name in names:
        try:
            os.link(temporary, f"{directory}/{name}", follow_symlinks=False)
        except FileExistsError:
            continue
        os.unlink(temporary)
        return f"{directory}/{name}"
    raise FileExistsError(17, "too many records of this second")
