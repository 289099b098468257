"""A layout and a host become the host's desired state: every file it should have, layered and addressed.

Only what is selected in `host.yaml` counts. Base drop-ins come before host drop-ins whatever their names, which the installed
names keep (`10-base-…` before `20-host-…`), so that systemd's own ordering gives the documented layering.
"""

from collections.abc import Iterator

from core_ops.reconcile.graph import Graph, build
from core_ops.reconcile.kinds import KINDS, UnitName, template_of, unit_name
from core_ops.reconcile.layout import ConfigSource, DropInSource, HostTree, Layout, ServiceTree, UnitSource
from core_ops.reconcile.model import Desired, Directories, Finding, Item, Obj, Source, Value
from core_ops.reconcile.quadlet import runtime_unit
from core_ops.reconcile.references import faults, references
from core_ops.reconcile.unitfile import UnitText, layered, parse

# A config root at one of these would let a config file become a unit or change who is trusted.
_FORBIDDEN_ROOTS = ("systemd", "containers", "core-ops", "udev", "pam.d", "sudoers.d", "ssh")


RULES = 2  # raise it when the same tree renders to something else


class Rendered(Value, frozen=True):
    """What a host should have, together with how its units depend on each other."""

    desired: Desired
    graph: Graph


def render(layout: Layout, host: str, source: Source, directories: Directories) -> Desired | tuple[Finding, ...]:
    """Return what `host` should have, or every refusal that concerns it, sorted by place."""
    found = resolve(layout, host, source, directories)
    return found.desired if isinstance(found, Rendered) else found


def resolve(layout: Layout, host: str, source: Source, directories: Directories) -> Rendered | tuple[Finding, ...]:
    """Return what `host` should have with its graph, or every refusal that concerns it, sorted by place."""
    tree = next((h for h in layout.hosts if h.name == host), None)
    if tree is None:
        return _unknown_host(layout, host)
    renderer = _Renderer(layout, tree, directories)
    items = renderer.items()
    if renderer.findings:
        return tuple(sorted(renderer.findings))
    desired = Desired(source, host, directories, RULES, tuple(sorted(items, key=lambda item: item.object)))
    graph = build(desired)
    return _cycle(graph) or Rendered(desired, graph)


def _cycle(graph: Graph) -> tuple[Finding, ...]:
    if not graph.cycle:
        return ()
    names = " -> ".join((*graph.cycle, graph.cycle[0]))
    hint = "remove one of the After=, Before=, Network= or Volume= lines between them"
    place = graph.nodes[graph.cycle[0]].item.sources[0]
    return (Finding(place, 0, "DependencyCycle", f"waits for itself: {names}", hint),)


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
    return (Finding(source.path, 0, "BadUnit", f"has no [{section}] section", f"add a [{section}] section"),)


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
        self._places: dict[str, str] = {}  # target path or unit -> repository path that claimed it
        self.findings: list[Finding] = []
        self._services = tuple(self._selected(layout))
        self._dropins = self._dropins_by_unit()
        roots = (f"hosts/{host.name}/", *(f"services/{s.name}/" for s in self._services))
        self.findings.extend(f for f in layout.findings if f.path.startswith(roots) or _stray(f))

    def _selected(self, layout: Layout) -> Iterator[ServiceTree]:
        known = {s.name: s for s in layout.services}
        manifest = f"hosts/{self._host.name}/host.yaml"
        for name, line in self._host.manifest.services:
            if name in known:
                yield known[name]
            else:
                hint = f"add services/{name}/ or take it out of services:"
                message = f"selects “{name}”, but there is no services/{name}/"
                self.findings.append(Finding(manifest, line, "MissingService", message, hint))

    def items(self) -> list[Item]:
        units = {p.name.file_name: p for s in self._services for u in s.units if (p := self._parsed(u))}
        items = [self._unit_item(p) for p in units.values()]
        items += self._dropin_items(units)
        for service in self._services:
            items += self._config_items(service)
        self._unclaimed_host_configs()
        self._dangling(units)
        return items

    def _parsed(self, source: UnitSource) -> _Parsed | None:
        name = unit_name(source.name)
        text = unit_text(source)
        if name is None or isinstance(text, tuple):
            self.findings.extend(text if isinstance(text, tuple) else ())
            return None
        text = layered((text, *self._dropin_texts(name)))
        self.findings.extend(faults(name, text, source.path))
        unit = runtime_unit(name, text)
        free = self._claim(self._unit_path(name.file_name, name.suffix), source.path)
        return _Parsed(name, source, text, unit) if free and self._claim(unit, source.path) else None

    def _dropins_by_unit(self) -> dict[str, dict[str, DropInSource]]:
        """Return the drop-ins by the unit they are for and the name they are installed under."""
        found: dict[str, dict[str, DropInSource]] = {}
        base = (("10-base", d) for s in self._services for d in s.dropins)
        for prefix, dropin in (*base, *(("20-host", d) for d in self._host.dropins)):
            found.setdefault(dropin.unit, {})[f"{prefix}-{dropin.name}"] = dropin
        return found

    def _dropin_texts(self, name: UnitName) -> Iterator[UnitText]:
        """Yield the drop-ins of a unit's own file by name; an instance's replace those of its template."""
        both = self._dropins.get(template_of(name.file_name), {}) | self._dropins.get(name.file_name, {})
        for _, dropin in sorted(both.items()):
            if isinstance(text := parse(dropin.content, dropin.path), UnitText):
                yield text

    def _claim(self, place: str, path: str) -> bool:
        holder = self._places.setdefault(place, path)
        if holder == path:
            return True
        hint = "remove or rename one of them"
        message = f"wants {place}, which {holder} already provides"
        self.findings.append(Finding(path, 0, "DestinationConflict", message, hint))
        return False

    def _unit_path(self, file_name: str, suffix: str) -> str:
        form = KINDS[suffix].form
        return f"{self._directories.quadlet if form == 'quadlet' else self._directories.systemd}/{file_name}"

    def _unit_item(self, p: _Parsed) -> Item:
        kind = KINDS[p.name.suffix]
        return Item(
            object=Obj(kind.type, p.name.stem),
            path=self._unit_path(p.name.file_name, p.name.suffix),
            content=p.source.content,
            mode=0o644,
            unit=p.unit,
            sources=(p.source.path,),
        )

    def _dropin_items(self, units: dict[str, _Parsed]) -> list[Item]:
        generated = {p.unit: p for p in units.values()}
        base = [("10-base", d) for s in self._services for d in s.dropins]
        return [
            item
            for prefix, dropin in [*base, *(("20-host", d) for d in self._host.dropins)]
            if (item := self._dropin_item(prefix, dropin, units.get(dropin.unit) or generated.get(dropin.unit)))
        ]

    def _dropin_item(self, prefix: str, dropin: DropInSource, base: _Parsed | None) -> Item | None:
        text = parse(dropin.content, dropin.path)
        if isinstance(text, tuple):
            self.findings.extend(text)
            return None
        if base is None:
            hint = f"add {dropin.unit} to a selected service, or remove the drop-in"
            message = f"is for {dropin.unit}, which no selected service has"
            self.findings.append(Finding(dropin.path, 0, "OrphanDropIn", message, hint))
            return None
        suffix = dropin.unit.rpartition(".")[2]
        name = f"{dropin.unit}.d/{prefix}-{dropin.name}"
        path = self._unit_path(name, suffix)
        if not self._claim(path, dropin.path):
            return None
        return Item(Obj("dropin", name), path, dropin.content, 0o644, base.unit, (dropin.path,))

    def _config_items(self, service: ServiceTree) -> Iterator[Item]:
        root = self._config_root(service)
        if root is None:
            return
        overlays = {c.relative: c for name, c in self._host.configs if name == service.name}
        own = {c.relative: c for c in service.configs}
        for relative in sorted({*own, *overlays}):
            config = overlays.get(relative) or own[relative]
            item = self._config_item(root, config, own.get(relative))
            if item:
                yield item

    def _config_item(self, root: str, config: ConfigSource, base: ConfigSource | None) -> Item | None:
        logical = f"{root}/{config.relative}"
        path = f"{self._directories.config}/{logical}"
        if not self._claim(path, config.path):
            return None
        sources = (config.path,) if base is None or base is config else (base.path, config.path)
        mode = 0o755 if config.executable else 0o644
        return Item(Obj("config", f"etc/{logical}"), path, config.content, mode, "", sources)

    def _config_root(self, service: ServiceTree) -> str | None:
        root = service.manifest.config_root
        parts = root.split("/")
        if any(part in {"", ".", ".."} or not part.isprintable() for part in parts) or parts[0] in _FORBIDDEN_ROOTS:
            message = f"config-root “{root}” leaves the place a service may write to"
            hint = "name a directory of the service's own, relative to /etc"
            place = Finding(
                f"services/{service.name}/service.yaml",
                service.manifest.config_root_line,
                "ConfigEscape",
                message,
                hint,
            )
            if service.manifest.config_root_line or service.configs:
                self.findings.append(place)
            return None
        return root

    def _unclaimed_host_configs(self) -> None:
        selected = {s.name for s in self._services}
        for name, config in self._host.configs:
            if name not in selected:
                message = f"is for the service “{name}”, which host.yaml does not select"
                self.findings.append(Finding(config.path, 0, "MissingService", message, f"add {name} to services:"))

    def _dangling(self, units: dict[str, _Parsed]) -> None:
        found = {r for p in units.values() for r in references(p.name, p.text) if r.file_name not in units}
        for reference in found:
            message = f"refers to {reference.file_name}, which no selected service declares"
            hint = f"add {reference.file_name} to a selected service, or correct the name"
            self.findings.append(Finding(reference.path, reference.line, "DanglingReference", message, hint))


def _stray(finding: Finding) -> bool:
    """Whether the refusal is of something outside any service or host: it may have been meant for every host."""
    return finding.path.count("/") <= 1 and not finding.path.startswith("hosts/")
