"""Laws of what is shown: on every invented host, after whatever fails, views keep to their schemas and words are words."""

from collections.abc import Iterable, Mapping

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from core_ops.reconcile.applyview import ApplyView
from core_ops.reconcile.board import Board
from core_ops.reconcile.contract import PlanView, plan_view
from core_ops.reconcile.events import Planned, RunFinished
from core_ops.reconcile.explain import Explained, explain
from core_ops.reconcile.explainview import explain_lines, explain_view
from core_ops.reconcile.graph import build
from core_ops.reconcile.model import Desired
from core_ops.reconcile.planned import Result
from core_ops.reconcile.resultview import ResultView, result_view
from core_ops.reconcile.resultwords import result_lines
from core_ops.reconcile.words import brief_lines, plan_lines
from scenes import Scene, Unwilling
from schemas import valid
from trees import HOST, rendered, worlds

histories = worlds().flatmap(lambda w: st.tuples(st.just(w), st.one_of(st.just(w), worlds())))
troubles = st.sampled_from(["none", "unit", "units", "file", "disk", "in the way"])


def troubled(old: Desired, new: Desired, trouble: str, choice: int) -> Scene:
    """A host that ran the old state and has some trouble with the new one."""
    scene = Scene(Unwilling(path=new.items[choice % len(new.items)].path if trouble == "file" else ""))
    if trouble != "file":
        scene.converge(old)
    units = sorted(build(new).nodes)
    if trouble in {"unit", "units"}:
        scene.host.refuses_to_start = set(units if trouble == "units" else [units[choice % len(units)]])
    if trouble == "in the way":
        scene.host.edit("/etc/foreign", b"")
        owned = {i.path for i in old.items}
        for path in (i.path for i in new.items if i.path not in owned):
            scene.host.edit(path, b"[Unit]\n# of somebody else\n")
    scene.host.full = trouble == "disk"
    scene.converge(new)
    return scene


def printed(view: PlanView | ResultView | ApplyView) -> dict[str, object]:
    """The view as a reader gets it, held to its schema."""
    return valid(msgspec.json.encode(view))


def plain(lines: Iterable[str]) -> list[str]:
    """The lines, after each was found to be one line without anything that drives a terminal."""
    shown = list(lines)
    assert all(line.isprintable() for line in shown), [line for line in shown if not line.isprintable()]
    return shown


def result_of(scene: Scene) -> Result:
    """What the run came to."""
    last = scene.recorder.events[-1]
    assert isinstance(last, RunFinished)
    assert last.result is not None
    return last.result


@given(histories, troubles, st.integers(0, 20))
@settings(max_examples=150, deadline=None)
def test_every_view_keeps_to_its_schema_and_every_word_is_printable(
    history: tuple[Mapping[str, str], Mapping[str, str]], trouble: str, choice: int
) -> None:
    """Plan, stream, result and explanation of whatever happens are valid, and their words are lines."""
    old, new = (rendered(world) for world in history)
    scene = troubled(old, new, trouble, choice)
    result = result_of(scene)
    shown, done = plan_view(result.plan), result_view(result)
    printed(shown)
    printed(done)
    for full in (False, True):
        plain(plan_lines(shown, full=full))
    plain(brief_lines(shown))
    plain(result_lines(done, {f.unit: ("\x1b[2J", "x\ty") for f in result.failures}))
    board = Board()
    for view in scene.lines():
        printed(view)
        board = board.after(view)
        assert all(len(line) < 60 for line in plain(board.lines(60, 10)))
        plain(board.interrupted())
    item = new.items[choice % len(new.items)]
    found = explain(new, build(new), item.path)
    assert isinstance(found, Explained)
    explained = explain_view(found, HOST, new.source)
    valid(msgspec.json.encode(explained))
    plain(explain_lines(explained))


@given(histories, troubles, st.integers(0, 20))
@settings(max_examples=150, deadline=None)
def test_a_result_says_of_each_object_what_became_of_it(
    history: tuple[Mapping[str, str], Mapping[str, str]], trouble: str, choice: int
) -> None:
    """Who failed is failed, who succeeded was seen to be as desired, and who was held back says by whom."""
    old, new = (rendered(world) for world in history)
    scene = troubled(old, new, trouble, choice)
    result = result_of(scene)
    view = result_view(result)
    desired = {i.object.display_id: i for i in new.items}
    missed = set(result.unreached)
    failed = {f.object.display_id for f in result.failures if f.object and not f.dependency and f.object not in missed}
    assert failed == {e.object.display_id for e in view.entries if e.final_state == "failed"}
    for entry in view.entries:
        name = entry.object.display_id
        if entry.final_state in {"succeeded", "no_op"}:
            path = desired[name].path if name in desired else ""
            assert not path or scene.host.files[path] == (desired[name].content, desired[name].mode)
        held = entry.final_state in {"blocked", "skipped"} and entry.action not in {"blocked", "skipped"}
        if held and entry.final_state == "blocked":
            causes = entry.causes or ()
            sources = {c.source_object.display_id for c in causes if c.kind == "dependency_failure" and c.source_object}
            assert sources
            assert sources <= {e.object.display_id for e in view.entries if e.final_state in {"failed", "skipped"}}
    assert bool(failed) <= (result.outcome in {"failed", "partially_applied"})


@given(histories, troubles, st.integers(0, 20))
@settings(max_examples=150, deadline=None)
def test_a_stream_adds_up_to_the_result(
    history: tuple[Mapping[str, str], Mapping[str, str]], trouble: str, choice: int
) -> None:
    """What changes is planned and finished once, what was left alone is finished only if it broke, counts are the result's."""
    old, new = (rendered(world) for world in history)
    scene = troubled(old, new, trouble, choice)
    views, done = scene.lines(), result_view(result_of(scene))
    events = [e for view in views for e in view.events]
    numbers = sorted([p.sequence for v in views for p in v.phases] + [e.sequence for e in events])
    assert numbers == list(range(1, len(numbers) + 1))
    ends = {e.object.display_id: e.state for e in events if e.event_kind == "finish"}
    assert ends == {e.object.display_id: e.final_state for e in done.entries if e.object.display_id in ends}
    planned = [e.object.display_id for e in events if e.event_kind == "planned"]
    if any(isinstance(event, Planned) for event in scene.recorder.events):
        assert len(planned) == len(set(planned))
        assert set(planned) <= set(ends)
        assert {ends[name] for name in set(ends) - set(planned)} <= {"failed", "blocked"}
    states = [(p.phase, p.state) for v in views for p in v.phases]
    for phase, state in states:
        assert (state == "skipped") == ((phase, "started") not in states)
    last = views[-1].summary
    assert last.pending_count == 0
    assert [last.changed_count, last.failed_count, last.blocked_count, last.skipped_count, last.unchanged_count] == [
        done.summary.changed_count,
        done.summary.failed_count,
        done.summary.blocked_count,
        done.summary.skipped_count,
        done.summary.unchanged_count,
    ]
