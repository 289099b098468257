"""Config files of one host: where each service's files go, and which the host replaces.

A config root is a directory of the service's own below `/etc`; a host replaces or adds whole files in it.
"""

from collections.abc import Iterable, Iterator

import msgspec

from core_ops.reconcile.claims import Claims
from core_ops.reconcile.filerules import FileRule, by_path
from core_ops.reconcile.layout import ConfigSource, HostTree, ServiceTree
from core_ops.reconcile.model import Directories, Finding, Item, Obj

# A config root at one of these would let a config file become a unit or change who is trusted.
FORBIDDEN_ROOTS = ("systemd", "containers", "core-ops", "udev", "pam.d", "sudoers.d", "ssh")


def config_items(
    services: Iterable[ServiceTree], host: HostTree, directories: Directories, claims: Claims
) -> Iterator[Item]:
    """Yield the config files of the selected services as files of the host."""
    selected = tuple(services)
    for service in selected:
        yield from _of_service(service, host, directories, claims)
    names = {s.name for s in selected}
    manifest = host.manifest.path.rpartition("/")[2]
    for name, config in host.configs:
        if name not in names:
            message = f"is for the service “{name}”, which {manifest} does not select"
            hint = f"add {name} to services in {host.manifest.path}, or remove the file"
            claims.refuse(Finding(config.path, 0, "MissingService", message, hint))


def _of_service(service: ServiceTree, host: HostTree, directories: Directories, claims: Claims) -> Iterator[Item]:
    root = _root(service, claims)
    if root is None:
        return
    rules = by_path(service.manifest.files)
    overlays = {c.relative: c for name, c in host.configs if name == service.name}
    own = {c.relative: c for c in service.configs}
    for relative in sorted({*own, *overlays}):
        config = overlays.get(relative) or own[relative]
        logical = f"{root}/{config.relative}"
        if claims.claim(f"{directories.config}/{logical}", config.path):
            base = own.get(relative)
            sources = (config.path,) if base is None or base is config else (base.path, config.path)
            item = _item(logical, config, sources, directories)
            yield _ruled(item, rules[relative]) if relative in rules else item


def _item(logical: str, config: ConfigSource, sources: tuple[str, ...], directories: Directories) -> Item:
    mode = 0o755 if config.executable else 0o644
    path = f"{directories.config}/{logical}"
    return Item(Obj("config", f"etc/{logical}"), path, config.content, mode, "", sources)


def _ruled(item: Item, rule: FileRule) -> Item:
    mode = item.mode if rule.mode is None else rule.mode
    return msgspec.structs.replace(item, mode=mode, owner=rule.owner, group=rule.group)


def _root(service: ServiceTree, claims: Claims) -> str | None:
    root, line = service.manifest.config_root, service.manifest.config_root_line
    why = _escapes(root)
    if not why:
        return root
    if line or service.configs:
        message = f"config-root “{root}”{'' if line else ', the name of the service,'} {why}"
        hint = "set config-root to a directory of the service's own, relative to /etc and without / at its end"
        place = service.manifest.path or f"services/{service.name}"  # the name of a service may itself be a bad root
        claims.refuse(Finding(place, line, "ConfigEscape", message, hint))
    return None


def _escapes(root: str) -> str:
    """Return why a config root is no place for a service's files, or nothing."""
    parts = root.split("/")
    if root.startswith("/"):
        return "is absolute"
    if any(part in {"", ".", ".."} or not part.isprintable() for part in parts):
        return "has an empty, . or .. component, or one that can't be printed"
    if parts[0] in FORBIDDEN_ROOTS:
        return f"begins with “{parts[0]}”, which belongs to the system or to CoreOps"
    return ""
