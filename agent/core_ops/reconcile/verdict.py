"""What became of a run and of each of its objects, said truthfully: nothing counts as done that was not reached.

A result remembers what failed and what was not tried. Everything else about the end of an object follows from the plan: an
object is `blocked` by what it needs, `failed` by itself, `skipped` if the run did not come to it.
"""

from collections.abc import Iterable, Iterator

import msgspec

from core_ops.reconcile.effects import brings_up
from core_ops.reconcile.model import Obj, Value
from core_ops.reconcile.planned import Effect, Entry, Failure, FinalState, Outcome, Plan, ReloadManager, Result

_FILES = frozenset({"config", "dropin"})
_AT_REST = frozenset({"no_op", "blocked", "skipped"})
HOLDS = frozenset({"converged", "converged_with_tolerated_variance"})  # outcomes of a host that is as desired


class Verdict(Value, frozen=True):
    """How one object came out: `blockers` are the objects because of which it did not, `details` what was said of it."""

    state: FinalState
    blockers: tuple[Obj, ...] = ()
    details: tuple[str, ...] = ()


def acts(entry: Entry) -> bool:
    """Whether a plan does anything about the object."""
    return entry.action not in _AT_REST


def outcome(plan: Plan, failures: tuple[Failure, ...], *, changed: bool) -> Outcome:
    """Return the word for a run that came to its end.

    Args:
        plan: what was to be done.
        failures: what did not come out.
        changed: whether anything was changed.
    """
    if failures:
        return "partially_applied" if changed else "failed"
    tolerated = any(e.action == "skipped" or _varies(e) for e in plan.entries)
    return "converged_with_tolerated_variance" if tolerated else "converged"


def _varies(entry: Entry) -> bool:
    return any(cause.kind == "runtime_variance" for cause in entry.causes)


def unreached(plan: Plan, untried: Iterable[Effect]) -> tuple[Obj, ...]:
    """Return the objects that a run did not do all it planned for; units count if systemd did not read their files."""
    found: set[Obj] = set()
    for effect in untried:
        if isinstance(effect, ReloadManager):
            found |= {e.object for e in plan.effects if not isinstance(e, ReloadManager) and brings_up(e)}
        else:
            found.add(effect.object)
    return tuple(sorted(found))


def all_unreached(plan: Plan) -> tuple[Obj, ...]:
    """Return every object that the plan acts on: the run ended before its first step."""
    return tuple(sorted(e.object for e in plan.entries if acts(e)))


def remaining(result: Result) -> Plan:
    """Return the plan without the expectations that are known not to hold: nobody has to wait for them."""
    failed = {f.unit for f in result.failures}
    return msgspec.structs.replace(result.plan, expect=tuple(u for u in result.plan.expect if u not in failed))


def news(result: Result, found: tuple[Failure, ...]) -> tuple[Failure, ...]:
    """Return the failures that a look found and that do not follow from what is known already."""
    known = {f.object for f in result.failures} | set(result.unreached)
    return tuple(f for f in found if f.object is None or f.object not in known)


def verdicts(result: Result) -> Iterator[tuple[Entry, Verdict]]:
    """Yield each entry of the plan with how it came out, in the plan's order."""
    case = _Case(result)
    for entry in result.plan.entries:
        yield entry, case.verdict(entry)


class _Case:
    """A result, indexed."""

    def __init__(self, result: Result) -> None:
        self._failures: dict[Obj, list[Failure]] = {}
        for failure in result.failures:
            if failure.object:
                self._failures.setdefault(failure.object, []).append(failure)
        self._of_the_run = [f for f in result.failures if f.object is None]
        self._unreached = frozenset(result.unreached)
        self._needs = {e.object: e.needs for e in result.plan.entries}
        self._in_the_way = tuple(e.object for e in result.plan.blocked)

    def verdict(self, entry: Entry) -> Verdict:
        """Return how one entry came out."""
        own = self._failures.get(entry.object, [])
        details = tuple(dict.fromkeys(f.detail for f in own))
        if own and entry.object not in self._unreached:
            if any(not f.dependency for f in own):
                return Verdict("failed", details=details)
            return Verdict("blocked", self._culprits(entry.object), details)
        match entry.action:
            case "no_op" | "blocked" | "skipped":
                return Verdict(entry.action)
            case _:
                return self._acted(entry, details)

    def _acted(self, entry: Entry, details: tuple[str, ...]) -> Verdict:
        if self._in_the_way:
            return Verdict("skipped", self._in_the_way)
        files = tuple(o for o in entry.needs if o.resource_type in _FILES)
        if failed := tuple(o for o in files if o in self._failures):
            return Verdict("blocked", failed)
        said = tuple(f.detail for f in self._of_the_run)
        if entry.object in self._unreached:  # if its start was tried and failed, then because of that
            return Verdict("skipped", details=(*said, *details))
        if missing := tuple(o for o in files if o in self._unreached):
            return Verdict("blocked", missing)  # it was started, but from older inputs
        if any(f.phase == "verifying" for f in self._of_the_run):
            return Verdict("failed", details=said)  # it was done, but nobody saw that it came out
        return Verdict("succeeded")

    def _culprits(self, obj: Obj) -> tuple[Obj, ...]:
        """Return the failed objects that this one needs, near or far."""
        found: set[Obj] = set()
        seen, todo = {obj}, [obj]
        while todo:
            for needed in self._needs.get(todo.pop(), ()):
                if needed not in seen:
                    seen.add(needed)
                    todo.append(needed)
                    if any(not f.dependency for f in self._failures.get(needed, ())):
                        found.add(needed)
        return tuple(sorted(found))
