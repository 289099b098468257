"""Laws of a host's life: ways back, bounded attempts, runs that may only write files."""

import contextlib
import copy
from collections.abc import Mapping, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_ops import outlook, rollback, run
from core_ops.enrol import Enrolment, begun, pin_of, recorded
from core_ops.errors import CoreOpsError, HostError
from core_ops.reconcile import retry
from core_ops.reconcile.authority import Proof
from core_ops.reconcile.events import ProgressStopped, RunFinished, StoodStill
from core_ops.reconcile.graph import build
from core_ops.reconcile.model import Anchor, Desired, Directories
from core_ops.reconcile.pin import Trust
from core_ops.reconcile.planned import Failure, Result, WriteFile
from core_ops.reconcile.record import Controller, Record, Status, lifecycle
from fakes import Cut, FakeClock, FakeHost, FakeProver, FakeSource, FakeStore, Recorder
from trees import HOST, outcome, tree, worlds

SCOPE = f"host:{HOST}:m"
GOAL = outlook.Goal(HOST, Directories(), Trust("unsigned", (), ""), Controller(), SCOPE)
ANCHOR = Anchor("9" * 40, "8" * 40, "7" * 64, "alice", "SHA256:x", 1)
BEGIN = Record(status=Status(), anchor=ANCHOR)
SLEEP = "[Service]\nExecStart=/bin/sleep {}\n[Install]\nWantedBy=multi-user.target\n"
TWO = {"services/a/a.service": SLEEP.format(1), "services/b/b.service": SLEEP.format(1)}
OLD = {"services/a/a.service": SLEEP.format(0), "services/b/b.service": SLEEP.format(0)}


class World:
    """One host, its memory, and who listens."""

    def __init__(self) -> None:
        self.host, self.store, self.heard = FakeHost(), FakeStore(BEGIN), Recorder()

    @property
    def ports(self) -> outlook.Ports:
        """The world as a run sees it."""
        prover = FakeProver(Proof("", "", "", "", 0, ""))
        return outlook.Ports(FakeSource(), prover, self.host, self.store, self.heard, FakeClock())

    def converge(self, desired: Desired, extent: outlook.Extent = "whole") -> Result:
        """One run of the timer towards a state."""
        return run.converge(self.ports, GOAL._replace(extent=extent), desired, self.store.load())

    def runs(self, desired: Desired) -> bool:
        """Whether files and units are as desired, and units run what is on disk."""
        for unit, node in build(desired).nodes.items():
            if unit in self.host.running:
                if self.host.running[unit] != self.host.inputs_on_disk(unit):
                    return False
            elif node.wanted and unit not in self.host.finished:
                return False
        return {i.path: (i.content, i.mode) for i in desired.items} == self.host.files


def state(files: Mapping[str, str], revision: int) -> Desired:
    """A desired state of a revision with this number."""
    made = outcome(tree(files), f"{revision:08x}" + "0" * 32)
    assert isinstance(made, Desired)
    return made


def states(histories: Sequence[Mapping[str, str]]) -> list[Desired]:
    """A revision for each tree."""
    return [state(files, place + 1) for place, files in enumerate(histories)]


def break_off(world: World, target: Desired, at: int, kind: str) -> None:
    """Let a run towards a state be cut, meet a full disk or a unit that does not start."""
    if kind == "cut":
        world.host.cut_at = at
    elif kind == "full":
        world.host.full = True
    else:
        world.host.refuses_to_start = {i.unit for i in target.items if i.unit}
    with contextlib.suppress(Cut, HostError):
        world.converge(target)
    world.host.cut_at, world.host.full, world.host.refuses_to_start = None, False, set()


# --- ways back --------------------------------------------------------------------------------------------------------


@given(
    st.lists(worlds(), min_size=2, max_size=4), st.integers(0, 30), st.sampled_from(["cut", "full", "unit"]), st.data()
)
@settings(max_examples=200, deadline=None)
def test_any_snapshot_is_reached_after_any_failure(
    histories: list[Mapping[str, str]], at: int, kind: str, data: st.DataObject
) -> None:
    """Whatever became of the last run, going back brings the host to exactly that state, detaches it, and moves no anchor."""
    *held, last = states(histories)
    world = World()
    for desired in held:
        world.converge(desired)
    break_off(world, last, at, kind)
    back = data.draw(st.sampled_from(held))

    result = rollback.roll_back(world.ports, GOAL, back.source.revision)

    record = world.store.load()
    assert result.outcome == "converged"
    assert world.runs(back)
    assert record.status is not None
    assert record.status.detached
    assert record.status.reconciliation.last_applied_revision == back.source.revision
    assert record.anchor == ANCHOR
    assert record.rollback is None
    assert run.plan(world.ports, back, record.last).in_sync


@given(worlds(), worlds())
@settings(max_examples=60, deadline=None)
def test_a_rollback_cut_at_any_point_is_finished_by_the_next_run(
    old: Mapping[str, str], new: Mapping[str, str]
) -> None:
    """It does not turn round half-way: the timer goes on with it, and the host is detached then."""
    first, second = states([old, new])
    before = World()
    before.converge(first)
    before.converge(second)
    planned, _ = rollback.plan(before.ports, GOAL, first.source.revision)
    for done in range(len(planned.effects)):
        world = copy.deepcopy(before)
        world.host.cut_at = done
        with pytest.raises(Cut):
            rollback.roll_back(world.ports, GOAL, first.source.revision)
        world.host.cut_at = None

        run.tracked(world.ports, GOAL, "agent")

        assert world.runs(first)
        assert lifecycle(world.store.load().status, busy=False) == "Detached"


def test_a_detached_host_stands_still_and_says_so() -> None:
    """Neither apply nor agent touches it, drift included, until somebody attaches it again."""
    world = World()
    first, second = states([OLD, TWO])
    world.converge(first)
    world.converge(second)
    rollback.roll_back(world.ports, GOAL, first.source.revision)
    world.host.running.pop("a.service")
    before = copy.deepcopy((world.host.files, world.host.running, world.store.load()))
    for verb in ("agent", "apply"):
        assert run.tracked(world.ports, GOAL, verb) == (None, None)
    assert (world.host.files, world.host.running, world.store.load()) == before
    told = [e for e in world.heard.events if isinstance(e, StoodStill)]
    assert len(told) == 2
    assert f"controller is detached at revision {first.source.revision}; " in told[0].message


def test_a_rollback_to_what_runs_repairs_drift_and_detaches() -> None:
    """It is the way to say: stay exactly here."""
    world = World()
    (here,) = states([TWO])
    world.converge(here)
    world.host.running.pop("a.service")
    rollback.roll_back(world.ports, GOAL, here.source.revision)
    assert world.runs(here)
    assert lifecycle(world.store.load().status, busy=False) == "Detached"


def test_a_rollback_that_meets_a_foreign_file_changes_nothing_also_not_on_record() -> None:
    """Refused before the first effect, it leaves no intention behind that the timer would act on."""
    world = World()
    first, second = states([{**TWO, "services/c/c.service": SLEEP.format(1)}, TWO])
    world.converge(first)
    world.converge(second)
    world.host.edit("/etc/systemd/system/c.service", b"[Service]\nExecStart=/bin/theirs\n")
    files = dict(world.host.files)
    with pytest.raises(CoreOpsError) as caught:
        rollback.roll_back(world.ports, GOAL, first.source.revision)
    assert caught.value.code == "blocked"
    record = world.store.load()
    assert world.host.files == files
    assert record.rollback is None
    assert record.status is not None
    assert not record.status.detached


def test_a_snapshot_for_other_directories_is_not_taken() -> None:
    """Its files would go where nobody looks any more."""
    world = World()
    (here,) = states([TWO])
    world.converge(here)
    moved = GOAL._replace(directories=Directories(systemd="/run/systemd/system"))
    with pytest.raises(CoreOpsError) as caught:
        rollback.roll_back(world.ports, moved, here.source.revision)
    assert caught.value.code == "incompatible_scope"


def test_starting_again_keeps_what_is_owned_and_the_ways_back() -> None:
    """`init --force` forgets anchor, attempts, status and a rollback; the next apply still removes what the old source left."""
    world = World()
    first, second = states([OLD, TWO])
    world.converge(first)
    world.converge(second)
    rollback.roll_back(world.ports, GOAL, first.source.revision)
    pin = pin_of(Enrolment("file:///other", "main", "/s", "", unsigned=False))
    failed = retry.attempt("1" * 40, "kernel", (Failure(None, "", "applying", "x"),), "t")
    under_way = world.store.load()
    world.store.save(msgspec.structs.replace(under_way, attempts=(failed,), rollback=under_way.history.snapshots[0]))
    known = world.store.load()

    anew = recorded(world.store, pin, force=True)

    assert anew == begun(known, pin)
    assert (anew.last, anew.history) == (known.last, known.history)
    assert (anew.anchor, anew.attempts, anew.rollback) == (None, (), None)
    assert lifecycle(anew.status, busy=False) == "Initialized"
    world.store.save(anew)
    (other,) = states([{"services/c/c.service": SLEEP.format(1)}])
    world.converge(other)
    assert world.runs(other)
    assert set(world.host.running) == {"c.service"}


def test_attaching_again_keeps_the_anchor() -> None:
    """A way back and forward again is no way to have an older revision accepted; saying so twice forgets it."""
    pin = pin_of(Enrolment("file:///r", "main", "/s", "", unsigned=False))
    world = World()
    world.store.save(begun(Record(), pin))
    world.store.save(msgspec.structs.replace(world.store.load(), anchor=ANCHOR))
    (here,) = states([TWO])
    world.converge(here)
    rollback.roll_back(world.ports, GOAL, here.source.revision)
    detached = world.store.load()

    attached = recorded(world.store, pin, force=True)

    assert attached.anchor == ANCHOR
    assert lifecycle(attached.status, busy=False) == "Initialized"
    assert begun(attached, pin).anchor is None
    assert begun(detached, msgspec.structs.replace(pin, introduction="1" * 40)).anchor is None
    assert begun(detached, msgspec.structs.replace(pin, ref="other")).anchor is None


# --- bounded attempts -------------------------------------------------------------------------------------------------


def broken(world: World, desired: Desired, runs: int = 3) -> None:
    """Run some times while a.service refuses to start."""
    world.host.refuses_to_start = {"a.service"}
    for _ in range(runs):
        assert world.converge(desired).outcome == "partially_applied"


def test_the_fourth_run_says_what_is_wrong_and_touches_nothing() -> None:
    """After three equal failures a unit is no longer restarted, the record says why, and the run still fails."""
    world = World()
    (bad,) = states([TWO])
    broken(world, bad)
    world.host.log.clear()
    before = world.store.load().status
    assert before is not None

    result = world.converge(bad)

    status = world.store.load().status
    assert status is not None
    assert result.outcome == "non_converging"
    assert [f.unit for f in result.failures] == ["a.service"]
    assert world.host.log == []
    assert status.reconciliation.generation == before.reconciliation.generation == 3
    assert status.reconciliation.diagnosis is not None
    assert status.reconciliation.diagnosis.objects == ("service/a",)
    assert lifecycle(status, busy=False) == "Diverged"
    assert isinstance(world.heard.events[-2], ProgressStopped)
    assert isinstance(world.heard.events[-1], RunFinished)
    assert not world.heard.events[-1].succeeded


def test_drift_of_the_rest_is_still_repaired() -> None:
    """What stops is the unit that fails, not the care for its neighbours; and they are repaired once, not at every run."""
    world = World()
    (bad,) = states([TWO])
    broken(world, bad)
    world.host.running.pop("b.service")
    world.host.edit("/etc/systemd/system/b.service", b"[Service]\nExecStart=/bin/false\n")
    world.host.log.clear()

    assert world.converge(bad).outcome == "non_converging"

    assert "b.service" in world.host.running
    assert world.host.running["b.service"] == world.host.inputs_on_disk("b.service")
    assert not any("a.service" in line for line in world.host.log)
    world.host.log.clear()
    assert world.converge(bad).outcome == "non_converging"
    assert world.host.log == []


@pytest.mark.parametrize("lifted", ["revision", "kernel", "hand"])
def test_a_new_revision_a_changed_host_or_a_person_lifts_it(lifted: str) -> None:
    """Each begins a new count, and what is good by then converges."""
    world = World()
    bad, good = states([TWO, {**TWO, "services/a/a.service": SLEEP.format(2)}])
    broken(world, bad)
    world.host.refuses_to_start = set()
    world.converge(bad)
    assert "a.service" not in world.host.running
    if lifted == "revision":
        result = world.converge(good)
    elif lifted == "kernel":
        world.host.kernel = "6.2"
        result = world.converge(bad)
    else:
        by_hand = msgspec.structs.replace(world.store.load(), attempts=())
        result = run.converge(world.ports, GOAL, bad, by_hand)
    record = world.store.load()
    assert result.outcome == "converged"
    assert record.attempts == ()
    assert record.status is not None
    assert record.status.reconciliation.diagnosis is None


def test_an_apply_by_hand_begins_a_new_count() -> None:
    """A person asked, so it is tried; the agent alone would have left it."""
    world = World()
    (bad,) = states([TWO])
    broken(world, bad)
    known = world.store.load()
    held = msgspec.structs.replace(known.last, desired=bad)  # with the repository away, the last applied state is held
    kept = msgspec.structs.replace(known, last=held, anchor=None)
    for verb, tried in (("agent", False), ("apply", True)):
        world.store.save(kept)
        world.host.log.clear()
        run.tracked(world.ports, GOAL, verb)
        assert ("start a.service" in world.host.log) is tried


def test_a_full_disk_is_tried_again_for_ever() -> None:
    """What disturbs nothing and goes away by itself is no attempt."""
    world = World()
    (target,) = states([TWO])
    world.host.full = True
    for _ in range(6):
        with pytest.raises(HostError):
            world.converge(target)
    world.host.full = False
    assert world.converge(target).outcome == "converged"


@given(worlds(), st.data())
@settings(max_examples=60, deadline=None)
def test_a_host_that_fails_comes_to_rest(files: Mapping[str, str], data: st.DataObject) -> None:
    """Whichever units refuse to start, a host comes to rest, and a person's run converges it later."""
    world = World()
    (desired,) = states([files])
    wanted = [u for u, n in build(desired).nodes.items() if n.wanted]
    world.host.refuses_to_start = set(data.draw(st.lists(st.sampled_from(wanted)))) if wanted else set()
    for _ in range(8):
        world.converge(desired)
    world.host.log.clear()
    world.converge(desired)
    assert world.host.log == []

    world.host.refuses_to_start = set()
    run.converge(world.ports, GOAL, desired, msgspec.structs.replace(world.store.load(), attempts=()))
    assert world.runs(desired)


# --- files only -------------------------------------------------------------------------------------------------------


@given(worlds(), worlds())
@settings(max_examples=150, deadline=None)
def test_without_a_reload_files_are_written_and_the_next_run_finishes(
    old: Mapping[str, str], new: Mapping[str, str]
) -> None:
    """No job, no reload, nothing removed; an ordinary run then leaves every unit on its present inputs."""
    first, second = states([old, new])
    world = World()
    world.converge(first)
    world.host.log.clear()
    planned = run.plan(world.ports, second, world.store.load().last)

    result = world.converge(second, "files")

    assert world.host.log == []
    assert result.failures == ()
    assert all(world.host.files[i.path][0] == i.content for i in second.items)
    assert {i.path for i in first.items} <= set(world.host.files)
    if not planned.in_sync:
        assert result.outcome == "partially_applied"
        assert lifecycle(world.store.load().status, busy=False) == "Diverged"
    wrote = any(isinstance(e, WriteFile) for e in planned.effects)
    assert any(e.action in {"create", "update", "replace"} for e in result.plan.entries) is wrote
    world.converge(second)
    assert world.runs(second)


def test_an_automount_that_fails_does_not_keep_its_mounts_busy() -> None:
    """Mounts stop so that their automount can start; once that is given up, they and what is below them are left alone."""
    mount = "[Mount]\nWhat=h:/1\nWhere=/srv/d{}\nType=nfs\n{}"
    install = "[Install]\nWantedBy=multi-user.target\n"
    files = {
        "services/z/srv-d.mount": mount.format("", ""),
        "services/z/srv-d.automount": f"[Automount]\nWhere=/srv/d\n{install}",
        "services/z/srv-d-e.mount": mount.format("/e", install),
    }
    world = World()
    (desired,) = states([files])
    world.host.refuses_to_start = {"srv-d.automount"}
    for _ in range(3):
        world.converge(desired)
    world.host.log.clear()
    world.converge(desired)
    assert world.host.log == []
