"""The agent's memory on disk: a few JSON files, each replaced as a whole and durable before the next step.

    status.json               what people and scripts read
    deterministic-state.json  ownership, start records, which snapshot holds
    trust-state.json (.bak)   the newest authenticated revision
    snapshots/<digest>.json   desired states as they were applied, ten of them

Parts are written in an order in which a cut between two of them is safe: a snapshot before what names it, ownership before
files exist, the anchor before the status that tells of it.
"""

import contextlib
import os
from pathlib import Path
from typing import TypeVar

import msgspec

from core_ops.errors import StateError, StateWriteError
from core_ops.reconcile.model import Anchor, Desired, LastApplied, Owned, Started, Value, sha256_hex
from core_ops.reconcile.record import SCHEMA_VERSION, Record, Status

SNAPSHOTS_KEPT = 10
SIZE_LIMIT_BYTES = 64 * 1024 * 1024

T = TypeVar("T")


class Snapshot(Value, frozen=True):
    """One state that was applied and verified: `digest` names its file."""

    digest: str
    revision: str


class Memory(Value, frozen=True):
    """`deterministic-state.json`. `snapshots` are newest first; `applied` is the digest of the one that holds."""

    schema_version: int = SCHEMA_VERSION
    scope: str = ""
    applied: str = ""
    owned: tuple[Owned, ...] = ()
    started: tuple[Started, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    examined: str = ""


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
        return Record(status, trust.anchor if trust else None, self._last())

    def _last(self) -> LastApplied:
        return LastApplied(self._desired, self._memory.owned, self._memory.started, self._memory.examined)

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
        return Record(status, trust.anchor if trust else None, self._last())

    def _recall(self) -> None:
        self._memory = self._read(self._memory_file, Memory) or Memory()
        if self._memory.scope and _machine(self._memory.scope) != _machine(self._scope):
            raise StateError(
                f"use {self._memory_file}: it was written on another machine ({self._memory.scope}, this is {self._scope})",
                code="incompatible-scope",
                hint="a cloned machine starts afresh: remove that file, or give the machine back its id",
            )
        if self._memory.applied:
            self._desired = self._read(self._snapshot_file(self._memory.applied), Desired)

    def save(self, record: Record) -> None:
        """Write the parts that changed; see `core_ops.ports.Store`."""
        memory = self._memory
        if record.last.desired is not None and record.last.desired != self._desired:
            memory = self._keep(record.last.desired)
            self._desired = record.last.desired
        self._memory = msgspec.structs.replace(
            memory,
            scope=self._scope,
            owned=record.last.owned,
            started=record.last.started,
            examined=record.last.examined,
        )
        self._write(self._memory_file, msgspec.json.encode(self._memory))
        self._save_anchor(record.anchor)
        if record.status is not None:
            self._write(self._status, msgspec.json.format(msgspec.json.encode(record.status), indent=2) + b"\n")
        self._prune()

    def _save_anchor(self, anchor: Anchor | None) -> None:
        both = (self._trust_file, self._trust_file.with_suffix(".bak"))
        if anchor is None:  # only `init` forgets an anchor: another history begins
            for path in both:
                self._remove(path)
            return
        for path in both:
            self._write(path, msgspec.json.encode(TrustState(anchor)))

    def _keep(self, desired: Desired) -> Memory:
        content = msgspec.json.encode(desired)
        digest = sha256_hex(content)[:32]
        self._write(self._snapshot_file(digest), content)
        snapshots = (
            Snapshot(digest, desired.source.revision),
            *(s for s in self._memory.snapshots if s.digest != digest),
        )[:SNAPSHOTS_KEPT]
        return msgspec.structs.replace(self._memory, applied=digest, snapshots=snapshots)

    def _prune(self) -> None:
        kept = {f"{s.digest}.json" for s in self._memory.snapshots}
        with contextlib.suppress(OSError):
            for name in os.listdir(self._directory / "snapshots"):
                if name not in kept:
                    (self._directory / "snapshots" / name).unlink()

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
        if self._written.get(path) == content and path.exists():
            return
        temporary = path.with_name(f".{path.name}.new")
        try:
            path.parent.mkdir(mode=0o755 if path.parent == self._directory else 0o700, parents=True, exist_ok=True)
            _replace(temporary, path, content, 0o644 if path == self._status else 0o600)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise _write_failed(path, error) from error
        self._written[path] = content


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
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
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
