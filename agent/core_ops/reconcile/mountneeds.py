"""Which paths a unit needs to be mounted before it starts, and so which mounts of the host it hangs on.

systemd adds these dependencies by itself, from `RequiresMountsFor=` and from settings that name a path; Podman's generator
writes `RequiresMountsFor=` for what a container is given of the host. Only mounts of the host's desired state count.
"""

from collections.abc import Iterator, Mapping

from core_ops.reconcile.escape import climbs, covers, simple, where
from core_ops.reconcile.kinds import KINDS, UnitName
from core_ops.reconcile.model import Value
from core_ops.reconcile.mounts import is_bind, is_network, options
from core_ops.reconcile.references import host_sources
from core_ops.reconcile.unitfile import UnitText

# What stands for which path in the units of the system. Source: systemd.unit(5), "Specifiers".
_SPECIFIERS = {
    "%t": "/run",
    "%E": "/etc",
    "%S": "/var/lib",
    "%C": "/var/cache",
    "%L": "/var/log",
    "%h": "/root",
    "%T": "/tmp",  # noqa: S108 - where others keep their files
    "%V": "/var/tmp",  # noqa: S108 - the same
}
# Source: systemd.exec(5), RuntimeDirectory= and the others.
_DIRECTORIES = {
    "RuntimeDirectory": "/run",
    "StateDirectory": "/var/lib",
    "CacheDirectory": "/var/cache",
    "LogsDirectory": "/var/log",
    "ConfigurationDirectory": "/etc",
}
_EXEC_SECTIONS = ("Service", "Socket", "Mount")
_LISTENING = ("ListenStream", "ListenDatagram", "ListenSequentialPacket", "ListenFIFO", "ListenSpecial")
_WATCHING = ("PathExists", "PathExistsGlob", "PathChanged", "PathModified", "DirectoryNotEmpty")


class MountNeeds(Value, frozen=True):
    """The mounts, as units, that a unit goes down with (`strong`) and those that it only starts (`wants`)."""

    strong: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()


def mount_needs(name: UnitName, text: UnitText, mounts: Mapping[str, str]) -> MountNeeds:
    """Return the mounts that a unit hangs on.

    Args:
        name: the file's name.
        text: the file with its drop-ins.
        mounts: the mounts of the host by path.

    Source:
        systemd.unit(5), RequiresMountsFor= and WantsMountsFor=; "Implicit Dependencies" in systemd.mount(5),
        systemd.automount(5), systemd.socket(5), systemd.path(5) and systemd.exec(5).
    """
    if not mounts:
        return MountNeeds()
    return MountNeeds(tuple(_holding(_required(name, text), mounts)), tuple(_holding(_wanted(text), mounts)))


def _holding(paths: Iterator[str], mounts: Mapping[str, str]) -> Iterator[str]:
    for path in map(_expanded, paths):
        if path.startswith("/") and not climbs(path):
            yield from (unit for place, unit in sorted(mounts.items()) if covers(place, simple(path)))


def _expanded(path: str) -> str:
    head = path[:2]
    return _SPECIFIERS[head] + path[2:] if head in _SPECIFIERS else path


def _required(name: UnitName, text: UnitText) -> Iterator[str]:
    yield from text.words("Unit", "RequiresMountsFor")
    for section in _exec_sections(text):
        yield from (d for d in _working_directory(section, text) if not d.startswith("-"))
        for key, root in _DIRECTORIES.items():
            yield from (f"{root}/{word.partition(':')[0]}" for word in text.words(section, key))
    if KINDS[name.suffix].form == "quadlet":
        yield from host_sources(name, text)
    yield from _own(name, text)


def _own(name: UnitName, text: UnitText) -> Iterator[str]:
    """Yield what a unit of this kind is itself about."""
    match name.suffix:
        case "mount" | "automount":
            yield where(name.file_name).rpartition("/")[0] or "/"
            if name.suffix == "mount" and (is_bind(text) or "loop" in options(text) or not is_network(text)):
                yield text.last("Mount", "What")
        case "socket":
            yield from (value for key in _LISTENING for value in text.values("Socket", key))
        case "path":
            yield from (value for key in _WATCHING for value in text.values("Path", key))
        case _:
            return


def _wanted(text: UnitText) -> Iterator[str]:
    yield from text.words("Unit", "WantsMountsFor")
    for section in _exec_sections(text):
        yield from (d[1:] for d in _working_directory(section, text) if d.startswith("-"))
        yield from (d for key in ("RootDirectory", "RootImage") if (d := text.last(section, key)))


def _exec_sections(text: UnitText) -> Iterator[str]:
    """Yield those that the unit has: most have one, and each costs a dozen searches."""
    return (section for section in _EXEC_SECTIONS if section in text.sections)


def _working_directory(section: str, text: UnitText) -> tuple[str, ...]:
    return tuple(d for d in (text.last(section, "WorkingDirectory"),) if d)
