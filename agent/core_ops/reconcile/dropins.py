"""Drop-ins of one host: which apply to which unit, and under which names they are installed.

A drop-in is for one unit, for the instances of a template, for all units whose names begin alike (`web-.container.d/`), or
for all Quadlet files of a kind (`container.d/`). Base drop-ins come before host drop-ins whatever their names, which the
installed names keep (`10-base-…` before `20-host-…`), so that systemd's own ordering gives the documented layering.
"""

from collections.abc import Iterable, Iterator, Mapping

from core_ops.reconcile.claims import Claims
from core_ops.reconcile.kinds import KINDS, UnitName, dropin_targets
from core_ops.reconcile.layout import DropInSource, HostTree, ServiceTree
from core_ops.reconcile.model import Directories, Finding, Item, Obj
from core_ops.reconcile.mounts import unsupported
from core_ops.reconcile.unitfile import UnitText, parse

BASE_PREFIX, HOST_PREFIX = "10-base", "20-host"


class DropIns:
    """The drop-ins of the selected services and of the host."""

    def __init__(self, services: Iterable[ServiceTree], host: HostTree) -> None:
        base = ((BASE_PREFIX, d) for s in services for d in s.dropins)
        self._all = (*base, *((HOST_PREFIX, d) for d in host.dropins))
        self._by_target: dict[str, dict[str, DropInSource]] = {}
        for prefix, dropin in self._all:
            self._by_target.setdefault(dropin.unit, {})[f"{prefix}-{dropin.name}"] = dropin

    def texts(self, name: UnitName) -> Iterator[UnitText]:
        """Yield the drop-ins of a unit's own file by name; of two with one name, the one for fewer units counts."""
        found: dict[str, DropInSource] = {}
        for target in dropin_targets(name.file_name):
            found = self._by_target.get(target, {}) | found
        for _, dropin in sorted(found.items()):
            if isinstance(text := parse(dropin.content, dropin.path), UnitText):
                yield text

    def items(self, units: Mapping[str, str], directories: Directories, claims: Claims) -> Iterator[Item]:
        """Yield the drop-ins as files of the host.

        Args:
            units: runtime units by the name of the unit file.
            directories: where they go.
            claims: the places taken so far.
        """
        known = {unit: unit for unit in units.values()} | dict(units)
        reached = {target for name in known for target in dropin_targets(name)}
        for prefix, dropin in self._all:
            text = parse(dropin.content, dropin.path)
            if isinstance(text, tuple):
                claims.findings.extend(text)
            elif dropin.unit not in reached and dropin.unit not in KINDS:
                claims.refuse(_orphan(dropin))
            else:
                claims.findings.extend(() if dropin.unit.endswith(".mount") else unsupported(text))
                name = f"{dropin.unit}.d/{prefix}-{dropin.name}"
                path = directories.unit_path(name, KINDS[dropin.unit.rpartition(".")[2]].form)
                if claims.claim(path, dropin.path):
                    unit = known.get(dropin.unit, "")
                    yield Item(Obj("dropin", name), path, dropin.content, 0o644, unit, (dropin.path,))


def _orphan(dropin: DropInSource) -> Finding:
    hint = f"add {dropin.unit} to a selected service, or remove the drop-in"
    return Finding(dropin.path, 0, "OrphanDropIn", f"is for {dropin.unit}, which no selected service has", hint)
