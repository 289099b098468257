"""Which names of the system or of this agent a unit would take, whatever its own file is called.

A Quadlet file names its unit with `ServiceName=`, and `Alias=` gives any unit more names. What `WantedBy=` and the like make
are links to the unit's own name and take none.
"""

import re
from collections.abc import Iterator, Mapping

from core_ops.reconcile.kinds import KINDS, UnitName, reserved
from core_ops.reconcile.model import Finding
from core_ops.reconcile.quoting import split
from core_ops.reconcile.unitfile import UnitText

_SPECIFIER = re.compile(r"%[A-Za-z%]")
_LINKED = (".wants", ".requires", ".upholds")  # a link in such a directory pulls a unit in, and gives no name


def taken(name: UnitName, text: UnitText, unit: str, path: str) -> Iterator[Finding]:
    """Yield the names that a unit must not have.

    Args:
        name: the file's name.
        text: the file with its drop-ins.
        unit: its runtime unit.
        path: repository path of the file, for a name that comes from the file's own.

    Source:
        systemd.unit(5), `Alias=`; podman-systemd.unit(5), `ServiceName=`; Podman 5.4, which joins both with its directory as
        paths, so that `x/../dbus.service` is `dbus.service` and `dbus.service.d/x.conf` a drop-in.
    """
    if KINDS[name.suffix].form == "quadlet":
        yield from _service_name(name, text, unit, path)
    for a in text.effective("Install", "Alias"):
        for word in split(a.value, "strings").words:
            if any(map(_reserved, _expanded(word, name, unit).split("/"))):
                message = f"Alias={word} would be a name that belongs to the system or to CoreOps"
                yield Finding(a.path, a.line, "ReservedName", message, "choose another name, or remove the line")


def _service_name(name: UnitName, text: UnitText, unit: str, path: str) -> Iterator[Finding]:
    line = next(iter(text.effective(KINDS[name.suffix].section, "ServiceName")[-1:]), None)
    if line and "/" in unit:
        message = f"ServiceName={line.value} is a path, where podman would write the unit"
        yield Finding(line.path, line.line, "BadUnit", message, "name the service, without a slash")
    elif line and reserved(unit):
        message = f"ServiceName={line.value} makes {unit}, which belongs to the system or to CoreOps"
        yield Finding(line.path, line.line, "ReservedName", message, "choose another name, or remove the line")
    elif reserved(unit):
        message = f"becomes {unit}, which belongs to the system or to CoreOps"
        yield Finding(path, 0, "ReservedName", message, "choose another name")


def _reserved(part: str) -> bool:
    """Whether one part of an alias is a name, or the directory of drop-ins of one, that nobody may take."""
    return not part.endswith(_LINKED) and "." in part and reserved(part.removesuffix(".d"))


def _expanded(word: str, name: UnitName, unit: str) -> str:
    """Return an alias with what its unit's own name puts in."""
    if "%" not in word:
        return word
    stem = unit.rpartition(".")[0]
    prefix, _, instance = stem.partition("@")
    known: Mapping[str, str] = {
        "%n": unit,
        "%N": stem,
        "%p": prefix,
        "%j": prefix.rpartition("-")[2],
        "%i": instance or name.stem.partition("@")[2],
    }
    return _SPECIFIER.sub(lambda found: known.get(found.group(), found.group()), word)
