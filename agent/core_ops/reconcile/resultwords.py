"""What an apply came to, in human words: a block per failure with the next commands to type, the sum, and the outcome.

It is a rendering of the result view; the last lines of a unit's journal may be added for a person who looks on. They are not
part of the view, since nobody knows what a service writes there.
"""

import shlex
from collections.abc import Iterator, Mapping

from msgspec import UNSET

from core_ops.errors import printable
from core_ops.reconcile.contract import ObjectView
from core_ops.reconcile.model import NATIVE_TYPES
from core_ops.reconcile.resultview import FailureView, ResultEntryView, ResultView
from core_ops.reconcile.words import SIGNS, named_revision

JOURNAL_COLUMNS_SHOWN = 200
_PHASES = {"applying": "Applying", "verifying": "Verifying"}
_COUNTS = ("changed", "failed", "blocked", "skipped", "unchanged")


def result_lines(view: ResultView, journal: Mapping[str, tuple[str, ...]] | None = None) -> Iterator[str]:
    """Yield what an apply came to.

    Args:
        view: the result.
        journal: the last lines of units that failed, by unit.
    """
    if view.summary.unchanged_count == len(view.entries):
        count = len(view.entries)
        are = "1 object is" if count == 1 else f"{count} objects are"
        yield f"Host {printable(view.host)} @ {named_revision(view.revision_context)}: in sync, {are} as desired."
    for failure in () if view.failures is UNSET else view.failures:
        yield ""
        yield from _failure_lines(failure, view, journal or {})
    if view.failures is not UNSET:
        yield from _held_back(view)
    yield ""
    counts = tuple((getattr(view.summary, f"{word}_count"), word) for word in _COUNTS)
    yield "Summary: " + (", ".join(f"{count} {word}" for count, word in counts if count) or "nothing to manage")
    yield f"Outcome: {view.outcome}"


def _failure_lines(failure: FailureView, view: ResultView, journal: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    name = "the run" if failure.object is UNSET else failure.object.display_id
    yield f"✗ {printable(name)} failed during {_PHASES[failure.phase]}"
    yield f"    said     {printable(failure.detail)}"
    if failure.path is not UNSET and not _is_native(failure.object):
        yield f"    file     {printable(failure.path)}"
    if failure.unit is UNSET:
        return
    unit = shlex.quote(failure.unit)
    for place, line in enumerate(journal.get(failure.unit, ())):
        yield f"    {'' if place else 'journal':<8} {_cut(printable(line.expandtabs(4)))}"
    yield printable(f"    see      systemctl status {unit}")
    since = "" if view.started_at is UNSET else f' --since "{view.started_at[:10]} {view.started_at[11:19]} UTC"'
    yield printable(f"             journalctl -u {unit} -b{since}")


def _is_native(obj: object) -> bool:
    """Whether systemd names the file itself, because it is the unit's own and not one it was generated from."""
    return isinstance(obj, ObjectView) and obj.resource_type in NATIVE_TYPES


def _cut(text: str) -> str:
    return text if len(text) <= JOURNAL_COLUMNS_SHOWN else f"{text[:JOURNAL_COLUMNS_SHOWN]}…"


def _held_back(view: ResultView) -> Iterator[str]:
    """Yield a line for each object that something else kept from coming out."""
    held = [
        e for e in view.entries if e.final_state in {"blocked", "skipped"} and e.action not in {"blocked", "skipped"}
    ]
    if held:
        yield ""
    for entry in held:
        sign = SIGNS["blocked"] if entry.final_state == "blocked" else SIGNS["skipped"]
        yield f"{sign} {entry.final_state:<8} {printable(entry.object.display_id)}  ({printable(_why(entry))})"


def _why(entry: ResultEntryView) -> str:
    causes = () if entry.causes is UNSET else entry.causes
    found = [c.summary for c in causes if c.kind in {"dependency_failure", "blocked_prerequisite"}]
    return ", ".join(found) or "an earlier step failed"
