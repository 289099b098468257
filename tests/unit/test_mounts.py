"""Mounts in plans: what comes first, what stands in the way, what is left to an automount, and what a busy one means."""

import pytest

from core_ops import outlook, run
from core_ops.reconcile.authority import Proof
from core_ops.reconcile.compare import subjects
from core_ops.reconcile.effects import batches
from core_ops.reconcile.explain import Explained, explain
from core_ops.reconcile.graph import build
from core_ops.reconcile.judge import judge
from core_ops.reconcile.layout import read_layout
from core_ops.reconcile.lints import lint
from core_ops.reconcile.model import Directories, LastApplied, MountPoint, MountPointKind, Observed, Source
from core_ops.reconcile.mountpoints import advice
from core_ops.reconcile.pin import Trust
from core_ops.reconcile.plan import plan
from core_ops.reconcile.planned import Plan, UnitJob, WriteFile
from core_ops.reconcile.record import Controller, Record, Status
from core_ops.reconcile.render import resolve
from fakes import FakeClock, FakeHost, FakeProver, FakeSource, FakeStore, Recorder
from trees import HOST, INSTALL, rendered, tree

_PROOF = Proof("", "", "", "", 0, "")
GOAL = outlook.Goal(HOST, Directories(), Trust("unsigned", (), ""), Controller())
DATA = "services/a/srv-data.mount"
USER = "services/a/user.service"
MOUNT = f"[Mount]\nWhat=/dev/{{}}\nWhere=/srv/data\n{INSTALL}"
NEEDS = f"[Unit]\nRequiresMountsFor=/srv/data/x\n[Service]\nExecStart=sleep inf\n{INSTALL}"
FILES = {DATA: MOUNT.format(1), USER: NEEDS}
NET = {
    "services/a/srv-net.mount": "[Mount]\nWhat=h:/x\nWhere=/srv/net\nType=nfs\n",
    "services/a/srv-net.automount": f"[Automount]\nWhere=/srv/net\n{INSTALL}",
}


class World:
    """A host, its record, and runs on it."""

    def __init__(self) -> None:
        self.host, self.store = FakeHost(), FakeStore(Record(status=Status()))
        self.ports = outlook.Ports(FakeSource(), FakeProver(_PROOF), self.host, self.store, Recorder(), FakeClock())

    def plan(self, files: dict[str, str]) -> Plan:
        return run.plan(self.ports, rendered(files), self.store.load().last)

    def apply(self, files: dict[str, str]) -> tuple[str, ...]:
        result = run.converge(self.ports, GOAL, rendered(files), self.store.load())
        return tuple(f.unit for f in result.failures)


def jobs(planned: Plan, verb: str) -> list[str]:
    return [e.unit for e in planned.effects if isinstance(e, UnitJob) and e.verb == verb]


def test_what_a_mount_is_needed_for_starts_after_it_and_stops_before_it() -> None:
    """The mount below the other, and the user of a path in it, are bound to it."""
    nested = {"services/a/srv-data-in.mount": f"[Mount]\nWhat=/dev/3\nWhere=/srv/data/in\n{INSTALL}"}
    world = World()
    assert jobs(world.plan({**FILES, **nested}), "start") == ["srv-data.mount", "srv-data-in.mount", "user.service"]
    world.apply({**FILES, **nested})
    changed = world.plan({**FILES, **nested, DATA: MOUNT.format(2)})
    assert jobs(changed, "stop") == ["user.service", "srv-data-in.mount", "srv-data.mount"]
    assert jobs(changed, "restart") == ["srv-data.mount", "srv-data-in.mount", "user.service"]


def test_a_removed_mount_takes_its_users_down_first() -> None:
    """They stop before it and start again without it."""
    world = World()
    world.apply(FILES)
    planned = world.plan({USER: NEEDS})
    assert jobs(planned, "stop") == ["user.service", "srv-data.mount"]
    assert jobs(planned, "restart") == ["user.service"]


def test_an_outdated_mount_is_stopped_before_anything_is_written() -> None:
    """Without a record a mount is not restarted in place: that it is busy has to show while its users can come back."""
    world = World()
    world.apply(FILES)
    world.store = FakeStore(Record(status=Status()))
    world.ports = world.ports._replace(store=world.store)
    assert jobs(world.plan(FILES), "stop") == ["user.service", "srv-data.mount"]


def test_a_busy_mount_changes_nothing_and_brings_its_users_back() -> None:
    """No file is written, what was stopped runs from its old definition, and each run tries again until it succeeds."""
    world = World()
    world.apply(FILES)
    world.host.busy = {"srv-data.mount"}
    before, files = dict(world.host.running), dict(world.host.files)
    new = {**FILES, DATA: MOUNT.format(2), "services/b/new.service": f"[Service]\nExecStart=true\n{INSTALL}"}
    for _ in range(2):
        assert world.apply(new) == ("srv-data.mount",)
        assert world.host.running == before
        assert world.host.files == files
    world.host.busy = set()
    assert world.apply(new) == ()
    assert world.plan(new).in_sync


def test_a_busy_mount_that_is_removed_keeps_its_file() -> None:
    """It is removed by the first run that can unmount it, and its users are up all the time."""
    world = World()
    world.apply(FILES)
    world.host.busy = {"srv-data.mount"}
    for _ in range(2):
        assert world.apply({USER: NEEDS}) == ("srv-data.mount",)
        assert {"srv-data.mount", "user.service"} <= set(world.host.running)
        assert "/etc/systemd/system/srv-data.mount" in world.host.files
    world.host.busy = set()
    assert world.apply({USER: NEEDS}) == ()
    assert set(world.host.running) == {"user.service"}


def test_a_change_that_is_taken_back_leaves_a_busy_mount_alone() -> None:
    """What could not be stopped is still recorded as it was, so that going back needs no unmounting."""
    world = World()
    world.apply(FILES)
    world.host.busy = {"srv-data.mount"}
    assert world.apply({**FILES, DATA: MOUNT.format(2)}) == ("srv-data.mount",)
    assert jobs(world.plan(FILES), "stop") == []
    assert world.apply(FILES) == ()
    assert world.plan(FILES).in_sync


def test_an_automount_is_started_instead_of_its_mount() -> None:
    """The mount is left to it, and the plan, the explanation and the lints know."""
    world = World()
    planned = world.plan(NET)
    assert jobs(planned, "start") == ["srv-net.automount"]
    notes = {e.object.display_id: e.notes for e in planned.entries}
    assert notes["mount/srv-net"] == ("srv-net.automount starts it when it is time",)
    found = resolve(read_layout(tree(NET)), HOST, Source("x"), Directories())
    assert found.refusals == ()
    assert list(lint(found, "tag")) == []
    explained = explain(found.desired, found.graph, "srv-net.mount")
    assert isinstance(explained, Explained)
    assert explained.starts == ("activated by srv-net.automount",)


def test_a_mount_stops_before_its_automount_and_apart_from_it() -> None:
    """With its automount systemd would detach it, also while it is in use: its own stop has to succeed first."""
    world = World()
    world.apply(NET)
    world.host.restart("srv-net.mount")
    stops = [
        [e.unit for e in b if isinstance(e, UnitJob) and e.verb == "stop"] for b in batches(world.plan({}).effects)
    ]
    assert stops[:2] == [["srv-net.mount"], ["srv-net.automount"]]
    world.host.busy = {"srv-net.mount"}
    assert world.apply({}) == ("srv-net.mount",)
    assert {"srv-net.mount", "srv-net.automount"} <= set(world.host.running)


def test_an_automount_for_what_is_mounted_waits_for_its_end() -> None:
    """No automount starts over a mount, so the mount stops first; and one that loses its automount is remounted."""
    without = {**NET, "services/a/srv-net.mount": NET["services/a/srv-net.mount"] + INSTALL}
    del without["services/a/srv-net.automount"]
    with_it = {**without, **{p: t for p, t in NET.items() if p.endswith(".automount")}}
    world = World()
    world.apply(without)
    assert jobs(world.plan(with_it), "stop") == ["srv-net.mount"]
    world.apply(with_it)
    assert jobs(world.plan(without), "stop") == ["srv-net.mount", "srv-net.automount"]


OWN = "[X-CoreOps]\nCreateMountpoint=no\n"


@pytest.mark.parametrize(
    ("kind", "at", "more", "said"),
    [
        ("absent", "/srv/data", OWN, "/srv/data is missing, and CreateMountpoint= says no"),
        ("absent", "/srv/data", "", ""),
        ("directory", "/srv/data", OWN, ""),
        ("unseen", "", OWN, ""),
        ("link", "/srv", "", "/srv is a symbolic link"),
        ("file", "/srv/data", "", "/srv/data is no directory"),
        ("file", "/srv/data", "[Mount]\nOptions=ro,bind\n", ""),
        ("file", "/srv", "[Mount]\nOptions=ro,bind\n", "/srv is no directory"),
        ("other", "/srv/data", "[Mount]\nType=bind\n", "/srv/data is no directory"),
    ],
)
def test_what_forbids_a_mount_blocks_the_plan(kind: MountPointKind, at: str, more: str, said: str) -> None:
    """The cause names the path and what to do, and nothing at all is planned then."""
    world = World()
    world.host.mount_points["/srv/data"] = MountPoint("/srv/data", kind, at=at)
    planned = world.plan({**FILES, DATA: MOUNT.format(1) + more})
    causes = [e.causes[0].summary for e in planned.blocked]
    assert len(causes) == bool(said)
    assert all(c.startswith(said) and "; " in c for c in causes)
    assert bool(planned.effects) == (not said)


def test_a_missing_mount_point_also_counts_for_an_automount() -> None:
    """It is asked for where the automount waits, and not where nothing would ever be mounted."""
    missing = {**NET, "services/a/srv-net.mount": NET["services/a/srv-net.mount"] + OWN}
    assert World().plan(missing).blocked
    alone = {p: t for p, t in missing.items() if p.endswith(".mount")}
    assert not World().plan(alone).blocked


def test_a_mount_point_in_a_file_system_that_is_not_there_yet_is_not_judged() -> None:
    """What is seen below another mount of the host before that is mounted says nothing."""
    inner = {"services/a/srv-data-in.mount": f"[Mount]\nWhat=/dev/3\nWhere=/srv/data/in\n{INSTALL}{OWN}"}
    world = World()
    assert not world.plan({**FILES, **inner}).blocked
    world.apply(FILES)
    assert world.plan({**FILES, **inner}).blocked


def test_what_somebody_else_mounted_is_left_alone() -> None:
    """A mount that CoreOps did not make blocks the plan, until its unit file is there and the same."""
    desired = rendered(FILES)
    seen = FakeHost().observe(subjects(desired, LastApplied()))
    there = Observed(seen.files, seen.units, mounts=(MountPoint("/srv/data", mounted=True),))
    planned = plan(desired, LastApplied(), there)
    assert [e.causes[0].summary.partition(";")[0] for e in planned.blocked] == [
        "something else is mounted at /srv/data"
    ]
    adopted = World()
    adopted.apply(FILES)
    assert not plan(desired, LastApplied(), adopted.host.observe(subjects(desired, LastApplied()))).blocked


def test_what_a_mount_hides_is_said() -> None:
    """A note, since it may be meant; gone once it is mounted."""
    world = World()
    world.host.mount_points["/srv/data"] = MountPoint("/srv/data", "directory", at="/srv/data", empty=False)
    notes = [n for e in world.plan(FILES).entries for n in e.notes]
    assert notes == ["what lies in /srv/data now is hidden while it is mounted"]
    world.apply(FILES)
    assert not [n for e in world.plan(FILES).entries for n in e.notes]


def test_an_active_mount_that_the_kernel_does_not_have_is_a_failure() -> None:
    """The word of systemd alone is not enough."""
    world = World()
    planned = world.plan(FILES)
    world.apply(FILES)
    desired = rendered(FILES)
    seen = world.host.observe(subjects(desired, LastApplied()))
    assert judge(planned, desired, seen, frozenset()) == ()
    lost = Observed(seen.files, seen.units, mounts=(MountPoint("/srv/data", "directory"),))
    (failure,) = judge(planned, desired, lost, frozenset())
    assert failure.detail == "srv-data.mount is active, but nothing is mounted at /srv/data"


def test_a_mount_that_was_unmounted_by_hand_is_drift() -> None:
    """It starts again; nobody else is disturbed."""
    world = World()
    world.apply(FILES)
    del world.host.running["srv-data.mount"]
    planned = world.plan(FILES)
    assert [(e.verb, e.unit) for e in planned.effects if isinstance(e, UnitJob)] == [("start", "srv-data.mount")]
    assert not any(isinstance(e, WriteFile) for e in planned.effects)


def test_advice_is_for_mounts_that_cannot_be_stopped() -> None:
    """It quotes the path, and says nothing of other units and jobs."""
    assert "fuser -vm '/srv/my data'" in advice("stop", r"srv-my\x20data.mount")
    assert advice("start", "srv.mount") == advice("stop", "srv.service") == ""


def test_mounts_of_the_host_are_looked_at() -> None:
    """Each by its path, and removed ones too; a unit that is none is not."""
    world = World()
    world.apply({**FILES, **NET})
    assert subjects(rendered(NET), world.store.load().last).mount_points == ("/srv/data", "/srv/net")


def test_it_is_explained_which_option_counts() -> None:
    """Options= of a mount holds one value, so a later one makes an earlier one void."""
    files = {DATA: MOUNT.format(1) + "[Mount]\nOptions=noatime\nOptions=ro\n"}
    desired = rendered(files)
    explained = explain(desired, build(desired), "mount/srv-data")
    assert isinstance(explained, Explained)
    assert [line.value for line in explained.lines if line.key == "Options"] == ["ro"]
