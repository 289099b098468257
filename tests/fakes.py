"""In-memory worlds for a run: they can be cut at any effect, and they are held to the real adapters by contract tests.

`FakeHost` models what matters of systemd: it runs what it has *loaded*, it loads what is on disk only at a reload, and
whoever requires a unit goes down with it, and a pod ends with its last container.
"""

import itertools
from collections.abc import Iterable

import msgspec

from core_ops.errors import HostError, SourceError
from core_ops.reconcile import snapshots
from core_ops.reconcile.authority import Proof
from core_ops.reconcile.compare import Subjects
from core_ops.reconcile.complaints import Complaint, Generated
from core_ops.reconcile.escape import where
from core_ops.reconcile.events import Event
from core_ops.reconcile.kinds import UnitName, dropin_targets, unit_name
from core_ops.reconcile.meaning import fingerprint
from core_ops.reconcile.model import (
    Account,
    Accounts,
    Desired,
    Directories,
    FileState,
    Item,
    MountPoint,
    Observed,
    RootEntry,
    RootState,
    Source,
    TreeFile,
    UnitState,
    UntrustedRevision,
)
from core_ops.reconcile.mountneeds import mount_needs
from core_ops.reconcile.planned import (
    Effect,
    Failure,
    Plan,
    ReloadManager,
    RemoveFile,
    RemoveNetwork,
    RemoveUndeclared,
    SetEnablement,
    UnitJob,
    WriteFile,
)
from core_ops.reconcile.preflight import Examination, seal
from core_ops.reconcile.quadlet import Peers, Relations, host_paths, mentions, peers, related, runtime_unit
from core_ops.reconcile.record import Record
from core_ops.reconcile.snapshots import Snapshot
from core_ops.reconcile.unitfile import UnitText, layered, parse

ACCOUNTS = (Account("app", 1000), Account("root", 0))


class Cut(BaseException):
    """The power fails."""


class Loaded(msgspec.Struct, frozen=True):
    """A unit as systemd has read it."""

    definition: tuple[tuple[str, bytes], ...]
    text: UnitText
    relations: Relations
    oneshot: bool
    remains: bool


def relations(name: UnitName, text: UnitText, unit: str, known: Peers) -> Relations:
    """How a unit relates to others, from a text that was not looked at before."""
    return related(name, mentions(name, text), unit, known, mount_needs(name, text, known.mounts))


class FakeHost:
    """Files and units in memory; `cut_at` ends the world before that many further changes were made."""

    def __init__(self, directories: Directories | None = None) -> None:
        self.directories = directories or Directories()
        self.files: dict[str, tuple[bytes, int]] = {}
        self.owners: dict[str, tuple[int, int]] = {}  # of what was not written as root
        self.loaded: dict[str, Loaded] = {}
        self.running: dict[str, tuple[tuple[str, bytes], ...]] = {}
        self.finished: set[str] = set()
        self.enabled: set[str] = set()
        self.refuses_to_start: set[str] = set()
        self.busy: set[str] = set()
        self.was_running: dict[str, tuple[tuple[str, bytes], ...]] = {}
        self.networks: dict[str, bytes] = {}  # what podman made, by name, and what from
        self.volumes_made: dict[str, str] = {}  # the same for volumes
        self.attached: set[str] = set()  # networks that a container of somebody else uses
        self.mount_points: dict[str, MountPoint] = {}
        self.cut_at: int | None = None
        self.full = False
        self.images: set[str] | None = None  # None: whatever is asked for, also by a pull
        self.pullable: set[str] = set()
        self.examined = 0
        self.kernel = "6.1"
        self.log: list[str] = []
        self._invocations = itertools.count(1)
        self._invocation: dict[str, str] = {}

    # --- the port ---------------------------------------------------------------------------------------------------

    def observe(self, subjects: Subjects) -> Observed:
        who = Accounts(0, 0, ACCOUNTS, ACCOUNTS)
        roots = tuple(RootState(r, tuple(self._below(r))) for r in subjects.roots)
        mounts = tuple(map(self._mount_point, subjects.mount_points))
        return Observed(
            tuple(map(self._file, subjects.paths)), tuple(map(self._unit, subjects.units)), who, roots, mounts
        )

    def examine(self, desired: Desired, sealed: str) -> Examination:
        mark = seal(desired, "fake")
        if mark == sealed:
            return Examination(mark)
        self.examined += 1
        bare = (i.path.rpartition("/")[2] for i in desired.items if i.object.resource_type == "service" and _bare(i))
        words = "Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing."
        return Examination(mark, complaints=tuple(Complaint("systemd", words, unit=u, fatal=True) for u in bare))

    def generated(self, desired: Desired) -> tuple[Generated, ...]:
        del desired  # there is no podman here
        return ()

    def present(self, images: tuple[str, ...]) -> frozenset[str]:
        return frozenset(images) if self.images is None else frozenset(self.images.intersection(images))

    def volumes(self, names: tuple[str, ...]) -> frozenset[str]:
        return frozenset(self.volumes_made.keys() & set(names))

    def pull(self, image: str) -> str:
        if self.images is None:
            return ""
        self.log.append(f"pull {image}")
        if image not in self.pullable:
            return "connection refused"
        self.images.add(image)
        return ""

    def stage(self, plan: Plan) -> None:
        if self.full and any(isinstance(e, WriteFile) for e in plan.effects):
            raise HostError("write /etc/x: No space left on device", code="write-failed", hint="free some space")

    def carry_out(self, effects: tuple[Effect, ...]) -> tuple[Failure, ...]:
        failures: list[Failure] = []
        for effect in effects:
            self._maybe_cut()
            if isinstance(effect, WriteFile | RemoveFile):
                self._as_planned(effect)
            failures += self._one(effect)
        return tuple(failures)

    def inputs(self) -> str:
        return f"kernel {self.kernel}"

    # --- what a person may do to the host -----------------------------------------------------------------------------

    def edit(self, path: str, content: bytes | None) -> None:
        if content is None:
            self.files.pop(path, None)
        else:
            self.files[path] = (content, 0o644)
        self.owners.pop(path, None)

    def reload(self) -> None:
        units = {p: unit for p in self.files if (unit := self._unit_of(p))}
        known = peers((n, mentions(n, t), unit) for p, unit in units.items() for n, t, _ in [self._text(p)])
        self.loaded = {unit: self._load(p, unit, known) for p, unit in units.items()}

    def restart(self, unit: str) -> None:
        self._stop(unit)
        self._start(unit)

    def inputs_on_disk(self, unit: str) -> tuple[tuple[str, bytes], ...]:
        """What the unit would be started from after a reload."""
        path = next(p for p in self.files if self._unit_of(p) == unit)
        loaded = self._load(path, unit, Peers({}, {}, {}))
        return self._inputs(loaded)

    # --- systemd ----------------------------------------------------------------------------------------------------

    def _maybe_cut(self) -> None:
        if self.cut_at is not None:
            if self.cut_at <= 0:
                raise Cut
            self.cut_at -= 1

    def _as_planned(self, effect: WriteFile | RemoveFile) -> None:
        now = self._file(effect.path)
        gone = now.kind == "absent" and isinstance(effect, RemoveFile)
        if not gone and now != effect.expected:
            raise HostError(
                f"change {effect.path}: it changed after the plan", code="changed-under-us", hint="run again"
            )

    def _one(self, effect: Effect) -> Iterable[Failure]:
        match effect:
            case WriteFile():
                self.files[effect.path] = (effect.content, effect.mode)
                self.owners[effect.path] = _number(effect.owner), _number(effect.group)
            case RemoveFile() | RemoveUndeclared():
                self.files.pop(effect.path, None)
                self.owners.pop(effect.path, None)
            case RemoveNetwork():
                return self._forget(effect)
            case ReloadManager():
                self.log.append("daemon-reload")
                self.reload()
            case SetEnablement(verb="disable"):
                self.enabled.discard(effect.unit)
            case SetEnablement():
                self.enabled.add(effect.unit)
            case UnitJob():
                return self._job(effect)
        return ()

    def _forget(self, effect: RemoveNetwork) -> Iterable[Failure]:
        self.log.append(f"remove network {effect.network}")
        users = {u for u in self.running if u in self.loaded and effect.unit in self.loaded[u].relations.strong}
        if effect.network in self.attached or users:
            return (Failure(effect.object, effect.unit, "applying", "network is being used"),)
        self.networks.pop(effect.network, None)
        return ()

    def _take_in_configs(self, job: UnitJob) -> Iterable[Failure]:
        if job.unit not in self.running:
            return (Failure(job.object, job.unit, "applying", "Unit cannot be reloaded because it is inactive"),)
        self.running[job.unit] = (self.running[job.unit][0], *self._configs(self.loaded[job.unit].text))
        return ()

    def _job(self, job: UnitJob) -> Iterable[Failure]:
        self.log.append(f"{job.verb} {job.unit}")
        if job.verb == "reset-failed":
            return ()
        if job.verb == "reload":
            return self._take_in_configs(job)
        if job.verb in {"stop", "restart"}:
            self._stop(job.unit)
            if job.unit in self.busy:  # what needed it has stopped by the time it turns out to be in use
                self.running[job.unit] = self.was_running[job.unit]
                return (Failure(job.object, job.unit, "applying", "busy"),)
        if job.verb in {"start", "restart"}:
            self._lazily(job.unit)
            if job.unit not in self.loaded or job.unit in self.refuses_to_start:
                return (Failure(job.object, job.unit, "applying", "failed"),)
            if (self._needs(job.unit) - set(self.running)) & self.refuses_to_start:
                return (Failure(job.object, job.unit, "applying", "a unit that it needs failed", dependency=True),)
            self._start(job.unit)
        return ()

    def _needs(self, unit: str) -> set[str]:
        """Every unit that must be up for this one, near and far."""
        found: set[str] = set()
        todo = [unit]
        while todo:
            strong = self.loaded[todo.pop()].relations.strong
            more = {u for u in strong if u in self.loaded and u not in found | {unit}}
            found |= more
            todo += more
        return found

    def _stop(self, unit: str) -> None:
        if unit in self.running:
            self.was_running[unit] = self.running.pop(unit)
        self.finished.discard(unit)
        for other, loaded in self.loaded.items():
            if unit in loaded.relations.strong and other in self.running:
                self._stop(other)
        for pod in self.loaded[unit].relations.strong if unit in self.loaded else ():
            bound = {u for u, loaded in self.loaded.items() if pod in loaded.relations.strong}
            if pod.endswith("-pod.service") and pod in self.running and not bound & set(self.running):
                self._stop(pod)

    def _start(self, unit: str) -> None:
        loaded = self.loaded.get(unit)
        if loaded is None or unit in self.running or unit in self.refuses_to_start:
            return
        self._invocation[unit] = f"{next(self._invocations):032x}"
        self.running[unit] = self._inputs(loaded, anew=False)
        for other in loaded.relations.wants:
            self._start(other)
        if loaded.oneshot and not loaded.remains:
            del self.running[unit]
            self.finished.add(unit)

    def _inputs(self, loaded: Loaded, *, anew: bool = True) -> tuple[tuple[str, bytes], ...]:
        """What a unit runs from: what its files mean together, and its config files as they are.

        Podman keeps a network as it was made, unless that is gone and the unit makes it anew. A volume that is there stays.
        """
        path, (text, outlasting) = loaded.definition[0][0], _apart(loaded.text)
        made = fingerprint(outlasting).encode()
        if path.endswith(".network"):
            name = (
                outlasting.last("Network", "NetworkName")
                or f"systemd-{path.rpartition('/')[2].removesuffix('.network')}"
            )
            made = made if anew else self.networks.setdefault(name, made)
        elif path.endswith(".volume") and not anew:
            name = (
                outlasting.last("Volume", "VolumeName") or f"systemd-{path.rpartition('/')[2].removesuffix('.volume')}"
            )
            self.volumes_made.setdefault(name, made.decode())
        kept = ((path, made),) if path.endswith(".network") else ()
        return (path, fingerprint(text).encode()), *kept, *self._configs(loaded.text)

    def _configs(self, text: UnitText) -> tuple[tuple[str, bytes], ...]:
        config = f"{self.directories.config}/"
        used = {
            p: c
            for p, (c, _) in self.files.items()
            if p.startswith(config) and not self._in_unit_directory(p) and _names(host_paths(text), p)
        }
        return tuple(sorted(used.items()))

    def _in_unit_directory(self, path: str) -> bool:
        return path.startswith((f"{self.directories.quadlet}/", f"{self.directories.systemd}/"))

    def _unit_of(self, path: str) -> str:
        head, _, name = path.rpartition("/")
        parsed = unit_name(name)
        if parsed is None or head not in {self.directories.quadlet, self.directories.systemd}:
            return ""
        text = parse(self.files[path][0], path)
        return runtime_unit(parsed, text) if isinstance(text, UnitText) else ""

    def _text(self, path: str) -> tuple[UnitName, UnitText, tuple[tuple[str, bytes], ...]]:
        name = unit_name(path.rpartition("/")[2])
        assert name is not None
        definition = tuple((p, self.files[p][0]) for p in (path, *self._dropins(path)))
        return name, layered(t for p, c in definition if isinstance(t := parse(c, p), UnitText)), definition

    def _dropins(self, path: str) -> Iterable[str]:
        head, _, name = path.rpartition("/")
        for directory, read_as in dict.fromkeys(((head, name), (self.directories.systemd, self._unit_of(path)))):
            found: dict[str, str] = {}
            for target in dropin_targets(read_as):
                inside = [p for p in self.files if p.startswith(f"{directory}/{target}.d/")]
                found = {p.rpartition("/")[2]: p for p in inside} | found
            yield from (found[n] for n in sorted(found))

    def _load(self, path: str, unit: str, known: Peers) -> Loaded:
        name, text, definition = self._text(path)
        quadlet = name.suffix in {"network", "volume", "image", "build"}
        return Loaded(
            definition,
            text,
            relations(name, text, unit, known),
            oneshot=quadlet or text.last("Service", "Type") == "oneshot",
            remains=quadlet or text.last("Service", "RemainAfterExit") == "yes",
        )

    def _file(self, path: str) -> FileState:
        if path not in self.files:
            return FileState(path, "absent")
        content, mode = self.files[path]
        return FileState(path, "file", content, mode, *self.owners.get(path, (0, 0)))

    def _below(self, root: str) -> Iterable[RootEntry]:
        return (RootEntry(p, "file") for p in sorted(self.files) if p.startswith(f"{root}/"))

    def _mount_point(self, path: str) -> MountPoint:
        up = any(u.endswith(".mount") and where(u) == path for u in self.running)
        return MountPoint(path, mounted=True) if up else self.mount_points.get(path, MountPoint(path, "absent"))

    def _lazily(self, unit: str) -> None:
        """Read a native unit that nobody asked about before, as systemd does; a generated one needs the generators."""
        path = f"{self.directories.systemd}/{unit}"
        if unit not in self.loaded and path in self.files and self._unit_of(path) == unit:
            self.loaded[unit] = self._load(path, unit, Peers({}, {}, {}))

    def _unit(self, unit: str) -> UnitState:
        self._lazily(unit)
        loaded = self.loaded.get(unit)
        if loaded is None:  # its file is gone, but what was started from it goes on
            up = unit in self.running
            return UnitState(unit, active="active" if up else "inactive", sub="running" if up else "dead")
        on_disk = tuple((p, self.files[p][0]) for p, _ in loaded.definition if p in self.files)
        return UnitState(
            unit=unit,
            load="loaded",
            active="active" if unit in self.running else "inactive",
            sub="running" if unit in self.running else "dead",
            type="oneshot" if loaded.oneshot else "simple",
            enabled="enabled" if unit in self.enabled else "disabled",
            invocation_id=self._invocation.get(unit, "") if unit in self.running or unit in self.finished else "",
            needs_reload=on_disk != loaded.definition,
        )


def _apart(text: UnitText) -> tuple[UnitText, UnitText]:
    """What a unit does each time it starts, and what it makes once and for all: a network or a volume."""
    once = tuple(a for a in text.assignments if a.section in {"Network", "Volume"})
    return UnitText(tuple(a for a in text.assignments if a not in once)), UnitText(once)


def _number(name: str) -> int:
    if not name or name.isdecimal():
        return int(name or 0)
    return next(a.number for a in ACCOUNTS if a.name == name)


def _bare(item: Item) -> bool:
    return b"ExecStart=" not in item.content


def _names(paths: tuple[str, ...], config: str) -> bool:
    return any(config == p or (p not in {"", "/etc"} and config.startswith(f"{p}/")) for p in paths)


class FakeStore:
    """Remembers in memory, through the same encoding as the disk."""

    def __init__(self, record: Record | None = None) -> None:
        self._content = msgspec.json.encode(record or Record())
        self._states: dict[str, Desired] = {}
        self.saves = 0

    def load(self) -> Record:
        return msgspec.json.decode(self._content, type=Record)

    def salvage(self) -> Record:
        return self.load()

    def save(self, record: Record) -> None:
        if record.last.desired is not None:
            self._states[snapshots.digest(snapshots.content(record.last.desired))] = record.last.desired
        self._content = msgspec.json.encode(record)
        self.saves += 1

    def snapshot(self, snapshot: Snapshot) -> Desired:
        source = Source(snapshot.revision, snapshot.repository, snapshot.ref, snapshot.signer)
        return msgspec.structs.replace(self._states[snapshot.digest], source=source)


class FakeSource:
    """A repository whose tip is set by the test; None means that it can't be reached."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.tip: UntrustedRevision | None = None
        self.trees: dict[str, tuple[TreeFile, ...]] = {}

    def fetch(self, repository: str, ref: str, anchor: str) -> UntrustedRevision:
        del repository, ref, anchor
        if self.tip is None:
            raise SourceError("fetch: server down", code="fetch-failed", hint="start it")
        return self.tip

    def tree(self, commit: str) -> tuple[TreeFile, ...]:
        return self.trees[commit]


class FakeProver:
    """Says of every revision that the given key signed it."""

    def __init__(self, proof: Proof) -> None:
        self._proof = proof

    def prove(self, candidate: UntrustedRevision) -> Proof:
        del candidate
        return self._proof


class Recorder:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def report(self, event: Event) -> None:
        self.events.append(event)


class FakeClock:
    """Time that passes only when somebody pauses."""

    def __init__(self) -> None:
        self.time_s = 1_760_000_000.0

    def now_s(self) -> float:
        return self.time_s

    def pause(self, duration_s: float) -> None:
        self.time_s += duration_s
