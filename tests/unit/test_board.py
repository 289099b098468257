"""What a terminal shows while an apply goes on: whatever its size, whatever the names."""

import pytest

from core_ops.reconcile.board import Board
from core_ops.reconcile.contract import plan_view
from core_ops.reconcile.events import Planned
from core_ops.reconcile.model import Desired
from core_ops.reconcile.words import plan_lines
from scenes import Scene, of, streamed
from trees import rendered

INSTALL = "[Install]\nWantedBy=multi-user.target\n"
LONG = "a" * 180


def many(count: int) -> Desired:
    """A host with so many services, one of them with a name as long as it may be."""
    names = [LONG, *(f"s{number:02d}" for number in range(count - 1))]
    return rendered({f"services/x/{n}.service": f"[Service]\nExecStart=/bin/{n}\n{INSTALL}" for n in names})


def boards(scene: Scene) -> list[Board]:
    """The board after each line of the last run's stream."""
    found = [Board()]
    for view in scene.lines():
        found.append(found[-1].after(view))
    return found


def test_a_board_goes_from_waiting_to_done() -> None:
    """An object waits with its cause, is applied, verified and done; each on one line that begins with a sign."""
    scene = Scene()
    scene.converge(rendered({"services/a/a.service": f"[Service]\nExecStart=/bin/a\n{INSTALL}"}))
    shown = [line for board in boards(scene) for line in board.lines(80, 20)]
    assert list(dict.fromkeys(shown)) == [
        "+ create   service/a         waiting  (new)",
        "+ create   service/a         applying: write",
        "+ create   service/a         applied: write",
        "+ create   service/a         applying: enable",
        "+ create   service/a         applied: enable",
        "+ create   service/a         applying: start",
        "+ create   service/a         applied: start",
        "+ create   service/a         verifying",
        "✓ create   service/a         done  (new)",
    ]


def test_what_failed_and_what_it_held_back_stay_to_be_seen() -> None:
    """A failure says where it happened, also at the end; who needs it is blocked."""
    scene = Scene()
    scene.host.refuses_to_start = {"a.service"}
    needs = "[Unit]\nRequires=a.service\nAfter=a.service\n"
    scene.converge(
        rendered(
            {
                "services/a/a.service": f"[Service]\nExecStart=/bin/a\n{INSTALL}",
                "services/a/b.service": f"{needs}[Service]\nExecStart=/bin/b\n{INSTALL}",
            }
        )
    )
    assert list(boards(scene)[-1].lines(80, 20)) == [
        "✗ create   service/a         failed during Applying",
        "x create   service/b         blocked",
    ]


@pytest.mark.parametrize("columns", [1, 20, 40, 80, 120, 400])
@pytest.mark.parametrize("most", [2, 10, 100])
def test_a_board_fits_any_terminal(columns: int, most: int) -> None:
    """No line is as wide as the terminal, and there are no more of them than asked for, whatever stage the run is in."""
    scene = Scene()
    scene.converge(many(50))
    for board in boards(scene):
        lines = list(board.lines(columns, most))
        assert len(lines) <= most
        assert all(len(line) < max(columns, 2) for line in lines)
        assert bool(lines) == bool(board.rows)


def test_what_is_worked_on_is_shown_before_what_waits() -> None:
    """Where not all objects fit, the one under way is among the shown, and the rest is counted."""
    scene = Scene()
    scene.converge(many(50))
    under_way = next(b for b in boards(scene) if b.rows and b.rows["service/s40"].words == "applying: write")
    lines = list(under_way.lines(80, 10))
    assert any("service/s40 " in line and line.endswith("applying: write") for line in lines)
    assert lines[-1] == "    … and 41 more: 41 applied"


def test_an_interrupted_run_says_in_which_state_the_host_is() -> None:
    """Before the first step nothing was changed; later it says how many objects were begun and which are under way."""
    scene = Scene()
    scene.converge(many(8))
    first, *_, last = boards(scene)
    assert list(first.interrupted()) == ["Interrupted while asking the repository: nothing was changed."]
    starting = next(b for b in boards(scene) if b.rows and b.rows["service/s00"].words == "applying: start")
    said = "\n".join(starting.interrupted())
    assert "Interrupted while applying: 8 of 8 objects were begun." in said
    assert f"under way: service/{LONG}, service/s00" in said
    assert "and 3 more" in said
    assert "core-ops plan" in said
    assert "under way" not in "\n".join(last.interrupted())


def test_a_run_that_goes_back_begins_a_new_board() -> None:
    """The objects of the plan before are not counted among those of the plan that is carried out now."""
    scene = Scene()
    scene.converge(many(8))
    events = list(scene.recorder.events)
    scene.converge(of("2", {"services/b/b.service": f"[Service]\nExecStart=/bin/b\n{INSTALL}"}))
    board = Board()
    for view in streamed([*events, *scene.recorder.events]):
        board = board.after(view)
    assert sorted(board.rows) == sorted(
        ["service/b", *(f"service/{n}" for n in (LONG, *(f"s{i:02d}" for i in range(7))))]
    )
    assert {r.action for r in board.rows.values()} == {"create", "delete"}


def test_a_plan_of_many_needs_is_a_short_tree() -> None:
    """What a prerequisite brings along stands below it; a long tree is cut, and whole when asked for."""
    scene = Scene()
    files = {
        "services/a/n.network": "[Network]\n",
        "services/a/p.pod": "[Pod]\nNetwork=n.network\n",
        "services/a/v.volume": "[Volume]\n",
        "services/a/a.container": f"[Container]\nImage=x\nPod=p.pod\nVolume=v.volume:/v\nNetwork=n.network\n{INSTALL}",
    }
    files |= {f"services/a/m{i}.volume": "[Volume]\n" for i in range(10)}
    mounts = "".join(f"Volume=m{i}.volume:/m{i}\n" for i in range(10))
    files["services/a/b.container"] = f"[Container]\nImage=x\n{mounts}{INSTALL}"
    scene.converge(rendered(files))
    (planned,) = [e.plan for e in scene.recorder.events if isinstance(e, Planned)]
    text = "\n".join(plan_lines(plan_view(planned)))
    assert "    requires pod/p\n             └─ network/n\n             volume/v\n" in text
    assert "             … 2 more (-v shows them)\n" in text
    assert "             volume/m9\n" in "\n".join(plan_lines(plan_view(planned), full=True))
