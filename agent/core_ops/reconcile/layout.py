"""A source tree of bytes becomes services and hosts; whatever does not fit is refused with its place.

The tree is read once and every refusal is collected, so that an author sees all of them at once. Which of them matter to
one host is `render`'s question. Nothing here reads a disk: the same tree gives the same layout in any directory order.
"""

from collections.abc import Iterable

from core_ops.reconcile.filerules import stray_rules
from core_ops.reconcile.kinds import KINDS, MISPLACED, NAME, NAME_LIMIT, misnamed, reserved, unit_name
from core_ops.reconcile.manifest import (
    HOST_MANIFESTS,
    SERVICE_MANIFESTS,
    HostManifest,
    ServiceManifest,
    host_manifest,
    service_manifest,
)
from core_ops.reconcile.model import Finding, TreeFile, Value
from core_ops.reconcile.mounts import hides_system

_TYPED = ("quadlet", "systemd", "config")
RESERVED_NAMES = ("overrides", *_TYPED)


class UnitSource(Value, frozen=True):
    """A unit file of a service."""

    name: str
    path: str
    content: bytes


class DropInSource(Value, frozen=True):
    """A drop-in: `unit` is its directory without `.d` (the file name of a unit, say), `name` its own file name."""

    unit: str
    name: str
    path: str
    content: bytes


class ConfigSource(Value, frozen=True):
    """A config file: `relative` is its place below the service's config root."""

    relative: str
    path: str
    content: bytes
    executable: bool


class ServiceTree(Value, frozen=True):
    """One directory below `services/`."""

    name: str
    manifest: ServiceManifest
    units: tuple[UnitSource, ...]
    dropins: tuple[DropInSource, ...]
    configs: tuple[ConfigSource, ...]


class HostTree(Value, frozen=True):
    """One directory below `hosts/`; `configs` are paired with the service whose files they replace or add to."""

    name: str
    manifest: HostManifest
    dropins: tuple[DropInSource, ...]
    configs: tuple[tuple[str, ConfigSource], ...]


class Layout(Value, frozen=True):
    """Everything a source tree holds, and every reason why parts of it are refused (sorted)."""

    services: tuple[ServiceTree, ...]
    hosts: tuple[HostTree, ...]
    findings: tuple[Finding, ...]


def read_layout(files: Iterable[TreeFile]) -> Layout:
    """Return the services and hosts of a tree together with every refusal.

    Args:
        files: the entries below `services/` and `hosts/`, in any order.
    """
    reader = _Reader()
    for file in sorted(files, key=lambda f: f.path):
        reader.take(file)
    return reader.finish()


class _Building:
    """What has been found of one service or host so far."""

    def __init__(self) -> None:
        self.manifests: list[TreeFile] = []
        self.units: list[UnitSource] = []
        self.dropins: list[DropInSource] = []
        self.configs: list[tuple[str, ConfigSource]] = []


class _Reader:
    def __init__(self) -> None:
        self._services: dict[str, _Building] = {}
        self._hosts: dict[str, _Building] = {}
        self._findings: list[Finding] = []

    def _refuse(self, file: TreeFile, code: str, message: str, hint: str) -> None:
        self._findings.append(Finding(file.path, 0, code, message, hint))

    def take(self, file: TreeFile) -> None:
        top, *rest = file.path.split("/")
        if top not in {"services", "hosts"} or any(part in {"", ".", ".."} for part in rest):
            self._refuse(file, "ConfigEscape", "lies outside services/ and hosts/", "move it below one of them")
            return
        if not rest:
            if self._usable(file):
                self._refuse(file, "WrongKind", "is a file", f"make it a directory: {top}/<name>/")
        elif rest[0].startswith((".", "_")) or (len(rest) == 1 and _is_note(rest[0])):
            return
        elif len(rest) == 1:
            self._refuse(file, "WrongKind", f"is a file directly below {top}/", f"move it into {top}/<name>/")
        elif not NAME.match(rest[0]) or rest[0] in RESERVED_NAMES:
            hint = f"use letters, digits, . _ - and none of {', '.join(RESERVED_NAMES)}"
            self._refuse(file, "ReservedName", f"“{rest[0]}” cannot name a {top[:-1]}", hint)
        else:
            known = self._services if top == "services" else self._hosts
            building = known.setdefault(rest[0], _Building())  # also for a bad file: the place itself is there
            if self._usable(file):
                take = self._in_service if top == "services" else self._in_host
                take(file, building, rest)

    def _usable(self, file: TreeFile) -> bool:
        match file.kind:
            case "file":
                return True
            case "symlink":
                self._refuse(file, "SymlinkEscape", "is a symbolic link", "put the file itself here")
            case "oversize":
                self._refuse(file, "Oversize", "is larger than 1 MiB", "keep data out of the repository")
            case "submodule":
                self._refuse(file, "WrongKind", "is a git submodule", "put the files themselves here")
            case "special":
                self._refuse(file, "WrongKind", "is not a regular file", "remove it")
        return False

    def _in_service(self, file: TreeFile, building: _Building, rest: list[str]) -> None:
        service, *parts = rest
        if len(parts) == 1 and parts[0] in SERVICE_MANIFESTS:
            building.manifests.append(file)
            return
        form = parts[0] if parts[0] in _TYPED else ""
        inner = parts[1:] if form else parts
        if form == "config" and inner:
            building.configs.append((service, _config(file, inner)))
        elif len(inner) == 1 and inner:
            self._unit(file, building, form, inner[0])
        elif len(inner) == 2 and inner[0].endswith(".d"):  # noqa: PLR2004 - <unit>.d/<name>.conf
            self._dropin(file, building, form, inner)
        else:
            hint = "units stand in the service's directory, quadlet/ or systemd/, drop-ins in <unit>.d/ beside them"
            message = "stands where neither a unit nor a drop-in can be"
            self._refuse(file, "WrongKind", message, f"{hint}; other files belong below config/")

    def _unit(self, file: TreeFile, building: _Building, form: str, name: str) -> None:
        if _is_note(name):
            return
        if self._unit_name_fits(file, form, name):
            building.units.append(UnitSource(name, file.path, file.content))

    def _unit_name_fits(self, file: TreeFile, form: str, name: str) -> bool:
        parsed = unit_name(name)
        if parsed is None or len(name) > NAME_LIMIT:
            message, hint = misnamed(name)
            self._refuse(file, "WrongKind", message, MISPLACED.get(name, hint))
        elif reserved(name) or hides_system(parsed):
            self._refuse(file, "ReservedName", f"“{name}” belongs to the system or to CoreOps", "choose another name")
        else:
            return self._form_fits(file, form, name.rpartition(".")[2])
        return False

    def _form_fits(self, file: TreeFile, form: str, suffix: str) -> bool:
        right = KINDS[suffix].form
        if form and form != right:
            self._refuse(file, "WrongKind", f"a .{suffix} does not belong in {form}/", f"move it to {right}/")
            return False
        return True

    def _target_fits(self, file: TreeFile, form: str, target: str) -> bool:
        """Whether a drop-in directory is one: for a unit, for units whose names begin alike, or for a kind of Quadlet file."""
        if target not in KINDS:
            return self._unit_name_fits(file, form, target)
        if reserved(target):
            message = f"“{target}.d” would change every {target} of the system, those of CoreOps among them"
            hint = f"use one directory for each unit, or <prefix>-.{target}.d for units whose names begin alike"
            self._refuse(file, "ReservedName", message, hint)
            return False
        return self._form_fits(file, form, target)

    def _dropin(self, file: TreeFile, building: _Building, form: str, inner: list[str]) -> None:
        unit, name = inner[0].removesuffix(".d"), inner[1]
        if _is_note(name):
            return
        if not name.endswith(".conf") or not NAME.match(name) or len(name) > NAME_LIMIT:
            hint = f"name it <name>.conf, with letters, digits, . _ - and at most {NAME_LIMIT} characters"
            self._refuse(file, "WrongKind", f"“{name}” is no drop-in", hint)
        elif self._target_fits(file, form, unit):
            building.dropins.append(DropInSource(unit, name, file.path, file.content))

    def _in_host(self, file: TreeFile, building: _Building, rest: list[str]) -> None:
        parts = rest[1:]
        if len(parts) == 1 and parts[0] in HOST_MANIFESTS:
            building.manifests.append(file)
            return
        if len(parts) == 1:
            if not _is_note(parts[0]):
                hint = MISPLACED.get(parts[0], "a host has host.yaml or host.toml, overrides/ and <service>/")
                self._refuse(file, "WrongKind", "is no part of a host", hint)
            return
        place, *inner = parts
        form = "" if place == "overrides" else inner[0]
        if place != "overrides":
            inner = inner[1:]
        if form == "config" and inner:
            building.configs.append((place, _config(file, inner)))
        elif form in {"", "quadlet", "systemd"} and len(inner) == 2 and inner[0].endswith(".d"):  # noqa: PLR2004 - x.d/y
            self._dropin(file, building, form, inner)
        elif inner and unit_name(inner[-1]):
            hint = "change the unit with a drop-in, or change it in services/"
            self._refuse(file, "HostOverlayBaseUnit", "a host cannot add or replace a whole unit", hint)
        else:
            hint = "drop-ins go to overrides/<unit>.d/<name>.conf, config files to <service>/config/<path>"
            self._refuse(file, "WrongKind", "is no part of a host", MISPLACED.get(parts[-1], hint))

    def finish(self) -> Layout:
        services = tuple(self._service(name, b) for name, b in sorted(self._services.items()))
        hosts = tuple(h for name, b in sorted(self._hosts.items()) if (h := self._host(name, b)))
        return Layout(services, hosts, tuple(sorted(self._findings)))

    def _service(self, name: str, found: _Building) -> ServiceTree:
        manifest = service_manifest(found.manifests, name)
        if isinstance(manifest, Finding):
            self._findings.append(manifest)
            manifest = ServiceManifest(name)
        configs = tuple(c for _, c in found.configs)
        hosts = (c.relative for host in self._hosts.values() for service, c in host.configs if service == name)
        known = frozenset((*(c.relative for c in configs), *hosts))
        self._findings.extend(stray_rules(manifest.files, known, manifest.path))
        return ServiceTree(name, manifest, tuple(found.units), tuple(found.dropins), configs)

    def _host(self, name: str, found: _Building) -> HostTree | None:
        manifest = host_manifest(found.manifests, name)
        if isinstance(manifest, Finding):
            self._findings.append(manifest)
            return None
        return HostTree(name, manifest, tuple(found.dropins), tuple(found.configs))


def _is_note(name: str) -> bool:
    """Whether the file is written for people: a README beside the units is welcome and never deployed."""
    return name.startswith((".", "_")) or name.upper().startswith("README")


def _config(file: TreeFile, inner: list[str]) -> ConfigSource:
    return ConfigSource("/".join(inner), file.path, file.content, file.executable)
