"""Exclusive roots on a real file system: seen whole or not at all, and never through a link."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from core_ops.errors import HostError
from core_ops.host import roots
from core_ops.reconcile.model import Obj, RootEntry, RootState
from core_ops.reconcile.planned import RemoveUndeclared

OBJECT = Obj("config", "etc/x")


def kinds(root: Path) -> dict[str, str]:
    """What is seen below a root, by its path there."""
    state = roots.observe(str(root))
    assert state.problem == ""
    return {entry.path.removeprefix(f"{root}/"): entry.kind for entry in state.entries}


def clean(path: Path, root: Path, kind: str = "file") -> None:
    roots.remove(RemoveUndeclared(OBJECT, str(path), kind, str(root)))  # type: ignore[arg-type]  # one of the two


def test_everything_below_a_root_is_seen_for_what_it_is(tmp_path: Path) -> None:
    """Files, links and empty directories may go; FIFOs and sockets are special; a directory with entries is its entries."""
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/file").write_bytes(b"x")
    (root / "link").symlink_to(tmp_path)
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
    assert kinds(root) == {
        "a/b": "directory",
        "a/file": "file",
        "dangling": "file",
        "fifo": "special",
        "link": "file",
        "socket": "special",
    }


def test_a_root_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    """Nobody has to make it first."""
    assert roots.observe(f"{tmp_path}/none/at/all") == RootState(f"{tmp_path}/none/at/all")


@pytest.mark.parametrize("where", ["root", "above"])
def test_a_root_behind_a_link_is_not_entered(tmp_path: Path, where: str) -> None:
    """A link in place of the root, or on the way to it, is said and followed nowhere."""
    (tmp_path / "real/root").mkdir(parents=True)
    (tmp_path / "real/root/file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / ("real/root" if where == "root" else "real"))
    path = tmp_path / ("link" if where == "root" else "link/root")
    assert roots.observe(str(path)) == RootState(
        str(path), problem="it, or something on the way to it, is no directory"
    )


def test_a_root_that_is_too_large_or_too_deep_is_not_told_by_halves(tmp_path: Path) -> None:
    """At the limits it is listed whole; beyond them it says so and lists nothing."""
    wide, deep = tmp_path / "wide", tmp_path / "deep"
    wide.mkdir()
    for number in range(roots.ENTRY_LIMIT):
        (wide / str(number)).touch()
    assert len(kinds(wide)) == roots.ENTRY_LIMIT
    (wide / "one-more").touch()
    assert roots.observe(str(wide)) == RootState(str(wide), problem="it holds more than 10000 entries")

    bottom = deep.joinpath(*"a" * (roots.DEPTH_LIMIT - 1))
    bottom.mkdir(parents=True)
    assert list(kinds(deep).values()) == ["directory"]
    (bottom / "a").mkdir()
    assert roots.observe(str(deep)) == RootState(str(deep), problem="it holds directories deeper than 16 levels")


def test_a_name_that_is_no_text_is_said(tmp_path: Path) -> None:
    """What can't be shown is not removed behind anybody's back."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).touch()
    state = roots.observe(str(tmp_path))
    assert state.entries == ()
    assert state.problem == "it holds a name that is not UTF-8: b'\\xff'"


def test_a_mount_point_is_special() -> None:
    """Other file systems are not entered, whatever they hold."""
    assert {e.path: e.kind for e in roots.observe("/dev").entries}["/dev/pts"] == "special"
    assert RootEntry("/dev/pts/ptmx", "special") not in roots.observe("/dev").entries


def test_more_mounts_than_a_host_can_have_are_not_told_by_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is mounted below a root is not known then, so it is not listed."""
    (tmp_path / "file").touch()
    monkeypatch.setattr("core_ops.host.roots.LIMIT_BYTES", 16)
    assert roots.observe(str(tmp_path)) == RootState(str(tmp_path), problem="there are more than 16 bytes of mounts")


def test_removing_stops_at_the_root(tmp_path: Path) -> None:
    """Directories that are empty then go too, the root stays, and what is gone already is no failure."""
    root = tmp_path / "above/root"
    (root / "a/b").mkdir(parents=True)
    (root / "c/d").mkdir(parents=True)
    (root / "a/b/file").write_bytes(b"x")
    clean(root / "a/b/file", root)
    clean(root / "a/b/file", root)
    clean(root / "c/d", root, "directory")
    assert list(root.iterdir()) == []


def test_removing_takes_the_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    """Neither a link at the end nor one on the way is followed."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "file").write_bytes(b"theirs")
    (root / "link").symlink_to(outside / "file")
    clean(root / "link", root)
    (root / "way").symlink_to(outside)
    with pytest.raises(HostError, match="no directory"):
        clean(root / "way/file", root)
    assert [p.name for p in root.iterdir()] == ["way"]
    assert (outside / "file").read_bytes() == b"theirs"


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_directory_that_becomes_a_link_meanwhile_is_not_followed(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever somebody puts a link on the way, nothing goes where it leads."""
    root, canary = tmp_path / "root", tmp_path / "canary"
    (root / "a/b").mkdir(parents=True)
    (canary / "b").mkdir(parents=True)
    if kind == "file":
        (root / "a/b/file").write_bytes(b"x")
    name, real = ("fsync", os.fsync) if kind == "file" else ("rmdir", os.rmdir)

    def swap(*arguments: Any, **more: Any) -> None:
        if not (tmp_path / "moved").exists():
            (root / "a").rename(tmp_path / "moved")
            (root / "a").symlink_to(canary)
        real(*arguments, **more)

    monkeypatch.setattr(os, name, swap)
    clean(root / ("a/b/file" if kind == "file" else "a/b"), root, kind)
    assert [p.name for p in canary.iterdir()] == ["b"]
    assert (root / "a").is_symlink()


def test_a_directory_that_filled_up_stays(tmp_path: Path) -> None:
    """Between plan and removal somebody may have put something in."""
    inner = tmp_path / "a"
    inner.mkdir()
    (inner / "file").write_bytes(b"x")
    clean(inner, tmp_path, "directory")
    assert (inner / "file").read_bytes() == b"x"
