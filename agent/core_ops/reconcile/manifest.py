"""What the manifests of a host and of a service may say, and what they mean.

`KEYS` is the one table of their keys. A manifest is `host.yaml` or `host.toml`, `service.yaml` or `service.toml`, never both;
the two forms are read into the same nodes, so one schema serves them and a finding always names the file that is there.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from core_ops.reconcile.filerules import FileRule, file_rules
from core_ops.reconcile.model import Finding, TreeFile, Value
from core_ops.reconcile.nodes import List, Map, Node, Refused, Scalar
from core_ops.reconcile.tomlnodes import toml_node
from core_ops.reconcile.yamlnodes import yaml_node

HOST_MANIFESTS = ("host.yaml", "host.toml")
SERVICE_MANIFESTS = ("service.yaml", "service.toml")


class Key(Value, frozen=True):
    """One key that a manifest may hold: in which of them, what its value looks like, and what it means in a sentence."""

    manifest: Literal["host", "service"]
    name: str
    value: str
    text: str
    required: bool = False


KEYS: tuple[Key, ...] = (
    Key("host", "host", "text", "The name of the directory, so that a copied folder is noticed.", required=True),
    Key("host", "services", "list of names", "What is deployed to this host; `[]` deploys nothing.", required=True),
    Key(
        "host",
        "images",
        "digest, tag or any",
        "What `core-ops check` asks of images: `tag` (the default) warns of `latest` and of no tag, `digest` makes an error of "
        "every image without a digest, `any` asks nothing.",
    ),
    Key(
        "service", "config-root", "path", "Where its config files go, relative to /etc; the service's name by default."
    ),
    Key("service", "exclusive", "true or false", "Whether files in the config root that nobody declared are removed."),
    Key("service", "files", "mapping", "Mode and owner of config files, by their path below config/."),
    Key(
        "service", "files.<path>.mode", "octal", "The file's mode; 0644, or 0755 where git says executable, by default."
    ),
    Key("service", "files.<path>.owner", "name or number", "The user it belongs to; root by default."),
    Key("service", "files.<path>.group", "name or number", "The group it belongs to; root by default."),
)


def meanings(manifest: Literal["host", "service"]) -> Iterator[tuple[str, str]]:
    """Yield each key of a manifest with what it means, for documents."""
    for key in KEYS:
        if key.manifest == manifest:
            yield key.name, f"Required. {key.text}" if key.required else key.text


_TRUTH = ("true", "false")
_WORD, _QUOTED = re.compile(r"[\w.-]+"), r'"\g<0>"'  # how TOML writes a text

IMAGES = ("digest", "tag", "any")


class HostManifest(Value, frozen=True):
    """What a host's manifest says: its name and the services selected for it, in file order, with their lines.

    `images` is what a check asks of images: a digest, a tag, or nothing.
    """

    host: str
    services: tuple[tuple[str, int], ...]
    path: str = ""
    images: str = "tag"


class ServiceManifest(Value, frozen=True):
    """What a service's manifest says; `config_root` is relative to the host's configuration directory.

    `path` is its repository path, empty when there is none; a line is 0 where it says nothing.
    """

    config_root: str
    config_root_line: int = 0
    exclusive: bool = False
    exclusive_line: int = 0
    files: tuple[FileRule, ...] = ()
    path: str = ""


def host_manifest(found: Sequence[TreeFile], directory: str) -> HostManifest | Finding:
    """Return what a host's only manifest says, or why it has no usable one."""
    if not found:
        hint = f"add hosts/{directory}/host.yaml with host: {directory} and services: [...]"
        message = f"has no {' or '.join(HOST_MANIFESTS)}"
        return Finding(f"hosts/{directory}", 0, "HostManifestParse", message, hint)
    if len(found) > 1:
        return Finding(found[-1].path, 0, "HostManifestParse", *_both(found))
    return read_host_manifest(found[0].content, found[0].path, directory)


def service_manifest(found: Sequence[TreeFile], service: str) -> ServiceManifest | Finding:
    """Return what a service's only manifest says, the defaults when it has none, or why it can't be used."""
    if not found:
        return ServiceManifest(service)
    if len(found) > 1:
        return Finding(found[-1].path, 0, "ServiceManifestParse", *_both(found))
    return read_service_manifest(found[0].content, found[0].path, service)


def _both(found: Sequence[TreeFile]) -> tuple[str, str]:
    names = [file.path.rpartition("/")[2] for file in found]
    return f"stands beside {names[0]}: which of them counts?", f"remove {' or '.join(names)}"


def read_host_manifest(content: bytes, path: str, directory: str) -> HostManifest | Finding:
    """Return what a host's manifest says, or the first reason why it cannot be used.

    Args:
        content: the file's bytes.
        path: its repository path, for the finding; one that ends in `.toml` is TOML.
        directory: name of the directory it stands in; `host` must repeat it, so that a copied folder is noticed.
    """
    try:
        reading = _Reading(content, path, "host")
        return HostManifest(_host(reading, directory), _names(reading), path, _images(reading))
    except Refused as refused:
        code = refused.code or "HostManifestParse"
        return Finding(path, refused.line, code, refused.message, refused.hint)


def read_service_manifest(content: bytes, path: str, service: str) -> ServiceManifest | Finding:
    """Return what a service's manifest says, or the first reason why it cannot be used."""
    try:
        reading = _Reading(content, path, "service")
        root, exclusive = Scalar(service, 0), _exclusive(reading)
        if reading.value("config-root"):
            root = reading.text("config-root", service)
        rules = file_rules(reading.value("files"))
        return ServiceManifest(root.text, root.line, exclusive.text == "true", exclusive.line, rules, path)
    except Refused as refused:
        code = refused.code or "ServiceManifestParse"
        return Finding(path, refused.line, code, refused.message, refused.hint)


class _Reading:
    """One manifest's mapping, and how things are written in its form."""

    def __init__(self, content: bytes, path: str, manifest: Literal["host", "service"]) -> None:
        self._toml = path.endswith(".toml")
        name = path.rpartition("/")[2]
        node: Node = toml_node(content) if self._toml else yaml_node(content)
        allowed = [key.name for key in KEYS if key.manifest == manifest and "." not in key.name]
        hint = f"{name} may hold {', '.join(allowed)}"
        if not isinstance(node, Map):
            raise Refused(node.line, f"{name} is not a mapping of keys to values", hint)
        for key, _ in node.pairs:
            if key.text not in allowed:
                code = "UnknownServiceManifestKey" if manifest == "service" else ""
                raise Refused(key.line, f"unknown key “{key.text}”", hint, code=code)
        self._root = node

    def written(self, key: str, value: str) -> str:
        """Return how a key and a value, which is given as in YAML, are written here."""
        if not self._toml:
            return f"{key}: {value}"
        return f"{key} = {value if value in _TRUTH else _WORD.sub(_QUOTED, value)}"

    def value(self, key: str) -> Node | None:
        """Return what a key says."""
        return self._root.value(key)

    def required(self, key: str, example: str) -> Node:
        """Return what a key says that has to be there."""
        node = self.value(key)
        if node is None:
            raise Refused(self._root.line, f"has no {key}", f"add {self.written(key, example)}")
        return node

    def text(self, key: str, example: str) -> Scalar:
        """Return the text that a key says."""
        node = self.required(key, example)
        if not isinstance(node, Scalar) or not node.text:
            raise Refused(node.line, f"{key} is not a text", f"write {self.written(key, example)}")
        return node


def _host(reading: _Reading, directory: str) -> str:
    host = reading.text("host", directory)
    if host.text != directory:
        message = f"host says “{host.text}” but stands in hosts/{directory}"
        raise Refused(host.line, message, f"write {reading.written('host', directory)}")
    return host.text


def _exclusive(reading: _Reading) -> Scalar:
    if reading.value("exclusive") is None:
        return Scalar("false", 0)
    said = reading.text("exclusive", "true")
    if said.text not in _TRUTH:
        hint = f"write {reading.written('exclusive', 'true')} or leave it out"
        raise Refused(said.line, f"exclusive is neither true nor false, but “{said.text}”", hint)
    return said


def _names(reading: _Reading) -> tuple[tuple[str, int], ...]:
    node = reading.required("services", "[]")
    if not isinstance(node, List):
        hint = f"write {reading.written('services', '[name, name]')}"
        raise Refused(node.line, "services is not a list", hint)
    names: dict[str, int] = {}
    for entry in node.nodes:
        if not isinstance(entry, Scalar) or not entry.text:
            message = "services holds something that is not a name"
            raise Refused(entry.line, message, "write one service name per entry")
        if entry.text in names:
            raise Refused(entry.line, f"services names “{entry.text}” twice", "remove one of them")
        names[entry.text] = entry.line
    return tuple(names.items())


def _images(reading: _Reading) -> str:
    if reading.value("images") is None:
        return "tag"
    said = reading.text("images", "digest")
    if said.text not in IMAGES:
        hint = f"write {reading.written('images', 'digest')}, another of them, or leave it out"
        raise Refused(said.line, f"images is none of {', '.join(IMAGES)}, but “{said.text}”", hint)
    return said.text
