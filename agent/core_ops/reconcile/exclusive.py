"""What stands in an exclusive root without having been declared: it is taken away, or blocks the plan.

An exclusive root is a directory of a service's own in which nothing but its declared files may be. This is the one exception
to the law that what is not owned is never removed. Regular files and links (never what they lead to) and empty directories
go; anything else may be in use by somebody, so it blocks.
"""

from collections.abc import Iterator, Mapping

from core_ops.reconcile.graph import Node, config_names
from core_ops.reconcile.model import Desired, Obj, Owned, RootEntry, RootState, Value
from core_ops.reconcile.planned import Cause, Entry, RemoveUndeclared


class Obstacle(Value, frozen=True, order=True):
    """Something in an exclusive root that keeps the whole plan from being carried out, and why."""

    object: Obj
    summary: str


class Undeclared(Value, frozen=True):
    """All that was found in the exclusive roots: what goes, files by path and then directories, and what is in the way."""

    removals: tuple[RemoveUndeclared, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()

    def touches(self, node: Node) -> Iterator[RemoveUndeclared]:
        """Yield what goes that a unit may have read: a file that it names, or one below a directory that it names."""
        paths = set(node.paths)
        for removal in self.removals if paths else ():
            if removal.kind == "file" and not paths.isdisjoint(config_names(removal.object)):
                yield removal


def undeclared(desired: Desired, gone: tuple[Owned, ...], roots: tuple[RootState, ...]) -> Undeclared:
    """Return what stands in the exclusive roots and is neither declared nor about to be removed as owned."""
    declared = frozenset((*(i.path for i in desired.items), *(o.path for o in gone)))
    above = frozenset(directory for path in (*declared, *desired.exclusive) for directory in _above(path))
    kept = frozenset((*above, *desired.exclusive))  # directories that are empty only until something is written
    removals: dict[str, RemoveUndeclared] = {}
    obstacles: set[Obstacle] = set()
    for root in sorted(roots, key=lambda r: r.path):  # an inner root comes after the outer one and wins
        if root.problem:
            obstacles.add(Obstacle(_object(root.path, desired), f"{root.path} is exclusive, but {root.problem}"))
        for entry in root.entries:
            if entry.path in declared or (entry.kind == "directory" and entry.path in kept):
                continue
            if entry.kind == "special" or entry.path in above:
                obstacles.add(_obstacle(entry, root, desired))
            else:
                removals[entry.path] = RemoveUndeclared(_object(entry.path, desired), entry.path, entry.kind, root.path)
    return Undeclared(_in_order(removals), tuple(sorted(obstacles)))


def _in_order(removals: Mapping[str, RemoveUndeclared]) -> tuple[RemoveUndeclared, ...]:
    return tuple(sorted(removals.values(), key=lambda r: (r.kind == "directory", r.path)))


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _object(path: str, desired: Desired) -> Obj:
    return Obj("config", f"etc/{path.removeprefix(f'{desired.directories.config}/')}")


def _obstacle(entry: RootEntry, root: RootState, desired: Desired) -> Obstacle:
    what = "a device, socket, FIFO or mount point" if entry.kind == "special" else "something that is no directory"
    summary = f"{what} stands at {entry.path} in an exclusive root; move it away, or make {root.path} not exclusive"
    return Obstacle(_object(entry.path, desired), summary)


def entries(found: Undeclared) -> Iterator[Entry]:
    """Yield the plan's entries for what goes and for what is in the way."""
    for obstacle in found.obstacles:
        yield Entry(obstacle.object, "blocked", (Cause("blocked_prerequisite", obstacle.summary),))
    for removal in sorted(found.removals, key=lambda r: r.object):
        cause = Cause("drift", f"nobody declared it, and {removal.root} is exclusive")
        what = "the empty directory " if removal.kind == "directory" else ""
        yield Entry(
            removal.object, "delete", (cause,), diff_summary=f"removes {what}{removal.path}", diff_kind="deletion"
        )


def causes(node: Node, found: Undeclared) -> Iterator[Cause]:
    """Yield why a unit restarts although every file that it was declared to use stays as it is."""
    for removal in found.touches(node):
        summary = f"{removal.object.display_id} was put there on the host and is removed"
        yield Cause("dependency_change", summary, removal.object)
