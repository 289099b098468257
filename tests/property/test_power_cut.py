"""A run may be killed or lose power anywhere: every disk that this can leave is tried, and one more run makes it right.

The runs are real, watched by strace; what a disk may lose is in `powercut.disk`, what counts as broken in `powercut.cuts`.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from powercut.cuts import Judge, Story, cuts, strict_umask, told
from powercut.disk import Disk
from powercut.machine import go, prepare
from powercut.trace import Change, record
from powercut.worlds import COUNT, KINDS, world


class Recording(NamedTuple):
    """All worlds, as strace saw them run below a directory that is empty again."""

    base: Path
    changes: list[Change]
    tried: list[int]

    def story(self, number: int) -> Story:
        """Return one world's run; it is made once more, to see what systemd was like at each moment."""
        shutil.rmtree(self.base / str(number), ignore_errors=True)
        chosen = world(number, str(self.base))
        machine = prepare(chosen)
        go(machine, chosen)
        return told(chosen, self.changes, tuple(machine.moments))


@pytest.fixture(scope="module")
def recording(record_testsuite_property: Callable[[str, object], None]) -> Iterator[Recording]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory, strict_umask():
        base = Path(memory) / "hosts"
        base.mkdir()
        changes = record("powercut.recorded", base)
        shutil.rmtree(base)
        base.mkdir()
        made = Recording(base, changes, [])
        yield made
    record_testsuite_property("power cuts and kills in the model", f"{sum(made.tried)} in {len(made.tried)} scenarios")


@pytest.mark.parametrize("number", range(COUNT))
def test_one_run_after_any_cut_leaves_nothing_broken(recording: Recording, number: int) -> None:
    """No file is torn, nothing is claimed too early, and the next run reaches what it was asked for and leaves no trace."""
    story = recording.story(number)
    judge, tried, broken = Judge(story), 0, list[str]()
    for tried, cut in enumerate(cuts(story), 1):
        how = "killed" if cut.units else "power lost"
        if wrong := judge.verdict(cut, back=tried % 3 == 0):
            broken.append(f"{story.world.name}, {how}: {wrong}")
    recording.tried.append(tried)
    assert not broken, broken[:3]
    assert tried > len(story.changes) // 2


def without_sync(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """The same run, if nothing were ever synced."""
    return tuple(c for c in changes if c.kind != "sync")


def renamed_before_sync(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """The same run, if each file got its name before its content was synced."""
    new_names = {c.place: c.other for c in changes if c.kind == "rename"}
    done: list[Change] = []
    late: dict[str, Change] = {}
    for change in changes:
        if change.kind == "sync" and change.place in new_names:
            late[change.place] = change._replace(place=new_names[change.place])
            continue
        done.append(change)
        if change.kind == "rename" and change.place in late:
            done.append(late.pop(change.place))
    return tuple(done)


@pytest.mark.parametrize("mistake", [without_sync, renamed_before_sync])
@pytest.mark.parametrize("number", range(len(KINDS)))
def test_the_model_sees_what_a_missing_or_late_sync_breaks(
    recording: Recording, number: int, mistake: Callable[[tuple[Change, ...]], tuple[Change, ...]]
) -> None:
    """The same runs with a mistake in them leave broken hosts, in every kind of scenario."""
    story = recording.story(number)
    judge = Judge(story)
    spoilt = story._replace(changes=mistake(story.changes))

    assert any(judge.verdict(cut) for cut in cuts(spoilt))


@pytest.mark.parametrize("number", [7, 17])
def test_the_model_sees_a_start_record_that_is_kept_too_long(recording: Recording, number: int) -> None:
    """If a repair did not take the records away first, a kill before the restart would leave drifted units running."""
    story = recording.story(number)
    record = f"{story.world.top}/state/.deterministic-state.json.new"
    *_, voided, _ = (i for i, c in enumerate(story.changes) if (c.kind, c.place) == ("rename", record))
    kept = tuple(c for i, c in enumerate(story.changes) if c.place != record or i > voided)
    judge = Judge(story)

    found = {judge.verdict(cut) for cut in cuts(story._replace(changes=kept)) if cut.units}

    assert any("does not run what is on disk" in wrong for wrong in found)


def test_a_disk_keeps_what_was_synced_and_may_lose_the_rest() -> None:
    """Content goes with fsync of the file, a name with fsync of its directory, and a rename is one change."""
    disk = Disk("/d")

    def found() -> set[frozenset[tuple[str, bytes]]]:
        return {frozenset((h.path, h.content) for h in image if h.content is not None) for image in disk.images()}

    disk.do(Change("open", "/d/new", "O_CREAT"))
    disk.do(Change("write", "/d/new", content=b"ab"))
    nothing: frozenset[tuple[str, bytes]] = frozenset()
    assert found() == {nothing, *(frozenset({("/d/new", c)}) for c in (b"", b"a", b"ab"))}
    disk.do(Change("sync", "/d/new"))
    assert found() == {nothing, frozenset({("/d/new", b"ab")})}
    disk.do(Change("rename", "/d/new", "/d/name"))
    assert found() == {nothing, frozenset({("/d/new", b"ab")}), frozenset({("/d/name", b"ab")})}
    disk.do(Change("sync", "/d"))
    assert found() == {frozenset({("/d/name", b"ab")})}
    disk.do(Change("unlink", "/d/name"))
    assert found() == {nothing, frozenset({("/d/name", b"ab")})}
