"""Reads `host.yaml` and `service.yaml` into checked values, with the line of whatever is wrong.

YAML is read as events only and composed here: anchors, aliases, tags, merge keys, repeated keys and deep nesting are
refused while they stream by, and a scalar is always the text that stands in the file. So nothing can expand, no type is
guessed (`no`, `010` and `1:30` stay what they look like), and no object is ever built from a tag.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from core_ops.reconcile.model import Finding, Value

if TYPE_CHECKING:
    import yaml

SIZE_LIMIT_BYTES = 256 * 1024
DEPTH_LIMIT = 32

# The keys of each manifest and what they say; the authoring guide shows these words.
HOST_KEYS: Mapping[str, str] = {
    "host": "Required. The name of the directory, so that a copied folder is noticed.",
    "services": "Required. A list of the services that are deployed here; `[]` deploys nothing.",
    "images": "What `core-ops check` asks of images: `tag` (the default) warns of `latest` and of no tag, `digest` makes an "
    "error of every image without a digest, `any` asks nothing.",
}
SERVICE_KEYS: Mapping[str, str] = {
    "config-root": "Where `config/` goes, relative to /etc. The default is the service's name.",
}
IMAGES = ("digest", "tag", "any")


class HostManifest(Value, frozen=True):
    """What `host.yaml` says: the host's name and the services selected for it, in file order, with their lines.

    `images` is what a check asks of images: a digest, a tag, or nothing.
    """

    host: str
    services: tuple[tuple[str, int], ...]
    images: str = "tag"


class ServiceManifest(Value, frozen=True):
    """What `service.yaml` says; `config_root` is relative to the host's configuration directory."""

    config_root: str
    config_root_line: int = 0


class _Scalar(Value, frozen=True):
    text: str
    line: int


class _List(Value, frozen=True):
    nodes: tuple["_Node", ...]
    line: int


class _Map(Value, frozen=True):
    pairs: tuple[tuple[_Scalar, "_Node"], ...]
    line: int


_Node = _Scalar | _List | _Map


class _Refused(Exception):  # noqa: N818 - it never leaves this module
    def __init__(self, line: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line, self.message, self.hint = line, message, hint


def read_host_manifest(content: bytes, path: str, directory: str) -> HostManifest | Finding:
    """Return what a `host.yaml` says, or the first reason why it cannot be used.

    Args:
        content: the file's bytes.
        path: its repository path, for the finding.
        directory: name of the directory it stands in; `host:` must repeat it, so that a copied folder is noticed.
    """
    try:
        root = _mapping(content, tuple(HOST_KEYS), "host.yaml")
        host = _text_of(root, "host")
        _same_name(host, directory)
        return HostManifest(host.text, _names(root), _images(root))
    except _Refused as refused:
        return Finding(path, refused.line, "HostManifestParse", refused.message, refused.hint)


def read_service_manifest(content: bytes, path: str, service: str) -> ServiceManifest | Finding:
    """Return what a `service.yaml` says, or the first reason why it cannot be used."""
    try:
        root = _mapping(content, tuple(SERVICE_KEYS), "service.yaml")
        for key, _ in root.pairs:
            value = _text_of(root, key.text)
            return ServiceManifest(value.text, value.line)
        return ServiceManifest(service)
    except _Refused as refused:
        code = "UnknownServiceManifestKey" if refused.message.startswith("unknown key") else "ServiceManifestParse"
        return Finding(path, refused.line, code, refused.message, refused.hint)


def _same_name(host: _Scalar, directory: str) -> None:
    if host.text != directory:
        message = f"host: says “{host.text}” but stands in hosts/{directory}"
        raise _Refused(host.line, message, f"write host: {directory}")


def _names(root: _Map) -> tuple[tuple[str, int], ...]:
    node = {k.text: v for k, v in root.pairs}.get("services")
    if node is None:
        raise _Refused(root.line, "has no services:", "write services: [] to deploy nothing to this host")
    if not isinstance(node, _List):
        raise _Refused(node.line, "services: is not a list", "write services: [name, name]")
    names: dict[str, int] = {}
    for entry in node.nodes:
        if not isinstance(entry, _Scalar) or not entry.text:
            raise _Refused(
                entry.line, "services: holds something that is not a name", "write one service name per entry"
            )
        if entry.text in names:
            raise _Refused(entry.line, f"services: names “{entry.text}” twice", "remove one of them")
        names[entry.text] = entry.line
    return tuple(names.items())


def _images(root: _Map) -> str:
    value = {key.text: value for key, value in root.pairs}.get("images", _Scalar("tag", 0))
    if not isinstance(value, _Scalar) or value.text not in IMAGES:
        raise _Refused(value.line, f"images: is none of {', '.join(IMAGES)}", "write one of them, or remove the line")
    return value.text


def _text_of(root: _Map, key: str) -> _Scalar:
    for name, value in root.pairs:
        if name.text == key:
            if not isinstance(value, _Scalar) or not value.text:
                raise _Refused(value.line, f"{key}: is not a text", f"write {key}: <name>")
            return value
    raise _Refused(root.line, f"has no {key}:", f"add {key}: <name>")


def _mapping(content: bytes, allowed: tuple[str, ...], what: str) -> _Map:
    node = _compose(content)
    if not isinstance(node, _Map):
        raise _Refused(
            node.line,
            f"{what} is not a mapping of keys to values",
            f"write key: value lines; it may hold {', '.join(allowed)}",
        )
    for key, _ in node.pairs:
        if key.text not in allowed:
            raise _Refused(key.line, f"unknown key “{key.text}”", f"{what} may hold {', '.join(allowed)}")
    return node


def _compose(content: bytes) -> _Node:
    import yaml  # noqa: PLC0415 - 13 ms that only a run which reads manifests may pay

    if len(content) > SIZE_LIMIT_BYTES:
        raise _Refused(0, f"is larger than {SIZE_LIMIT_BYTES >> 10} KiB", "keep data out of it")
    try:
        composer = _Composer()
        for event in yaml.parse(content.decode("utf-8"), yaml.SafeLoader):
            composer.take(event)
        return composer.finish()
    except UnicodeDecodeError as error:
        raise _Refused(content.count(b"\n", 0, error.start) + 1, "is not UTF-8", "save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        raise _Refused(_line_of(error, content), f"is not YAML: {_problem(error)}", "mend the syntax here") from error
    except yaml.reader.ReaderError as error:
        line = content.decode("utf-8").count("\n", 0, error.position) + 1
        raise _Refused(line, f"holds the control character U+{error.character:04X}", "save it as plain text") from error


def _line_of(error: "yaml.MarkedYAMLError", content: bytes) -> int:
    """Return the line that is at fault: where something was opened, when the text ended before it was closed."""
    end = content.rstrip().count(b"\n") + 1
    return next((m.line + 1 for m in (error.problem_mark, error.context_mark) if m and m.line < end), end)


def _problem(error: "yaml.MarkedYAMLError") -> str:
    problem = (error.problem or "unknown syntax").replace("'<stream end>'", "the end of the file")
    return f"{error.context}, {problem}" if error.context else problem


class _Composer:
    """Builds nodes from YAML events with a stack of its own, so that no input can exhaust Python's."""

    def __init__(self) -> None:
        self._open: list[tuple[int, list[_Node]]] = []
        self._root: _Node | None = None

    def take(self, event: "yaml.Event") -> None:
        import yaml  # noqa: PLC0415 - see _compose

        line = event.start_mark.line + 1 if event.start_mark else 0
        self._check(event, line)
        match event:
            case yaml.ScalarEvent():
                self._done(_Scalar(event.value, line))
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open.append((line, []))
            case yaml.MappingEndEvent():
                start, nodes = self._open.pop()
                self._done(_pairs(nodes, start))
            case yaml.SequenceEndEvent():
                start, nodes = self._open.pop()
                self._done(_List(tuple(nodes), start))
            case _:
                pass  # where the stream and its documents begin and end says nothing

    def _done(self, node: _Node) -> None:
        if self._open:
            self._open[-1][1].append(node)
        else:
            self._root = node

    def finish(self) -> _Node:
        if self._root is None:
            raise _Refused(0, "is empty", "fill it in or remove it")
        return self._root

    def _check(self, event: "yaml.Event", line: int) -> None:
        import yaml  # noqa: PLC0415 - see _compose

        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _Refused(line, "uses an anchor or alias", "write the value out")
        tag: object = getattr(event, "tag", None)
        if tag:
            shown = str(tag).replace("tag:yaml.org,2002:", "!!")
            raise _Refused(line, f"uses the tag {shown}", "write a plain value")
        if len(self._open) > DEPTH_LIMIT:
            raise _Refused(line, f"is nested deeper than {DEPTH_LIMIT} levels", "flatten it")
        if isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
            raise _Refused(line, "holds a second document", "remove the --- line")


def _pairs(nodes: list[_Node], line: int) -> _Map:
    pairs: list[tuple[_Scalar, _Node]] = []
    seen: set[str] = set()
    for key, value in zip(nodes[::2], nodes[1::2], strict=True):
        if not isinstance(key, _Scalar):
            raise _Refused(key.line, "uses a list or mapping as a key", "use a plain name")
        if key.text == "<<":
            raise _Refused(key.line, "uses a merge key", "write the keys out")
        if key.text in seen:
            raise _Refused(key.line, f"says “{key.text}” twice", "remove one of them")
        seen.add(key.text)
        pairs.append((key, value))
    return _Map(tuple(pairs), line)
