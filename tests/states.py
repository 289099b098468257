"""States of a host for the planner, thousands of them, each invented from its number and always the same.

A state is what is desired, what the record says, and a host as it is. Worlds are drawn once by hypothesis, from the strategy
that all property tests use; a state combines up to three of them with a history: runs that ended, were cut or were forgotten,
and what a hand did afterwards. That is a hundred times quicker than drawing each state.
"""

import copy
import random
from collections.abc import Callable, Container, Mapping
from typing import NamedTuple

import msgspec
from hypothesis import Phase, given, seed, settings

from core_ops.reconcile.compare import subjects
from core_ops.reconcile.graph import Graph, build
from core_ops.reconcile.model import Accounts, Desired, LastApplied, Observed
from core_ops.reconcile.plan import plan
from core_ops.reconcile.planned import Plan
from fakes import FakeHost
from trees import rendered, worlds

WORLDS = 250
FOREIGN: Mapping[str, bytes] = {
    "/etc/containers/systemd/other.container": b"[Container]\nImage=theirs\n",
    "/etc/systemd/system/other.service": b"[Service]\nExecStart=/bin/theirs\n",
    "/etc/a/other.conf": b"theirs",
}


class File(NamedTuple):
    """One file of a host."""

    content: bytes
    mode: int
    owners: tuple[int, int] = (0, 0)


class StateHost(FakeHost):
    """A host that is quickly copied: all that it holds are values."""

    def copied(self) -> "StateHost":
        """Another one, which is the same until something is done to it."""
        other = StateHost()
        for name, value in vars(self).items():
            setattr(other, name, copy.copy(value))
        return other

    def others(self, unit: str, declared: Container[str]) -> bool:
        """Whether a file of somebody else means the same unit: systemd takes one of them, and it may be that one."""
        return any(self._unit_of(path) == unit for path in self.files if path not in declared)

    def everything(self) -> Mapping[str, File]:
        """All files, with their owners."""
        return {p: File(*file, self.owners.get(p, (0, 0))) for p, file in self.files.items()}


class State(NamedTuple):
    """What is desired, what the record says, the host, and what is to be said about the state if a law breaks."""

    desired: Desired
    last: LastApplied
    host: StateHost
    story: tuple[str, ...]

    def seen(self) -> Observed:
        """What one look at the host tells."""
        return self.host.observe(subjects(self.desired, self.last))

    def planned(self) -> Plan:
        """What is to be done now."""
        return plan(self.desired, self.last, self.seen())


def carried_out(state: State, planned: Plan) -> State:
    """The state after an obedient host was given a plan, and that was written down."""
    state.host.carry_out(planned.effects)
    last = LastApplied(state.desired, planned.owned_after, planned.started_after)
    return state._replace(last=last)


def shuffled(seen: Observed, dice: random.Random) -> Observed:
    """The same look, told in another order."""
    files, units, roots = list(seen.files), list(seen.units), list(seen.roots)
    for values in (files, units, roots):
        dice.shuffle(values)
    who = Accounts(0, 0, seen.accounts.users[::-1], seen.accounts.groups[::-1])
    return Observed(tuple(files), tuple(units), who, tuple(roots), seen.mounts)


_GRAPHS: dict[int, tuple[Desired, Graph]] = {}


def graph(desired: Desired) -> Graph:
    """The units of a world of a pool, found once: to compare whole worlds would take longer than to find them again."""
    found = _GRAPHS.get(id(desired))
    if found is None:
        found = _GRAPHS[id(desired)] = (desired, build(desired))  # held, so that its id stays its own
    return found[1]


class States:
    """Makes states from numbers. Every pool of the same size holds the same worlds."""

    def __init__(self, size: int = WORLDS) -> None:
        self.worlds = tuple(rendered(world) for world in _drawn(size))
        self._converged = tuple(self._fresh(desired) for desired in self.worlds)

    def state(self, number: int) -> State:
        """Return the state of a number."""
        dice = random.Random(number)  # noqa: S311 - repeatable
        state = _copied(dice.choice(self._converged))
        if dice.random() < 0.05:
            state = State(state.desired, LastApplied(), StateHost(), ("nothing was ever applied",))
        state = _foreign(state, dice)
        if dice.random() < 0.25:
            state = _cut(state, dice.choice(self.worlds), dice)
        if dice.random() < 0.03:
            state = state._replace(last=LastApplied(), story=(*state.story, "the record was lost"))
        for _ in range(dice.choice((0, 0, 1, 1, 2, 3))):
            state = _by_hand(state, dice)
        if dice.random() < 0.6:  # or it stays as it is, and whatever is to be done is a repair
            state = state._replace(desired=dice.choice(self.worlds))
        return state._replace(story=(f"state {number}", *state.story))

    @staticmethod
    def _fresh(desired: Desired) -> State:
        state = State(desired, LastApplied(), StateHost(), ())
        return carried_out(state, state.planned())


def _drawn(size: int) -> list[Mapping[str, str]]:
    found: list[Mapping[str, str]] = []

    @seed(1)
    @settings(max_examples=size, database=None, phases=[Phase.generate], deadline=None)
    @given(worlds())
    def draw(world: Mapping[str, str]) -> None:
        if world not in found:
            found.append(world)

    draw()
    return found


def _copied(state: State) -> State:
    return state._replace(host=state.host.copied())


def _foreign(state: State, dice: random.Random) -> State:
    """Files of others: where nobody wants anything, and sometimes where a file of a world would go."""
    for path, content in FOREIGN.items():
        if dice.random() < 0.7:
            state.host.edit(path, content)
    return state


def _cut(state: State, desired: Desired, dice: random.Random) -> State:
    """A run towards another world that ended anywhere: it owned and voided before it began, and recorded nothing."""
    going = state._replace(desired=desired)
    planned = going.planned()
    if not planned.effects:
        return state
    done = dice.randrange(len(planned.effects) + 1)
    state.host.carry_out(planned.effects[:done])
    last = msgspec.structs.replace(state.last, owned=planned.owned, started=planned.started)
    return going._replace(last=last, story=(*state.story, f"a run was cut after {done} of {len(planned.effects)}"))


def _edited(state: State, dice: random.Random) -> str:
    path = dice.choice(sorted(state.host.files))
    is_unit = path.startswith((f"{state.host.directories.quadlet}/", f"{state.host.directories.systemd}/"))
    more = b"\n[Unit]\nDescription=by hand\n" if is_unit else b"# by hand\n"  # a comment in a unit would be left there
    state.host.edit(path, state.host.files[path][0] + more)
    return f"{path} was edited"


def _removed(state: State, dice: random.Random) -> str:
    path = dice.choice(sorted(state.host.files))
    state.host.edit(path, None)
    return f"{path} was removed"


def _opened(state: State, dice: random.Random) -> str:
    path = dice.choice(sorted(state.host.files))
    state.host.files[path] = (state.host.files[path][0], 0o666)
    return f"{path} got another mode"


def _stopped(state: State, dice: random.Random) -> str:
    if not state.host.running:
        return "nothing ran that could be stopped"
    unit = dice.choice(sorted(state.host.running))
    state.host.running.pop(unit)
    return f"{unit} was stopped"


def _added(state: State, dice: random.Random) -> str:
    path = f"/etc/{dice.choice('abc')}/added-{dice.randrange(2)}.conf"
    state.host.edit(path, b"added\n")
    return f"{path} was added"


def _disabled(state: State, dice: random.Random) -> str:
    if not state.host.enabled:
        return "nothing was enabled"
    unit = dice.choice(sorted(state.host.enabled))
    state.host.enabled.discard(unit)
    return f"{unit} was disabled"


_HANDS: tuple[Callable[[State, random.Random], str], ...] = (
    *(_edited, _edited, _removed, _removed, _opened),
    *(_stopped, _added, _disabled),
)


def _by_hand(state: State, dice: random.Random) -> State:
    """A person changes one thing, and may well make systemd read and run what is there then."""
    if not state.host.files:
        return state
    said = dice.choice(_HANDS)(state, dice)
    if dice.random() < 0.3:
        state.host.reload()
        for unit in sorted(state.host.running):
            state.host.restart(unit)
        said += ", and everything was restarted"
    return state._replace(story=(*state.story, said))
