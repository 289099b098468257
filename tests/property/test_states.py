"""Laws of the planner on ten thousand states of a host, the same on every machine."""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from typing import NamedTuple

import msgspec
import pytest

from core_ops.reconcile.graph import Graph, Node
from core_ops.reconcile.plan import plan
from core_ops.reconcile.planned import Plan, ReloadManager, UnitJob
from property.test_converge import below
from states import File, State, States, carried_out, graph, shuffled

COUNT = 10_000
PART = 250


class Judged(NamedTuple):
    """How many states of each kind were judged, and the stories of those in which a law breaks."""

    kinds: Mapping[str, int]
    broken: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]


def test_the_laws_hold_in_ten_thousand_states(record_testsuite_property: Callable[[str, object], None]) -> None:
    """From each a plan has the same bytes in any order, spares what is not concerned, reloads once, leaves nothing to do."""
    began = time.monotonic()
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, get_context("fork")) as workers:
        found = tuple(workers.map(_part, range(0, COUNT, PART)))
    kinds = sum((Counter(part.kinds) for part in found), Counter[str]())
    record_testsuite_property("planner states", f"{dict(kinds)} in {time.monotonic() - began:.0f} s")
    assert not [broken for part in found for broken in part.broken]
    assert kinds.total() == COUNT
    assert min(kinds["changed"], kinds["in sync"], kinds["blocked"]) > COUNT // 100


@cache
def _states() -> States:
    return States()


def _part(first: int) -> Judged:
    """Judge some states in a process of its own, whose worlds are the same as everywhere."""
    kinds, broken = Counter[str](), list[tuple[tuple[str, ...], tuple[str, ...]]]()
    for number in range(first, first + PART):
        state = _states().state(number)
        kind, wrong = judged(state, random.Random(number))  # noqa: S311 - repeatable
        kinds[kind] += 1
        if wrong:
            broken.append((state.story, wrong))
    return Judged(kinds, tuple(broken))


def judged(state: State, dice: random.Random) -> tuple[str, tuple[str, ...]]:
    """What kind of state it is, and which laws break in it."""
    seen = state.seen()
    planned = plan(state.desired, state.last, seen)
    broken: list[str] = []
    if _encoded(plan(state.desired, state.last, shuffled(seen, dice))) != _encoded(planned):
        broken.append("the plan depends on the order of what was seen")
    if sum(isinstance(e, ReloadManager) for e in planned.effects) > 1:
        broken.append("systemd reads everything more than once")
    if planned.blocked:
        return "blocked", (*broken, *(["a blocked plan has effects"] if planned.effects else []))
    broken += (f"{unit} is disturbed without a reason" for unit in sorted(_disturbed(planned) - _concerned(state)))
    before = state.host.everything()
    after = carried_out(state, planned)
    broken += _taken_from_others(state, before)
    broken += (f"{path} is still there" for path in sorted(_given_up(state) & after.host.files.keys()))
    broken += _left_to_do(after)
    return "in sync" if planned.in_sync else "changed", tuple(broken)


def _encoded(planned: Plan) -> bytes:
    return msgspec.json.encode(planned)


def _taken_from_others(state: State, before: Mapping[str, File]) -> Iterator[str]:
    """Law 4: what the record does not own is as it was, outside exclusive roots."""
    owned, after = {o.path for o in state.last.owned}, state.host.everything()
    for path in before.keys() - owned:
        if not below(path, state.desired.exclusive) and after.get(path) != before[path]:
            yield f"{path} was not owned and is changed"


def _given_up(state: State) -> set[str]:
    """What is owned and no longer desired."""
    return {o.path for o in state.last.owned} - {i.path for i in state.desired.items}


def _left_to_do(state: State) -> Iterator[str]:
    """Law 1: the next plan is empty, files are as desired, and units run from them."""
    if not state.planned().in_sync:
        yield "something is left to do"
    host, wanted, files = state.host, _wanted(state), state.host.everything()
    yield from (f"{path} is not as desired" for path, file in wanted.items() if files.get(path) != file)
    for unit, node in graph(state.desired).nodes.items():
        if host.others(unit, wanted):
            continue
        if unit in host.running:
            if _only(host.running[unit], wanted) != _only(host.inputs_on_disk(unit), wanted):
                yield f"{unit} does not run what is on disk"
        elif node.wanted and unit not in host.finished:
            yield f"{unit} is not up"


def _wanted(state: State) -> Mapping[str, File]:
    return {i.path: File(i.content, i.mode, (1000, 1000) if i.owner else (0, 0)) for i in state.desired.items}


def _only(inputs: tuple[tuple[str, bytes], ...], paths: Mapping[str, File]) -> tuple[tuple[str, bytes], ...]:
    """Declared inputs: a file that a hand puts beside them in a directory is no reason for a restart."""
    return tuple(pair for pair in inputs if pair[0] in paths)


def _disturbed(planned: Plan) -> set[str]:
    return {e.unit for e in planned.effects if isinstance(e, UnitJob) and e.verb in {"stop", "restart"}}


def _concerned(state: State) -> set[str]:
    """Law 5: the units that may be disturbed, found without the planner's comparison, from the disk and the record alone."""
    after = graph(state.desired)
    before = graph(state.last.desired) if state.last.desired else after
    changed = _changed_paths(state)
    started = {s.unit: s.inputs for s in state.last.started}
    direct = {u for u, n in after.nodes.items() if started.get(u) != n.inputs}
    direct |= before.nodes.keys() - after.nodes.keys() | (_owned_units(state) - after.nodes.keys())
    for units in (before, after):
        direct |= {u for u, n in units.nodes.items() if _reads(n, changed)}
    found = _dependents(direct, before, after)
    changing = found | (before.nodes.keys() | after.nodes.keys()) - state.host.running.keys()
    pods = _pods(after) if _unrecorded(state) else _emptied_pods(found, before, after)
    return _dependents(found | pods | _uncovered_mounts(changing), before, after)


def _changed_paths(state: State) -> set[str]:
    """Where the disk is not as it should be: declared, owned but not desired, or undeclared in an exclusive root."""
    wanted, files = _wanted(state), state.host.everything()
    differs = {path for path, file in wanted.items() if files.get(path) != file}
    return differs | _given_up(state) | {p for p in files.keys() - wanted.keys() if below(p, state.desired.exclusive)}


def _reads(node: Node, changed: set[str]) -> bool:
    own = {i.path for i in (*node.definition, *node.configs)}
    return not own.isdisjoint(changed) or any(below(p, node.paths) or p in node.paths for p in changed)


def _owned_units(state: State) -> set[str]:
    return {o.unit for o in state.last.owned if o.unit}


def _dependents(units: set[str], *graphs: Graph) -> set[str]:
    return units.union(*(g.strong_dependents(units) for g in graphs))


def _emptied_pods(units: set[str], before: Graph, after: Graph) -> set[str]:
    """Podman ends a pod with its last container, so it may go with them."""
    bound = {r for g in (before, after) for u in units if u in g.nodes for r in g.nodes[u].relations.strong}
    return {u for u in bound if u.endswith("-pod.service")}


def _pods(units: Graph) -> set[str]:
    return {u for u, n in units.nodes.items() if n.object.resource_type == "pod"}


def _unrecorded(state: State) -> bool:
    """Whether a container is up of which nobody knows from what it was started, and so in which pod it is."""
    known = {s.unit for s in state.last.started}
    owned = {o.unit for o in state.last.owned if o.object.resource_type == "container"}
    return bool(owned & state.host.running.keys() - known)


def _uncovered_mounts(units: set[str]) -> set[str]:
    """With an automount systemd detaches what is mounted there, and it starts none where something is mounted."""
    return {f"{u.removesuffix('.automount')}.mount" for u in units if u.endswith(".automount")}


@pytest.mark.parametrize("number", [7, 700, 7000])
def test_a_state_is_the_same_each_time(number: int) -> None:
    """A number that fails on one machine fails on all of them."""
    one, other = (States(20).state(number) for _ in range(2))
    assert one.story == other.story
    assert (one.desired, one.last, one.seen()) == (other.desired, other.last, other.seen())
