"""What a unit file generates and refers to, predicted from its text alone.

The rules are Podman's (podman-systemd.unit(5)) and systemd's (systemd.unit(5)); they hold without either program being
there, so that an author gets the same answer on a laptop as the host will.
"""

import re

from core_ops.reconcile.kinds import KINDS, UnitName
from core_ops.reconcile.model import Value
from core_ops.reconcile.unitfile import UnitText

_STRONG = ("Requires", "BindsTo", "PartOf", "Requisite")
_SEPARATORS = re.compile(r"""[\s:,="']+""")
_EXEC_PREFIXES = "-+!@|"  # systemd.service(5), special executable prefixes; EnvironmentFile= knows `-` too


class Reference(Value, frozen=True):
    """A name one unit file uses for another file of the same host, and the line that uses it."""

    file_name: str
    line: int


class Relations(Value, frozen=True):
    """What a unit's text says about other units, by unit name.

    `after` and `before` order starts; `strong` units pull this one down with them when they stop (and are part of what it
    was started from); `wants` are started with it; `activates` names the units it starts when something happens.
    """

    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    strong: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    activates: tuple[str, ...] = ()


def runtime_unit(name: UnitName, text: UnitText) -> str:
    """Return the name systemd will know this file by.

    Source:
        podman-systemd.unit(5): `ServiceName=`, and the suffixes per kind; a template keeps its `@` before the suffix.
    """
    kind = KINDS[name.suffix]
    if kind.form == "systemd":
        return name.file_name
    given = text.last(kind.section, "ServiceName")
    if given:
        return f"{given}.service"
    stem, at, instance = name.stem.partition("@")
    infix = kind.unit_suffix.removesuffix(".service")
    return f"{stem}{infix}{at}{instance}.service"


def references(name: UnitName, text: UnitText) -> tuple[Reference, ...]:
    """Return the Quadlet files that this Quadlet file needs: its networks and named volumes."""
    kind = KINDS[name.suffix]
    if kind.form != "quadlet":
        return ()
    return tuple(
        Reference(candidate, a.line)
        for a in text.assignments
        if a.section == kind.section
        for candidate in _candidates(a.key, a.value)
        if candidate.endswith((".network", ".volume"))
    )


def _candidates(setting: str, value: str) -> tuple[str, ...]:
    if setting in {"Network", "Volume"}:
        return (value.partition(":")[0],)
    if setting == "Mount":
        options = (part.partition("=") for part in value.split(","))
        return tuple(source for key, _, source in options if key in {"source", "src"})
    return ()


def relations(name: UnitName, text: UnitText, unit: str, units_of_files: dict[str, str]) -> Relations:
    """Return how this unit relates to others, with every name turned into the unit systemd knows.

    Args:
        name: the file's name.
        text: the file with its drop-ins.
        unit: its runtime unit.
        units_of_files: file name -> runtime unit, for every unit file of the host.
    """

    def named(*keys: str) -> tuple[str, ...]:
        return tuple(units_of_files.get(word, word) for key in keys for word in text.words("Unit", key))

    needed = tuple(units_of_files.get(r.file_name, r.file_name) for r in references(name, text))
    activates = tuple(u for u in _activates(name, text) if u != unit)
    return Relations(
        after=_unique(needed + named("After")),
        before=_unique((*named("Before"), *activates)),  # systemd.timer(5), systemd.socket(5): implicit Before=
        strong=_unique(needed + named(*_STRONG)),
        wants=_unique(needed + named("Wants", "Requires", "BindsTo", "Upholds")),
        activates=activates,
    )


def _activates(name: UnitName, text: UnitText) -> tuple[str, ...]:
    match name.suffix:
        case "timer":
            return (text.last("Timer", "Unit") or f"{name.stem}.service",)
        case "socket":
            if text.last("Socket", "Accept").lower() in {"yes", "true", "on", "1"}:
                return (f"{name.stem}@.service",)
            return (text.last("Socket", "Service") or f"{name.stem}.service",)
        case _:
            return ()


def host_paths(text: UnitText) -> tuple[str, ...]:
    """Return every absolute path that the unit's text names, in the host's sense: `%E` stands for `/etc`.

    A unit uses a config file when it names the file or a directory above it (`Volume=`, `EnvironmentFile=`, `ExecStart=`,
    `LoadCredential=` ...); reading all values alike misses no setting that a later systemd adds.
    """
    words = (word.lstrip(_EXEC_PREFIXES) for a in text.assignments for word in _SEPARATORS.split(a.value))
    return _unique(tuple(path for path in map(_expanded, words) if path.startswith("/")))


def _expanded(word: str) -> str:
    return (f"/etc{word[2:]}" if word.startswith("%E/") else word).rstrip("/")


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
