"""What stands in the unit directories is read whole, whatever is taken away meanwhile, or it is said why not."""

import contextlib
import errno
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from core_ops.errors import HostError
from core_ops.host import process, systemd
from core_ops.reconcile.model import UnitState

_LISTED = '{"data": [[["a.service", "", "loaded", "active", "listed", "", "/", 0, "", ""]]]}'
_SHOWN = "LoadState=loaded\nActiveState=active\nSubState=shown\n"


@pytest.fixture(autouse=True)
def read_us(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A systemd with one unit, which is asked about when a directory changed since it read its units: in 1970."""
    when = [0]

    def run(argv: tuple[str, ...], timeout_s: float) -> process.Completed:
        del timeout_s
        said = {"call": _LISTED, "get-property": f'{{"data": {when[0]}}}', "--no-pager": _SHOWN}
        return process.Completed(0, next(said[a] for a in argv if a in said), "")

    monkeypatch.setattr("core_ops.host.process.run", run)
    monkeypatch.setattr("core_ops.host.systemd.running", lambda: True)
    return when


def state(*directories: Path) -> UnitState:
    """Return what is seen of the unit."""
    (found,) = systemd.observe(("a.service",), frozenset(), tuple(map(str, directories)))
    return found


def test_what_vanishes_hides_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit and a directory of links are taken away while the directory is read; the others are seen all the same."""
    real = os.scandir
    (tmp_path / "z.wants").mkdir()
    (tmp_path / "z.wants/a.service").symlink_to("../a.service")

    @contextlib.contextmanager
    def scandir(directory: str) -> Generator[Iterator["os.DirEntry[str]"]]:
        gone = (tmp_path / "0.service", tmp_path / "0.wants")
        if directory == str(tmp_path):
            gone[0].touch()
            gone[1].mkdir()
        with real(directory) as entries:
            found = sorted(entries, key=lambda e: e.name)
        if directory == str(tmp_path):
            gone[0].unlink()
            gone[1].rmdir()
        yield iter(found)

    monkeypatch.setattr("os.scandir", scandir)
    seen = state(tmp_path)
    assert (seen.sub, seen.enabled) == ("shown", "enabled")


def test_a_directory_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    """Nothing changed in it and nothing is enabled."""
    seen = state(tmp_path / "none", tmp_path / "none")
    assert (seen.sub, seen.enabled) == ("listed", "")


@pytest.mark.parametrize("place", ["units", "units/x.service.d", "units/x.wants"])
def test_a_directory_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_us: list[int], place: str
) -> None:
    """It is said which one, and what to do."""
    real, refused, read_us[0] = os.scandir, tmp_path / place, 1 << 62
    refused.mkdir(parents=True)

    def scandir(directory: str) -> object:
        if directory == str(refused):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(directory)

    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(HostError, match=f"read {refused}: Permission denied") as caught:
        state(tmp_path / "units")
    assert caught.value.code == "read-failed"
    assert caught.value.hint


@pytest.mark.parametrize("before", [(), ("none",)])
def test_a_file_in_place_of_a_directory_is_named(tmp_path: Path, before: tuple[str, ...]) -> None:
    """Whether it is the first one, which is looked at for links too, or another."""
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match=f"read {tmp_path}/file: Not a directory"):
        state(*(tmp_path / name for name in before), tmp_path / "file")
