"""What a base tree is made of, as a value: equal recipes have equal digests and share one cached tree.

The tree stands in for Fedora CoreOS: systemd, podman with Quadlet, no Python. Debian's trixie is the oldest
release whose podman has Quadlet and whose packages an ordinary CI machine can install from.
"""

import platform
from dataclasses import asdict, dataclass

from core_ops_verify.guest.cache import digest

_SYSTEM = ("systemd", "systemd-sysv", "dbus", "udev", "libpam-systemd", "dbus-user-session", "libnss-systemd")
_CONTAINERS = (
    *("podman", "crun", "netavark", "aardvark-dns", "nftables", "catatonit"),
    *("uidmap", "passt", "slirp4netns", "fuse-overlayfs"),  # codespell:ignore passt
)
_TOOLS = (
    *("openssh-server", "openssh-client", "git", "ca-certificates", "iproute2", "procps", "kmod"),
    *("e2fsprogs", "busybox-static"),
    "docker-registry",  # not on a real host: images are pulled from it over loopback
    "sshfs",  # a network file system that needs no kernel module but fuse: automounts are for those
    "strace",  # not on a real host: fault injection counts system calls, so it must start the program itself
)
_INTERPRETER = ("python3.13-minimal", "libpython3.13-minimal", "libpython3.13-stdlib", "python3-systemd")
_LEFT_OUT = (
    *("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*"),
    "/usr/lib/udev/hwdb.d/*",  # compiling it takes seconds, and a container has no hardware to name
)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the content of a base tree, mirrors aside: they hold the same packages."""

    suite: str = "trixie"
    machine: str = platform.machine()
    packages: tuple[str, ...] = _SYSTEM + _CONTAINERS + _TOOLS
    beside: tuple[str, ...] = _INTERPRETER
    """Packages unpacked next to the tree and not installed into it: the agent's interpreter."""
    left_out: tuple[str, ...] = _LEFT_OUT
    revision: int = 1
    """Raised when the steps of `base` change in a way the other fields do not show."""

    @property
    def digest(self) -> str:
        """Return the name of what this recipe makes."""
        return digest(asdict(self))


def arguments(recipe: Recipe) -> tuple[str, ...]:
    """Return mmdebstrap's options for a recipe, target and sources aside.

    The essential variant leaves out apt, which nothing in a guest may run. `force-unsafe-io` saves an fsync
    for each of ten thousand files; an unfinished tree is thrown away in any case.
    """
    return (
        *("--mode=root", "--variant=essential", "--format=directory", "--verbose"),
        '--aptopt=Apt::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.left_out),
        f"--include={','.join(recipe.packages)}",
    )
