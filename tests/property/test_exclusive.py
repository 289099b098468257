"""The one exception to the law that what is not owned is never removed, and its bounds."""

import copy
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_ops import run
from core_ops.reconcile.model import Desired
from fakes import Cut, FakeHost, FakeStore
from property.test_converge import BEGIN, below, converge, ports
from trees import rendered, worlds

_OUTSIDE = ("/etc/a", "/etc/b", "/etc/ab", "/etc/z", "/etc")
_FILES = st.sampled_from(["x", "y.conf", "sub/x", ".app.conf.core-ops-new"])


def _strays(world: Mapping[str, str]) -> st.SearchStrategy[set[str]]:
    """Paths that nobody declares, most of them in the exclusive roots of a world if it has any."""
    roots = rendered(world).exclusive
    places = st.one_of(st.sampled_from(roots or _OUTSIDE), st.sampled_from(_OUTSIDE))
    return st.sets(st.tuples(places, _FILES).map("/".join), max_size=6)


_INVADED = worlds().flatmap(lambda world: st.tuples(st.just(world), _strays(world)))


def put(host: FakeHost, desired: Desired, strays: set[str]) -> set[str]:
    """Put files of somebody else on the host, and return those that are to stay."""
    for path in strays:
        host.edit(path, b"theirs")
    return {p for p in strays if not below(p, desired.exclusive)}


def assert_exactly(host: FakeHost, desired: Desired, kept: set[str]) -> None:
    """The host has what is declared and what somebody else put outside the exclusive roots, and nothing more."""
    assert set(host.files) == {i.path for i in desired.items} | kept
    assert all(host.files[p] == (b"theirs", 0o644) for p in kept)
    for unit in host.running:  # what stays is nobody's input: the agent does not look at it
        ran, on_disk = host.running[unit], host.inputs_on_disk(unit)
        assert [i for i in ran if i[0] not in kept] == [i for i in on_disk if i[0] not in kept], unit


@given(invaded=_INVADED, restarted=st.booleans())
@settings(max_examples=300, deadline=None)
def test_an_exclusive_root_ends_as_declared_and_nothing_outside_is_touched(
    *, invaded: tuple[Mapping[str, str], set[str]], restarted: bool
) -> None:
    """Strays in an exclusive root go, all others stay, and the next run finds nothing to do."""
    world, strays = invaded
    host, store, desired = FakeHost(), FakeStore(BEGIN), rendered(world)
    converge(host, store, desired)
    kept = put(host, desired, strays)
    if restarted:  # so that units run with the strays as an input
        for unit in sorted(host.running):
            host.restart(unit)

    converge(host, store, desired)

    assert_exactly(host, desired, kept)
    assert run.plan(ports(host, store), desired, store.load().last).in_sync


@given(worlds(), _INVADED)
@settings(max_examples=150, deadline=None)
def test_a_cut_while_a_root_is_cleaned_is_finished_by_the_next_run(
    old: Mapping[str, str], invaded: tuple[Mapping[str, str], set[str]]
) -> None:
    """After any prefix of the effects one more run ends as declared, and what is outside was never touched."""
    new, strays = invaded
    before, memory, desired = FakeHost(), FakeStore(BEGIN), rendered(new)
    converge(before, memory, rendered(old))
    kept = put(before, desired, strays - {i.path for i in desired.items})
    planned = run.plan(ports(before, memory), desired, memory.load().last)
    for done in range(len(planned.effects)):
        host, store = copy.deepcopy(before), copy.deepcopy(memory)
        host.cut_at = done
        with pytest.raises(Cut):
            converge(host, store, desired)
        assert kept <= set(host.files)
        host.cut_at = None

        converge(host, store, desired)

        assert_exactly(host, desired, kept)
