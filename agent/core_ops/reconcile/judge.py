"""Looks at the host again after an apply and says what did not come out."""

from collections.abc import Iterator

from core_ops.reconcile.compare import converged
from core_ops.reconcile.exclusive import undeclared
from core_ops.reconcile.model import NATIVE_TYPES, Desired, Item, Observed, UnitState
from core_ops.reconcile.mountpoints import unmounted
from core_ops.reconcile.ownership import as_asked
from core_ops.reconcile.planned import Failure, Plan
from core_ops.reconcile.variance import only_formatting


def unsettled(plan: Plan, observed: Observed) -> tuple[str, ...]:
    """Return the expected units that are still on their way, so that a look now would judge too early."""
    states = {u.unit: u for u in observed.units}
    return tuple(u for u in plan.expect if not states.get(u, UnitState(u)).settled)


def unstable(first: Observed, second: Observed) -> frozenset[str]:
    """Return the units that were started again between two looks: `Restart=` hides a crash from their active state.

    Only units that were looked at closely both times tell; the others were not started by this run.
    """
    before = {u.unit: (u.invocation_id, u.restarts) for u in first.units if u.invocation_id}
    after = {u.unit: (u.invocation_id, u.restarts) for u in second.units if u.invocation_id}
    return frozenset(unit for unit in before.keys() & after.keys() if before[unit] != after[unit])


def judge(plan: Plan, desired: Desired, observed: Observed, restless: frozenset[str]) -> tuple[Failure, ...]:
    """Return everything that is not as desired after all effects were carried out.

    Args:
        plan: what was carried out.
        desired: what should be there.
        observed: the look afterwards.
        restless: units that restarted by themselves while being watched.
    """
    return (*_files(desired, observed), *_roots(desired, observed), *_units(plan, desired, observed, restless))


def _files(desired: Desired, observed: Observed) -> Iterator[Failure]:
    seen = {f.path: f for f in observed.files}
    for item in desired.items:
        state = seen.get(item.path)
        if state is None or not (
            as_asked(item, state, observed.accounts) or only_formatting(item, state, observed.accounts)
        ):
            yield Failure(item.object, item.unit, "verifying", f"{item.path} is not as it was written")


def _roots(desired: Desired, observed: Observed) -> Iterator[Failure]:
    found = undeclared(desired, (), observed.roots)
    for removal in found.removals:
        yield Failure(removal.object, "", "verifying", f"{removal.path} appeared in the exclusive {removal.root}")
    for obstacle in found.obstacles:
        yield Failure(obstacle.object, "", "verifying", obstacle.summary)


def _units(plan: Plan, desired: Desired, observed: Observed, restless: frozenset[str]) -> Iterator[Failure]:
    states = {u.unit: u for u in observed.units}
    items = {i.unit: i for i in desired.items if i.object.resource_type not in {"dropin", "config"}}
    for unit in plan.expect:
        state = states.get(unit, UnitState(unit))
        if (
            detail := _wrong(state, restarted=unit in restless)
            or unmounted(state, observed)
            or _from(state, items[unit])
        ):
            yield Failure(items[unit].object, unit, "verifying", detail)


def _from(state: UnitState, item: Item) -> str:
    """Return why a unit is another one than was written: one of its name in a place that counts more, say."""
    native = item.object.resource_type in NATIVE_TYPES
    loaded = state.fragment_path if native else state.source_path
    if state.fragment_path and loaded != item.path:
        return f"systemd has loaded {state.unit} from {loaded or state.fragment_path}, not from {item.path}"
    return ""


def _wrong(state: UnitState, *, restarted: bool) -> str:
    if state.load != "loaded":
        return f"systemd has not loaded {state.unit} ({state.load}): its file was rejected or generated nothing"
    if state.needs_reload:
        return f"{state.unit} changed on disk after systemd read it"
    if not converged(state):
        return f"{state.unit} is {state.active} ({state.sub}), result {state.result}"
    if restarted:
        return f"{state.unit} does not stay up: it was started again after {state.restarts} restarts"
    return ""
