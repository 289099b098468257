"""A disk that remembers what it was told and what it was made to keep, and shows all it may hold after a power cut.

Kept is what POSIX promises and no more: fsync of a file keeps its content and mode, fsync of a directory the names in it.
Whatever came later may be lost: of each directory any number of its last changes, of each file its content in whole or in
half. Names of one directory change in order, a rename is one change. ext4, xfs and btrfs lose less.

Source:
    fsync(2); Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014), for what file systems do beyond it.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from powercut.trace import Change

DIRECTORIES_MOST = 16
"""So many ways to lose names are tried in all combinations; beyond, one directory at a time loses or keeps."""
FILES_MOST = 9

T = TypeVar("T")


class Held(NamedTuple):
    """What is at a path after a cut; `content` is None for a directory."""

    path: str
    mode: int
    content: bytes | None


Image = tuple[Held, ...]


class Node:
    """A file or directory: every state of its content and mode since it was kept last, oldest first.

    A directory has `names` besides: each change of a name since, and what the names were before them.
    """

    def __init__(self, mode: int, *, directory: bool) -> None:
        self.directory = directory
        self.states: list[tuple[bytes, int]] = [(b"", mode)]
        self.kept: dict[str, Node] = {}
        self.names: list[Mapping[str, Node | None]] = []

    def sync(self) -> None:
        """Lose nothing of what was done so far."""
        del self.states[:-1]
        self.kept = self.entries(len(self.names))
        self.names.clear()

    def entries(self, changes: int) -> dict[str, "Node"]:
        """Return the names after so many of the changes since it was kept."""
        found: dict[str, Node | None] = dict(self.kept)
        for change in self.names[:changes]:
            found |= change
        return {name: node for name, node in found.items() if node is not None}

    def survivors(self) -> list[tuple[bytes, int]]:
        """Return the contents and modes that may be found after a cut: any since, and the half of the last."""
        content, mode = self.states[-1]
        half = [] if len(self.states) == 1 else [(content[: len(content) // 2], mode), (b"", mode)]
        return list(dict.fromkeys([self.states[-1], *self.states, *half]))


class Disk:
    """A tree below one directory, as changes build it up."""

    def __init__(self, top: str) -> None:
        self._top = top
        self._root = Node(0o700, directory=True)

    def do(self, change: Change) -> None:
        """Carry out one change."""
        match change.kind:
            case "open":
                self._open(change)
            case "mkdir":
                self._name(change.place, Node(change.mode, directory=True))
            case "unlink":
                self._name(change.place, None)
            case "rename":
                self._rename(change)
            case "sync":
                self.at(change.place).sync()
            case "write" | "chmod":
                node = self.at(change.place)
                content, mode = node.states[-1]
                state = (content + change.content, mode) if change.kind == "write" else (content, change.mode)
                node.states.append(state)
            case _:
                raise AssertionError(change)

    def settle(self) -> None:
        """Keep everything."""
        for node in self._nodes(self._root):
            node.sync()

    def at(self, path: str) -> Node:
        """Return what is at a path now."""
        assert path == self._top or path.startswith(f"{self._top}/"), path
        node = self._root
        for part in path[len(self._top) :].split("/")[1:]:
            node = node.entries(len(node.names))[part]
        return node

    def now(self) -> Image:
        """Return what is there as long as the power stays."""
        return tuple(_walk(self._root, {}, {}, self._top))

    def images(self) -> Iterator[Image]:
        """Return everything that may be found after a cut now."""
        nodes = list(self._nodes(self._root))
        loose = [n for n in nodes if n.names]
        cuts = [list(range(len(n.names), -1, -1)) for n in loose]
        for picked in _picks(cuts, DIRECTORIES_MOST):
            kept = {id(n): cut for n, cut in zip(loose, picked, strict=True)}
            files = [n for n in _reached(self._root, kept) if len(n.states) > 1]
            for contents in _picks([n.survivors() for n in files], FILES_MOST):
                found = {id(n): c for n, c in zip(files, contents, strict=True)}
                yield tuple(_walk(self._root, kept, found, self._top))

    def _open(self, change: Change) -> None:
        directory, _, name = change.place.rpartition("/")
        parent = self.at(directory)
        node = parent.entries(len(parent.names)).get(name)
        if node is None:
            self._name(change.place, Node(change.mode, directory=False))
        elif "O_TRUNC" in change.other and node.states[-1][0]:
            node.states.append((b"", node.states[-1][1]))

    def _name(self, path: str, node: Node | None) -> None:
        directory, _, name = path.rpartition("/")
        self.at(directory).names.append({name: node})

    def _rename(self, change: Change) -> None:
        directory, _, old = change.place.rpartition("/")
        other, _, new = change.other.rpartition("/")
        assert directory == other, f"a rename from one directory to another may be half lost: {change}"
        self.at(directory).names.append({old: None, new: self.at(change.place)})

    def _nodes(self, node: Node) -> Iterator[Node]:
        """Yield everything that has a name, or may get it back."""
        yield node
        once = {id(n): n for change in (node.kept, *node.names) for n in change.values() if n is not None}
        for below in once.values():
            yield from self._nodes(below)


def _reached(node: Node, kept: Mapping[int, int]) -> Iterator[Node]:
    yield node
    for below in node.entries(kept.get(id(node), len(node.names))).values():
        yield from _reached(below, kept)


def _walk(node: Node, kept: Mapping[int, int], found: Mapping[int, tuple[bytes, int]], path: str) -> Iterator[Held]:
    content, mode = found.get(id(node), node.states[-1])
    yield Held(path, mode, None if node.directory else content)
    below = node.entries(kept.get(id(node), len(node.names)))
    for name in sorted(below):
        yield from _walk(below[name], kept, found, f"{path}/{name}")


def _picks(choices: list[list[T]], most: int) -> Iterable[tuple[T, ...]]:
    """Every combination of one choice each; beyond `most` of them, one differs from all others, which are first or last."""
    count = 1
    for choice in choices:
        count *= len(choice)
    if count <= most:
        return itertools.product(*choices)
    first, last = [c[0] for c in choices], [c[-1] for c in choices]
    some = [tuple(first), tuple(last)]
    for others in (first, last):
        for place, choice in enumerate(choices):
            some += [(*others[:place], c, *others[place + 1 :]) for c in choice]
    return some
