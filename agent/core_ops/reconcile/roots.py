"""Which config roots of a host are exclusive, and which must not be.

An exclusive root holds nothing but declared files, so it has to be a directory of the service's own. One that the operating
system or a package also puts files into is refused, as is one in which another service's files are not declared to be all.
"""

from collections.abc import Iterable, Iterator

from core_ops.reconcile.claims import Claims
from core_ops.reconcile.escape import covers
from core_ops.reconcile.layout import HostTree, ServiceTree
from core_ops.reconcile.model import Directories, Finding

# Directories below /etc that packages put files into beside a service's own; those that end in `.d` are shared by custom.
_SHARED = frozenset(
    {
        *("NetworkManager", "X11", "alternatives", "apparmor", "apt", "audit", "ca-certificates", "crypto-policies"),
        *(
            "dbus-1",
            "default",
            "dnf",
            "firewalld",
            "fonts",
            "initramfs-tools",
            "ipsec",
            "kernel",
            "network",
            "nftables",
        ),
        *("opt", "pki", "polkit-1", "rpm", "security", "selinux", "skel", "ssl", "sssd", "sysconfig", "xdg"),
    }
)


def exclusive_roots(
    services: Iterable[ServiceTree], host: HostTree, directories: Directories, claims: Claims
) -> tuple[str, ...]:
    """Return the exclusive config roots of the selected services as absolute paths, sorted; refuse what may be none."""
    users = tuple(s for s in services if _uses_root(s, host))
    found: set[str] = set()
    for service in users:
        if service.manifest.exclusive:
            root = f"{directories.config}/{service.manifest.config_root}"
            reasons = (*_shared(service), *_of_units(root, directories), *_of_others(service, users))
            for message, hint in reasons:
                place = service.manifest
                claims.refuse(Finding(place.path, place.exclusive_line, "SharedRoot", message, hint))
            found.add(root)
    return tuple(sorted(found))


def _uses_root(service: ServiceTree, host: HostTree) -> bool:
    """Whether the root matters: a service without config files has one too, by its name, and nobody asked for it."""
    said = service.manifest.config_root_line or service.manifest.exclusive
    return bool(said or service.configs or any(name == service.name for name, _ in host.configs))


def _shared(service: ServiceTree) -> Iterator[tuple[str, str]]:
    top = service.manifest.config_root.partition("/")[0]
    if top in _SHARED or top.endswith(".d"):
        message = f"exclusive would remove what the operating system keeps in /etc/{top}"
        yield message, "leave exclusive out, or choose a config-root of the service's own"


def _of_units(root: str, directories: Directories) -> Iterator[tuple[str, str]]:
    for place in (directories.quadlet, directories.systemd):
        if covers(place, root) or covers(root, place):
            yield f"exclusive would remove units of others in {place}", "leave exclusive out"


def _of_others(service: ServiceTree, users: tuple[ServiceTree, ...]) -> Iterator[tuple[str, str]]:
    for other in users:
        if not other.manifest.exclusive and covers(service.manifest.config_root, other.manifest.config_root):
            message = f"exclusive would remove files of the service “{other.name}”, whose config root lies there too"
            yield message, f"make services/{other.name} exclusive as well, or leave it out here"
