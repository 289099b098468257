"""What a unit file generates and how it relates to other units, predicted from its text alone.

The rules are Podman's (podman-systemd.unit(5)) and systemd's (systemd.unit(5)); they hold without either program being
there, so that an author gets the same answer on a laptop as the host will.
"""

import re
from collections.abc import Iterable, Iterator

from msgspec.structs import astuple

from core_ops.reconcile.escape import where
from core_ops.reconcile.keys import YES
from core_ops.reconcile.kinds import KINDS, UnitName
from core_ops.reconcile.model import Value
from core_ops.reconcile.mountneeds import MountNeeds
from core_ops.reconcile.quoting import SPECIAL, split, unquoted
from core_ops.reconcile.references import needed, pod_of
from core_ops.reconcile.unitfile import UnitText

_STRONG = ("Requires", "BindsTo", "PartOf", "Requisite")
_UNIT_KEYS = ("After", "Before", *_STRONG, "Wants", "Upholds")
_SEPARATORS = tuple(map(re.compile, (r"\s+", "[:,=]", r"""[\s:,="']+""", r"""[\s:,="'`;&|<>()]+""")))
_NOTHING = re.compile(r"/(?:\.?/)*(?:\.$)?")  # `//` and `/./` are `/`
_PODMAN_YES = frozenset({"1", "yes", "true", "on"})  # Podman 5.4's generator; systemd has more words
_PATH_LIMIT = 4096  # PATH_MAX: the kernel takes no longer one
_EXEC_PREFIXES = "-+!@|"  # systemd.service(5), special executable prefixes; EnvironmentFile= knows `-` too


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


class Peers(Value, frozen=True):
    """What a unit has to know of the other files of its host.

    `units` maps a unit file's name to its runtime unit, `members` a pod's file name to the units it starts with itself,
    `mounts` a path to the unit that mounts it.
    """

    units: dict[str, str]
    members: dict[str, tuple[str, ...]]
    mounts: dict[str, str]


class Mentions(Value, frozen=True):
    """The names that a unit's text says, before anything is known of the units that other files become.

    `holds` are the Quadlet files it is started from, its `pod` among them. The others are words of `[Unit]` as they stand
    there, and `activates` units.
    """

    holds: tuple[str, ...]
    after: tuple[str, ...]
    before: tuple[str, ...]
    strong: tuple[str, ...]
    wants: tuple[str, ...]
    activates: tuple[str, ...]
    pod: str = ""
    starts_with_pod: bool = True


def mentions(name: UnitName, text: UnitText) -> Mentions:
    """Return the names in a unit's text.

    Args:
        name: the file's name.
        text: the file with its drop-ins.
    """
    unit = {key: text.words("Unit", key) for key in _UNIT_KEYS}
    pod = pod_of(name, text)
    used = (*(needed(name, text) if KINDS[name.suffix].form == "quadlet" else ()), *((pod,) if pod else ()))
    return Mentions(
        holds=tuple(r.file_name for r in used),
        after=unit["After"],
        before=unit["Before"],
        strong=tuple(word for key in _STRONG for word in unit[key]),
        wants=tuple(word for key in ("Wants", "Requires", "BindsTo", "Upholds") for word in unit[key]),
        activates=_activates(name, text),
        pod=pod.file_name if pod else "",
        starts_with_pod=not pod or _starts_with_pod(text),
    )


def peers(files: Iterable[tuple[UnitName, Mentions, str]]) -> Peers:
    """Return what the given files (name, names in it, runtime unit) are to each other."""
    units: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    for name, said, unit in sorted(files, key=lambda f: f[0].file_name):
        units[name.file_name] = unit
        if said.pod and said.starts_with_pod:
            members.setdefault(said.pod, []).append(unit)
    started = {pod: tuple(found) for pod, found in members.items()}
    return Peers(units, started, {where(unit): unit for name, unit in units.items() if name.endswith(".mount")})


def _starts_with_pod(text: UnitText) -> bool:
    said = [a.value for a in text.assignments if (a.section, a.key) == ("Container", "StartWithPod")]
    return not said or unquoted(said[-1]).lower() in _PODMAN_YES


def runtime_unit(name: UnitName, text: UnitText) -> str:
    """Return the name systemd will know this file by.

    Source:
        podman-systemd.unit(5): `ServiceName=`, and the suffixes per kind; Podman's generator appends them to the whole stem,
        so that `x@.volume` becomes `x@-volume.service`, which is no template.
    """
    kind = KINDS[name.suffix]
    if kind.form == "systemd":
        return name.file_name
    given = unquoted(text.last(kind.section, "ServiceName"))
    if given:
        return f"{given}.service"
    return f"{name.stem}{kind.unit_suffix}"


def related(name: UnitName, said: Mentions, unit: str, known: Peers, mounts: MountNeeds) -> Relations:
    """Return how a unit relates to others, with every name turned into the unit systemd knows.

    A container is bound to its pod, which starts before it and starts it too. A unit is bound to the mounts of the paths it
    needs. Quadlet files named in a Quadlet file's [Unit] mean their units, as in Podman after 5.4; before that systemd ignored
    them, and reading them costs a restart too many.

    Args:
        name: the file's name.
        said: the names in the file with its drop-ins.
        unit: its runtime unit.
        known: the other files of the host.
        mounts: the mounts of the host that it hangs on.
    """
    quadlet = KINDS[name.suffix].form == "quadlet"

    def named(words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(known.units.get(word, word) for word in words) if quadlet else words

    holds = tuple(known.units.get(file_name, file_name) for file_name in said.holds)
    members = known.members.get(name.file_name, ())
    activates = tuple(u for u in said.activates if u != unit)
    relation = Relations(
        after=(*holds, *named(said.after), *mounts.strong, *mounts.wants),
        before=(*members, *named(said.before), *activates),  # systemd.timer(5), .socket(5), .path(5): implicit Before=
        strong=(*holds, *named(said.strong), *mounts.strong),
        wants=(*members, *holds, *named(said.wants), *mounts.strong, *mounts.wants),
        activates=activates,
    )
    return Relations(*(_others(unit, names) for names in astuple(relation)))


def _activates(name: UnitName, text: UnitText) -> tuple[str, ...]:
    match name.suffix:
        case "timer":
            return (text.last("Timer", "Unit") or f"{name.stem}.service",)
        case "socket":
            if text.last("Socket", "Accept").lower() in YES:
                return (f"{name.stem}@.service",)
            return (text.last("Socket", "Service") or f"{name.stem}.service",)
        case "path":
            return (text.last("Path", "Unit") or f"{name.stem}.service",)
        case "automount":
            return (f"{name.stem}.mount",)
        case _:
            return ()


def host_paths(text: UnitText) -> tuple[str, ...]:
    """Return every absolute path that the unit's text names, in the host's sense: `%E` stands for `/etc`.

    A unit uses a config file when it names the file or a directory above it (`Volume=`, `EnvironmentFile=`, `ExecStart=`,
    `LoadCredential=` ...); reading all values alike misses no setting that a later systemd adds. A path may be quoted or
    escaped, stand inside a quoted command, or be one part of a word: all readings are taken, since a path too many costs
    a restart and one too few leaves a unit on what it no longer has.
    """
    values = {a.value: None for a in text.assignments if "/" in a.value or "\\" in a.value}
    words = (word for value in values for word in _parts(value))
    own = (f"%E/{word}" for word in text.words("Service", "ConfigurationDirectory"))  # systemd.exec(5): below /etc
    paths = (_expanded(word.lstrip(_EXEC_PREFIXES)) for word in (*words, *own))
    return tuple(dict.fromkeys(path for path in paths if path != ""))


def _parts(value: str) -> Iterator[str]:
    """Yield everything in a value that may be a path."""
    words = split(value, "command").words if SPECIAL.search(value) else ()
    yield from words
    for text in (value, *words):
        for separators in _SEPARATORS:
            yield from separators.split(text)


def _expanded(word: str) -> str:
    """Return an absolute path as systemd simplifies it; nothing for any other word."""
    path = f"/etc{word[2:]}" if word.startswith("%E/") else word
    if not path.startswith("/") or len(path) > _PATH_LIMIT:
        return ""
    return _NOTHING.sub("/", path.replace("%%", "%")).rstrip("/")


def _others(unit: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return each name once; nearly always there is none, and a large host asks for thousands."""
    return tuple(dict.fromkeys(other for other in names if other != unit)) if names else names
