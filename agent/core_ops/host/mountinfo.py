"""Where file systems are mounted, and what stands where one should be.

Both are looked at through PID 1, since systemd mounts in its own view of the file system, and an agent in a unit has another
one as soon as that unit hides or replaces a directory. What lies below an automount or a network file system is never touched:
a look could mount it, or wait for a server for ever.
"""

import os
import stat

from core_ops.errors import HostError
from core_ops.reconcile.escape import covers
from core_ops.reconcile.model import MountPoint
from core_ops.reconcile.mounted import LIMIT_BYTES, Mounted, parse
from core_ops.reconcile.mounts import is_network_type

_VIEWS = (("/proc/1/mountinfo", "/proc/1/root"), ("/proc/self/mountinfo", ""))  # only root may look through PID 1


def observe(paths: tuple[str, ...]) -> tuple[MountPoint, ...]:
    """Return what stands at each path, in the given order; on a machine without such a list nothing is seen.

    Raises:
        HostError: the kernel's list can't be read, or is longer than anything a host can have.
    """
    view = _view() if paths else None
    return tuple(_observed(path, *view) if view else MountPoint(path) for path in paths)


def _view() -> tuple[tuple[Mounted, ...], str] | None:
    for path, root in _VIEWS:
        try:
            os.stat(f"{root}/")
            with open(path, "rb") as file:
                content = file.read(LIMIT_BYTES + 1)
        except (PermissionError, FileNotFoundError):
            continue
        except OSError as error:
            raise _failed(f"{path}: {error.strerror}") from error
        if len(content) > LIMIT_BYTES:
            raise _failed(f"{path}: there are more than {LIMIT_BYTES} bytes of mounts")
        return parse(content), root
    return None


def _failed(what: str) -> HostError:
    return HostError(f"read the list of mounts: {what}", code="read-failed", hint="try `findmnt`")


def _observed(path: str, mounted: tuple[Mounted, ...], root: str) -> MountPoint:
    if any(m.path == path and m.type != "autofs" for m in mounted):
        return MountPoint(path, mounted=True)
    over = max((m for m in mounted if covers(m.path, path)), key=lambda m: len(m.path), default=None)
    if over is not None and (over.type == "autofs" or is_network_type(over.type)):
        return MountPoint(path)
    return _looked(path, root)


def _looked(path: str, root: str) -> MountPoint:
    """Walk to a path one component at a time, so that the first one that is no directory is named."""
    at = ""
    for part in path.strip("/").split("/"):
        at = f"{at}/{part}"
        try:
            mode = os.lstat(f"{root}{at}").st_mode
        except (FileNotFoundError, NotADirectoryError):
            return MountPoint(path, "absent", at=at)
        except OSError:
            return MountPoint(path)  # not for us to see; systemd will say what it thinks of it
        if stat.S_ISLNK(mode):
            return MountPoint(path, "link", at=at)
        if not stat.S_ISDIR(mode):
            return MountPoint(path, "file" if stat.S_ISREG(mode) else "other", at=at)
    return MountPoint(path, "directory", at=path, empty=_is_empty(f"{root}{path}"))


def _is_empty(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError:
        return True
