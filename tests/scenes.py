"""Runs on hosts in memory that fail, are blocked or have nothing to do, with everything that is told of them."""

from collections.abc import Mapping

import msgspec

from core_ops import outlook, run
from core_ops.errors import CoreOpsError, HostError
from core_ops.reconcile.applyview import ApplyView
from core_ops.reconcile.authority import Proof
from core_ops.reconcile.compare import Subjects
from core_ops.reconcile.events import Event, RunFinished
from core_ops.reconcile.model import Desired, Directories, Observed, Source
from core_ops.reconcile.pin import Trust
from core_ops.reconcile.planned import Effect, Failure, Result, WriteFile
from core_ops.reconcile.record import Controller, Record, Status
from core_ops.reconcile.stream import Stream
from core_ops.reconcile.stream import told as tell
from fakes import FakeClock, FakeHost, FakeProver, FakeSource, FakeStore, Recorder
from trees import HOST, rendered

GOAL = outlook.Goal(HOST, Directories(), Trust("unsigned", (), ""), Controller())
BEGIN = Record(status=Status())


class Scene:
    """A host with its record, on which runs happen."""

    def __init__(self, host: FakeHost | None = None) -> None:
        self.host = host or FakeHost()
        self.store = FakeStore(BEGIN)
        self.recorder = Recorder()

    def converge(self, desired: Desired) -> Result:
        """Make one run and return its result, also of a run that ends in an error."""
        self.recorder.events.clear()
        proof = Proof("", "", "", "", 0, "")
        ports = outlook.Ports(FakeSource(), FakeProver(proof), self.host, self.store, self.recorder, FakeClock())
        try:
            return run.converge(ports, GOAL, desired, self.store.load())
        except CoreOpsError:
            last = self.recorder.events[-1]
            assert isinstance(last, RunFinished)
            assert last.result is not None
            return last.result

    def lines(self) -> list[ApplyView]:
        """What a reader of the stream gets of the last run."""
        return streamed(self.recorder.events)


class Unwilling(FakeHost):
    """A host on which something can't be done: a path written, systemd reloaded, jobs asked for, or a second look taken."""

    def __init__(self, *, path: str = "", effect: type[Effect] | None = None, blind: bool = False) -> None:
        super().__init__()
        self._path, self._effect, self.blind = path, effect, blind
        self._looks = 0

    def observe(self, subjects: Subjects) -> Observed:
        self._looks += 1
        if self.blind and self._looks > 1:
            raise HostError("ask systemd: no answer", code="systemd-failed", hint="try `systemctl status`")
        return super().observe(subjects)

    def carry_out(self, effects: tuple[Effect, ...]) -> tuple[Failure, ...]:
        first = effects[0]
        if isinstance(first, WriteFile) and first.path == self._path:
            raise HostError(f"write {self._path}: Read-only file system", code="write-failed", hint="see `findmnt`")
        if self._effect is not None and isinstance(first, self._effect):
            raise HostError("ask systemd: no answer", code="timeout", hint="see `systemctl list-jobs`")
        return super().carry_out(effects)


def streamed(events: list[Event]) -> list[ApplyView]:
    """The lines that events become."""
    stream, views = Stream(), list[ApplyView]()
    for event in events:
        stream, view = tell(stream, event)
        if view is not None:
            views.append(view)
    return views


def of(revision: str, files: Mapping[str, str]) -> Desired:
    """A desired state that a signed revision gave."""
    source = Source(revision * 40, "https://git.example.com/hosts.git", "refs/heads/main", "alice")
    return msgspec.structs.replace(rendered(files), source=source)
