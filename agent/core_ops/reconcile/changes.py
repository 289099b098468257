"""What changes on a host: each file against the disk and the last apply, and what the files of a unit come to together.

A file that differs from the disk but not from the last apply has drifted; one that differs from both was changed by an
author; one that stands where this agent never wrote is somebody else's. What a unit means decides, not how it is written.
"""

from typing import Literal

import msgspec

from core_ops.reconcile.exclusive import Undeclared
from core_ops.reconcile.graph import Graph, Node
from core_ops.reconcile.impact import reload_suffices
from core_ops.reconcile.made import Made
from core_ops.reconcile.meaning import differences, fingerprint
from core_ops.reconcile.model import Accounts, FileState, Item, Owned, Value
from core_ops.reconcile.ownership import as_asked
from core_ops.reconcile.unitfile import UnitText, layered, parse
from core_ops.reconcile.variance import only_formatting, says_the_same_file


class FileChange(Value, frozen=True):
    """One desired file: what stands there, what was applied before, and whether it must be written.

    A `variance` is a difference that nobody who reads the file would notice; it is left as it is.
    """

    item: Item
    seen: FileState
    before: Item | None
    kind: Literal["same", "variance", "write", "blocked"]
    accounts: Accounts = Accounts()

    @property
    def differs(self) -> bool:
        """Whether the file is not what it should be, in a way that matters."""
        return self.kind in {"write", "blocked"}

    @property
    def by_author(self) -> bool:
        """Whether the repository changed it since the last apply."""
        return self.before is None or _asked(self.before) != _asked(self.item)


def _asked(item: Item) -> tuple[bytes, int, str, str]:
    return item.content, item.mode, item.owner, item.group


def judged(change: FileChange, *, owned: bool) -> FileChange:
    """Return the change of a file with what it comes to: nothing, a write, or somebody else's file in the way."""
    kind: Literal["same", "variance", "write", "blocked"] = "write"
    if change.seen.kind == "other":
        kind = "blocked"
    elif change.seen.kind == "file":
        if as_asked(change.item, change.seen, change.accounts):
            kind = "same"
        elif not owned:
            kind = "blocked"
        elif only_formatting(change.item, change.seen, change.accounts):
            kind = "variance"
    return msgspec.structs.replace(change, kind=kind)


class Changes(Value, frozen=True):
    """What changes on the host, asked unit by unit.

    `old` are the units as they were applied last, `started` is what each was started from.
    """

    files: dict[str, FileChange]
    gone: tuple[Owned, ...]
    stray: Undeclared
    old: Graph
    seen: dict[str, FileState]
    made: Made
    started: dict[str, str]

    def redefine(self, node: Node) -> bool:
        """Whether a unit would be started from something else than before; files that mean the same together do not count."""
        if not self.rewritten(node):
            return False
        before = self.old.nodes.get(node.unit)
        if self.started.get(node.unit) == node.inputs and self._means_on_disk(node) == node.meaning:
            return False  # an earlier run brought it that far
        if before is None or not self.stands(before):
            return True
        return before.meaning != node.meaning and not self.made.spares(node.unit, before.text, node.text)

    def spare(self, node: Node) -> bool:
        """Whether the files of a unit change, and by the settings that count, but no other unit is generated from them."""
        before = self.old.nodes.get(node.unit)
        if (
            before is None
            or before.meaning == node.meaning
            or node.unit not in self.made.after
            or not self.rewritten(node)
        ):
            return False
        return not self.redefine(node)

    def relink(self, node: Node) -> bool:
        """Whether the links that start a unit become other ones."""
        before = self.old.nodes.get(node.unit)
        if before is None or not self.rewritten(node):
            return False
        return bool(differences(_section(before.text, "Install"), _section(node.text, "Install")))

    def rewritten(self, node: Node) -> bool:
        """Whether one of the files that make up a unit changes, comes or goes."""
        dropped = any(o.unit == node.unit or (_is_dropin(o) and node.reads(o.object)) for o in self.gone)
        return dropped or any(self.files[i.path].differs for i in node.definition)

    def stands(self, before: Node) -> bool:
        """Whether the files of a unit are on the host as they were applied."""
        states = ((item, self.seen.get(item.path, FileState(item.path, "absent"))) for item in before.definition)
        return all(
            seen.kind == "file" and (seen.content == item.content or says_the_same_file(item, seen))
            for item, seen in states
        )

    def _means_on_disk(self, node: Node) -> str:
        text = self.on_disk(node)
        return fingerprint(text) if text is not None else ""

    def on_disk(self, node: Node) -> UnitText | None:
        """Return what the files of a unit on the host say together, or nothing when its own file is not there."""
        before = self.old.nodes.get(node.unit)
        items = {i.path: i for n in (before, node) if n is not None for i in n.definition}
        seen = {path: self.seen.get(path, FileState(path, "absent")) for path in items}
        if seen[node.item.path].kind != "file":
            return None
        texts = (parse(state.content, path) for path, state in seen.items() if state.kind == "file")
        return layered(t for t in texts if isinstance(t, UnitText))

    def reach(self, node: Node) -> bool:
        """Whether a config file that the unit uses changes."""
        return any(self.files[i.path].differs for i in node.configs) or any(self.stray.touches(node))

    def suit_reload(self, node: Node) -> bool:
        """Whether a reload makes the unit take in all that changes."""
        changed = [i for i in node.configs if self.files[i.path].differs]
        if not changed or any(self.stray.touches(node)):
            return False
        before = self.old.nodes.get(node.unit)
        same = before is not None and before.meaning == node.meaning and before.relations == node.relations
        return same and reload_suffices(node.item.path.rpartition("/")[2], node.text, changed)


def _section(text: UnitText, name: str) -> UnitText:
    return UnitText(tuple(a for a in text.assignments if a.section == name))


def _is_dropin(owned: Owned) -> bool:
    return owned.object.resource_type == "dropin"
