"""What an author should know about units that render: nothing here refuses a host anything.

A lint is a row of the table: its code, how serious it is, a paragraph for people, and a function that looks at one rendered
host. It names the file and the line of the source repository that a person would change.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from core_ops.reconcile.graph import Node
from core_ops.reconcile.layers import Layer, layers, values
from core_ops.reconcile.render import Rendered

Level = Literal["error", "warning", "note"]

_RESTARTING = ("always", "on-failure", "on-abnormal", "on-abort", "on-watchdog")
_MOUNTS = ("RequiresMountsFor", "WantsMountsFor")
_BUILT = (".image", ".build")  # names of Quadlet files, not of images
# Kinds that come up only when something names them; slices, say, come up with what is in them.
_NAMED_TO_START = frozenset(
    {"container", "network", "volume", "pod", "kube", "image", "build", "service", "socket", "timer", "path"}
    | {"mount", "automount"}
)


class Remark(NamedTuple):
    """One place and what is to be said of it; `line` is 0 when the whole file is meant."""

    path: str
    line: int
    message: str
    hint: str


class Unit(NamedTuple):
    """A unit of the host with its files."""

    node: Node
    layers: tuple[Layer, ...]


class Subject(NamedTuple):
    """What lints look at: one host and its units."""

    rendered: Rendered
    units: tuple[Unit, ...]


class Lint(NamedTuple):
    """One row of the table."""

    code: str
    level: Level
    paragraph: str
    look: Callable[[Subject], Iterator[Remark]]


def lint(rendered: Rendered) -> Iterator[tuple[Lint, Remark]]:
    """Yield everything worth saying about a host, in no particular order."""
    subject = Subject(rendered, tuple(Unit(node, layers(node)) for node in rendered.graph.nodes.values()))
    for row in LINTS:
        for remark in row.look(subject):
            yield row, remark


def _floating_images(subject: Subject) -> Iterator[Remark]:
    for unit in subject.units:
        if unit.node.object.resource_type == "container":
            for line in values(unit.layers, "Container", "Image")[-1:]:
                if _floats(line.value):
                    message = f"the image {line.value} is whatever its registry says today"
                    yield Remark(
                        line.source, line.line, message, "name a version, or better a digest: image@sha256:..."
                    )


def _floats(image: str) -> bool:
    if "@" in image or image.endswith(_BUILT) or "%" in image or not image:
        return False
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return not colon or tag == "latest"


def _misplaced_mounts(subject: Subject) -> Iterator[Remark]:
    for unit in subject.units:
        for layer in unit.layers:
            for a in layer.text.assignments:
                if a.key in _MOUNTS and a.section != "Unit":
                    message = f"{a.key}= stands in [{a.section}], where systemd ignores it"
                    yield Remark(layer.source, a.line, message, "move it to [Unit]")


def _no_health(subject: Subject) -> Iterator[Remark]:
    for unit in subject.units:
        if unit.node.object.resource_type != "container" or _tells_health(unit.layers) or _ends(unit.layers):
            continue
        for line in values(unit.layers, "Service", "Restart")[-1:]:
            if line.value in _RESTARTING:
                message = f"restarts ({line.value}) without ever saying whether it is healthy"
                hint = "add HealthCmd= and Notify=healthy to [Container]"
                yield Remark(line.source, line.line, message, hint)


def _tells_health(unit: tuple[Layer, ...]) -> bool:
    notify = values(unit, "Container", "Notify")[-1:]
    command = values(unit, "Container", "HealthCmd")[-1:]
    return any(n.value == "healthy" for n in notify) or any(c.value != "none" for c in command)


def _ends(unit: tuple[Layer, ...]) -> bool:
    """Whether the unit does one job and ends, so that its exit status says how it is."""
    return any(line.value == "oneshot" for line in values(unit, "Service", "Type")[-1:])


def _nothing_starts(subject: Subject) -> Iterator[Remark]:
    started = {u for node in subject.rendered.graph.nodes.values() for u in _starts(node)}
    for unit in subject.units:
        started.update(_hooks(unit.layers))
    for unit in subject.units:
        node = unit.node
        if node.object.resource_type not in _NAMED_TO_START or node.template or node.installs or node.unit in started:
            continue
        if values(unit.layers, "Service", "BusName") or values(unit.layers, "Container", "Pod"):
            continue  # D-Bus and the pod start it
        message = f"{node.unit} has no [Install] section and nothing wants or activates it"
        hint = "add [Install] with WantedBy=, a timer or socket, or Wants= in another unit"
        yield Remark(node.item.sources[0], 0, message, hint)


def _starts(node: Node) -> Iterator[str]:
    for unit in (*node.relations.wants, *node.relations.activates):
        if unit != node.unit:
            yield unit


def _hooks(unit: tuple[Layer, ...]) -> Iterator[str]:
    for section, key in (("Unit", "OnFailure"), ("Unit", "OnSuccess"), ("Install", "Also")):
        for line in values(unit, section, key):
            yield from line.value.split()


def _unused_config(subject: Subject) -> Iterator[Remark]:
    used = {c.object for unit in subject.units for c in unit.node.configs}
    services = {_service(layer.source) for unit in subject.units for layer in unit.layers}
    for item in subject.rendered.desired.items:
        if item.object.resource_type == "config" and item.object not in used:
            source = item.sources[0]
            if _service(source) in services:  # a service without units of its own configures the system
                message = f"no unit names /{item.object.name} or a directory above it"
                yield Remark(source, 0, message, "name it in a unit, so that a change restarts the unit, or remove it")


def _service(source: str) -> str:
    """Return the service a repository path belongs to: `hosts/<host>/<service>/...` or `services/<service>/...`."""
    parts = source.split("/")
    return parts[2] if parts[0] == "hosts" else parts[1]


LINTS: tuple[Lint, ...] = (
    Lint(
        "ImageWithoutDigest",
        "warning",
        "The image of a container has the tag `latest` or none. Every pull may bring another program, two hosts on one "
        "revision may run different ones, and going back to an older revision does not bring the older program back.",
        _floating_images,
    ),
    Lint(
        "MisplacedRequiresMountsFor",
        "warning",
        "`RequiresMountsFor=` or `WantsMountsFor=` outside `[Unit]`. systemd ignores it there with a line in the journal, "
        "and the unit starts before its file system is mounted.",
        _misplaced_mounts,
    ),
    Lint(
        "NoHealth",
        "warning",
        "A container that systemd restarts has neither `HealthCmd=` nor `Notify=healthy`. A program that hangs, or that "
        "starts and dies again and again, looks active to systemd and to CoreOps.",
        _no_health,
    ),
    Lint(
        "NothingStarts",
        "warning",
        "A unit has no `[Install]` section, no other unit of the host wants or requires it, and no timer or socket "
        "activates it. It is installed and stays down.",
        _nothing_starts,
    ),
    Lint(
        "UnusedConfig",
        "warning",
        "A service with units has a config file that no unit of the host names, neither itself nor a directory above "
        "it. A change of the file restarts nothing.",
        _unused_config,
    ),
)
