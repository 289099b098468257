"""Which files are units, what systemd calls them, and where they go.

One table serves the layout, the planner and the documentation. A Quadlet file is the source of a generated unit with another
name; a native file is the unit itself.
"""

import re
from typing import Literal

from core_ops.reconcile.model import ResourceType, Value

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
UNIT_STEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.-]*(@[A-Za-z0-9:_.-]*)?\Z")
NAME_LIMIT = 200  # file names end at 255 bytes; a prefix, a suffix and a temporary name must still fit

# Units that belong to the system or to this agent: replacing one could lock everybody out.
RESERVED = re.compile(
    r"(core-ops|systemd-|dbus\.|dbus-broker|init\.scope|-\.|(system|user|machine)\.slice"
    r"|(basic|default|emergency|graphical|multi-user|network(-online|-pre)?|rescue|shutdown|sysinit)\.target)"
)

# Where a manifest belongs that was put elsewhere, or nearly has its name.
MISPLACED = {
    "host.yaml": "move it to hosts/<host>/host.yaml",
    "host.yml": "name it host.yaml",
    "Host.yaml": "name it host.yaml",
    "service.yaml": "move it to services/<service>/service.yaml",
    "service.yml": "name it service.yaml",
    "Service.yaml": "name it service.yaml",
}


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
    if not dot or suffix not in KINDS or not UNIT_STEM.match(stem):
        return None
    return UnitName(stem, suffix)


def misnamed(file_name: str) -> tuple[str, str]:
    """Return why a name is not that of a unit that can be deployed, and what to do about it."""
    suffix = file_name.rpartition(".")[2]
    if suffix == "d":
        return f"“{file_name[:60]}” is a file", "make it a directory of drop-ins: <unit>.d/<name>.conf"
    if suffix.lower() in KINDS and suffix not in KINDS:
        return f"“{file_name[:60]}” is no name for a unit", f"write the suffix in lower case: .{suffix.lower()}"
    if suffix not in KINDS or "." not in file_name:
        hint = f"units end in {supported()}; other files belong below config/"
        return f"“{file_name[:60]}” is no unit that can be deployed", hint
    if len(file_name) > NAME_LIMIT:
        return f"the name is {len(file_name)} characters long", f"use at most {NAME_LIMIT}"
    return (
        f"“{file_name}” is no name for a unit",
        "begin it with a letter or digit, then letters, digits, : _ . - and one @",
    )


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
