"""Which files a unit's text comes from, in the order systemd reads them, and which of their lines still count.

Lints and explanations name a file and a line of the source repository; this is where a setting finds its way back.
"""

from collections.abc import Iterator

from core_ops.reconcile.graph import Node
from core_ops.reconcile.model import Item, Value
from core_ops.reconcile.unitfile import UnitText, parse

# Settings that add up when they are repeated. For all others the last line wins; for all, an empty one resets.
# Source: systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.timer(5), systemd.socket(5), podman-systemd.unit(5).
_LISTS_TEXT = """
    After Before Requires Requisite Wants BindsTo PartOf Upholds Conflicts OnFailure OnSuccess Documentation
    PropagatesReloadTo ReloadPropagatedFrom PropagatesStopTo StopPropagatedFrom JoinsNamespaceOf RequiresMountsFor
    WantsMountsFor WantedBy RequiredBy UpheldBy Also Alias
    ExecStart ExecStartPre ExecStartPost ExecCondition ExecReload ExecStop ExecStopPost Environment EnvironmentFile
    PassEnvironment UnsetEnvironment LoadCredential LoadCredentialEncrypted SetCredential SetCredentialEncrypted
    ImportCredential BindPaths BindReadOnlyPaths ReadWritePaths ReadOnlyPaths InaccessiblePaths ExecPaths NoExecPaths
    TemporaryFileSystem StateDirectory CacheDirectory LogsDirectory RuntimeDirectory ConfigurationDirectory
    CapabilityBoundingSet AmbientCapabilities SystemCallFilter SystemCallLog RestrictAddressFamilies DeviceAllow
    IPAddressAllow IPAddressDeny SupplementaryGroups Sockets OpenFile LogExtraFields
    OnCalendar OnActiveSec OnBootSec OnStartupSec OnUnitActiveSec OnUnitInactiveSec
    ListenStream ListenDatagram ListenSequentialPacket ListenFIFO ListenSpecial ListenNetlink ListenMessageQueue
    ListenUSBFunction Symlinks
    AddCapability AddDevice AddHost Annotation DNS DNSOption DNSSearch DropCapability ExposeHostPort
    GIDMap GlobalArgs GroupAdd Label LogOpt Mask Mount Network NetworkAlias PodmanArgs PublishPort Secret Sysctl
    Tmpfs UIDMap Ulimit Unmask Volume ContainersConfModule Gateway IPRange Subnet Options
    ConfigMap AutoUpdate ImageTag PathExists PathExistsGlob PathChanged PathModified DirectoryNotEmpty
"""
_LISTS = frozenset(_LISTS_TEXT.split())


class Layer(Value, frozen=True):
    """One file of a unit: where it stands in the repository, where on the host, and what it says."""

    source: str
    path: str
    text: UnitText


class Line(Value, frozen=True):
    """One assignment and its place in the repository; `overrides` are the places of earlier lines it makes void."""

    source: str
    line: int
    section: str
    key: str
    value: str
    overrides: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The file and line as people write them."""
        return f"{self.source}:{self.line}"


def layers(node: Node) -> tuple[Layer, ...]:
    """Return the files of a unit in the order in which they are read: the generated unit's drop-ins come last."""
    own = f"{node.item.path}.d/"
    ordered = sorted(node.dropins, key=lambda item: (not item.path.startswith(own), item.path))
    return tuple(_layer(item) for item in (node.item, *ordered))


def _layer(item: Item) -> Layer:
    text = parse(item.content, item.path)
    return Layer(item.sources[-1], item.path, text if isinstance(text, UnitText) else UnitText())


def values(unit: tuple[Layer, ...], section: str, key: str) -> tuple[Line, ...]:
    """Return the lines of a repeatable setting that count, after resets."""
    found: list[Line] = []
    for layer in unit:
        for a in layer.text.assignments:
            if a.key == key and a.section == section:
                if a.value:
                    found.append(Line(layer.source, a.line, section, key, a.value))
                else:
                    found.clear()
    return tuple(found)


def effective(unit: tuple[Layer, ...]) -> tuple[Line, ...]:
    """Return the lines that count, in order, each with the places of those it overrides.

    A reset stays in the answer, since it is what makes earlier lines void.
    """
    live: list[Line] = []
    for line in _lines(unit):
        same = [p for p in live if (p.section, p.key) == (line.section, line.key)]
        if line.value and line.key in _LISTS and (line.section, line.key) != ("Mount", "Options"):
            same = []
        live = [p for p in live if p not in same]
        live.append(Line(line.source, line.line, line.section, line.key, line.value, tuple(p.place for p in same)))
    return tuple(live)


def _lines(unit: tuple[Layer, ...]) -> Iterator[Line]:
    for layer in unit:
        for a in layer.text.assignments:
            yield Line(layer.source, a.line, a.section, a.key, a.value)
