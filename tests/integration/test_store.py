"""The record on disk: the real store and the fake keep the same promises, and damage is named."""

from pathlib import Path

import msgspec
import pytest

from core_ops.errors import StateError
from core_ops.host.store import Store, scope
from core_ops.ports import Store as StorePort
from core_ops.reconcile.model import Anchor, LastApplied, Obj, Owned, Started
from core_ops.reconcile.record import DesiredState, Record, Status
from fakes import FakeStore
from trees import rendered

DESIRED = rendered({"services/a/a.container": "[Container]\nImage=x\n"})
RECORD = Record(
    status=Status(desired_state=DesiredState(repository="file:///r", requested_ref="main")),
    anchor=Anchor("1" * 40, "2" * 40, "3" * 64, "alice", "SHA256:x", 1_750_000_000),
    last=LastApplied(DESIRED, (Owned("/etc/x", Obj("config", "etc/x"), ""),), (Started("a.service", "digest"),)),
)


@pytest.fixture(params=["real", "fake"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StorePort:
    return FakeStore() if request.param == "fake" else Store(tmp_path / "state/status.json", "host:h1:m")


def test_a_new_host_has_an_empty_record(store: StorePort) -> None:
    """Nothing was saved, nothing is known."""
    assert store.load() == Record()


def test_what_was_saved_is_loaded(store: StorePort) -> None:
    """A record comes back whole, also after it was replaced."""
    store.save(RECORD)
    assert store.load() == RECORD
    changed = msgspec.structs.replace(RECORD, last=LastApplied(DESIRED, (), ()))
    store.save(changed)
    assert store.load() == changed


def test_a_state_from_before_there_were_owners_is_read(tmp_path: Path) -> None:
    """Fields that an older program did not write have their defaults, and no digest changes for that."""
    state = tmp_path / "state"
    Store(state / "status.json", "host:h1:m").save(RECORD)
    for snapshot in (state / "snapshots").iterdir():
        old = msgspec.json.decode(snapshot.read_bytes())
        assert old.pop("exclusive") == []
        for item in old["items"]:
            assert [item.pop("owner"), item.pop("group")] == ["", ""]
        snapshot.write_bytes(msgspec.json.encode(old))
    assert Store(state / "status.json", "host:h1:m").load() == RECORD


def test_a_forgotten_anchor_stays_forgotten(store: StorePort) -> None:
    """`init --force` begins another history; the old anchor must not come back and refuse it."""
    store.save(RECORD)
    begun = msgspec.structs.replace(RECORD, anchor=None)
    store.save(begun)
    assert store.load() == begun


def test_another_process_finds_the_same(tmp_path: Path) -> None:
    """The record is on disk, readable only by its owner but for what people read."""
    Store(tmp_path / "s/status.json", "host:h1:m").save(RECORD)
    assert Store(tmp_path / "s/status.json", "host:renamed:m").load() == RECORD
    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "s").iterdir()}
    assert modes.pop("status.json") == 0o644
    assert modes.pop("snapshots") == 0o700
    assert set(modes.values()) == {0o600}


def test_ten_snapshots_are_kept(tmp_path: Path) -> None:
    """Old ones go, the newest is the one that holds."""
    store = Store(tmp_path / "status.json", "host:h1:m")
    for number in range(15):
        desired = rendered({"services/a/a.container": f"[Container]\nImage=x:{number}\n"})
        store.save(msgspec.structs.replace(RECORD, last=LastApplied(desired, (), ())))
    assert len(list((tmp_path / "snapshots").iterdir())) == 10
    found = Store(tmp_path / "status.json", "host:h1:m").load().last.desired
    assert found is not None
    assert found.items[0].content == b"[Container]\nImage=x:14\n"


def test_a_cloned_machine_is_noticed(tmp_path: Path) -> None:
    """A record of another machine is not this one's."""
    Store(tmp_path / "status.json", "host:h1:m").save(RECORD)
    with pytest.raises(StateError, match="another machine"):
        Store(tmp_path / "status.json", "host:h1:n").load()


@pytest.mark.parametrize("name", ["status.json", "deterministic-state.json"])
def test_a_file_cut_at_any_byte_is_named_and_never_taken_for_empty(tmp_path: Path, name: str) -> None:
    """Damage is `state-invalid` with the way out, whatever is left of the file."""
    Store(tmp_path / "status.json", "host:h1:m").save(RECORD)
    whole = (tmp_path / name).read_bytes()
    for length in range(len(whole.rstrip())):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(StateError) as caught:
            Store(tmp_path / "status.json", "host:h1:m").load()
        assert caught.value.code == "state-invalid"
        assert str(tmp_path / name) in caught.value.message
        assert "--force" in caught.value.message


@pytest.mark.parametrize("spoilt", [b"", b"{}", b"null", b"[]", b"\xff\xfe", b'{"anchor": 5}', b"[" * 100_000])
def test_a_spoilt_trust_state_falls_back_to_its_copy(tmp_path: Path, spoilt: bytes) -> None:
    """The anchor survives damage to one of its two files, and damage to both is an error, not a fresh start."""
    Store(tmp_path / "status.json", "host:h1:m").save(RECORD)
    (tmp_path / "trust-state.json").write_bytes(spoilt)
    assert Store(tmp_path / "status.json", "host:h1:m").load().anchor == RECORD.anchor
    (tmp_path / "trust-state.bak").write_bytes(spoilt)
    with pytest.raises(StateError):
        Store(tmp_path / "status.json", "host:h1:m").load()


def test_a_newer_program_is_not_undone_by_an_older_one(tmp_path: Path) -> None:
    """A record with a newer schema is refused."""
    (tmp_path / "status.json").write_text('{"schema_version": 2, "new": true}')
    with pytest.raises(StateError) as caught:
        Store(tmp_path / "status.json", "host:h1:m").load()
    assert caught.value.code == "state-newer-than-agent"


def test_a_directory_in_the_way_is_named(tmp_path: Path) -> None:
    """What is no file can't be read, and that is said."""
    (tmp_path / "status.json").mkdir()
    with pytest.raises(StateError):
        Store(tmp_path / "status.json", "host:h1:m").load()


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The path and the next step, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError) as caught:
        Store(tmp_path / "file/status.json", "host:h1:m").save(RECORD)
    assert caught.value.hint


def test_the_scope_names_host_and_machine() -> None:
    """One line, three parts."""
    assert scope("h1").split(":")[:2] == ["host", "h1"]
