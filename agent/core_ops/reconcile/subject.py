"""What lints look at, and what they say: one rendered host with its units, and remarks with a place.

Every group of lints shares these values, so that each of them stands in a module of its own and the table of all of them in
`lints`.
"""

from typing import Literal, NamedTuple

from core_ops.reconcile.graph import Node
from core_ops.reconcile.kinds import UnitName, unit_name
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


class Subject(NamedTuple):
    """What lints look at: one host, its units, and what its manifest asks of images."""

    rendered: Rendered
    units: tuple[Unit, ...]
    images: str
