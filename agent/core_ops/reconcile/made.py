"""What Podman's generator makes of the Quadlet files before and after a change: only that reaches a unit that runs.

A setting written out with the value that it has anyway, or one that the generator does not pass on, makes no other unit.
Without a generator nobody can tell, and every setting of a Quadlet file counts.
"""

from collections.abc import Iterable, Mapping

from core_ops.reconcile.complaints import Generated
from core_ops.reconcile.keys import QUADLET_SECTIONS, taken_in
from core_ops.reconcile.meaning import differences
from core_ops.reconcile.model import Desired, LastApplied, Value
from core_ops.reconcile.preflight import staged
from core_ops.reconcile.unitfile import UnitText, parse

_OWN = QUADLET_SECTIONS | {"Quadlet"}
_SOURCES = frozenset({("Unit", "SourcePath")})


class Made(Value, frozen=True):
    """The units that the generator makes, by name, of what was applied last and of what is desired; empty when not asked."""

    before: Mapping[str, UnitText]
    after: Mapping[str, UnitText]

    def spares(self, unit: str, old: UnitText, new: UnitText) -> bool:
        """Whether a change of Quadlet files makes no other unit.

        Args:
            unit: the generated unit.
            old: its Quadlet file with all drop-ins, as applied last.
            new: the same, as desired.
        """
        if unit not in self.before or unit not in self.after:
            return False
        own = all(d.section in _OWN or taken_in(d.section, d.key) for d in differences(old, new))
        return own and not self.differs(unit)

    def differs(self, unit: str) -> bool:
        """Whether another unit is made, be it because of its own file or of one that it refers to."""
        if unit not in self.before or unit not in self.after:
            return False
        return any(_counts(d.section, d.key) for d in differences(self.before[unit], self.after[unit]))


NOTHING_MADE = Made({}, {})


def _counts(section: str, key: str) -> bool:
    """Whether a setting of a generated unit reaches what runs; `X-` sections repeat the Quadlet file."""
    return not section.startswith("X-") and (section, key) not in _SOURCES and not taken_in(section, key)


def worth_asking(desired: Desired, last: LastApplied) -> bool:
    """Whether Quadlet files differ between what was applied last and what is desired, so that the generator may be asked."""
    return last.desired is not None and _quadlets(last.desired) != _quadlets(desired)


def _quadlets(desired: Desired) -> tuple[tuple[str, bytes], ...]:
    return staged(desired).quadlet


def made(before: Iterable[Generated], after: Iterable[Generated]) -> Made:
    """Return what the generator printed, read."""
    return Made(_read(before), _read(after))


def _read(units: Iterable[Generated]) -> dict[str, UnitText]:
    texts = ((g.unit, parse(g.content.encode(), g.unit)) for g in units)
    return {unit: text for unit, text in texts if isinstance(text, UnitText)}
