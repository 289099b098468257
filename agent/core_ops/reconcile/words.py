"""A plan or a status in human words: a pure rendering of the JSON views, so that both always say the same.

A line says by its first sign what kind it is (`+` create, `~` update, `-` delete, `✗` failure); whoever has a terminal may
colour by it. Nothing here knows what a terminal is.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from msgspec import UNSET

from core_ops.errors import printable
from core_ops.reconcile.contract import PlanEntryView, PlanView, RevisionView
from core_ops.reconcile.record import Lifecycle, Record
from core_ops.reconcile.snapshots import Snapshot

DIFF_LINES_SHOWN = 12
SNAPSHOTS_SHOWN = 10
DIFF_COLUMNS_SHOWN = 160
REQUIRED_SHOWN = 8
REQUIRED_SHOWN_FULL = 100  # of a long chain, each object would show all below it, ever further to the right

SIGNS: Mapping[str, str] = {
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
# What becomes of what runs: one of them, and more of them.
_IMPACTS = (
    ("start", "1 unit starts", "{} units start"),
    ("restart", "1 unit restarts", "{} units restart"),
    ("reload", "1 unit reloads", "{} units reload"),
    ("stop", "1 unit stops", "{} units stop"),
    ("recreate", "1 network is made anew", "{} networks are made anew"),
    ("data_decision", "1 volume waits for a decision", "{} volumes wait for a decision"),
)
_RULE = "─" * 72


def heading_lines(view: PlanView) -> Iterator[str]:
    """Yield what an apply is about to do: to which host, from where to where, and how much."""
    yield f"Applying to host {printable(view.host)} @ {_transition(view)}"
    yield _RULE
    yield from tallies(view)


def brief_lines(view: PlanView) -> Iterator[str]:
    """Yield a plan in one line per changed object with its first cause."""
    yield from heading_lines(view)
    for entry in view.entries:
        if entry.action != "no_op":
            name = printable(entry.object.display_id)
            yield f"{SIGNS[entry.action]} {entry.action:<8} {name}  ({printable(entry.causes[0].summary)})"
    yield ""


def plan_lines(view: PlanView, *, full: bool = False) -> Iterator[str]:
    """Yield a plan for people: header, tallies, a block per changed object, and how many stay as they are.

    Args:
        view: the plan.
        full: show whole diffs, and trees up to a length that nobody reads, instead of their first lines.
    """
    yield f"Plan for host {printable(view.host)} @ {_transition(view)}"
    if view.revision_context.signers is not UNSET:
        yield f"signed by {printable(', '.join(view.revision_context.signers))}"
    yield _RULE
    yield from tallies(view)
    changed = [e for e in view.entries if e.action != "no_op"]
    required = _Required(view.entries)
    for entry in changed:
        yield ""
        yield from _entry_lines(entry, required, full=full)
    if changed:
        yield ""
    yield from _tolerated(view)
    unchanged = view.summary.unchanged_count
    if view.summary.blocked_count:
        yield "Nothing can be applied while an object is blocked; the host is left as it is."
    elif not changed:
        yield f"In sync: {_objects(unchanged)} as desired, nothing to do."
    elif unchanged:
        yield "1 object stays as it is." if unchanged == 1 else f"{unchanged} objects stay as they are."


def _tolerated(view: PlanView) -> Iterator[str]:
    """Yield the differences that are left as they are: ignored, but never silently."""
    for entry in view.entries:
        if entry.action == "no_op":
            for cause in entry.causes:
                if cause.kind == "runtime_variance":
                    yield printable(f"= left     {entry.object.display_id}  ({cause.summary})")


def _count(objects: int) -> str:
    return "1 object" if objects == 1 else f"{objects} objects"


def _objects(count: int) -> str:
    return f"{_count(count)} {'is' if count == 1 else 'are'}"


def tallies(view: PlanView) -> Iterator[str]:
    """Yield one line per kind of change that the plan has, and one that says what becomes of what runs."""
    actions = [e.action for e in view.entries]
    for action, name in _TALLIES:
        if count := actions.count(action):  # type: ignore[arg-type]  # the table holds the contract's words
            yield f"[{SIGNS[action]}] {name} • {count}"
    if view.summary.changed_count + view.summary.skipped_count and not view.summary.blocked_count:
        impacts = [e.impact for e in view.entries]
        counts = ((impacts.count(i), one, more) for i, one, more in _IMPACTS)  # type: ignore[arg-type]  # the contract's words
        told = [one if count == 1 else more.format(count) for count, one, more in counts if count]
        yield f"Of what runs: {', '.join(told) or 'nothing is touched'}."


def _transition(view: PlanView) -> str:
    context = view.revision_context
    target = named_revision(context)
    if context.last_applied_revision is UNSET:
        return f"{target} ({'first run' if view.recovering is UNSET else 'recovery from failed initial apply'})"
    before = _named(context.last_applied_revision, context.last_applied_requested_ref)
    return target if before == target else f"{before} -> {target}"


def named_revision(context: RevisionView) -> str:
    """Return the target revision as people read it: eight digits and the ref."""
    return _named(context.target_revision, context.requested_ref)


def _named(revision: str, ref: object) -> str:
    short = revision if revision.startswith("(") else revision[:8]
    name = printable(str(ref)).removeprefix("refs/heads/").removeprefix("refs/tags/")
    return f"{short} ({name})" if ref is not UNSET else short


def _prerequisites(entry: PlanEntryView) -> tuple[str, ...]:
    near = (d.object.display_id for d in entry.dependencies if d.relation == "prerequisite")
    return tuple(name for name in near if name != entry.object.display_id)


class _Required:
    """What each object requires: the next ones by name, and all of them, near or far, as the bits of one number.

    The numbers are there to count with: to walk a chain of thousands of objects anew for each of them takes too long. Objects
    stand in the order in which they start, so that one pass finds all.
    """

    def __init__(self, entries: tuple[PlanEntryView, ...]) -> None:
        self.near = {e.object.display_id: _prerequisites(e) for e in entries}
        self.bits: dict[str, int] = {}
        self._all: dict[str, int] = {}
        for entry in entries:
            direct = _prerequisites(entry)
            for name in direct:
                self.bits.setdefault(name, 1 << len(self.bits))
            self._all[entry.object.display_id] = self.themselves(direct) | self.below(direct)

    def themselves(self, names: tuple[str, ...]) -> int:
        """Return some objects as a number."""
        return _union(self.bits[n] for n in names)

    def below(self, names: tuple[str, ...]) -> int:
        """Return all that some objects require."""
        return _union(self._all.get(n, 0) for n in names)


def _union(sets: Iterable[int]) -> int:
    found = 0
    for each in sets:
        found |= each
    return found


def _entry_lines(entry: PlanEntryView, required: _Required, *, full: bool) -> Iterator[str]:
    action = "reload" if (entry.action, entry.impact) == ("restart", "reload") else entry.action
    yield f"{SIGNS[entry.action]} {action:<8} {printable(entry.object.display_id)}"
    for cause in entry.causes:
        yield f"    because  {printable(cause.summary)}"
    yield from _required_lines(entry, required, full=full)
    if entry.steps is not UNSET:
        yield f"    does     {printable(', '.join(entry.steps))}"
    if entry.notes is not UNSET:
        for note in entry.notes:
            yield f"    note     {printable(note)}"
    if entry.diff is not UNSET:
        yield f"    file     {printable(entry.diff.summary)}"
        if entry.diff.unified_diff is not UNSET and (full or entry.action != "create"):
            yield from _diff_lines(entry.diff.unified_diff, full=full)


def _required_lines(entry: PlanEntryView, required: _Required, *, full: bool) -> Iterator[str]:
    """Yield what starts before an object as a tree; what another branch brings along stands there and nowhere else."""
    direct = _prerequisites(entry)
    further = required.below(direct)
    tops = tuple(d for d in direct if not required.bits[d] & further)
    most = REQUIRED_SHOWN_FULL if full else REQUIRED_SHOWN
    for place, (name, depth) in enumerate(islice(_branches(tops, required.near), most)):
        yield f"    {'' if place else 'requires':<8} {'   ' * (depth - 1) + '└─ ' if depth else ''}{printable(name)}"
    count = (further | required.themselves(direct)).bit_count()
    if count > most:
        yield f"             … {count - most} more ({'--json' if full else '-v'} shows them)"


def _branches(tops: tuple[str, ...], near: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, int]]:
    """Yield each name once with its depth, what it requires below it: a chain may be longer than calls may be deep."""
    seen: set[str] = set()
    branches = [iter(tops)]
    while branches:
        name = next(branches[-1], None)
        if name is None:
            branches.pop()
        elif name not in seen:
            seen.add(name)
            yield name, len(branches) - 1
            branches.append(iter(near.get(name, ())))


def _diff_lines(diff: str, *, full: bool) -> Iterator[str]:
    lines = diff.split("\n")[2:]  # without the names of both sides
    shown = lines if full else lines[:DIFF_LINES_SHOWN]
    for line in shown:
        text = printable(line.expandtabs(4))
        more = len(text) - DIFF_COLUMNS_SHOWN
        yield f"      {text}" if full or more <= 0 else f"      {text[:DIFF_COLUMNS_SHOWN]}… ({more} more characters)"
    if len(lines) > len(shown):
        yield f"      … {len(lines) - len(shown)} more lines (-v shows them)"


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
