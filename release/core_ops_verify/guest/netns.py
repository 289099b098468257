"""A named network namespace that outlives a guest's boots, so that a server beside it does too.

Uses ip-netns(8)'s names: `ip netns exec NAME` and nftables rules from outside work on it.
"""

import shutil
import subprocess
from pathlib import Path

from core_ops_verify.errors import GuestError, MachineError

NAMED = Path("/run/netns")


def ensure(name: str) -> bool:
    """Make the namespace when there is none of that name, and tell whether it was made.

    Raises:
        GuestError: It could not be made.
        MachineError: The machine has no `ip`.
    """
    if (NAMED / name).exists():
        return False
    _ip("netns", "add", name)
    # A server beside the guest needs loopback before the guest's systemd brings it up.
    _ip("-n", name, "link", "set", "lo", "up")
    return True


def remove(name: str) -> None:
    """Remove the namespace's name; the namespace itself goes with the last process in it."""
    if (NAMED / name).exists():
        _ip("netns", "delete", name)


def _ip(*argv: str) -> None:
    if shutil.which("ip") is None:
        raise MachineError("share a network namespace: ip is missing", hint="install the package iproute2")
    done = subprocess.run(["ip", *argv], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise GuestError(f"ip {' '.join(argv)}: {done.stderr.strip()}")
