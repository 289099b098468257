"""A layout and a host become the host's desired state: every file it should have, layered and addressed.

Only what the host's manifest selects counts. This module puts units in their places; drop-ins are layered in `dropins`,
config files placed in `configs`.
"""

from collections.abc import Container, Iterator

from core_ops.reconcile.claims import Claims
from core_ops.reconcile.configs import config_items
from core_ops.reconcile.cycles import cycles
from core_ops.reconcile.definition import defined
from core_ops.reconcile.dropins import DropIns
from core_ops.reconcile.flood import capped
from core_ops.reconcile.graph import Graph, build
from core_ops.reconcile.kinds import KINDS, UnitName, unit_name
from core_ops.reconcile.layout import HostTree, Layout, ServiceTree, UnitSource
from core_ops.reconcile.model import Desired, Directories, Finding, Item, Obj, Source, Value
from core_ops.reconcile.mounts import automounts, unsupported
from core_ops.reconcile.mounts import faults as mount_faults
from core_ops.reconcile.quadlet import runtime_unit
from core_ops.reconcile.references import faults, references
from core_ops.reconcile.roots import exclusive_roots
from core_ops.reconcile.taken import taken
from core_ops.reconcile.unitfile import UnitText, parse

RULES = 3  # raise it when the same tree renders to something else


class Rendered(Value, frozen=True):
    """What a host should have, together with how its units depend on each other.

    With `refusals` (each once, sorted by place) it is what is left of the host without the files that can't be used: good for
    being looked at, and nothing that a host may become.
    """

    desired: Desired
    graph: Graph
    refusals: tuple[Finding, ...] = ()


def render(layout: Layout, host: str, source: Source, directories: Directories) -> Desired | tuple[Finding, ...]:
    """Return what `host` should have, or the refusals that concern it, sorted by place, of each file as many as are read."""
    found = resolve(layout, host, source, directories)
    return capped(found.refusals) if found.refusals else found.desired


def resolve(layout: Layout, host: str, source: Source, directories: Directories) -> Rendered:
    """Return what `host` should have with its graph, and every refusal that concerns it."""
    tree = next((h for h in layout.hosts if h.name == host), None)
    if tree is None:
        return Rendered(Desired(source, host, directories, RULES, ()), Graph({}, ()), _unknown_host(layout, host))
    renderer = _Renderer(layout, tree, directories)
    items = renderer.items()
    exclusive = renderer.exclusive()
    ordered = tuple(sorted(items, key=lambda item: item.object))
    desired = Desired(source, host, directories, RULES, ordered, exclusive)
    graph = build(desired)
    return Rendered(desired, graph, tuple(sorted({*renderer.claims.findings, *cycles(graph)})))


def _unknown_host(layout: Layout, host: str) -> tuple[Finding, ...]:
    own = tuple(f for f in layout.findings if f.path.startswith(f"hosts/{host}/") or f.path == f"hosts/{host}")
    if own:
        return own
    known = ", ".join(h.name for h in layout.hosts) or "none"
    hint = f"add it, or name another host with --host (hosts here: {known})"
    return (Finding(f"hosts/{host}/host.yaml", 0, "MissingHost", "is not in the repository", hint),)


def unit_text(source: UnitSource) -> UnitText | tuple[Finding, ...]:
    """Return a unit file's text, or why it is none: bad syntax, or without the section its kind needs."""
    text = parse(source.content, source.path)
    name = unit_name(source.name)
    if name is None or isinstance(text, tuple):
        return text
    section = KINDS[name.suffix].section
    if not section or section in text.sections:
        return text
    near = next((s for s in text.sections if s.lower() == section.lower()), "")
    hint = f"write [{section}] instead of [{near}]" if near else f"add a [{section}] section"
    return (Finding(source.path, 0, "BadUnit", f"has no [{section}] section", hint),)


class _Parsed(Value, frozen=True):
    """A unit of the selection with its text (drop-ins included) and its runtime unit."""

    name: UnitName
    source: UnitSource
    text: UnitText
    unit: str


class _Renderer:
    def __init__(self, layout: Layout, host: HostTree, directories: Directories) -> None:
        self._host = host
        self._directories = directories
        self.claims = Claims()
        self._services = tuple(self._selected(layout))
        here = {s.name for s in self._services}
        self._elsewhere = {u.name: s.name for s in layout.services if s.name not in here for u in s.units}
        self._dropins = DropIns(self._services, host)
        roots = (f"hosts/{host.name}/", *(f"services/{name}/" for name, _ in host.manifest.services))
        self.claims.findings.extend(f for f in layout.findings if f.path.startswith(roots) or _stray(f))

    def _selected(self, layout: Layout) -> Iterator[ServiceTree]:
        known = {s.name: s for s in layout.services}
        misnamed = {f.path.split("/")[1] for f in layout.findings if f.code == "ReservedName" and f.path.count("/") > 1}
        manifest = self._host.manifest.path
        for name, line in self._host.manifest.services:
            if name in known:
                yield known[name]
            elif name not in misnamed:  # that name is refused already, and saying that it is missing would be wrong
                hint = f"add services/{name}/, or take {name} out of the list"
                message = f"selects “{name}”, but there is no services/{name}/"
                self.claims.refuse(Finding(manifest, line, "MissingService", message, hint))

    def items(self) -> list[Item]:
        # What is refused by itself is there all the same: who refers to it, or has a drop-in for it, is not at fault.
        runtime = {n.file_name: runtime_unit(n, UnitText()) for n in self._declared()}
        units = {p.name.file_name: p for s in self._services for u in s.units if (p := self._parsed(u))}
        items = [self._unit_item(p) for p in units.values()]
        runtime |= {name: p.unit for name, p in units.items()}
        items += self._dropins.items(runtime, self._directories, self.claims)
        items += config_items(self._services, self._host, self._directories, self.claims)
        self._dangling(units, runtime)
        known = {name: (p.name, p.text, p.source.path) for name, p in units.items()}
        self.claims.findings.extend(automounts(known, runtime))
        return items

    def _declared(self) -> Iterator[UnitName]:
        """Yield the units of the selection, also those that stand in the wrong place."""
        yield from (name for s in self._services for u in s.units if (name := unit_name(u.name)))
        for finding in self.claims.findings:
            parts = finding.path.split("/")
            if parts[0] == "services" and "config" not in parts[2:3] and (name := unit_name(parts[-1])):
                yield name

    def exclusive(self) -> tuple[str, ...]:
        return exclusive_roots(self._services, self._host, self._directories, self.claims)

    def _parsed(self, source: UnitSource) -> _Parsed | None:
        name = unit_name(source.name)
        text = unit_text(source)
        if name is None or isinstance(text, tuple):
            self.claims.findings.extend(text if isinstance(text, tuple) else ())
            return None
        if name.suffix != "mount":
            self.claims.findings.extend(unsupported(text))
        means = defined(name, ((source.content, source.path), *self._dropins.files(name)))
        unit = means.unit
        wrong = (*faults(name, means.text, source.path), *mount_faults(name, means.text, source.path))
        self.claims.findings.extend((*wrong, *taken(name, means.text, unit, source.path)))
        free = self.claims.claim(self._directories.unit_path(name.file_name, KINDS[name.suffix].form), source.path)
        return _Parsed(name, source, means.text, unit) if free and self.claims.claim(unit, source.path) else None

    def _unit_item(self, p: _Parsed) -> Item:
        kind = KINDS[p.name.suffix]
        return Item(
            object=Obj(kind.type, p.name.stem),
            path=self._directories.unit_path(p.name.file_name, kind.form),
            content=p.source.content,
            mode=0o644,
            unit=p.unit,
            sources=(p.source.path,),
        )

    def _dangling(self, units: dict[str, _Parsed], declared: Container[str]) -> None:
        found = {r for p in units.values() for r in references(p.name, p.text) if r.file_name not in declared}
        for reference in found:
            message = f"refers to {reference.file_name}, which no selected service declares"
            elsewhere = self._elsewhere.get(reference.file_name)
            hint = f"add {reference.file_name} to a selected service, or correct the name"
            if elsewhere:
                hint = f"select {elsewhere}, which has it, in host.yaml, or correct the name"
            self.claims.refuse(Finding(reference.path, reference.line, "DanglingReference", message, hint))


def _stray(finding: Finding) -> bool:
    """Whether the refusal is of something outside any service or host: it may have been meant for every host."""
    return finding.path.count("/") <= 1 and not finding.path.startswith("hosts/")
