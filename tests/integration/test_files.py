"""Files on a real file system: exact, atomic, and never through a link."""

import os
import socket
from pathlib import Path

import pytest

from core_ops.errors import HostError, LockedError
from core_ops.host import files
from core_ops.host.lock import held
from core_ops.reconcile.model import FileState, Obj, RemoveFile, WriteFile

OBJECT = Obj("config", "etc/x")


def effect(path: Path, content: bytes = b"new", mode: int = 0o640) -> WriteFile:
    return WriteFile(OBJECT, str(path), content, mode, files.observe(str(path)))


def write(path: Path, content: bytes = b"new", mode: int = 0o640) -> None:
    planned = effect(path, content, mode)
    files.stage(planned)
    files.commit(planned)


def _both(planned: WriteFile) -> None:
    files.stage(planned)
    files.commit(planned)


def test_a_file_is_written_exactly_with_its_directories(tmp_path: Path) -> None:
    """Content and mode are as asked whatever the umask, and nothing else is left."""
    old = os.umask(0o077)
    try:
        write(tmp_path / "a/b/c.conf")
    finally:
        os.umask(old)
    assert files.observe(str(tmp_path / "a/b/c.conf")) == FileState(str(tmp_path / "a/b/c.conf"), "file", b"new", 0o640)
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o755
    assert [p.name for p in (tmp_path / "a/b").iterdir()] == ["c.conf"]


def test_staging_replaces_nothing(tmp_path: Path) -> None:
    """Until it is committed the old file is there whole; sweeping forgets the new one."""
    target = tmp_path / "c.conf"
    target.write_bytes(b"old")
    files.stage(effect(target))
    assert target.read_bytes() == b"old"
    files.sweep(str(target))
    assert [p.name for p in tmp_path.iterdir()] == ["c.conf"]


def test_a_failed_stage_leaves_no_directory(tmp_path: Path) -> None:
    """What was made on the way to a file that could not be written is gone again."""
    planned = WriteFile(OBJECT, f"{tmp_path}/a/b/{'x' * 250}", b"", 0o644, FileState("", "absent"))
    with pytest.raises(HostError):  # with its prefix and suffix the temporary name is longer than a name may be
        files.stage(planned)
    assert list(tmp_path.iterdir()) == []


def test_a_leftover_of_a_killed_run_is_no_obstacle(tmp_path: Path) -> None:
    """The temporary file of an earlier run is replaced."""
    (tmp_path / files.temporary_name("c.conf")).write_bytes(b"half")
    write(tmp_path / "c.conf")
    assert [p.name for p in tmp_path.iterdir()] == ["c.conf"]


def test_directories_that_a_cut_removal_left_go_too(tmp_path: Path) -> None:
    """The file and its directory are gone already; the empty one above is still removed, what is kept stays."""
    (tmp_path / "etc/a").mkdir(parents=True)
    files.remove(RemoveFile(OBJECT, str(tmp_path / "etc/a/sub/c.conf")), frozenset({str(tmp_path / "etc")}))
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")] == ["etc"]


def test_a_file_that_changed_after_planning_is_not_overwritten(tmp_path: Path) -> None:
    """The plan binds to what it saw."""
    target = tmp_path / "c.conf"
    target.write_bytes(b"old")
    planned = effect(target)
    files.stage(planned)
    target.write_bytes(b"somebody else's")
    with pytest.raises(HostError) as caught:
        files.commit(planned)
    assert caught.value.code == "changed-under-us"
    assert target.read_bytes() == b"somebody else's"


@pytest.mark.parametrize("where", ["target", "parent", "temporary"])
def test_no_link_is_followed(tmp_path: Path, where: str) -> None:
    """A link planted at the target, a parent or the temporary name leads nowhere."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "c.conf").write_bytes(b"secret")
    inside = tmp_path / "inside"
    if where == "parent":
        inside.symlink_to(outside)
    else:
        inside.mkdir()
        name = "c.conf" if where == "target" else files.temporary_name("c.conf")
        (inside / name).symlink_to(outside / "c.conf")
    planned = WriteFile(OBJECT, str(inside / "c.conf"), b"new", 0o644, FileState(str(inside / "c.conf"), "absent"))
    if where == "temporary":
        files.stage(planned)
        files.commit(planned)
    else:
        with pytest.raises(HostError):
            _both(planned)
    assert (outside / "c.conf").read_bytes() == b"secret"
    assert [p.name for p in outside.iterdir()] == ["c.conf"]


def test_what_is_no_regular_file_is_other(tmp_path: Path) -> None:
    """Links, directories, FIFOs and sockets are seen for what they are, without waiting for a writer."""
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    for name in ("link", "dir", "fifo", "socket"):
        assert files.observe(str(tmp_path / name)).kind == "other", name
    assert files.observe(str(tmp_path / "gone")).kind == "absent"
    assert files.observe(str(tmp_path / "fifo/below")).kind == "absent"


def test_a_huge_file_is_read_no_further_than_needed(tmp_path: Path) -> None:
    """One byte more than any desired file has shows that it differs."""
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 32)
    assert len(files.observe(str(tmp_path / "huge")).content) == files.READ_LIMIT_BYTES


def test_removing_leaves_no_empty_directories_but_the_roots(tmp_path: Path) -> None:
    """Directories that are empty then go too, up to a root; others stay."""
    write(tmp_path / "etc/app/conf.d/c.conf")
    write(tmp_path / "etc/app/other.conf")
    keep = frozenset({str(tmp_path / "etc")})
    files.remove(RemoveFile(OBJECT, str(tmp_path / "etc/app/conf.d/c.conf")), keep)
    assert [p.name for p in (tmp_path / "etc/app").iterdir()] == ["other.conf"]
    files.remove(RemoveFile(OBJECT, str(tmp_path / "etc/app/other.conf")), keep)
    files.remove(RemoveFile(OBJECT, str(tmp_path / "etc/app/other.conf")), keep)
    assert list((tmp_path / "etc").iterdir()) == []


def test_the_lock_is_held_once_and_freed_by_the_end(tmp_path: Path) -> None:
    """A second holder is told so; a lock file that is left behind means nothing."""
    path = tmp_path / "run/lock"
    with held(path), pytest.raises(LockedError), held(path):
        pass
    assert path.exists()
    with held(path):
        pass
