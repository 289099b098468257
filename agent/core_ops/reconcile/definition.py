"""A unit as its own files define it, whatever else the host has.

Hosts of one repository share most units, and one run looks at each of them several times; so what only depends on the files is
found once for each combination of them.
"""

from functools import lru_cache

from core_ops.reconcile.keys import INSTALL_KEYS
from core_ops.reconcile.kinds import UnitName
from core_ops.reconcile.meaning import fingerprint
from core_ops.reconcile.model import Value
from core_ops.reconcile.quadlet import Mentions, host_paths, mentions, runtime_unit
from core_ops.reconcile.unitfile import UnitText, layered, parse


class Definition(Value, frozen=True):
    """What the files of a unit say together.

    `unit` is the runtime unit, `paths` are those on the host that the text names, `said` the names of other units,
    `installs` tells whether the unit asks to be started at boot, and `meaning` is a digest of what the text means.
    """

    name: UnitName
    text: UnitText
    unit: str
    paths: tuple[str, ...]
    said: Mentions
    installs: bool
    meaning: str


@lru_cache(maxsize=16384)
def defined(name: UnitName, files: tuple[tuple[bytes, str], ...]) -> Definition:
    """Return what a unit file and its drop-ins say together.

    Args:
        name: the unit file's name.
        files: content and repository path of each, in the order in which they are read; what can't be parsed says nothing.
    """
    text = layered(t for content, path in files if isinstance(t := parse(content, path), UnitText))
    return Definition(
        name=name,
        text=text,
        unit=runtime_unit(name, text),
        paths=host_paths(text),
        said=mentions(name, text),
        installs=any(text.values("Install", key) for key in INSTALL_KEYS),
        meaning=_meaning(name, text),
    )


def _meaning(name: UnitName, text: UnitText) -> str:
    """Return a digest of what a unit is started from: of a volume its name, since podman keeps the rest as it was made."""
    if name.suffix != "volume":
        return fingerprint(text)
    rest = UnitText(tuple(a for a in text.assignments if a.section != "Volume"), text.sections)
    return f"{fingerprint(rest)} {text.last('Volume', 'VolumeName')}"
