"""What lints look at, and what they say: one rendered host with its units, and remarks with a place.

Every group of lints shares these values, so that each of them stands in a module of its own and the table of all of them in
`lints`.
"""

from typing import Literal, NamedTuple

from core_ops.reconcile.graph import Node
from core_ops.reconcile.kinds import UnitName, dropin_targets, unit_name
from core_ops.reconcile.layers import Layer
from core_ops.reconcile.render import Rendered
from core_ops.reconcile.unitfile import UnitText

Level = Literal["error", "warning", "note"]


class Remark(NamedTuple):
    """One place and what is to be said of it; `line` is 0 when the whole file is meant.

    `level` is empty unless this remark is more or less serious than its lint usually is.
    """

    path: str
    line: int
    message: str
    hint: str
    level: Level | None = None


class Unit(NamedTuple):
    """A unit of the host with its files."""

    node: Node
    layers: tuple[Layer, ...]

    @property
    def text(self) -> UnitText:
        """What its files say together; each line knows its file."""
        return self.node.text

    @property
    def name(self) -> UnitName:
        """The name of the unit's own file."""
        name = unit_name(self.node.item.path.rpartition("/")[2])
        if name is None:
            msg = f"{self.node.item.path} was rendered without being a unit"
            raise AssertionError(msg)
        return name


def read_whole(units: tuple[Unit, ...], rendered: Rendered) -> tuple[Unit, ...]:
    """Return the units that no refused file may belong to: what is said of all lines of one of them stays true.

    A drop-in that reaches none of the units, with a misspelled name perhaps, may have been meant for any of them, and so may
    those of a service that is missing.

    Args:
        units: the units of the host that could be read.
        rendered: the host.
    """
    if any(f.code == "MissingService" for f in rendered.refusals):
        return ()
    lost = _lost_targets(rendered)
    if not lost:
        return units
    reached: set[str] = set()
    whole: list[Unit] = []
    for unit in units:
        mine = lost.intersection((*dropin_targets(unit.name.file_name), *dropin_targets(unit.node.unit)))
        reached |= mine
        if not mine:
            whole.append(unit)
    return tuple(whole) if reached >= lost else ()


def _lost_targets(rendered: Rendered) -> frozenset[str]:
    """Return what the drop-ins that are left out are for; one for a unit that is left out too changes nobody."""
    used = {path for item in rendered.desired.items for path in item.sources}
    refused = {f.path for f in rendered.refusals} - used
    names = {path.rpartition("/")[2] for path in refused}
    parts = (part for path in refused if "config" not in path.split("/")[2:4] for part in path.split("/")[1:])
    return frozenset(part.removesuffix(".d") for part in parts if part.endswith(".d")) - names


class Subject(NamedTuple):
    """What lints look at: one host, its units, and what its manifest asks of images."""

    rendered: Rendered
    units: tuple[Unit, ...]
    images: str
