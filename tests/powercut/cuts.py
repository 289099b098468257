"""Every way in which one recorded run may end too early, and what is wrong with the host afterwards."""

import contextlib
import os
import shutil
import stat
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from core_ops import run
from core_ops.errors import CoreOpsError
from core_ops.host.store import Memory
from core_ops.reconcile.graph import build
from core_ops.reconcile.model import Desired
from core_ops.reconcile.record import Status
from powercut.disk import Disk, Held, Image
from powercut.machine import Machine, Units, converge, ports, store
from powercut.trace import UMASK, Change, is_temporary
from powercut.worlds import World

_FOLDERS = ("quadlet", "systemd", "config")


class Cut(NamedTuple):
    """What is on disk when the host comes back, and what systemd runs; None when it has to boot."""

    image: Image
    units: Units | None
    networks: dict[str, bytes]


class Story(NamedTuple):
    """A recorded run: the disk before it, what it changed, and systemd at each moment of it."""

    world: World
    history: tuple[Change, ...]
    changes: tuple[Change, ...]
    moments: tuple[Units, ...]

    def before(self) -> Disk:
        """Return the disk as the run found it, all of it kept."""
        disk = Disk(self.world.top)
        for change in self.history:
            disk.do(change)
        disk.settle()
        return disk

    def after(self) -> Image:
        """Return what an uncut run leaves."""
        disk = self.before()
        for change in self.changes:
            if change.kind != "mark":
                disk.do(change)
        return disk.now()


def told(world: World, recorded: list[Change], moments: tuple[Units, ...]) -> Story:
    """Return the part of a recording that is about one world."""
    top = world.top
    number = top.rpartition("/")[2]
    mine = [c for c in recorded if c.kind == "mark" or c.place == top or c.place.startswith(f"{top}/")]
    begin = mine.index(Change("mark", f"begin/{number}"))
    end = mine.index(Change("mark", f"end/{number}"))
    history = tuple(c for c in mine[:begin] if c.kind != "mark" and (c.kind, c.place) != ("mkdir", top))
    return Story(world, history, tuple(mine[begin + 1 : end]), moments)


def cuts(story: Story) -> Iterator[Cut]:
    """Return every distinct end: the agent killed between two changes, or the power lost there."""
    disk, moment = story.before(), 0
    seen: set[tuple[Image, int]] = set()
    for change in (Change("mark", "unit/0"), *story.changes):
        if change.kind == "mark":
            moment = int(change.place.partition("/")[2])
        else:
            disk.do(change)
        now = disk.now()
        if (killed := (_read(now), moment)) not in seen:
            seen.add(killed)
            yield Cut(now, story.moments[moment], story.moments[moment].networks)
        for image in disk.images() if change.kind != "sync" else ():
            if (key := (_read(image), -1)) not in seen:
                seen.add(key)
                yield Cut(image, None, story.moments[moment].networks)


def _read(image: Image) -> Image:
    """What anybody reads of it: two images that differ in a temporary file only come to the same."""
    return tuple(h._replace(content=b"") if is_temporary(h.path) else h for h in image)


class Judge:
    """Looks at cuts of one run: what stands on the disk at once, and what one more run makes of it."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._world = story.world
        self._first = {h.path: h for h in story.before().now()}
        self._last = {h.path: h for h in story.after()}
        self._foreign = {f.path for f in story.world.foreign}
        self._started = self._memory(self._first).started
        self._generation = self._status(self._first).reconciliation.generation

    def verdict(self, cut: Cut, *, back: bool = False) -> str:
        """Return what is wrong, or nothing; `back` lets the next run go back to where the cut one came from."""
        held = {h.path: h for h in cut.image}
        came_from = self._world.history[-1:] if back else ()
        try:
            for goal in came_from:
                if isinstance(goal, Desired):
                    return self._afterwards(cut, goal, self._first)
            return self._at_once(held) or self._afterwards(cut, self._world.desired, self._last)
        except (msgspec.MsgspecError, CoreOpsError) as error:
            return f"{type(error).__name__}: {error}"

    # --- before anything runs ---------------------------------------------------------------------------------------

    def _at_once(self, held: dict[str, Held]) -> str:
        return self._torn(held) or self._claims(held) or self._records(held)

    def _torn(self, held: dict[str, Held]) -> str:
        for path in held.keys() | self._first.keys():
            if self._is_managed(path) and held.get(path) not in {self._first.get(path), self._last.get(path)}:
                return f"torn: {path} is neither as before nor as after"
        return ""

    def _claims(self, held: dict[str, Held]) -> str:
        """Applied is what is recorded only once it is there."""
        run = self._status(held).reconciliation
        if run.status != "success" or run.generation == self._generation:
            return ""
        wrong = [p for p in held.keys() | self._last.keys() if self._is_managed(p) and held.get(p) != self._last.get(p)]
        return f"applied is recorded before it is true of {wrong[0]}" if wrong else ""

    def _records(self, held: dict[str, Held]) -> str:
        memory = self._memory(held)
        owned = {o.path for o in memory.owned}
        for path in held:
            if self._is_managed(path) and path not in owned and path not in self._first:
                return f"not owned before it exists: {path}"
        started = {s.unit: s.inputs for s in memory.started if s not in self._started}
        for unit, node in build(self._world.desired).nodes.items():
            for item in (*node.definition, *node.configs):
                is_there = held.get(item.path) == Held(item.path, item.mode, item.content)
                if started.get(unit) == node.inputs and not is_there:
                    return f"{unit} is recorded as started from {item.path}, which is not there"
        return ""

    def _is_managed(self, path: str) -> bool:
        """Whether a file is (or pretends to be) one of the agent's."""
        found = self._first.get(path) or self._last.get(path)
        is_directory = found is not None and found.content is None
        return self._below(path) and not is_directory and not is_temporary(path) and path not in self._foreign

    def _below(self, path: str) -> bool:
        return path.startswith(tuple(f"{self._world.top}/{f}/" for f in _FOLDERS))

    def _status(self, held: dict[str, Held]) -> Status:
        found = held.get(f"{self._world.top}/state/status.json")
        return msgspec.json.decode(found.content, type=Status) if found and found.content is not None else Status()

    def _memory(self, held: dict[str, Held]) -> Memory:
        found = held.get(f"{self._world.top}/state/deterministic-state.json")
        return msgspec.json.decode(found.content, type=Memory) if found and found.content is not None else Memory()

    # --- after one more run -----------------------------------------------------------------------------------------

    def _afterwards(self, cut: Cut, goal: Desired, end: dict[str, Held]) -> str:
        restore(cut.image, self._world.top)
        machine = Machine(self._world)
        if cut.units is None:
            machine.boot(self._story.moments[-1].enabled, cut.networks)
        else:
            machine.resume(cut.units)
        world, memory = self._world, store(self._world)
        result = converge(machine, world, goal)
        if result.outcome != "converged":
            return f"the next run does not converge: {result}"
        if not run.plan(ports(machine, memory), goal, memory.load().last).in_sync:
            return "the run after the next one has something to do"
        if wrong := machine.wrong_units():
            return f"{wrong[0]} does not run what is on disk"
        return self._differs({h.path: h for h in taken(world.top)}, end)

    def _differs(self, held: dict[str, Held], end: dict[str, Held]) -> str:
        wanted = {p: h for p, h in end.items() if self._below(p)}
        found = {p: h for p, h in held.items() if self._below(p)}
        if wrong := sorted(p for p in wanted.keys() | found.keys() if wanted.get(p) != found.get(p)):
            return f"not as an uncut run leaves it: {wrong[0]}: {found.get(wrong[0])}, not {wanted.get(wrong[0])}"
        left = [p for p in held if is_temporary(p)]
        return f"left over: {left[0]}" if left else ""


def taken(top: str) -> Iterator[Held]:
    """Return what is below a directory."""
    for folder, _, files in os.walk(top):
        yield Held(folder, stat.S_IMODE(Path(folder).stat().st_mode), None)
        for name in files:
            path = Path(folder, name)
            yield Held(str(path), stat.S_IMODE(path.stat().st_mode), path.read_bytes())


def restore(image: Image, top: str) -> None:
    """Make a directory hold an image and nothing else."""
    shutil.rmtree(top, ignore_errors=True)
    for path, mode, content in image:
        target = Path(path)
        if content is None:
            target.mkdir()
        else:
            target.write_bytes(content)
        target.chmod(mode)


@contextlib.contextmanager
def strict_umask() -> Generator[None]:
    """Run with the umask of the recording."""
    old = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(old)
