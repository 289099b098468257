"""Laws of a run, on every world that hypothesis invents."""

import copy
import random
from collections.abc import Iterable, Mapping
from typing import TypeGuard

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_ops import outlook, run
from core_ops.errors import HostError
from core_ops.reconcile.authority import Proof
from core_ops.reconcile.compare import subjects
from core_ops.reconcile.events import Changed
from core_ops.reconcile.graph import Graph, build
from core_ops.reconcile.model import Accounts, Desired, Directories, LastApplied, Observed
from core_ops.reconcile.pin import Trust
from core_ops.reconcile.plan import plan
from core_ops.reconcile.planned import Effect, Plan, UnitJob, WriteFile
from core_ops.reconcile.record import Controller, Record, Status
from fakes import Cut, FakeClock, FakeHost, FakeProver, FakeSource, FakeStore, Recorder
from trees import HOST, by_hand, rendered, worlds

GOAL = outlook.Goal(HOST, Directories(), Trust("unsigned", (), ""), Controller())
BEGIN = Record(status=Status())
_PROOF = Proof("", "", "", "", 0, "")


def ports(host: FakeHost, store: FakeStore) -> outlook.Ports:
    return outlook.Ports(FakeSource(), FakeProver(_PROOF), host, store, Recorder(), FakeClock())


def converge(host: FakeHost, store: FakeStore, desired: Desired) -> None:
    run.converge(ports(host, store), GOAL, desired, store.load())


def assert_runs_what_is_on_disk(host: FakeHost, desired: Desired) -> None:
    for unit, node in build(desired).nodes.items():
        if unit in host.running:
            assert host.running[unit] == host.inputs_on_disk(unit), unit
        else:
            assert not node.wanted or unit in host.finished, unit
    for item in desired.items:
        assert host.files[item.path] == (item.content, item.mode)
        assert host.owners.get(item.path, (0, 0)) == ((1000, 1000) if item.owner else (0, 0))


def below(path: str, roots: Iterable[str]) -> bool:
    """Whether a path lies in one of the exclusive roots, the one exception to the law of ownership."""
    return any(path.startswith(f"{root}/") for root in roots)


# Half of all histories stay on one revision: only there is a drift repair alone with itself.
histories = worlds().flatmap(lambda w: st.tuples(st.just(w), st.one_of(st.just(w), worlds())))
drifts = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["edit", "remove", "stop"]), st.booleans()), max_size=3)


def drift(host: FakeHost, desired: Desired, what: list[tuple[int, str, bool]]) -> None:
    """A person edits, removes or stops things by hand, and may well reload and restart afterwards."""
    for place, verb, restarts in what:
        item = desired.items[place % len(desired.items)]
        if verb == "stop":
            host.running.pop(item.unit, None)
            continue
        host.edit(item.path, by_hand(item) if verb == "edit" else None)
        if restarts:
            host.reload()
            for unit in sorted(host.running):  # a config file's users too, so that they run from what was edited
                if item.unit in {"", unit}:
                    host.restart(unit)


@given(histories, drifts)
@settings(max_examples=300, deadline=None)
def test_one_run_on_an_obedient_host_leaves_nothing_to_do(
    history: tuple[Mapping[str, str], Mapping[str, str]], by_hand: list[tuple[int, str, bool]]
) -> None:
    """From any state that a run or a hand can leave, one run converges, and the next finds nothing to do."""
    old, new = history
    host, store = FakeHost(), FakeStore(BEGIN)
    converge(host, store, rendered(old))
    drift(host, rendered(old), by_hand)

    desired = rendered(new)
    converge(host, store, desired)

    assert_runs_what_is_on_disk(host, desired)
    assert run.plan(ports(host, store), desired, store.load().last).in_sync
    assert set(host.files) == {i.path for i in desired.items}


@given(histories, drifts)
@settings(max_examples=100, deadline=None)
def test_a_run_does_what_was_planned_before_it(
    history: tuple[Mapping[str, str], Mapping[str, str]], by_hand: list[tuple[int, str, bool]]
) -> None:
    """The effects of a plan that a person looked at are those that the next run carries out, in the same order."""
    old, new = history
    host, store, told = FakeHost(), FakeStore(BEGIN), Recorder()
    converge(host, store, rendered(old))
    drift(host, rendered(old), by_hand)
    desired = rendered(new)
    shown = run.plan(ports(host, store), desired, store.load().last)

    done = run.converge(ports(host, store)._replace(reporter=told), GOAL, desired, store.load())

    assert done.plan == shown
    assert tuple(e.effect for e in told.events if isinstance(e, Changed)) == shown.effects


@given(histories, drifts)
@settings(max_examples=200, deadline=None)
def test_any_prefix_of_a_run_can_be_the_last_thing_done(
    history: tuple[Mapping[str, str], Mapping[str, str]], by_hand: list[tuple[int, str, bool]]
) -> None:
    """After a power cut at any effect, also in a drift repair, one more run leaves every unit on its present inputs."""
    old, new = history
    before, memory = FakeHost(), FakeStore(BEGIN)
    converge(before, memory, rendered(old))
    drift(before, rendered(old), by_hand)
    desired = rendered(new)
    planned = run.plan(ports(before, memory), desired, memory.load().last)
    for done in range(len(planned.effects)):
        host, store = copy.deepcopy(before), copy.deepcopy(memory)
        host.cut_at = done
        with pytest.raises(Cut):
            converge(host, store, desired)
        host.cut_at = None

        converge(host, store, desired)

        assert_runs_what_is_on_disk(host, desired)
        assert run.plan(ports(host, store), desired, store.load().last).in_sync


@given(worlds(), worlds(), drifts, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_a_plan_does_not_depend_on_the_order_of_its_inputs(
    old: Mapping[str, str], new: Mapping[str, str], by_hand: list[tuple[int, str, bool]], shuffle: random.Random
) -> None:
    """The same tree, record and observation in any order give the same bytes."""
    host, store = FakeHost(), FakeStore(BEGIN)
    converge(host, store, rendered(old))
    drift(host, rendered(old), by_hand)
    last = store.load().last
    seen = host.observe(subjects(rendered(new), last))
    files, units, roots, entries = list(seen.files), list(seen.units), list(seen.roots), list(new.items())
    for values in (files, units, roots, entries):
        shuffle.shuffle(values)
    users = Accounts(0, 0, seen.accounts.users[::-1], seen.accounts.groups[::-1])

    shuffled = plan(
        rendered(dict(entries)), last, Observed(tuple(files), tuple(units), users, tuple(roots), seen.mounts)
    )

    assert _encoded(shuffled) == _encoded(plan(rendered(new), last, seen))


def _encoded(planned: Plan) -> bytes:
    return msgspec.json.encode(planned)


@given(worlds(), worlds())
@settings(max_examples=200, deadline=None)
def test_what_is_not_owned_is_never_removed_or_replaced(old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """Files of others survive any revisions outside exclusive roots; where one is in the way, nothing is done."""
    host, store = FakeHost(), FakeStore(BEGIN)
    foreign = {"/etc/containers/systemd/other.container": b"theirs", "/etc/a/other.conf": b"theirs"}
    blocked = next(i.path for i in rendered(new).items)
    for path, content in foreign.items():
        host.edit(path, content)
    converge(host, store, rendered(old))
    if blocked not in host.files:
        host.edit(blocked, b"[Unit]\n# theirs\n")
        planned = run.plan(ports(host, store), rendered(new), store.load().last)
        assert planned.blocked
        assert not planned.effects
        host.edit(blocked, None)
    converge(host, store, rendered(new))

    roots = (*rendered(old).exclusive, *rendered(new).exclusive)
    kept = {p: c for p, c in foreign.items() if not below(p, roots)}
    assert all(host.files[p][0] == c for p, c in kept.items())


@given(worlds(), worlds())
@settings(max_examples=200, deadline=None)
def test_only_units_whose_inputs_changed_are_disturbed(old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """A unit that has the same inputs in both revisions is left alone, unless its containers or its automount change."""
    before, after = build(rendered(old)), build(rendered(new))
    same = {u for u, n in after.nodes.items() if u in before.nodes and before.nodes[u].inputs == n.inputs}
    host, store = FakeHost(), FakeStore(BEGIN)
    converge(host, store, rendered(old))

    planned = run.plan(ports(host, store), rendered(new), store.load().last)

    disturbed = {e.unit for e in planned.effects if isinstance(e, UnitJob) and e.verb in {"stop", "restart"}}
    pods = {u for u, n in after.nodes.items() if n.object.resource_type == "pod" and _bound(before, u) & disturbed}
    automounts = {u for u in after.nodes.keys() | before.nodes.keys() if u.endswith(".automount")}
    starting = {
        u for u in automounts & same if after.nodes[u].wanted and not before.nodes[u].wanted
    }  # other links are no input
    changing = (automounts - same) | starting
    triggered = {f"{u.removesuffix('.automount')}.mount" for u in changing} & after.nodes.keys()
    assert not disturbed & same - pods - after.strong_dependents(triggered)
    assert not any(_bound(before, pod) & same for pod in disturbed & same & pods)


def _bound(graph: Graph, pod: str) -> set[str]:
    """The containers of a pod that should be up."""
    return {u for u, n in graph.nodes.items() if pod in n.relations.strong and n.wanted}


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_one_reload_is_enough(new: Mapping[str, str]) -> None:
    """However many units change, systemd reads its files once."""
    host, store = FakeHost(), FakeStore(BEGIN)
    converge(host, store, rendered(new))
    assert host.log.count("daemon-reload") == 1


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_a_unit_that_fails_does_not_make_its_neighbours_restart(new: Mapping[str, str]) -> None:
    """While one unit can't start, later runs leave the healthy ones alone."""
    host, store = FakeHost(), FakeStore(BEGIN)
    desired = rendered(new)
    wanted = [u for u, n in build(desired).nodes.items() if n.wanted]
    if not wanted:
        return
    broken = wanted[-1]
    host.refuses_to_start = {broken}
    converge(host, store, desired)
    host.log.clear()

    converge(host, store, desired)

    jobs = {line.split()[1] for line in host.log if line.startswith(("restart", "stop"))}
    assert not jobs - build(desired).strong_dependents({broken})


@given(worlds(), worlds())
@settings(max_examples=100, deadline=None)
def test_a_full_disk_stops_nothing(old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """Where new contents can't be staged, no unit is disturbed and no file changes; with space the next run converges."""
    host, store = FakeHost(), FakeStore(BEGIN)
    converge(host, store, rendered(old))
    desired = rendered(new)
    before = copy.deepcopy((host.files, host.running, host.log))
    host.full = True
    if any(isinstance(e, WriteFile) for e in run.plan(ports(host, store), desired, store.load().last).effects):
        with pytest.raises(HostError):
            converge(host, store, desired)
        assert (host.files, host.running, host.log) == before
    host.full = False
    converge(host, store, desired)
    assert_runs_what_is_on_disk(host, desired)


def test_first_run_without_memory_adopts_equal_files() -> None:
    """A host that already is as desired, but whose record was lost, is taken over without writing a file."""
    host, store = FakeHost(), FakeStore(BEGIN)
    desired = rendered({"services/a/a.container": "[Container]\nImage=x\n[Install]\nWantedBy=multi-user.target\n"})
    converge(host, store, desired)
    planned = run.plan(ports(host, FakeStore(BEGIN)), desired, LastApplied())
    assert not any(e.action in {"create", "update"} for e in planned.entries)


@given(worlds(), worlds())
@settings(max_examples=150, deadline=None)
def test_what_cannot_be_unmounted_costs_nothing_but_time(old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """While mounts are in use no file changes and what stays desired stays up; once they are free one run converges."""
    host, store = FakeHost(), FakeStore(BEGIN)
    converge(host, store, rendered(old))
    desired = rendered(new)
    files, running = dict(host.files), set(host.running)
    host.busy = {u for u in running if u.endswith(".mount")}
    for _ in range(2):
        stops = {e.unit for e in run.plan(ports(host, store), desired, store.load().last).effects if _is_stop(e)}
        converge(host, store, desired)
        if stops & host.busy:
            assert host.files == files
            assert running & build(desired).nodes.keys() <= set(host.running)
    host.busy = set()
    converge(host, store, desired)
    assert_runs_what_is_on_disk(host, desired)
    assert run.plan(ports(host, store), desired, store.load().last).in_sync


def _is_stop(effect: Effect) -> TypeGuard[UnitJob]:
    return isinstance(effect, UnitJob) and effect.verb == "stop"
