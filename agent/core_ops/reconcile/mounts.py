"""What a mount and an automount must say, and where none may be.

systemd finds both by their file name, which has to be the path they are for; a file that is named otherwise is loaded as
broken. The text is judged with all its drop-ins, and a finding stands at the line that a person would change.
"""

from collections.abc import Container, Iterator, Mapping

from core_ops.reconcile.escape import climbs, covers, escaped, simple, unescaped
from core_ops.reconcile.keys import NO, YES
from core_ops.reconcile.kinds import KINDS, UnitName
from core_ops.reconcile.model import Finding
from core_ops.reconcile.unitfile import Assignment, UnitText

SECTION = "X-CoreOps"
_KEY = "CreateMountpoint"
_MOUNTS = frozenset({"mount", "automount"})

# A mount here would hide the system, what CoreOps writes, or what the kernel shows, from everybody at once.
_NEVER = frozenset({"/", "/var", "/var/lib", "/tmp"})  # noqa: S108 - no file of ours, but a place that is refused
_NEVER_BELOW = (
    *("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr", "/etc", "/var/lib/core-ops"),
    *("/boot", "/efi", "/sysroot", "/ostree", "/proc", "/sys", "/dev", "/run", "/var/run"),
)

# Source: systemd 257, which takes `fuse.` off first; systemd.mount(5), "Default Dependencies".
_NETWORK_TYPES = frozenset(
    {
        *("afs", "ceph", "cifs", "davfs", "gfs", "gfs2", "glusterfs", "lustre", "ncp", "ncpfs"),
        *("nfs", "nfs4", "ocfs2", "pvfs2", "smb3", "smbfs", "sshfs"),
    }
)


def hides_system(name: UnitName) -> bool:
    """Return whether a unit would mount over a place that the host or this agent can't do without."""
    if name.suffix not in _MOUNTS:
        return False
    path = simple(unescaped(name.stem))
    return path in _NEVER or any(covers(place, path) for place in _NEVER_BELOW)


def creates(text: UnitText) -> bool:
    """Return whether a missing mount point is made: yes, unless the unit says `CreateMountpoint=` no."""
    return text.last(SECTION, _KEY).lower() not in NO


def options(text: UnitText) -> tuple[str, ...]:
    """Return a mount's options one by one."""
    return tuple(text.last("Mount", "Options").split(","))


def is_bind(text: UnitText) -> bool:
    """Return whether a mount shows a path of this host at another place."""
    return bool({"bind", "rbind"}.intersection((*options(text), text.last("Mount", "Type"))))


def is_network_type(type_: str) -> bool:
    """Return whether a file system of this type is reached over the network."""
    return type_.removeprefix("fuse.") in _NETWORK_TYPES


def is_network(text: UnitText) -> bool:
    """Return whether systemd takes a mount for one over the network.

    Source:
        systemd.mount(5): by its type, or by `_netdev` among its options.
    """
    return is_network_type(text.last("Mount", "Type")) or "_netdev" in options(text)


def faults(name: UnitName, text: UnitText, path: str) -> Iterator[Finding]:
    """Yield what systemd or this agent can't take of a mount or automount; nothing for other kinds.

    Args:
        name: the file's name.
        text: the file with its drop-ins.
        path: repository path of the file, for what is missing from it.
    """
    if name.suffix not in _MOUNTS:
        return
    section = KINDS[name.suffix].section
    yield from moved(section, text) or _misplaced(name, section, text, path)
    if name.suffix == "mount":
        if not text.last(section, "What"):
            yield _bad(path, 0, "has no What= in [Mount]", "say in What= what is mounted")
        yield from _own_section(text)


def moved(section: str, text: UnitText) -> tuple[Finding, ...]:
    """Return a host's attempt to mount at another place: services rely on the path, and the file is named after it."""
    lines = tuple(a for a in text.assignments if (a.section, a.key) == (section, "Where"))
    ours = UnitText(tuple(a for a in lines if not a.path.startswith("hosts/")))
    last = next((a for a in reversed(lines) if a.path.startswith("hosts/")), None)
    was, now = ours.last(section, "Where"), text.last(section, "Where")
    if last is None or (bool(was), simple(was)) == (bool(now), simple(now)):
        return ()
    message = f"a host cannot move a mount: Where= is {was or 'not set'} in the service"
    return (Finding(last.path, last.line, "MountStem", message, "remove the line, or change Where= in the service"),)


def _misplaced(name: UnitName, section: str, text: UnitText, path: str) -> Iterator[Finding]:
    line = next(iter(text.effective(section, "Where")[-1:]), None)
    if line is None:
        hint = f"add {_spelled(name) or 'Where=, and name the file after it'}"
        yield _bad(path, 0, f"has no Where= in [{section}]", hint)
    elif fault := _no_path(line.value):
        yield _bad(line.path, line.line, f"Where={line.value} {fault}", "write the whole path, as it is on the host")
    else:
        stem = escaped(line.value.replace("%%", "%"))
        if stem != name.stem:
            yield _misnamed(name, stem, line)


def _misnamed(name: UnitName, stem: str, line: Assignment) -> Finding:
    right = UnitName(stem, name.suffix).file_name
    own = _spelled(name)
    hint = f"rename {name.file_name} to {right}" + (f", or write {own}" if own else "")
    return Finding(line.path, line.line, "MountStem", f"Where={line.value} needs the file name {right}", hint)


def _spelled(name: UnitName) -> str:
    """Return the `Where=` line that a file name spells, or nothing where no such line can be written."""
    path = simple(unescaped(name.stem))
    if not path.isprintable() or escaped(path) != name.stem or climbs(path):  # lone bytes are not printable either
        return ""
    return f"Where={path.replace('%', '%%')}"


def _no_path(value: str) -> str:
    if not value.startswith("/"):
        return "is not absolute"
    if climbs(value):
        return "climbs with .."
    return "has a specifier" if "%" in value.replace("%%", "") else ""


def _own_section(text: UnitText) -> Iterator[Finding]:
    yield from unsupported(text, _KEY)
    for a in text.effective(SECTION, _KEY)[-1:]:
        if a.value.lower() not in YES | NO:
            yield _bad(a.path, a.line, f"{_KEY}={a.value} is neither yes nor no", "write true or false")


def unsupported(text: UnitText, *known: str) -> Iterator[Finding]:
    """Yield the settings of `[X-CoreOps]` that nobody knows; only a mount has one that somebody does."""
    for a in text.assignments:
        if a.section == SECTION and a.key not in known:
            hint = f"only a mount has [{SECTION}], and in it {_KEY}= alone; remove the line"
            yield _bad(a.path, a.line, f"unsupported {SECTION} field {a.key}=", hint)


def automounts(units: Mapping[str, tuple[UnitName, UnitText, str]], declared: Container[str]) -> Iterator[Finding]:
    """Yield the automounts that have no mount to start, or one that is not reached over the network.

    Args:
        units: name, text with drop-ins and repository path of every unit of the host, by file name.
        declared: the file names of these and of the units that can't be read.
    """
    for name, text, path in units.values():
        if name.suffix == "automount":
            line = next(iter(text.effective("Automount", "Where")[-1:]), Assignment("", "", "", 0, path))
            mount = f"{name.stem}.mount"
            if mount not in declared:
                message = f"mounts {mount}, which no selected service declares"
                yield Finding(line.path, line.line, "DanglingReference", message, f"add {mount} to a selected service")
            elif mount in units and not is_network(units[mount][1]):
                message = f"{mount} is no network file system, and automounts are for those"
                hint = f"give {mount} an [Install] section instead, or its network Type=, or _netdev in Options="
                yield _bad(line.path, line.line, message, hint)


def _bad(path: str, line: int, message: str, hint: str) -> Finding:
    return Finding(path, line, "BadUnit", message, hint)
