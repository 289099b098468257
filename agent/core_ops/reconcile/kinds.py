"""Which files are units, what systemd calls them, and where they go.

One table serves the layout, the planner and the documentation. A Quadlet file is the source of a generated unit with another
name; a native file is the unit itself.
"""

import re
from typing import Literal

from core_ops.reconcile.model import ResourceType, Value

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
UNIT_STEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.-]*(@[A-Za-z0-9:_.-]*)?\Z")
# A path in systemd's spelling; a first dot is always escaped, and `-` is the root.
MOUNT_STEM = re.compile(r"(-|(?:[A-Za-z0-9:_]|\\x[0-9a-f]{2})(?:[A-Za-z0-9:_.-]|\\x[0-9a-f]{2})*)\Z")
NAME_LIMIT = 200  # file names end at 255 bytes; a prefix, a suffix and a temporary name must still fit

# Units that belong to the system or to this agent: replacing one could lock everybody out.
RESERVED = re.compile(
    r"(core-ops|systemd-|dbus\.|dbus-broker|init\.scope|-\.|(system|user|machine)\.slice"
    r"|(basic|default|emergency|graphical|multi-user|network(-online|-pre)?|rescue|shutdown|sysinit)\.target)"
)


class Kind(Value, frozen=True):
    """One kind of unit file.

    `form` says which program reads it, `section` which section it must have (a target or slice may have none of its own),
    `unit_suffix` what is appended to the stem to name the unit systemd knows.
    """

    type: ResourceType
    form: Literal["quadlet", "systemd"]
    section: str
    unit_suffix: str


KINDS: dict[str, Kind] = {
    "container": Kind("container", "quadlet", "Container", ".service"),
    "network": Kind("network", "quadlet", "Network", "-network.service"),
    "volume": Kind("volume", "quadlet", "Volume", "-volume.service"),
    "pod": Kind("pod", "quadlet", "Pod", "-pod.service"),
    "kube": Kind("kube", "quadlet", "Kube", ".service"),
    "image": Kind("image", "quadlet", "Image", "-image.service"),
    "build": Kind("build", "quadlet", "Build", "-build.service"),
    "service": Kind("service", "systemd", "Service", ".service"),
    "socket": Kind("socket", "systemd", "Socket", ".socket"),
    "timer": Kind("timer", "systemd", "Timer", ".timer"),
    "target": Kind("target", "systemd", "", ".target"),
    "path": Kind("path", "systemd", "Path", ".path"),
    "slice": Kind("slice", "systemd", "", ".slice"),
    "mount": Kind("mount", "systemd", "Mount", ".mount"),
    "automount": Kind("automount", "systemd", "Automount", ".automount"),
}


class UnitName(Value, frozen=True):
    """A unit's file name taken apart: `web@1.container` is stem `web@1`, suffix `container`."""

    stem: str
    suffix: str

    @property
    def file_name(self) -> str:
        """The name as it stands on disk."""
        return f"{self.stem}.{self.suffix}"


def unit_name(file_name: str) -> UnitName | None:
    """Return the parts of a unit file's name, or None when it is no kind that can be deployed."""
    stem, dot, suffix = file_name.rpartition(".")
    rule = MOUNT_STEM if suffix in {"mount", "automount"} else UNIT_STEM
    if not dot or suffix not in KINDS or not rule.match(stem):
        return None
    return UnitName(stem, suffix)


def template_of(file_name: str) -> str:
    """Return the template that a name is an instance of (`x@1.service` of `x@.service`), or the name itself."""
    stem, at, rest = file_name.partition("@")
    return f"{stem}@.{rest.rpartition('.')[2]}" if at else file_name


def is_template(unit: str) -> bool:
    """Whether a unit's name is that of a template, which systemd can't start by itself."""
    return "@." in unit


def supported() -> str:
    """Return the suffixes in words, for messages."""
    return " ".join(f".{suffix}" for suffix in sorted(KINDS))
