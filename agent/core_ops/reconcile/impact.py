"""What a changed config file means for a unit that uses it: a reload will do, or only a restart brings it in.

A unit that offers a reload is spared a restart when each changed file reaches it in a way that a reload looks at again. An
environment file, a credential and a single file mounted into a container do not: they are read, or bound by inode, at start.
"""

from collections.abc import Iterable, Iterator

from core_ops.reconcile.kinds import KINDS, unit_name
from core_ops.reconcile.model import Item
from core_ops.reconcile.quadlet import host_paths
from core_ops.reconcile.unitfile import Assignment, UnitText

# Settings whose file systemd reads once, before the program runs, or binds as it is then.
_READ_AT_START = frozenset(
    {
        *("EnvironmentFile", "LoadCredential", "LoadCredentialEncrypted", "ImportCredential"),
        *("BindPaths", "BindReadOnlyPaths", "RootImage", "ExtensionImages", "OpenFile"),
    }
)


def offers_reload(text: UnitText) -> bool:
    """Whether a unit says how it takes new settings without a restart.

    Source:
        systemd.service(5), ExecReload= and Type=notify-reload; podman-systemd.unit(5), ReloadCmd= and ReloadSignal=.
    """
    if any(text.last("Container", key) for key in ("ReloadCmd", "ReloadSignal")):
        return True
    return bool(text.values("Service", "ExecReload")) or text.last("Service", "Type") == "notify-reload"


def reload_suffices(file_name: str, text: UnitText, changed: Iterable[Item]) -> bool:
    """Whether a reload makes the unit take in all the changed config files.

    Args:
        file_name: the unit's file.
        text: the unit with its drop-ins.
        changed: config files it uses.
    """
    name = unit_name(file_name)
    if name is None or not offers_reload(text):
        return False
    container = KINDS[name.suffix].type == "container"
    native = KINDS[name.suffix].form == "systemd"
    for item in changed:
        path = f"/{item.object.name}"
        named = tuple(_named(text, path))
        if not named or not (native or container):
            return False
        if not all(_looked_at_again(a, path, container=container) for a in named):
            return False
    return True


def _named(text: UnitText, path: str) -> Iterator[Assignment]:
    for a in text.assignments:
        if any(path == p or path.startswith(f"{p}/") for p in host_paths(UnitText((a,)))):
            yield a


def _looked_at_again(a: Assignment, path: str, *, container: bool) -> bool:
    exact = path in host_paths(UnitText((a,)))
    if container:  # a directory shows the file that replaced the old one, a file bound by itself stays the old one
        return a.section == "Container" and a.key in {"Volume", "Mount"} and not exact
    program = a.key.startswith("Exec") and exact and host_paths(UnitText((a,)))[0] == path
    return a.key not in _READ_AT_START and not program
