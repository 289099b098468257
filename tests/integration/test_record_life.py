"""The record through cuts, the lock seen from outside, the audit directory, and options that exclude each other."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from core_ops.errors import HostError, StateError, StateWriteError
from core_ops.host import audit
from core_ops.host.lock import held, is_held
from core_ops.host.machine import inputs
from core_ops.host.store import Store
from core_ops.host.unrecorded import Unrecorded
from core_ops.reconcile import retry, snapshots
from core_ops.reconcile.model import Desired, LastApplied, Obj, Owned
from core_ops.reconcile.planned import Failure
from core_ops.reconcile.record import Record, Status
from core_ops.reconcile.snapshots import History
from integration.test_cli import EXAMPLE, core_ops, dirs
from trees import outcome, tree

SCOPE = "host:h1:m"
FAILED = (Failure(Obj("container", "a"), "a.service", "applying", "exit status 1"),)


def state(number: int) -> Desired:
    """A state and its revision, both told apart by a number."""
    made = outcome(tree({"services/a/a.container": f"[Container]\nImage=x:{number}\n"}), f"{number:040x}")
    assert isinstance(made, Desired)
    return made


def recorded(*numbers: int) -> Record:
    """The record after these states held one after another, with everything in it that can be."""
    history = History()
    for number in numbers:
        history = snapshots.kept(history, state(number), SCOPE, f"2026-01-02T03:{number:02}:00Z")
    last = state(numbers[-1])
    owned = tuple(Owned(i.path, i.object, i.unit) for i in last.items)
    attempts = (retry.attempt("1" * 40, "kernel", FAILED, "t"),)
    return Record(Status(), None, LastApplied(last, owned, ()), history, attempts, history.snapshots[-1])


def files(directory: Path) -> dict[str, bytes]:
    """Every file of a record by its path in the directory."""
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def test_everything_that_is_remembered_comes_back(tmp_path: Path) -> None:
    """Snapshots, what expired, attempts and a rollback under way, in another process."""
    record = recorded(*range(1, 15))
    Store(tmp_path / "status.json", SCOPE).save(record)
    assert Store(tmp_path / "status.json", SCOPE).load() == record


@pytest.mark.parametrize("writes", range(5))
def test_a_finished_way_back_is_never_forgotten_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """Whichever file was the last one written, the next run stands still or goes on back; it does not turn round."""
    before = recorded(*range(1, 4))
    before = msgspec.structs.replace(before, rollback=before.history.snapshots[-1], attempts=())
    assert before.status is not None
    store = Store(tmp_path / "status.json", SCOPE)
    store.save(before)
    left = writes
    whole = os.replace

    def cut(source: Path, target: Path) -> None:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left -= 1
        whole(source, target)

    monkeypatch.setattr(os, "replace", cut)
    with contextlib.suppress(StateWriteError):
        store.save(msgspec.structs.replace(before, status=Status(detached=True), rollback=None))
    monkeypatch.undo()
    after = Store(tmp_path / "status.json", SCOPE).load()
    assert after.status is not None
    assert after.status.detached or after.rollback is not None
    assert after.rollback is None or writes < 2


@pytest.mark.parametrize("damage", [b"{", None])
def test_a_damaged_snapshot_of_what_holds_is_recovered_from(tmp_path: Path, damage: bytes | None) -> None:
    """What is advised works: salvaged and saved, the record can be read again and still knows what it owns."""
    record = recorded(1)
    store = Store(tmp_path / "status.json", SCOPE)
    store.save(record)
    (snapshot,) = (tmp_path / "snapshots").iterdir()
    if damage is None:
        snapshot.unlink()
    else:
        snapshot.write_bytes(damage)
    begun = Store(tmp_path / "status.json", SCOPE)
    saved = begun.salvage()
    assert saved.last.owned == record.last.owned
    begun.save(msgspec.structs.replace(saved, history=History(), rollback=None))
    again = Store(tmp_path / "status.json", SCOPE).load()
    assert again.last == msgspec.structs.replace(record.last, desired=None)


def test_any_snapshot_can_be_read_and_a_run_reads_only_the_one_that_holds(tmp_path: Path) -> None:
    """Each comes back with its own source; damage to one that nobody asks for costs nothing."""
    store, history = Store(tmp_path / "status.json", SCOPE), History()
    for number in range(1, 15):
        history = snapshots.kept(history, state(number), SCOPE, "t")
        store.save(Record(Status(), None, LastApplied(state(number), (), ()), history))
    assert len(list((tmp_path / "snapshots").iterdir())) == 10
    fresh = Store(tmp_path / "status.json", SCOPE)
    for kept, number in zip(history.snapshots, range(14, 4, -1), strict=True):
        assert fresh.snapshot(kept) == state(number)
    for kept in history.snapshots[1:]:
        (tmp_path / "snapshots" / f"{kept.digest}.json").write_bytes(b"{")
    assert Store(tmp_path / "status.json", SCOPE).load().last.desired == state(14)
    with pytest.raises(StateError) as damaged:
        fresh.snapshot(history.snapshots[1])
    assert damaged.value.code == "state-invalid"
    (tmp_path / "snapshots" / f"{history.snapshots[2].digest}.json").unlink()
    with pytest.raises(StateError) as gone:
        fresh.snapshot(history.snapshots[2])
    assert gone.value.code == "missing_snapshot"


def test_revisions_with_one_state_share_one_file(tmp_path: Path) -> None:
    """A commit that concerns other hosts costs a line, not a copy, and the newer source is what holds."""
    store, history = Store(tmp_path / "status.json", SCOPE), History()
    for revision in ("a" * 40, "b" * 40):
        made = outcome(tree({"services/a/a.container": "[Container]\nImage=x\n"}), revision)
        assert isinstance(made, Desired)
        history = snapshots.kept(history, made, SCOPE, "t")
        store.save(Record(Status(), None, LastApplied(made, (), ()), history))
    assert len(list((tmp_path / "snapshots").iterdir())) == 1
    again = Store(tmp_path / "status.json", SCOPE).load()
    assert again.last.desired is not None
    assert again.last.desired.source.revision == "b" * 40
    assert [s.revision for s in again.history.snapshots] == ["b" * 40, "a" * 40]


SAVE = """
import os, sys, msgspec
from pathlib import Path
from core_ops.host.store import Store
from core_ops.reconcile.record import Record

left = int(sys.argv[2])

def cut(event, arguments):
    global left
    if event in {"os.rename", "os.remove"} or (event == "open" and str(arguments[0]).endswith(".new")):
        if left == 0:
            os._exit(9)
        left -= 1

store = Store(Path(sys.argv[1]), "host:h1:m")
store.load()
record = msgspec.json.decode(sys.stdin.buffer.read(), type=Record)
sys.addaudithook(cut)
store.save(record)
"""


def save(status_file: Path, record: Record, cut_after: int) -> int:
    """Save a record in another process that ends, as by a power cut, before one more step on files; its exit status."""
    command = [sys.executable, "-c", SAVE, str(status_file), str(cut_after)]
    return subprocess.run(command, input=msgspec.json.encode(record), check=False).returncode


def test_a_cut_between_any_two_files_leaves_a_record_that_can_be_read(tmp_path: Path) -> None:
    """After any prefix of the steps of a save, what holds and every snapshot that is named are there."""
    store, whole = Store(tmp_path / "whole/status.json", SCOPE), tmp_path / "whole"
    for number in range(1, 11):
        store.save(msgspec.structs.replace(recorded(*range(1, number + 1)), rollback=None))
    newer = msgspec.structs.replace(recorded(*range(1, 12)), rollback=None)  # one more: the oldest goes
    statuses: list[int] = []
    record = Record()
    while not statuses or statuses[-1] == 9:
        directory = tmp_path / f"cut-{len(statuses)}"
        shutil.copytree(whole, directory)
        statuses.append(save(directory / "status.json", newer, len(statuses)))
        fresh = Store(directory / "status.json", SCOPE)
        record = fresh.load()
        assert record.last.desired in {state(10), state(11)}
        assert all(fresh.snapshot(s).source.revision == s.revision for s in record.history.snapshots)
        fresh.save(record)  # and the next save sweeps what the cut one left
        digests = {f"{s.digest}.json" for s in record.history.snapshots}
        assert {p.name for p in (directory / "snapshots").iterdir()} == digests
    assert len(statuses) > 4
    assert statuses[-1] == 0
    assert record == newer


def test_no_record_means_none(tmp_path: Path) -> None:
    """Whatever is saved, nothing is known and nothing is written."""
    store = Unrecorded()
    store.save(recorded(1))
    assert store.load() == store.salvage() == Record()
    with pytest.raises(StateError):
        store.snapshot(recorded(1).history.snapshots[0])
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_seen_without_being_taken(tmp_path: Path) -> None:
    """A look from outside says who is busy, and never makes a run that starts meanwhile give up."""
    path = tmp_path / "run/lock"
    assert not is_held(path)
    with held(path):
        assert is_held(path)
    assert path.exists()
    assert not is_held(path)
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert is_held(path)
    assert not is_held(path)


def test_a_host_has_inputs_of_one_line() -> None:
    """Kernel, boot, systemd and podman, each with a value or a dash; the same twice."""
    found = inputs()
    assert found == inputs()
    assert found.startswith(f"kernel {os.uname().release} boot ")
    assert " systemd " in found
    assert " podman " in found
    assert "\n" not in found


def names(*given: str) -> Iterator[str]:
    """Names to try, in order."""
    yield from given


def test_an_audit_record_replaces_none(tmp_path: Path) -> None:
    """Two runs of one second leave two files, for their owner only, and nothing half-written."""
    trail = tmp_path / "audit"
    (trail).mkdir()
    (trail / ".core-ops-audit.new").write_text("cut")
    for content in (b"one", b"two"):
        audit.write(str(trail), names("x.json", "x-1.json"), content)
    assert files(trail) == {"x.json": b"one", "x-1.json": b"two"}
    assert {p.stat().st_mode & 0o777 for p in trail.iterdir()} == {0o600}
    with pytest.raises(HostError) as caught:
        audit.write(str(trail), names("x.json"), b"three")
    assert caught.value.code == "audit-failed"
    assert set(files(trail)) == {"x.json", "x-1.json"}


def without_unnamed_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behave as NFS does, which has no O_TMPFILE."""
    real = os.open

    def opened(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr("os.open", opened)


@pytest.mark.parametrize("unnamed", [True, False])
def test_two_writers_of_audit_records_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, unnamed: bool
) -> None:
    """A plan writes without the lock, in the midst of another; what is cut there has no name, or is swept by the next."""
    if not unnamed:
        without_unnamed_files(monkeypatch)
    (tmp_path / ".core-ops-audit-0.new").write_text("cut")
    before = {} if not unnamed else files(tmp_path)

    def names_after_another() -> Iterator[str]:
        unfinished = files(tmp_path)
        audit.write(str(tmp_path), names("x.json"), b"two")
        assert files(tmp_path) == {**unfinished, "x.json": b"two"}
        assert unnamed == (unfinished == before)
        yield from names("x.json", "x-1.json")

    assert audit.write(str(tmp_path), names_after_another(), b"one") == f"{tmp_path}/x-1.json"
    assert files(tmp_path) == {**before, "x.json": b"two", "x-1.json": b"one"}
    assert {(p.stat().st_mode & 0o777, p.stat().st_nlink) for p in tmp_path.glob("x*")} == {(0o600, 1)}
    with pytest.raises(HostError):
        audit.write(str(tmp_path), names("x.json"), b"three")
    assert files(tmp_path) == {**before, "x.json": b"two", "x-1.json": b"one"}


def test_an_audit_record_outlasts_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First its content is durable, then its name."""
    synced: list[int] = []

    def fsync(descriptor: int) -> None:
        synced.append(stat.S_IFMT(os.fstat(descriptor).st_mode))

    monkeypatch.setattr("os.fsync", fsync)
    audit.write(str(tmp_path), names("x.json"), b"one")
    assert synced == [stat.S_IFREG, stat.S_IFDIR]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--force-no-state", "--state-file", "/x/status.json"), "--force-no-state with --state-file"),
        (("--force-no-state", "--rollback-to", "1" * 40), "--force-no-state with --rollback-to"),
        (("--rollback-to", "1" * 40, "--source-repo", "."), "--rollback-to with --source-repo"),
        (("--rollback-to", "1" * 40, "--no-reload"), "--rollback-to with --no-reload"),
        (("--rollback-to", "", "--source-repo", "."), "--rollback-to with --source-repo"),
        (("--rollback-plan-only",), "--rollback-plan-only without --rollback-to"),
        (("--force-no-state", "--rollback-plan-only"), "--rollback-plan-only without --rollback-to"),
    ],
)
def test_options_that_exclude_each_other_are_wrong_usage(tmp_path: Path, arguments: tuple[str, ...], word: str) -> None:
    """Exit 2, both are named, and nothing is read or written."""
    done = core_ops("apply", *arguments, "--lock-path", f"{tmp_path}/lock", home=tmp_path)
    assert done.returncode == 2
    assert word in done.stderr
    assert "bad-flags" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "code", "status"),
    [("1" * 40, "missing_snapshot", 1), ("123", "bad-revision", 2), ("", "bad-revision", 2)],
)
def test_a_way_back_that_is_none_is_refused(tmp_path: Path, asked: str, code: str, status: int) -> None:
    """Shown or carried out, the answer is the same, and nothing changes but the lock."""
    (tmp_path / "state").mkdir()
    Store(tmp_path / "state/status.json", "host:h1:").save(Record(Status()))
    before = files(tmp_path / "state")
    memory = json.loads(before["deterministic-state.json"]) | {"scope": ""}
    (tmp_path / "state/deterministic-state.json").write_text(json.dumps(memory))
    before = files(tmp_path / "state")
    for more in ((), ("--rollback-plan-only",)):
        arguments = ("apply", *dirs(tmp_path), "--host", "h1", "--rollback-to", asked, *more)
        done = core_ops(*arguments, home=tmp_path)
        assert done.returncode == status, done.stderr
        assert code in done.stderr
    assert files(tmp_path / "state") == before


def test_an_apply_from_a_directory_never_touches_the_tracked_record(tmp_path: Path) -> None:
    """It has a record of its own, with the provenance of a directory; without one it leaves no trace of having been."""
    source = tmp_path / "source"
    (source / "hosts/h1").mkdir(parents=True)
    (source / "hosts/h1/host.yaml").write_text("host: h1\nservices: [a]\n")
    (source / "services/a/config").mkdir(parents=True)
    (source / "services/a/config/app.conf").write_text("v=1\n")
    (tmp_path / "state").mkdir()
    (tmp_path / "state/status.json").write_text("{")  # a tracked record that would stop every run
    arguments = (*dirs(tmp_path), "--source-repo", str(source), "--host", "h1")
    done = core_ops("apply", *arguments, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "(stateless)" in done.stdout
    assert (tmp_path / "state/status.json").read_text() == "{"
    own = json.loads((tmp_path / "state/stateless/status.json").read_text())
    assert own["reconciliation"]["last_applied_revision"] == "(stateless)"
    assert {p.name for p in (tmp_path / "state").iterdir()} == {"status.json", "stateless"}

    (tmp_path / "etc/a/app.conf").unlink()
    before = files(tmp_path / "state")
    unrecorded = [a for a in arguments if a not in {"--state-file", f"{tmp_path}/state/status.json"}]
    where = {"CORE_OPS_STATE_FILE": f"{tmp_path}/state/status.json"}
    done = core_ops("apply", "--force-no-state", *unrecorded, home=tmp_path, **where)
    assert done.returncode == 0, done.stderr
    assert "--force-no-state" in done.stderr
    assert (tmp_path / "etc/a/app.conf").read_text() == "v=1\n"
    assert files(tmp_path / "state") == before


def test_a_plan_leaves_a_record_where_it_is_asked_to_and_nowhere_else(tmp_path: Path) -> None:
    """The directory comes from the flag or the environment, and nothing else appears."""
    arguments = ("plan", *dirs(tmp_path), "--source-repo", str(EXAMPLE), "--host")
    done = core_ops(*arguments, "guest", "--audit-dir", f"{tmp_path}/audit", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["audit"]
    (record,) = files(tmp_path / "audit").values()
    found = json.loads(record)
    assert found["outcome"] == "planned"
    assert found["call"]["verb"] == "plan"
    done = core_ops(*arguments, "guest", home=tmp_path, CORE_OPS_AUDIT_DIR=f"{tmp_path}/other")
    assert done.returncode == 0, done.stderr
    assert len(files(tmp_path / "other")) == 1
