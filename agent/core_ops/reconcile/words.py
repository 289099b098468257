"""A plan, a result or a status in human words: a pure rendering of the JSON views, so that both always say the same.

A line says by its first sign what kind it is (`+` create, `~` update, `-` delete, `✗` failure); whoever has a terminal may
colour by it. Nothing here knows what a terminal is.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import UNSET

from core_ops.errors import printable
from core_ops.reconcile.contract import PlanEntryView, PlanView, ResultView, RevisionView
from core_ops.reconcile.model import Failure
from core_ops.reconcile.record import Lifecycle, Record
from core_ops.reconcile.snapshots import Snapshot

DIFF_LINES_SHOWN = 12
SNAPSHOTS_SHOWN = 10

_SIGNS: Mapping[str, str] = {
    "create": "+",
    "update": "~",
    "replace": "~",
    "delete": "-",
    "restart": "↻",
    "recover": "!",
    "blocked": "x",
    "skipped": "·",
}
_TALLIES = (
    ("create", "Create"),
    ("update", "Update"),
    ("replace", "Replace"),
    ("restart", "Restart"),
    ("recover", "Recover"),
    ("delete", "Delete"),
    ("blocked", "Blocked"),
    ("skipped", "Left alone"),
)
_RULE = "─" * 72


def brief_lines(view: PlanView) -> Iterator[str]:
    """Yield a plan in one line per changed object with its first cause: what an apply is about to do."""
    yield f"Applying to host {view.host} @ {_transition(view.revision_context, recovering=False)}"
    yield _RULE
    yield from tallies(view)
    for entry in view.entries:
        if entry.action != "no_op":
            name = printable(entry.object.display_id)
            yield f"{_SIGNS[entry.action]} {entry.action:<8} {name}  ({printable(entry.causes[0].summary)})"
    yield ""


def plan_lines(view: PlanView, *, recovering: bool = False, full: bool = False) -> Iterator[str]:
    """Yield a plan for people: header, tallies, a block per changed object, and how many stay as they are.

    Args:
        view: the plan.
        recovering: nothing was ever applied successfully, but an attempt was made.
        full: show whole diffs instead of their first lines.
    """
    yield f"Plan for host {view.host} @ {_transition(view.revision_context, recovering=recovering)}"
    if view.revision_context.signers is not UNSET:
        yield f"signed by {', '.join(view.revision_context.signers)}"
    yield _RULE
    yield from tallies(view)
    changed = [e for e in view.entries if e.action != "no_op"]
    for entry in changed:
        yield ""
        yield from _entry_lines(entry, full=full)
    if changed:
        yield ""
    unchanged = view.summary.unchanged_count
    if view.summary.blocked_count:
        yield "Nothing can be applied while an object is blocked; the host is left as it is."
    elif not changed:
        yield f"In sync: {_objects(unchanged)} as desired, nothing to do."
    elif unchanged:
        yield "1 object stays as it is." if unchanged == 1 else f"{unchanged} objects stay as they are."


def _count(objects: int) -> str:
    return "1 object" if objects == 1 else f"{objects} objects"


def _objects(count: int) -> str:
    return f"{_count(count)} {'is' if count == 1 else 'are'}"


def tallies(view: PlanView) -> Iterator[str]:
    """Yield one line per kind of change that the plan has."""
    actions = [e.action for e in view.entries]
    for action, name in _TALLIES:
        if count := actions.count(action):  # type: ignore[arg-type]  # the table holds the contract's words
            yield f"[{_SIGNS[action]}] {name} • {count}"


def _transition(context: RevisionView, *, recovering: bool) -> str:
    target = _named(context.target_revision, context.requested_ref)
    if context.last_applied_revision is UNSET:
        return f"{target} ({'recovery from failed initial apply' if recovering else 'first run'})"
    before = _named(context.last_applied_revision, context.last_applied_requested_ref)
    return target if before == target else f"{before} -> {target}"


def _named(revision: str, ref: object) -> str:
    short = revision if revision.startswith("(") else revision[:8]
    name = printable(str(ref)).removeprefix("refs/heads/").removeprefix("refs/tags/")
    return f"{short} ({name})" if ref is not UNSET else short


def _entry_lines(entry: PlanEntryView, *, full: bool) -> Iterator[str]:
    yield f"{_SIGNS[entry.action]} {entry.action:<8} {printable(entry.object.display_id)}"
    for cause in entry.causes:
        yield f"    because  {printable(cause.summary)}"
    for dependency in entry.dependencies:
        yield f"    requires {printable(dependency.object.display_id)}"
    if entry.steps is not UNSET:
        yield f"    does     {printable(', '.join(entry.steps))}"
    if entry.notes is not UNSET:
        for note in entry.notes:
            yield f"    note     {printable(note)}"
    if entry.diff is not UNSET:
        yield f"    file     {printable(entry.diff.summary)}"
        if entry.diff.unified_diff is not UNSET and (full or entry.action != "create"):
            yield from _diff_lines(entry.diff.unified_diff, full=full)


def _diff_lines(diff: str, *, full: bool) -> Iterator[str]:
    lines = [line for line in diff.splitlines() if not line.startswith(("--- ", "+++ "))]
    shown = lines if full else lines[:DIFF_LINES_SHOWN]
    for line in shown:
        yield f"      {printable(line.expandtabs(4))}"
    if len(lines) > len(shown):
        yield f"      … {len(lines) - len(shown)} more lines (-v shows them)"


def result_lines(view: ResultView, failures: tuple[Failure, ...]) -> Iterator[str]:
    """Yield what an apply came to: each failure as a block of its own, then the summary and the outcome."""
    context, s = view.revision_context, view.summary
    where = f"{view.host} @ {_named(context.target_revision, context.requested_ref)}"
    if s.unchanged_count == len(view.entries):
        yield f"Host {where}: in sync, {_objects(s.unchanged_count)} as desired."
    for failure in failures:
        yield ""
        yield from _failure_lines(failure)
    counts = (
        (s.changed_count, "changed"),
        (s.failed_count, "failed"),
        (s.blocked_count, "blocked"),
        (s.skipped_count, "left alone"),
        (s.unchanged_count, "unchanged"),
    )
    yield ""
    yield "Summary: " + (", ".join(f"{count} {word}" for count, word in counts if count) or "nothing to manage")
    yield f"Outcome: {view.outcome}"


def _failure_lines(failure: Failure) -> Iterator[str]:
    name = failure.object.display_id if failure.object else failure.unit or "the run"
    phase: Literal["Applying", "Verifying"] = "Applying" if failure.phase == "applying" else "Verifying"
    yield f"✗ {printable(name)} failed during {phase}"
    yield f"    {printable(failure.detail)}"
    if failure.unit:
        yield f"    see  systemctl status {printable(failure.unit)}"
        yield f"         journalctl -b -u {printable(failure.unit)}"


def status_lines(record: Record, lifecycle: Lifecycle, trust: str, said: tuple[str, ...]) -> Iterator[str]:
    """Yield the persisted provenance for people.

    Args:
        record: what was loaded.
        lifecycle: the one word for it.
        trust: how revisions are authenticated here, in words.
        said: what has to be known before anything else.
    """
    yield f"{'Lifecycle':<12} {lifecycle}"
    yield from map(printable, said)
    status = record.status
    if status is None:
        return
    run, desired = status.reconciliation, status.desired_state
    yield from _field("Repository", desired.repository)
    yield from _field("Ref", desired.requested_ref)
    yield from _field("Trust", trust)
    if record.anchor:
        signer = f"signed by {record.anchor.signer} ({record.anchor.key})" if record.anchor.signer else "NOT SIGNED"
        yield from _field("Authentic", f"{record.anchor.commit}  {signer}")
    yield from _field("Applied", run.last_applied_revision)
    if run.last_attempted_revision != run.last_applied_revision:
        yield from _field("Attempted", run.last_attempted_revision)
    seen = f"{desired.last_observed_revision} at {desired.last_observed_at}" if desired.last_observed_at else ""
    yield from _field("Remote says", seen)
    last_run = f"{run.status}, attempt {run.generation}, {run.last_finished_at}" if run.last_finished_at else run.status
    yield from _field("Last run", last_run)
    yield from _field("Message", run.message if run.diagnosis is None else "")
    for line in run.diagnosis.said if run.diagnosis else ():
        yield from _field("Last words", line)
    if run.refused:
        yield from _field("Refused", f"{run.refused.revision[:8]} at {run.refused.at} ({run.refused.code})")
        yield from _field("", run.refused.message)
    if record.last.desired:
        yield from _field("Manages", f"{_count(len(record.last.desired.items))} for host {record.last.desired.host}")
    yield from _snapshot_lines(record.history.snapshots)


def _snapshot_lines(snapshots: tuple[Snapshot, ...]) -> Iterator[str]:
    for place, kept in enumerate(snapshots[:SNAPSHOTS_SHOWN]):
        line = f"{kept.revision[:12]}  {kept.at}  {kept.signer or 'not signed'}"
        yield printable(f"{'' if place else 'Snapshots':<12} {line}")
    if len(snapshots) > SNAPSHOTS_SHOWN:
        yield f"{'':<12} … {len(snapshots) - SNAPSHOTS_SHOWN} more (--json shows them)"


def _field(name: str, value: str) -> Iterator[str]:
    if value:
        yield f"{name:<12} {printable(value)}"
