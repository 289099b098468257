"""Which other Quadlet files a Quadlet file names, and what in it the Quadlet generator would not take.

The generator drops a whole unit, with a line in the journal that nobody reads, when one of these is wrong; here it is a
finding with file and line. The rules are those of Podman 5.4's generator, which `fixtures/quadlet` is compared with.
"""

import csv
from collections.abc import Iterable, Iterator

from core_ops.reconcile.kinds import KINDS, UnitName
from core_ops.reconcile.model import Finding, Value
from core_ops.reconcile.quoting import split, unquoted
from core_ops.reconcile.unitfile import Assignment, UnitText

UNIT_KEYS = (
    "After",
    "Before",
    "Requires",
    "Requisite",
    "BindsTo",
    "PartOf",
    "Upholds",
    "Wants",
    "Conflicts",
    "OnFailure",
)
_QUADLET_SUFFIXES = tuple(f".{suffix}" for suffix, kind in KINDS.items() if kind.form == "quadlet")
_NETWORKS = (".network", ".container")
_IMAGES = (".image", ".build")
_PATH = ("/", ".")
_MOUNTED = frozenset({"volume", "bind", "glob", "image"})  # the types whose source the generator looks up

# Per kind: settings of which one group has to be there.
_REQUIRED: dict[str, tuple[tuple[str, ...], ...]] = {
    "container": (("Image", "Rootfs"),),
    "image": (("Image",),),
    "build": (("ImageTag",), ("SetWorkingDirectory", "File")),
    "kube": (("Yaml",),),
}

# The same in words, for the documents: files, setting, what it may name.
REFERENCES: tuple[tuple[str, str, str], ...] = (
    ("`.container`, `.pod`, `.kube`, `.build`", "`Network=` up to a colon", "`.network`, `.container`"),
    ("`.container`, `.pod`, `.build`", "`Volume=` up to a colon, if there is one", "`.volume`"),
    (
        "`.container`",
        "the last `source=` or `src=` of each mount of a `Mount=` with `type=` `volume`, `bind`, `glob` or `image`",
        "`.volume`, `.image`",
    ),
    ("`.container`", "the last `Image=`", "`.image`, `.build`"),
    ("`.volume` with `Driver=image`", "the last `Image=`", "`.image`, `.build`"),
    ("`.container`", "the last `Pod=`", "`.pod`"),
    ("any Quadlet file", f"`[Unit]`: {', '.join(f'`{key}=`' for key in UNIT_KEYS)}", "any Quadlet file"),
)


class Reference(Value, frozen=True):
    """A name one unit file uses for another file of the same host, and the line that uses it."""

    file_name: str
    path: str
    line: int


def pod_of(name: UnitName, text: UnitText) -> Reference | None:
    """Return the pod that a container belongs to."""
    last = text.effective("Container", "Pod")[-1:] if name.suffix == "container" else ()
    return next((Reference(v, a.path, a.line) for a in last if (v := unquoted(a.value)).endswith(".pod")), None)


def needed(name: UnitName, text: UnitText) -> tuple[Reference, ...]:
    """Return the Quadlet files that the generator makes this unit require, its pod excepted.

    Source:
        podman-systemd.unit(5): Network=, Volume=, Mount=, Image=; and Podman 5.4's generator for what it looks at: a
        `Volume=` without a colon is a path in the container, `Image=` of a volume counts with `Driver=image` only.
    """
    section = KINDS[name.suffix].section
    found: list[Reference] = []
    if name.suffix in {"container", "pod", "kube", "build"}:
        found += _heads(text.effective(section, "Network"), _NETWORKS)
    if name.suffix in {"container", "pod", "build"}:
        found += _heads((a for a in text.effective(section, "Volume") if ":" in a.value), (".volume",))
    if name.suffix == "container":
        found += (r for a in text.effective(section, "Mount") for m in _mounts(a) if (r := _mounted(m, a)))
    if name.suffix == "container" or (name.suffix == "volume" and unquoted(text.last(section, "Driver")) == "image"):
        images = text.effective(section, "Image")[-1:]
        found += (Reference(v, a.path, a.line) for a in images if (v := unquoted(a.value)).endswith(_IMAGES))
    return tuple(found)


def _heads(lines: Iterable[Assignment], suffixes: tuple[str, ...]) -> Iterator[Reference]:
    for a in lines:
        head = a.value.partition(":")[0]
        if head.endswith(suffixes) and not head.startswith(_PATH):
            yield Reference(head, a.path, a.line)


def _mounts(line: Assignment) -> tuple[str, ...]:
    """Return the mounts of one line: Podman takes it apart like a command."""
    return split(line.value, "arguments").words


def _options(mount: str) -> tuple[tuple[str, str], ...]:
    try:
        rows = list(csv.reader([mount]))
    except csv.Error:
        rows = []
    return tuple((key, value) for part in (rows[0] if rows else []) for key, _, value in [part.partition("=")])


def _source(mount: str) -> str:
    """Return what a mount takes its content from, or nothing where the generator does not look."""
    options = _options(mount)
    source = next((value for key, value in reversed(options) if key in {"source", "src"}), "")
    return source if dict(options).get("type") in _MOUNTED else ""


def _mounted(mount: str, line: Assignment) -> Reference | None:
    source = _source(mount)
    if source.startswith(_PATH) or not source.endswith((".volume", ".image")):
        return None
    return Reference(source, line.path, line.line)


def host_sources(name: UnitName, text: UnitText) -> tuple[str, ...]:
    """Return the absolute paths of the host that the generator writes `RequiresMountsFor=` or `WorkingDirectory=` for.

    Source:
        Podman 5.4's generator: what begins with a slash in `Volume=` and `Mount=`; the directory of `File=` or `Yaml=` when
        `SetWorkingDirectory=` says `file` or `yaml`. Paths with a specifier in front are left alone.
    """
    section = KINDS[name.suffix].section
    found: list[str] = []
    if name.suffix in {"container", "pod", "build"}:
        heads = (a.value.partition(":") for a in text.effective(section, "Volume"))
        found += (head for head, colon, _ in heads if colon)
    if name.suffix == "container":
        found += (_source(m) for a in text.effective(section, "Mount") for m in _mounts(a))
    for suffix, key in (("build", "File"), ("kube", "Yaml")):
        if name.suffix == suffix and text.last(section, "SetWorkingDirectory").lower() == key.lower():
            found.append(text.last(section, key).rpartition("/")[0])
    return tuple(path for path in found if path.startswith("/"))


def references(name: UnitName, text: UnitText) -> tuple[Reference, ...]:
    """Return every Quadlet file that has to be there for this one: what it uses, its pod, and those in its [Unit]."""
    if KINDS[name.suffix].form != "quadlet":
        return ()
    pod = pod_of(name, text)
    waited = (
        Reference(word, a.path, a.line)
        for key in UNIT_KEYS
        for a in text.effective("Unit", key)
        for word in split(a.value, "names").words
        if word.endswith(_QUADLET_SUFFIXES)
    )
    return (*needed(name, text), *((pod,) if pod else ()), *waited)


def faults(name: UnitName, text: UnitText, path: str) -> Iterator[Finding]:
    """Yield what keeps the generator from making a unit of this file, references apart.

    Args:
        name: the file's name.
        text: the file with its drop-ins.
        path: repository path of the file, for what is missing from it.
    """
    kind = KINDS[name.suffix]
    if kind.form != "quadlet":
        return
    required = _REQUIRED.get(name.suffix, ())
    if name.suffix == "volume" and unquoted(text.last("Volume", "Driver")) == "image":
        required = (("Image",),)
    for keys in required:
        if not any(text.last(kind.section, key) for key in keys):
            wanted = "= or ".join(keys)
            message = f"has no {wanted}= in [{kind.section}], so that podman makes no unit of it"
            emptied = [(a.path, a.line) for a in text.assignments if a.section == kind.section and a.key in keys]
            yield _bad(*(emptied[-1] if emptied else (path, 0)), message, f"add {keys[0]}= to [{kind.section}]")
    if name.suffix == "container":
        yield from _container_faults(text)
    yield from _common_faults(kind.section, text)


def _container_faults(text: UnitText) -> Iterator[Finding]:
    if text.last("Container", "Image") and (roots := text.effective("Container", "Rootfs")):
        yield _bad(roots[-1].path, roots[-1].line, "has both Image= and Rootfs=", "keep one of them")
    for a in text.effective("Container", "Pod")[-1:]:
        if not unquoted(a.value).endswith(".pod"):
            yield _bad(a.path, a.line, f"Pod={a.value} is no .pod file", "name the .pod file, with its suffix")
    for a in text.effective("Container", "Mount"):
        if any("type" not in dict(_options(mount)) for mount in _mounts(a)):
            yield _bad(
                a.path, a.line, "Mount= has no type=", "add type=volume, bind, image, tmpfs, ramfs, glob or devpts"
            )


def _common_faults(section: str, text: UnitText) -> Iterator[Finding]:
    named = [a for a in text.assignments if (a.section, a.key) == (section, "ServiceName")]
    if named and not unquoted(named[-1].value):
        yield _bad(named[-1].path, named[-1].line, "ServiceName= is empty", "name the service, or remove the line")
    for a in text.effective(section, "Network"):
        head, colon, _ = a.value.partition(":")
        if colon and head.endswith(".container"):
            yield _bad(a.path, a.line, "a container's network takes no options", f"write Network={head}")


def _bad(path: str, line: int, message: str, hint: str) -> Finding:
    return Finding(path, line, "BadUnit", message, hint)
