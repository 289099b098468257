"""A guest's control group: everything that runs in a guest is in it, so it is what pulling the plug acts on.

Works on machines whose /sys/fs/cgroup is cgroup2 and on hybrid ones, where cgroup2 is mounted without
controllers below `unified`. Both show the same hierarchy, so one path names the group in either view.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from core_ops_verify.errors import GuestError, MachineError

USUAL_MOUNT = Path("/sys/fs/cgroup")
_PATIENCE_S = 20.0


@dataclass(frozen=True)
class Hierarchy:
    """Where this machine has cgroup2 mounted."""

    mount: Path

    @property
    def pure(self) -> bool:
        """Tell whether cgroup2 is where systemd expects it, so that nothing needs to be remounted."""
        return self.mount == USUAL_MOUNT


@dataclass(frozen=True)
class Cgroup:
    """One group directly below the hierarchy's root."""

    path: Path

    def exists(self) -> bool:
        """Tell whether the group was made and not removed."""
        return self.path.is_dir()

    def populated(self) -> bool:
        """Tell whether any process lives in the group or below."""
        try:
            return "populated 1" in (self.path / "cgroup.events").read_text()
        except FileNotFoundError:
            return False

    def kill(self) -> None:
        """End every process in the group at once, as losing power would, and remove the group.

        Raises:
            GuestError: A process outlives SIGKILL, as one in an uninterruptible wait does.
        """
        if not self.exists():
            return
        (self.path / "cgroup.kill").write_text("1")
        self.wait_empty(_PATIENCE_S)
        self.remove()

    def wait_empty(self, timeout_s: float) -> None:
        """Wait until no process is left.

        Raises:
            GuestError: Some are left when the time is over.
        """
        deadline = time.monotonic() + timeout_s
        while self.populated():
            if time.monotonic() > deadline:
                raise GuestError(
                    f"wait for the processes of {self.path.name}: some are left after {timeout_s:g} s",
                    hint=f"see cgroup.procs below {self.path}",
                )
            time.sleep(0.005)

    def remove(self) -> None:
        """Remove the empty group and the groups its systemd made in it."""
        for directory, _, _ in os.walk(self.path, topdown=False):
            _remove_empty(Path(directory))


def find_hierarchy(mountinfo: str | None = None) -> Hierarchy:
    """Return where cgroup2 is mounted.

    Args:
        mountinfo: The text of /proc/self/mountinfo; read when not given.

    Raises:
        MachineError: The machine has no cgroup2 hierarchy.

    Source: proc_pid_mountinfo(5); the file system type follows a lone hyphen.
    """
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    mounts = [line.split() for line in text.splitlines()]
    found = [Path(m[4]) for m in mounts if "-" in m and m[m.index("-") + 1] == "cgroup2"]
    if not found:
        raise MachineError("find cgroup2: it is not mounted", hint="boot with systemd.unified_cgroup_hierarchy=1")
    return Hierarchy(USUAL_MOUNT if USUAL_MOUNT in found else found[0])


def _remove_empty(directory: Path) -> None:
    # The kernel lets go of a group a moment after its last process: EBUSY until then.
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            directory.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise GuestError(f"remove the control group {directory}: {error.strerror}") from error
            time.sleep(0.005)
        else:
            return
