"""What each code of a check means, in a sentence or a paragraph: for tools that show help beside a finding.

The refusals are those of `specs/001-desired-state/contracts/layout.md` and the two that stop a tree from being read at all;
the lints and the doubts of a preflight bring their own paragraphs. Tests hold both to the documents.
"""

from collections.abc import Mapping

from core_ops.reconcile.lints import LINTS
from core_ops.reconcile.model import Value
from core_ops.reconcile.preflight import KINDS_OF_DOUBT, UNDONE
from core_ops.reconcile.subject import Level

REFUSALS: Mapping[str, str] = {
    "BadUnit": "A unit file or drop-in is not systemd syntax, lacks the section that its kind needs, or is one that systemd or "
    "Podman's generator would not make a unit of.",
    "ConfigEscape": "A path or a config-root leaves the place a service may write to.",
    "DanglingReference": "A Quadlet file is referred to that no selected service has.",
    "DependencyCycle": "Units wait for each other, so that none of them could start.",
    "DestinationConflict": "Two files want the same path on the host, or the same runtime unit.",
    "HostManifestParse": "host.yaml or host.toml is missing, not understood, or there are both.",
    "HostOverlayBaseUnit": "A host adds or replaces a whole unit; it may only change one with a drop-in.",
    "MissingHost": "There is no such host in the repository.",
    "MissingService": "A service is named that does not exist, or that the host does not select.",
    "OrphanDropIn": "A drop-in is for a unit that no selected service has.",
    "MountStem": "A mount or automount is not named after the path it is for, or a host moves it.",
    "Oversize": "A file is larger than 1 MiB.",
    "ReservedName": "A name belongs to the system, to CoreOps or to the layout.",
    "ServiceManifestParse": "service.yaml or service.toml is not understood, or there are both.",
    "SharedRoot": "A config root is exclusive that the system or another service also puts files into.",
    "SymlinkEscape": "A symbolic link: the tree holds plain files only.",
    "UnknownConfigFile": "A service's manifest has a rule for a file that the service does not have on any host.",
    "UnknownServiceManifestKey": "service.yaml or service.toml has a key that nobody knows.",
    "WrongKind": "A file is nothing the layout knows, or stands in the wrong folder.",
    "bad-tree": "A file name is not plain ASCII, repeats another, or differs from it in case only.",
    "limit-exceeded": "The tree has too many files, bytes or levels of directories.",
}


class Rule(Value, frozen=True):
    """One code with its level and what it means."""

    code: str
    level: Level
    text: str


def rules() -> tuple[Rule, ...]:
    """Return every code that a check can report, sorted."""
    refusals = [Rule(name, "error", text) for name, text in REFUSALS.items()]
    lints = [Rule(row.code, row.level, row.paragraph) for row in LINTS]
    doubts = [Rule(k.code, "note" if k == UNDONE else "warning", k.paragraph) for k in KINDS_OF_DOUBT]
    return tuple(sorted([*refusals, *lints, *doubts], key=_code))


def _code(rule: Rule) -> str:
    return rule.code
