"""One run at a time: a kernel lock on a file, which ends with the process that holds it, however that ends."""

import contextlib
import fcntl
import os
import time
from collections.abc import Generator
from pathlib import Path

from core_ops.errors import HostError, LockedError

STEP_S = 0.1


@contextlib.contextmanager
def held(path: Path, wait_s: float = 0.0) -> Generator[None]:
    """Hold the lock while the body runs, waiting for it at most that long.

    The file stays when the lock is gone: its presence means nothing, so a killed run never blocks a later one.

    Raises:
        LockedError: another run holds it.
        HostError: the file can't be made.
    """
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _failed("open", path, error) from error
    try:
        while not _taken(path, descriptor):
            if wait_s <= 0:
                raise LockedError(
                    f"take the lock {path}: another run of core-ops holds it",
                    code="locked",
                    hint="wait for it to end; `systemctl status core-ops.service` shows it",
                )
            time.sleep(STEP_S)
            wait_s -= STEP_S
        yield
    finally:
        with contextlib.suppress(OSError):  # the lock is gone whatever close says, and the run is over
            os.close(descriptor)


def _taken(path: Path, descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # a network file system without locks, say
        raise _failed("take", path, error) from error
    return True


def _failed(verb: str, path: Path, error: OSError) -> HostError:
    hint = "run as root, or name another --lock-path"
    return HostError(f"{verb} the lock {path}: {error.strerror}", code="lock-failed", hint=hint)


def is_held(path: Path) -> bool:
    """Return whether somebody holds the lock, without taking it: a look must not make a run that starts now give up.

    Source:
        proc_locks(5). On a file system whose device number differs there from stat(2) (btrfs), the answer is no.
    """
    try:
        facts = path.stat()
        with open("/proc/locks", encoding="ascii") as file:
            lines = file.readlines()
    except OSError:
        return False
    name = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    return any(fields[1] == "FLOCK" and name in fields for line in lines if len(fields := line.split()) > 1)
