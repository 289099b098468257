"""What one run leaves in the audit directory: who did what to which objects, and how it came out.

It names objects, actions, causes and failures, never the content of a file: a config file may hold a secret, and an audit
directory is read by more people than the file. Its size has a limit; what does not fit is counted.
"""

import msgspec

from core_ops.errors import CoreOpsError
from core_ops.reconcile.model import Source, Value
from core_ops.reconcile.planned import Entry, Failure, Plan, Result
from core_ops.reconcile.record import Controller

SIZE_LIMIT_BYTES = 256 * 1024
_SAID_CHARACTERS = 500


class Call(Value, frozen=True):
    """What was asked for: the verb, for which host, when, by which program; `generation` is the attempt it ended on."""

    verb: str
    host: str
    started_at: str
    finished_at: str
    generation: int
    controller: Controller


class AuditEntry(Value, frozen=True):
    """One object that was not simply in sync."""

    object: str
    action: str
    causes: tuple[str, ...]
    failure: str = ""


class AuditError(Value, frozen=True):
    """Why a run ended early, or why a newer revision was not applied."""

    code: str
    message: str
    details: tuple[str, ...] = ()


class AuditRecord(Value, frozen=True):
    """One run. `entries_left_out` counts those that did not fit."""

    call: Call
    outcome: str
    source: Source | None = None
    previous: Source | None = None
    unchanged_count: int = 0
    entries: tuple[AuditEntry, ...] = ()
    entries_left_out: int = 0
    failures: tuple[str, ...] = ()
    error: AuditError | None = None
    schema_version: int = 1


def audited(call: Call, done: Plan | Result | None, problem: CoreOpsError | None) -> bytes:
    """Return the record of a run as it is written: at most `SIZE_LIMIT_BYTES`."""
    plan = done.plan if isinstance(done, Result) else done
    failures = done.failures if isinstance(done, Result) else ()
    if plan is None:
        return _fitting(AuditRecord(call, "failed" if problem else "nothing_done", error=_error(problem)), ())
    record = AuditRecord(
        call,
        done.outcome if isinstance(done, Result) else "planned",
        plan.source,
        plan.previous,
        unchanged_count=sum(1 for e in plan.entries if e.action == "no_op"),
        failures=tuple(_failure(f) for f in failures if f.object is None),
        error=_error(problem),
    )
    said = {f.object: f for f in failures if f.object}
    return _fitting(record, tuple(_entry(e, said.get(e.object)) for e in plan.entries if e.action != "no_op"))


def file_name(call: Call, place: int) -> str:
    """Return the name of a record: time, attempt, verb, and a place among several of one second."""
    time = call.started_at.replace("-", "").replace(":", "")
    return f"{time}-{call.generation:06d}-{call.verb}{f'-{place}' if place else ''}.json"


def _fitting(record: AuditRecord, entries: tuple[AuditEntry, ...]) -> bytes:
    """Return the encoded record with as many entries as fit, half of them at a time."""
    shown = entries
    while True:
        fitted = msgspec.structs.replace(record, entries=shown, entries_left_out=len(entries) - len(shown))
        content = msgspec.json.encode(fitted) + b"\n"
        if len(content) <= SIZE_LIMIT_BYTES or not shown:
            return content
        shown = shown[: len(shown) // 2]


def _entry(entry: Entry, failure: Failure | None) -> AuditEntry:
    causes = tuple(f"{c.kind}: {c.summary[:_SAID_CHARACTERS]}" for c in entry.causes)
    return AuditEntry(entry.object.display_id, entry.action, causes[:20], _failure(failure) if failure else "")


def _failure(failure: Failure) -> str:
    return f"{failure.phase}: {failure.detail[:_SAID_CHARACTERS]}"


def _error(problem: CoreOpsError | None) -> AuditError | None:
    if problem is None:
        return None
    details = tuple(d[:_SAID_CHARACTERS] for d in problem.details[:50])
    return AuditError(problem.code, problem.message[:_SAID_CHARACTERS], details)
