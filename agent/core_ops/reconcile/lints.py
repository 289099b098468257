"""What an author should know about units that render: nothing here refuses a host anything.

A lint is a row of the table: its code, how serious it is, what has to be known for it to speak, a paragraph for people, and a
function that looks at one rendered host. It names the file and the line of the source repository that a person would change.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from core_ops.reconcile.graph import Node
from core_ops.reconcile.imagelints import floating_images, updated_behind
from core_ops.reconcile.keys import INSTALL_KEYS
from core_ops.reconcile.layers import layers
from core_ops.reconcile.render import Rendered
from core_ops.reconcile.subject import Level, Remark, Subject, Unit, read_whole
from core_ops.reconcile.systemdlints import install_targets, refused_units, unknown_sections
from core_ops.reconcile.unitfile import UnitText

_RESTARTING = ("always", "on-failure", "on-abnormal", "on-abort", "on-watchdog")
_MOUNTS = ("RequiresMountsFor", "WantsMountsFor")
# Kinds that come up only when something names them; slices, say, come up with what is in them.
_NAMED_TO_START = frozenset(
    {"container", "network", "volume", "pod", "kube", "image", "build", "service", "socket", "timer", "path"}
    | {"mount", "automount"}
)


Needs = Literal["file", "unit", "host"]
"""What a lint must know, so that it is not wrong where something else is refused.

`file`: the lines of one file. `unit`: a unit with all its drop-ins. `host`: every unit and file of the host.
"""


class Lint(NamedTuple):
    """One row of the table."""

    code: str
    level: Level
    needs: Needs
    paragraph: str
    look: Callable[[Subject], Iterator[Remark]]


def lint(rendered: Rendered, images: str) -> Iterator[tuple[Lint, Remark]]:
    """Yield everything worth saying about a host, in no particular order.

    Of a host that is refused, only what stays true whatever becomes of the files that can't be used.

    Args:
        rendered: the host, as far as it was read.
        images: what its manifest asks of images.
    """
    units = tuple(Unit(node, layers(node)) for node in rendered.graph.nodes.values())
    everything = Subject(rendered, units, images)
    looked_at = {"file": everything, "unit": Subject(rendered, read_whole(units, rendered), images)}
    if not rendered.refusals:
        looked_at["host"] = everything
    for row in LINTS:
        for remark in row.look(looked_at[row.needs]) if row.needs in looked_at else ():
            yield row, remark


def _misplaced_mounts(subject: Subject) -> Iterator[Remark]:
    for unit in subject.units:
        for layer in unit.layers:
            for a in layer.text.assignments:
                if a.key in _MOUNTS and a.section != "Unit" and not a.section.startswith("X-"):
                    message = f"{a.key}= stands in [{a.section}], where systemd ignores it"
                    yield Remark(layer.source, a.line, message, "move it to [Unit]")


def _no_health(subject: Subject) -> Iterator[Remark]:
    for unit in subject.units:
        if unit.node.object.resource_type != "container" or _tells_health(unit.text) or _ends(unit.text):
            continue
        for line in unit.text.effective("Service", "Restart")[-1:]:
            if line.value in _RESTARTING:
                message = f"restarts ({line.value}) without ever saying whether it is healthy"
                hint = "add HealthCmd= and Notify=healthy to [Container], or HealthCmd=none if nothing can be asked"
                yield Remark(line.path, line.line, message, hint)


def _tells_health(text: UnitText) -> bool:
    passed = any("--health-cmd" in value for value in text.values("Container", "PodmanArgs"))
    said = text.last("Container", "HealthCmd")  # `none` is an answer too: there is nothing to ask with
    return passed or bool(said) or text.last("Container", "Notify") == "healthy"


def _ends(text: UnitText) -> bool:
    """Whether the unit does one job and ends, so that its exit status says how it is."""
    return text.last("Service", "Type") == "oneshot"


def _nothing_starts(subject: Subject) -> Iterator[Remark]:
    started = {u for node in subject.rendered.graph.nodes.values() for u in _starts(node)}
    for unit in subject.units:
        started.update(_hooks(unit.text))
    for unit in subject.units:
        node = unit.node
        if node.object.resource_type not in _NAMED_TO_START or node.template or node.installs or node.unit in started:
            continue
        if unit.text.last("Service", "BusName") or unit.text.last("Container", "Pod"):
            continue  # D-Bus and the pod start it
        message = f"{node.unit} stays down: it has no {'= or '.join(INSTALL_KEYS)}= and nothing wants or activates it"
        hint = "add WantedBy=multi-user.target to [Install], a timer or socket, or Wants= in another unit"
        yield Remark(node.item.sources[0], 0, message, hint)


def _starts(node: Node) -> Iterator[str]:
    for unit in (*node.relations.wants, *node.relations.activates):
        if unit != node.unit:
            yield unit


def _hooks(text: UnitText) -> Iterator[str]:
    for section, key in (("Unit", "OnFailure"), ("Unit", "OnSuccess"), ("Install", "Also")):
        yield from text.words(section, key)


def _unused_config(subject: Subject) -> Iterator[Remark]:
    used = {c.object for unit in subject.units for c in unit.node.configs}
    services = {_service(layer.source) for unit in subject.units for layer in unit.layers}
    for item in subject.rendered.desired.items:
        if item.object.resource_type == "config" and item.object not in used:
            source = item.sources[0]
            if _service(source) in services:  # a service without units of its own configures the system
                message = f"no unit names /{item.object.name} or a directory above it"
                hint = f"name it in a unit (X-Reads=/{item.object.name} in [Unit] will do), or remove it"
                yield Remark(source, 0, f"{message}: a change of it restarts nothing", hint)


def _service(source: str) -> str:
    """Return the service a repository path belongs to: `hosts/<host>/<service>/...` or `services/<service>/...`."""
    parts = source.split("/")
    return parts[2] if parts[0] == "hosts" else parts[1]


LINTS: tuple[Lint, ...] = (
    Lint(
        "AutoUpdate",
        "warning",
        "unit",
        "A container or kube unit is replaced by `podman auto-update` when its registry has another image. The program "
        "changes without a commit, and the repository does not say what runs.",
        updated_behind,
    ),
    Lint(
        "ImageWithoutDigest",
        "warning",
        "unit",
        "An image has the tag `latest` or none, or no digest where `host.yaml` says `images: digest`. Every pull may bring "
        "another program, two hosts on one revision may run different ones, and going back to an older revision does not "
        "bring the older program back.",
        floating_images,
    ),
    Lint(
        "MisplacedRequiresMountsFor",
        "warning",
        "file",
        "`RequiresMountsFor=` or `WantsMountsFor=` outside `[Unit]`. systemd ignores it there with a line in the journal, "
        "and the unit starts before its file system is mounted.",
        _misplaced_mounts,
    ),
    Lint(
        "NoHealth",
        "warning",
        "unit",
        "A container that systemd restarts has neither `HealthCmd=` nor `Notify=healthy`. A program that hangs, or that "
        "starts and dies again and again, looks active to systemd and to CoreOps.",
        _no_health,
    ),
    Lint(
        "NothingStarts",
        "warning",
        "host",
        "A unit has no `WantedBy=` or the like in `[Install]`, no other unit of the host wants or requires it, and no "
        "timer, socket or path activates it. It is installed and stays down.",
        _nothing_starts,
    ),
    Lint(
        "RefusedBySystemd",
        "warning",
        "unit",
        "systemd would not load the unit: a service without `ExecStart=` or with several, `Restart=always` with "
        "`Type=oneshot`, a timer without a time, a socket or path without anything to wait for. The unit never starts.",
        refused_units,
    ),
    Lint(
        "UnknownInstallTarget",
        "warning",
        "host",
        "`WantedBy=`, `RequiredBy=` or `UpheldBy=` names no unit, or almost the name of a target that systemd has. "
        "systemd refuses to enable the unit, or enables it for a name that is never started: it stays down after a boot.",
        install_targets,
    ),
    Lint(
        "UnknownSection",
        "warning",
        "file",
        "A unit or drop-in has settings in a section that nobody reads. systemd and Podman ignore all of them with a "
        "line in the journal.",
        unknown_sections,
    ),
    Lint(
        "UnusedConfig",
        "warning",
        "host",
        "A service with units has a config file that no unit of the host names, neither itself nor a directory above "
        "it. A change of the file restarts nothing.",
        _unused_config,
    ),
)
