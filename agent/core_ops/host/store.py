"""The agent's memory on disk: a few JSON files, each replaced as a whole and durable before the next step.

    status.json               what people and scripts read
    deterministic-state.json  ownership, start records, which snapshot holds
    trust-state.json (.bak)   the newest authenticated revision
    snapshots/<digest>.json   desired states as they were applied, ten of them; only the one that holds is read by a run

Parts are written in an order in which a cut between two of them is safe: a snapshot before what names it, ownership before
files exist, the anchor before the status that tells of it.
"""

import contextlib
import os
from pathlib import Path
from typing import TypeVar

import msgspec

from core_ops.errors import StateError, StateWriteError
from core_ops.reconcile import snapshots
from core_ops.reconcile.model import Anchor, Desired, LastApplied, Owned, Source, Started, Value
from core_ops.reconcile.record import SCHEMA_VERSION, Record, Status
from core_ops.reconcile.retry import Attempt
from core_ops.reconcile.snapshots import History, Snapshot

SIZE_LIMIT_BYTES = 64 * 1024 * 1024

T = TypeVar("T")


class Memory(Value, frozen=True):
    """`deterministic-state.json`. `applied` is the digest of the state that holds, `source` where that came from."""

    schema_version: int = SCHEMA_VERSION
    scope: str = ""
    applied: str = ""
    source: Source | None = None
    owned: tuple[Owned, ...] = ()
    started: tuple[Started, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    expired: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    rollback: Snapshot | None = None
    examined: str = ""
    volumes: tuple[Started, ...] = ()


class TrustState(Value, frozen=True):
    """`trust-state.json`."""

    anchor: Anchor
    schema: int = SCHEMA_VERSION


class Store:
    """The record of one host below the directory of its status file."""

    def __init__(self, status_file: Path, scope: str) -> None:
        self._status = status_file
        self._directory = status_file.parent
        self._memory_file = self._directory / "deterministic-state.json"
        self._trust_file = self._directory / "trust-state.json"
        self._scope = scope
        self._written: dict[Path, bytes] = {}
        self._memory = Memory()
        self._desired: Desired | None = None

    def load(self) -> Record:
        """Return what was saved last; see `core_ops.ports.Store`."""
        status = self.status()
        self._recall()
        trust = self._read_trust()
        return self._record(status, trust)

    def _record(self, status: Status | None, trust: TrustState | None) -> Record:
        memory = self._memory
        return Record(
            status=status,
            anchor=trust.anchor if trust else None,
            last=LastApplied(self._desired, memory.owned, memory.started, memory.examined, memory.volumes),
            history=History(memory.snapshots, memory.expired),
            attempts=memory.attempts,
            rollback=memory.rollback,
        )

    def status(self) -> Status | None:
        """Return the part that anybody may read, or None when there is none.

        Raises:
            StateError: it can't be read.
        """
        return self._read(self._status, Status)

    def salvage(self) -> Record:
        """Return the parts that can still be read; see `core_ops.ports.Store`."""
        status: Status | None = None
        trust: TrustState | None = None
        with contextlib.suppress(StateError):
            status = self.status()
        with contextlib.suppress(StateError):
            self._recall()
        with contextlib.suppress(StateError):
            trust = self._read_trust()
        if self._desired is None:  # its snapshot is gone or damaged, so nothing is known to hold
            self._memory = msgspec.structs.replace(self._memory, applied="", source=None)
        return self._record(status, trust)

    def _recall(self) -> None:
        self._memory = self._read(self._memory_file, Memory) or Memory()
        if self._memory.scope and _machine(self._memory.scope) != _machine(self._scope):
            raise StateError(
                f"use {self._memory_file}: it was written on another machine ({self._memory.scope}, this is {self._scope})",
                code="incompatible_scope",
                hint="a cloned machine starts afresh: remove that file, or give the machine back its id",
            )
        if self._memory.applied:
            found = self._read(self._snapshot_file(self._memory.applied), Desired)
            source = self._memory.source or (found.source if found else Source(""))
            self._desired = found and msgspec.structs.replace(found, source=source)

    def snapshot(self, snapshot: Snapshot) -> Desired:
        """Return the state of a snapshot; see `core_ops.ports.Store`."""
        found = self._read(self._snapshot_file(snapshot.digest), Desired)
        if found is None:
            raise StateError(
                f"read {self._snapshot_file(snapshot.digest)}: it is gone",
                code="missing_snapshot",
                hint="take another revision of `core-ops status`, or `core-ops init <repository> <ref> --force`",
            )
        source = Source(snapshot.revision, snapshot.repository, snapshot.ref, snapshot.signer)
        return msgspec.structs.replace(found, source=source)

    def save(self, record: Record) -> None:
        """Write the parts that changed; see `core_ops.ports.Store`."""
        desired, applied = record.last.desired, self._memory.applied
        if desired is not None and desired != self._desired:
            content = snapshots.content(desired)
            applied = snapshots.digest(content)
            self._write(self._snapshot_file(applied), content)
            self._desired = desired
        self._memory = Memory(
            scope=self._scope,
            applied=applied,
            source=desired.source if desired else self._memory.source,
            owned=record.last.owned,
            started=record.last.started,
            volumes=record.last.volumes,
            examined=record.last.examined,
            snapshots=record.history.snapshots,
            expired=record.history.expired,
            attempts=record.attempts,
            rollback=record.rollback,
        )
        if record.status is not None and record.status.detached:
            # Before the way back is forgotten, or a cut between the two would have the next run turn round.
            self._save_status(record.status)
        self._write(self._memory_file, msgspec.json.encode(self._memory))
        self._save_anchor(record.anchor)
        if record.status is not None:
            self._save_status(record.status)
        self._prune()

    def _save_status(self, status: Status) -> None:
        self._write(self._status, msgspec.json.format(msgspec.json.encode(status), indent=2) + b"\n")

    def _save_anchor(self, anchor: Anchor | None) -> None:
        both = (self._trust_file, self._trust_file.with_suffix(".bak"))
        if anchor is None:  # only `init` forgets an anchor: another history begins
            for path in both:
                self._remove(path)
            return
        for path in both:
            self._write(path, msgspec.json.encode(TrustState(anchor)))

    def _prune(self) -> None:
        """Remove snapshots that are no longer named, and what a killed run was writing."""
        memory = self._memory
        digests = {memory.applied, *(s.digest for s in (*memory.snapshots, memory.rollback) if s)}
        kept = {f"{digest}.json" for digest in digests}
        with contextlib.suppress(OSError):
            for name in os.listdir(self._directory / "snapshots"):
                if name not in kept:
                    (self._directory / "snapshots" / name).unlink()
        for path in (self._memory_file, self._trust_file, self._trust_file.with_suffix(".bak"), self._status):
            with contextlib.suppress(OSError):
                _temporary(path).unlink()

    def _snapshot_file(self, digest: str) -> Path:
        return self._directory / "snapshots" / f"{digest}.json"

    # --- files -----------------------------------------------------------------------------------------------------

    def _read_trust(self) -> TrustState | None:
        try:
            return self._read(self._trust_file, TrustState)
        except StateError:
            with contextlib.suppress(StateError):
                if spare := self._read(self._trust_file.with_suffix(".bak"), TrustState):
                    return spare
            raise

    def _read(self, path: Path, kind: type[T]) -> T | None:
        try:
            if path.stat().st_size > SIZE_LIMIT_BYTES:
                raise self._corrupt(path, f"larger than {SIZE_LIMIT_BYTES} bytes")
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise StateError(f"read {path}: {error.strerror}", code="state-unreadable", hint="run as root") from error
        except OSError as error:
            raise self._corrupt(path, error.strerror or "unreadable") from error
        self._written[path] = content
        try:
            self._must_be_known(path, content)
            return msgspec.json.decode(content, type=kind)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise self._corrupt(path, str(error)) from error

    def _must_be_known(self, path: Path, content: bytes) -> None:
        versions = msgspec.json.decode(content, type=_Versions)
        if max(versions.schema, versions.schema_version) > SCHEMA_VERSION:
            raise StateError(
                f"read {path}: it was written by a newer core-ops",
                code="state-newer-than-agent",
                hint="install the newer core-ops again",
            )

    def _corrupt(self, path: Path, why: str) -> StateError:
        return StateError(
            f"state file at {path} is corrupt or unreadable; run 'core-ops init <repository> <ref> --force' to recover",
            code="state-invalid",
            hint="core-ops init <repository> <ref> --force",
            details=(f"what is wrong with it: {why}",),
        )

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _write_failed(path, error) from error
        self._written.pop(path, None)

    def _write(self, path: Path, content: bytes) -> None:
        temporary = _temporary(path)
        try:
            if self._written.get(path) == content and path.exists():
                return
            _make_directory(path.parent, 0o755 if path.parent == self._directory else 0o700)
            _replace(temporary, path, content, 0o644 if path == self._status else 0o600)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise _write_failed(path, error) from error
        self._written[path] = content


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _write_failed(path: Path, error: OSError) -> StateWriteError:
    return StateWriteError(
        f"write {path}: {error.strerror}",
        code="state-write-failed",
        hint="free some space, or make that file system writable; the next run goes on from here",
    )


def _machine(scope_: str) -> str:
    """The part of a scope that must not change; a host may be given another name."""
    return scope_.rpartition(":")[2]


class _Versions(msgspec.Struct):
    schema: int = 1
    schema_version: int = 1


def _replace(temporary: Path, path: Path, content: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, mode)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    _keep_names(path.parent)


def _make_directory(path: Path, mode: int) -> None:
    """Make a directory and those above it, durably: files that a lost record should have named would be nobody's."""
    if path.is_dir():
        return
    _make_directory(path.parent, 0o755)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode)
    _keep_names(path.parent)


def _keep_names(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def scope(host: str) -> str:
    """Return what a record is good for: this host on this machine.

    Source:
        machine-id(5). A machine without one (a laptop looking at a repository) has an empty id.
    """
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            machine = file.read(64).strip()
    except (OSError, UnicodeDecodeError):
        machine = ""
    return f"host:{host}:{machine}"
