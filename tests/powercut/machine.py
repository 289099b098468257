"""A host of the power-cut model: the real files and the real record, with systemd in memory."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from core_ops import outlook, run
from core_ops.host.store import Store
from core_ops.reconcile.authority import Proof
from core_ops.reconcile.compare import Subjects
from core_ops.reconcile.model import Desired, Observed
from core_ops.reconcile.pin import Trust
from core_ops.reconcile.planned import Effect, Failure, Plan, RemoveFile, RemoveUndeclared, Result, WriteFile
from core_ops.reconcile.record import Controller, Status
from core_ops.wiring import LocalHost
from fakes import FakeClock, FakeHost, FakeProver, FakeSource, Loaded, Recorder
from powercut.trace import MARK
from powercut.worlds import Restarted, World
from trees import HOST


class Units(msgspec.Struct, frozen=True):
    """What systemd holds in memory at one moment."""

    loaded: dict[str, Loaded]
    running: dict[str, tuple[tuple[str, bytes], ...]]
    finished: frozenset[str]
    enabled: frozenset[str]
    networks: dict[str, bytes]


class Machine(LocalHost):
    """Changes real files through the agent's own adapter; systemd is the fake, which reads the same files.

    Each time systemd did something a mark is left in the trace, and `moments` holds what it was like before and after.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world.directories, "/nonexistent")
        self._tops = (world.directories.quadlet, world.directories.systemd, world.directories.config)
        self._known = False
        self.systemd = FakeHost()
        self.moments: list[Units] = [self.units()]

    def observe(self, subjects: Subjects) -> Observed:
        seen = super().observe(msgspec.structs.replace(subjects, units=(), mount_points=()))
        self._look()
        known = self.systemd.observe(Subjects((), subjects.units, mount_points=subjects.mount_points))
        return msgspec.structs.replace(seen, units=known.units, mounts=known.mounts)

    def present(self, images: tuple[str, ...]) -> frozenset[str]:
        return self.systemd.present(images)

    def volumes(self, names: tuple[str, ...]) -> frozenset[str]:
        return frozenset(names)  # nobody removes one

    def pull(self, image: str) -> str:
        return self.systemd.pull(image)

    def stage(self, plan: Plan) -> None:
        files = tuple(e for e in plan.effects if isinstance(e, WriteFile | RemoveFile | RemoveUndeclared))
        super().stage(msgspec.structs.replace(plan, effects=files))

    def carry_out(self, effects: tuple[Effect, ...]) -> tuple[Failure, ...]:
        if isinstance(effects[0], WriteFile | RemoveFile | RemoveUndeclared):
            self._known = False
            return super().carry_out(effects)
        failures: tuple[Failure, ...] = ()
        for effect in effects:
            self._look()
            failures += self.systemd.carry_out((effect,))
            self.moments.append(self.units())
            mark(f"unit/{len(self.moments) - 1}")
        return failures

    def restart_all(self) -> None:
        """Have systemd read the files and start everything that runs from them."""
        self._look()
        self.systemd.reload()
        for unit in (running := sorted(self.systemd.running)):
            self.systemd.restart(unit)
        for unit in running:  # again what went down with another
            if unit not in self.systemd.running:
                self.systemd.restart(unit)

    def boot(self, enabled: frozenset[str], networks: Mapping[str, bytes]) -> None:
        """Start what is to be started at boot, from what is on disk; podman has these networks."""
        self.systemd, self._known = FakeHost(), False
        self.systemd.enabled, self.systemd.networks = set(enabled), dict(networks)
        self._look()
        self.systemd.reload()
        for unit, loaded in sorted(self.systemd.loaded.items()):
            generated = not loaded.definition[0][0].startswith(f"{self.systemd.directories.systemd}/")
            if unit in enabled or (generated and loaded.text.last("Install", "WantedBy")):
                self.systemd.restart(unit)

    def resume(self, units: Units) -> None:
        """Let systemd be as it was at a moment."""
        self._look()
        self.systemd.loaded, self.systemd.running = dict(units.loaded), dict(units.running)
        self.systemd.finished, self.systemd.enabled = set(units.finished), set(units.enabled)
        self.systemd.networks = dict(units.networks)

    def wrong_units(self) -> list[str]:
        """Return the units that run from something else than what is on disk."""
        self._look()
        return [u for u, inputs in self.systemd.running.items() if inputs != self.systemd.inputs_on_disk(u)]

    def changed(self, path: str, content: bytes | None, mode: int) -> None:
        """Let somebody change a file by hand."""
        self._known = False
        target = Path(path)
        if content is None:
            target.unlink()
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode)

    def _look(self) -> None:
        """Show systemd the files, if one may have changed since."""
        if self._known:
            return
        self._known = True
        usual = self.systemd.directories  # units name config files by where they are on a host
        self.systemd.files = {
            f"{place}{folder.removeprefix(top)}/{name}": (Path(folder, name).read_bytes(), 0o644)
            for top, place in zip(self._tops, (usual.quadlet, usual.systemd, usual.config), strict=True)
            for folder, _, names in os.walk(top)
            for name in names
            if not name.startswith(".")
        }

    def units(self) -> Units:
        """Return what systemd is like now."""
        s = self.systemd
        return Units(dict(s.loaded), dict(s.running), frozenset(s.finished), frozenset(s.enabled), dict(s.networks))


def mark(label: str) -> None:
    """Leave a mark in the trace: a look at a path that nobody has."""
    assert not os.access(f"{MARK}{label}", os.F_OK)


def store(world: World) -> Store:
    """Return the record, as a new process finds it."""
    return Store(Path(world.top) / "state/status.json", "host:h1:m")


def ports(machine: Machine, memory: Store) -> outlook.Ports:
    """Return the world of one run."""
    proof = Proof("", "", "", "", 0, "")
    return outlook.Ports(FakeSource(), FakeProver(proof), machine, memory, Recorder(), FakeClock())


def converge(machine: Machine, world: World, desired: Desired) -> Result:
    """Make one run, as a new process would."""
    memory = store(world)
    record = memory.load()
    record = msgspec.structs.replace(record, status=record.status or Status())
    goal = outlook.Goal(HOST, world.directories, Trust("unsigned", (), ""), Controller())
    return run.converge(ports(machine, memory), goal, desired, record)


def prepare(world: World) -> Machine:
    """Make the host of a world and let its history happen."""
    for folder in ("quadlet", "systemd", "config"):
        (Path(world.top) / folder).mkdir(parents=True)
    machine = Machine(world)
    for step in (*world.foreign, *world.history):
        if isinstance(step, Desired):
            assert converge(machine, world, step).outcome == "converged", world.name
        elif isinstance(step, Restarted):
            machine.restart_all()
        else:
            machine.changed(step.path, step.content, step.mode)
    return machine


def go(machine: Machine, world: World) -> Result:
    """Make the run that is cut."""
    machine.systemd.refuses_to_start = set(world.refuses)
    machine.moments = [machine.units()]
    return converge(machine, world, world.desired)
