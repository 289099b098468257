"""Which files are units, what systemd calls them, and where they go.

One table serves the layout, the planner and the documentation. A Quadlet file is the source of a generated unit with another
name; a native file is the unit itself.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
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

# Where a manifest belongs that was put elsewhere, or nearly has its name.
MISPLACED = {
    "host.yaml": "move it to hosts/<host>/host.yaml",
    "host.yml": "name it host.yaml",
    "Host.yaml": "name it host.yaml",
    "host.toml": "move it to hosts/<host>/host.toml",
    "service.yaml": "move it to services/<service>/service.yaml",
    "service.toml": "move it to services/<service>/service.toml",
    "service.yml": "name it service.yaml",
    "Service.yaml": "name it service.yaml",
}


# A drop-in directory of a shortened name, such as `multi-.target.d`, must not reach one of these either.
_DASHED = (
    *("core-ops.service", "core-ops.timer", "dbus-broker.service"),
    *("multi-user.target", "network-online.target", "network-pre.target"),
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


@lru_cache(maxsize=16384)
def dropin_targets(file_name: str) -> tuple[str, ...]:
    """Return what the drop-in directories of a unit are called, without their `.d`, the one that counts most first.

    Of two drop-ins with one name only the first is read. `a-b@1.container` is read with `a-b@1.container.d`, the template's
    `a-b@.container.d`, those of shortened names (`a-@.container.d`, `a-.container.d`), and `container.d`.

    Source:
        systemd.unit(5) and systemd 257's lookup; podman-systemd.unit(5) and Podman 5.4's lookup, which know different
        shortened names of templates.
    """
    suffix = file_name.rpartition(".")[2]
    quadlet = suffix in KINDS and KINDS[suffix].form == "quadlet"
    names = _quadlet_targets(file_name, suffix) if quadlet else _systemd_targets(file_name, suffix)
    return tuple(dict.fromkeys((*names, suffix)))


def _quadlet_targets(file_name: str, suffix: str) -> Iterator[str]:
    stem, at, instance = file_name.removesuffix(f".{suffix}").partition("@")
    yield file_name
    if instance:
        yield f"{stem}@.{suffix}"
    parts = stem.split("-")
    for length in range(len(parts) - 1, 0, -1):
        shorter = "-".join(parts[:length]) + "-"
        if at:
            yield f"{shorter}@.{suffix}"
        yield f"{shorter}.{suffix}"


def _systemd_targets(file_name: str, suffix: str) -> Iterator[str]:
    yield file_name
    stem, at, instance = file_name.removesuffix(f".{suffix}").partition("@")
    if at and instance:
        yield from _systemd_targets(f"{stem}@.{suffix}", suffix)
    cut = stem.removesuffix("-")  # one dash at the end is passed over
    if (place := cut.rfind("-")) > 0:
        shorter = cut[: place + 1]
        yield from _systemd_targets(f"{shorter}@{instance}.{suffix}" if instance else f"{shorter}.{suffix}", suffix)


def reserved(name: str) -> bool:
    """Whether a unit, or any of those that a drop-in directory is for, belongs to the system or to CoreOps.

    Args:
        name: a unit's file name, or the name of a drop-in directory without its `.d`.
    """
    if RESERVED.match(name) or (name in KINDS and KINDS[name].form == "systemd"):
        return True
    stem, _, suffix = name.rpartition(".")
    return stem.endswith("-") and any(r.startswith(stem) and r.endswith(f".{suffix}") for r in _DASHED)


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
