"""Carries out a plan, batch by batch: what may fail without harm comes first, and after a failure only what brings units up.

It conducts and remembers what was tried; what that comes to is said by `verdict`.
"""

from typing import NamedTuple

import msgspec

from core_ops.errors import CoreOpsError, HostError
from core_ops.outlook import Ports
from core_ops.reconcile import effects, events, images, verdict
from core_ops.reconcile.phases import Applying, Phase, PhaseChanged, PhaseState, Pulling
from core_ops.reconcile.planned import Effect, Failure, Plan, Result, UnitJob
from core_ops.reconcile.record import Record


def phase(ports: Ports, name: Phase, state: PhaseState) -> None:
    """Tell that a phase of the run began, ended or is left out."""
    ports.reporter.report(PhaseChanged(name, state))


def skip(ports: Ports, *names: Phase) -> None:
    """Tell that phases are left out."""
    for name in names:
        phase(ports, name, "skipped")


class Carried(NamedTuple):
    """How a plan was carried out: the record as it was left, and what became of the plan until then.

    `held` says that something could not be stopped, so that no file was changed and what was stopped came back as it was.
    """

    record: Record
    result: Result
    held: bool


class _Tried(NamedTuple):
    """What failed, which units could not be stopped, what was not done, and whether anything was changed."""

    failures: tuple[Failure, ...] = ()
    stuck: frozenset[str] = frozenset()
    untried: tuple[Effect, ...] = ()
    changed: bool = False


def carry_out(ports: Ports, remembered: Record, begun: Result) -> Carried:
    """Carry out the plan of a result that has begun.

    Raises:
        CoreOpsError: the record or new contents could not be written, or an image can't be had; nothing was stopped or
            replaced then.
    """
    planned, before = begun.plan, remembered.last
    remembered = _prepared(ports, remembered, planned)
    tried = _Tried()
    for batch in effects.batches(planned.effects):
        tried = _next(ports, planned, tried, batch)
    phase(ports, "execution", "failed" if tried.failures else "succeeded")
    if tried.stuck:  # nothing was written, and what never stopped still runs from what it was started from
        stopped = {
            e.unit for b in effects.batches(planned.effects) if effects.stops(b) for e in b if isinstance(e, UnitJob)
        }
        started = {*planned.started, *(s for s in before.started if s.unit in tried.stuck or s.unit not in stopped)}
        kept = msgspec.structs.replace(remembered.last, started=tuple(sorted(started)))
        remembered = msgspec.structs.replace(remembered, last=kept)
    outcome = verdict.outcome(planned, tried.failures, changed=tried.changed)
    stuck = {
        f.object for f in tried.failures if f.unit in tried.stuck
    }  # these failed, whatever was left out after that
    unreached = tuple(o for o in verdict.unreached(planned, tried.untried) if o not in stuck)
    result = msgspec.structs.replace(begun, outcome=outcome, failures=tried.failures, unreached=unreached)
    return Carried(remembered, result, held=bool(tried.stuck))


def _next(ports: Ports, planned: Plan, tried: _Tried, planned_batch: tuple[Effect, ...]) -> _Tried:
    """Return what was tried after one more batch; once something failed, only what brings units up is."""
    if tried.failures and not all(effects.brings_up(e) for e in planned_batch):
        return tried._replace(untried=tried.untried + _left_out(planned_batch, tried.failures))
    batch = effects.put_back(planned_batch, planned.effects) if tried.stuck else planned_batch
    failed, undone = _one_batch(ports, batch) if batch else ((), ())
    for failure in failed:
        ports.reporter.report(events.Failed(planned.source.revision, failure))
    names = {f.unit for f in failed}
    done = tuple(e for e in batch if e not in undone and getattr(e, "unit", None) not in names)
    for effect in done:
        ports.reporter.report(events.Changed(planned.source.revision, effect))
    missed = planned_batch if tried.stuck else undone  # what was put back is as it was, not as it was planned
    return _Tried(
        tried.failures + failed,
        tried.stuck | names if failed and effects.stops(batch) else tried.stuck,
        tried.untried + _left_out(missed, (*tried.failures, *failed)),
        tried.changed or bool(done),
    )


def _left_out(batch: tuple[Effect, ...], failures: tuple[Failure, ...]) -> tuple[Effect, ...]:
    """Return the effects of objects that have not failed: what could not be stopped, say, is not merely left out."""
    failed = {f.object for f in failures}
    return tuple(e for e in batch if getattr(e, "object", e) not in failed)


def _prepared(ports: Ports, remembered: Record, planned: Plan) -> Record:
    """Return the record after everything that can fail without harm: it is written, images and new contents are here."""
    phase(ports, "execution", "started")
    owned = msgspec.structs.replace(remembered.last, owned=planned.owned)
    # What a volume is made from comes with the voided starts: alone it would hide after a cut that its unit has yet to make it.
    voided = msgspec.structs.replace(owned, started=planned.started, volumes=planned.volumes)
    try:
        ports.store.save(msgspec.structs.replace(remembered, last=owned))  # what is to exist is owned before it exists
        _fetch_images(ports, planned)
        ports.host.stage(planned)
        remembered = msgspec.structs.replace(remembered, last=voided)
        ports.store.save(remembered)  # from here on the units that are touched count as started from nothing known
    except CoreOpsError:
        phase(ports, "execution", "failed")
        raise
    return remembered


def _fetch_images(ports: Ports, planned: Plan) -> None:
    needs = images.needed(planned)
    if not needs:
        return
    present = ports.host.present(tuple(dict.fromkeys(n.image for n in needs)))
    missing = tuple(images.to_pull(needs, present))
    for number, need in enumerate(missing, 1):
        ports.reporter.report(Pulling(need, number, len(missing)))
        said = ports.host.pull(need.image)
        if not said:
            ports.reporter.report(events.ImagePulled(planned.source.revision, need))
        elif not images.tolerates(need, present):
            raise images.unpulled(need, said)


def _one_batch(ports: Ports, batch: tuple[Effect, ...]) -> tuple[tuple[Failure, ...], tuple[Effect, ...]]:
    """Return what failed, and what was not done at all."""
    ports.reporter.report(Applying(batch))
    try:
        return ports.host.carry_out(batch), ()
    except HostError as error:  # units may be stopped by now: the run goes on to bring them back
        place = getattr(batch[0], "object", None)
        return (Failure(place, "", "applying", f"{error.message} ({error.hint})"),), batch
