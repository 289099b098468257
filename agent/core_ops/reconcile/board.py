"""Where each object of a running apply stands: what a terminal draws again and again, folded from the stream's own lines.

A board is asked for as many lines as fit. If there are more objects than lines, those that are being worked on or failed come
first, then those that wait; the rest is counted.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import UNSET

from core_ops.errors import printable
from core_ops.reconcile.applyview import ApplyView, EventState, EventView
from core_ops.reconcile.model import Value
from core_ops.reconcile.phases import Phase
from core_ops.reconcile.words import SIGNS

Stage = Literal["waiting", "applying", "applied", "verifying", "done", "failed", "blocked", "skipped"]

_SHOWN_FIRST: Mapping[Stage, int] = {"failed": 0, "blocked": 0, "applying": 1, "verifying": 1, "waiting": 2}
_END_SIGNS: Mapping[Stage, str] = {"done": "✓", "failed": "✗", "blocked": "x", "skipped": "·"}
_NAMES_SHOWN = 5
_NARROWEST = 16
_USUAL = 80
_STATE_COLUMNS, _STATE_COLUMNS_NARROW = 30, 12
_PHASE_WORDS: Mapping[Phase, str] = {
    "resolution": "asking the repository",
    "graph_construction": "looking at the host",
    "planning": "planning",
    "execution": "applying",
    "convergence_check": "verifying",
    "final_summary": "writing the record",
}


class Row(Value, frozen=True):
    """One object: `words` says where it stands, `because` why anything is done about it."""

    action: str
    stage: Stage
    words: str
    because: str = ""


class Board(Value, frozen=True):
    """Every object of the plan that changes, in the plan's order, and the phase the run is in."""

    rows: Mapping[str, Row] = {}
    phase: Phase = "resolution"

    def after(self, view: ApplyView) -> "Board":
        """Return the board after one more line of the stream."""
        begun: list[Phase] = [p.phase for p in view.phases if p.state == "started"]
        phase = begun[-1] if begun else self.phase
        rows = dict(self.rows)
        if any(e.event_kind == "planned" for e in view.events):
            rows = {}  # a run that goes back has a second plan
        for event in view.events:
            known = rows.get(event.object.display_id, Row("" if event.action is UNSET else event.action, "waiting", ""))
            because = known.because if event.cause is UNSET else event.cause.summary
            stage, words = _standing(event)
            if (stage, known.stage) != ("failed", "failed"):  # where it failed is said once
                rows[event.object.display_id] = Row(known.action, stage, words, because)
        return Board(rows, phase)

    def lines(self, columns: int, most: int) -> Iterator[str]:
        """Yield at most so many lines, none of which is as wide as the terminal.

        Args:
            columns: how wide the terminal is.
            most: how many lines fit; at least two.
        """
        order = sorted(self.rows, key=lambda n: _SHOWN_FIRST.get(self.rows[n].stage, 3))
        shown = set(order if len(order) <= most else order[: most - 1])
        room = self._room(columns)
        for name, row in self.rows.items():
            if name in shown:
                yield _fit(_line(_fit(printable(name), room), row, room), max(columns - 1, 1))
        if len(shown) < len(order):
            stages = [self.rows[n].stage for n in order if n not in shown]
            more = ", ".join(f"{stages.count(s)} {s}" for s in dict.fromkeys(stages))
            yield _fit(f"    … and {len(stages)} more: {more}", max(columns - 1, 1))

    def last_lines(self, columns: int) -> Iterator[str]:
        """Yield what stays on the terminal: every object, with its whole name.

        Args:
            columns: how wide the terminal is.
        """
        room = self._room(columns)
        for name, row in self.rows.items():
            line = _line(printable(name), row, room)
            yield line if len(line) <= columns else _line(printable(name), Row(row.action, row.stage, row.words), room)

    def _room(self, columns: int) -> int:
        longest = max((len(printable(n)) for n in self.rows), default=0)
        state = _STATE_COLUMNS if columns >= _USUAL else _STATE_COLUMNS_NARROW
        return max(_NARROWEST, min(longest, columns - 13 - state))

    def interrupted(self) -> Iterator[str]:
        """Yield in which state a run leaves the host that somebody ended in its midst."""
        stages = {name: row.stage for name, row in self.rows.items()}
        begun = [n for n, s in stages.items() if s != "waiting"]
        if not begun:
            yield f"Interrupted while {_PHASE_WORDS[self.phase]}: nothing was changed."
            return
        yield f"Interrupted while {_PHASE_WORDS[self.phase]}: {len(begun)} of {len(stages)} objects were begun."
        under_way = [printable(n) for n, s in stages.items() if s in {"applying", "verifying"}]
        if under_way:
            more = len(under_way) - _NAMES_SHOWN
            yield f"  under way: {', '.join(under_way[:_NAMES_SHOWN])}{f' and {more} more' if more > 0 else ''}"
        yield "  Every file is either as before or as desired; systemd finishes the jobs it was given."
        yield "  next: `core-ops plan` shows what is left, and `core-ops apply` or the timer finishes it"


def _line(name: str, row: Row, room: int) -> str:
    sign = _END_SIGNS.get(row.stage, SIGNS.get(row.action, " "))
    why = f"  ({row.because})" if row.because and row.stage in {"waiting", "done"} else ""
    return f"{sign} {row.action:<8} {name:<{room}}  {printable(row.words + why)}"


def _fit(text: str, room: int) -> str:
    """Return a text in so many columns; names of objects are ASCII, so a character is a column."""
    return text if len(text) <= room else f"{text[: room - 1]}…"


def _standing(event: EventView) -> tuple[Stage, str]:
    """Return where an event leaves its object, in one word and in words."""
    kind = event.event_kind
    match event.state:
        case "started" if kind != "verify":
            return "applying", f"applying: {kind}"
        case "succeeded" if kind != "finish":
            return "applied", f"applied: {kind}"
        case "failed":
            return "failed", f"failed during {'Verifying' if kind == 'verify' else 'Applying'}"
        case _:
            stage = _STAGES[event.state]
            return stage, stage


_STAGES: Mapping[EventState, Stage] = {
    "waiting": "waiting",
    "started": "verifying",
    "succeeded": "done",
    "blocked": "blocked",
    "skipped": "skipped",
    "no_op": "done",
}
