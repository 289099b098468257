"""Attempts so far become: go on, or stop trying what fails the same way again and again.

An attempt counts when a run touched the host towards a revision and something did not come out. Attempts are comparable while
the revision and the host's inputs (kernel, boot, systemd, podman) are the same; a change of either begins a new count, and so
does a person. Nothing here knows the time: it comes with the attempts.
"""

from typing import Literal

from core_ops.reconcile.model import Desired, Value
from core_ops.reconcile.planned import Failure

LIMIT = 3  # attempts that fail in the same way
WINDOW = 4  # A, B, A, B: two ways that take turns
ATTEMPTS_KEPT = 32
_SAID_LINES, _SAID_CHARACTERS = 10, 300
NOT_TRIED = "it failed too often and is not tried again by itself"
LIFTED_BY = "a new revision; another kernel, boot, systemd or podman; or `core-ops apply` by hand"


class Attempt(Value, frozen=True):
    """One run that touched the host and failed: for which revision, on which host inputs, what failed and how.

    `failing` are display ids, `units` the units among them. `whole` says that something failed that is no unit (a file, a
    reload, the look afterwards), so that nothing can be told apart. `said` is not part of the signature.
    """

    revision: str
    inputs: str
    failing: tuple[str, ...]
    units: tuple[str, ...]
    phases: tuple[str, ...]
    whole: bool
    said: tuple[str, ...]
    at: str

    @property
    def signature(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What must be equal for two attempts to have failed in the same way: objects and phases, no words."""
        return self.failing, self.phases


class Diagnosis(Value, frozen=True):
    """Why a host is not driven on by itself: what fails, since when, how often, the last words, and what lifts it.

    `units` are left alone meanwhile; when there are none, everything is.
    """

    kind: Literal["repeated_failure", "oscillation"]
    revision: str
    objects: tuple[str, ...]
    units: tuple[str, ...]
    attempts: int
    since: str
    last_at: str
    said: tuple[str, ...]
    lifted_by: str = LIFTED_BY


def attempt(revision: str, inputs: str, failures: tuple[Failure, ...], at: str) -> Attempt:
    """Return what is remembered of a run that failed."""
    names = {f.name for f in failures}
    said = (f"{f.unit or f.name}: {f.detail}" for f in failures)
    return Attempt(
        revision=revision,
        inputs=inputs,
        failing=tuple(sorted(names)),
        units=tuple(sorted({f.unit for f in failures if f.unit})),
        phases=tuple(sorted({f.phase for f in failures})),
        whole=any(not f.unit for f in failures),
        said=tuple(line[:_SAID_CHARACTERS] for line in said)[:_SAID_LINES],
        at=at,
    )


def comparable(attempts: tuple[Attempt, ...], revision: str, inputs: str) -> tuple[Attempt, ...]:
    """Return the attempts that still count: those for the same revision on the same host inputs."""
    return tuple(a for a in attempts if (a.revision, a.inputs) == (revision, inputs))[-ATTEMPTS_KEPT:]


def diagnosis(attempts: tuple[Attempt, ...]) -> Diagnosis | None:
    """Return why progress stops, or None to go on; the attempts are comparable ones, oldest first."""
    signatures = [a.signature for a in attempts]
    repeated = {s for s in signatures if signatures.count(s) >= LIMIT}
    turning = _turning(signatures)
    held = [a for a in attempts if a.signature in repeated | turning]
    if not held:
        return None
    whole = any(a.whole for a in held)
    last = {a.signature: a for a in held}
    return Diagnosis(
        kind="repeated_failure" if repeated else "oscillation",
        revision=held[-1].revision,
        objects=tuple(sorted({name for a in held for name in a.failing})),
        units=() if whole else tuple(sorted({unit for a in held for unit in a.units})),
        attempts=len(held),
        since=held[0].at,
        last_at=held[-1].at,
        said=tuple(line for a in last.values() for line in a.said)[:_SAID_LINES],
    )


def _turning(
    signatures: list[tuple[tuple[str, ...], tuple[str, ...]]],
) -> set[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return two ways of failing that took turns, A B A B, anywhere in the count."""
    for place in range(len(signatures) - WINDOW + 1):
        a, b, c, d = signatures[place : place + WINDOW]
        if a == c and b == d and a != b:
            return {a, b}
    return set()


def held(found: Diagnosis, desired: Desired) -> tuple[Failure, ...]:
    """Return what is not tried again, as failures of the run that leaves it alone."""
    if not found.units:
        return (Failure(None, "", "applying", "; ".join((words(found), *found.said))),)
    objects = {i.unit: i.object for i in desired.items if i.object.resource_type != "dropin"}
    # Of many units only the first words are kept.
    last = {unit: f"; the last time: {said}" for unit, _, said in (line.partition(": ") for line in found.said)}
    return tuple(Failure(objects.get(u), u, "applying", f"{NOT_TRIED}{last.get(u, '')}") for u in found.units)


def words(found: Diagnosis) -> str:
    """Return a diagnosis as one sentence."""
    how = "fails in the same way" if found.kind == "repeated_failure" else "fails in two ways that take turns"
    names = ", ".join(found.objects)
    return f"{names}: {how}, {found.attempts} attempts since {found.since}; not tried again by itself"
