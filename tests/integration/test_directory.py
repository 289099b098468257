"""A plain directory is read by the same rules as a commit, and no link in it is followed."""

import os
import socket
from pathlib import Path

import pytest

from core_ops.errors import NotADirectoryGivenError, RefusedRevisionError
from core_ops.host.directory import read_tree
from core_ops.reconcile.model import TreeFile


def test_files_are_read_with_their_modes_and_sorted(tmp_path: Path) -> None:
    """Only below the two roots."""
    for path in ("services/web/b.container", "services/a/run.sh", "hosts/h/host.yaml", "other/x"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "services/a/run.sh").chmod(0o755)
    assert read_tree(tmp_path) == (
        TreeFile("hosts/h/host.yaml", b"hosts/h/host.yaml"),
        TreeFile("services/a/run.sh", b"services/a/run.sh", "file", executable=True),
        TreeFile("services/web/b.container", b"services/web/b.container"),
    )


def test_an_empty_directory_has_nothing(tmp_path: Path) -> None:
    """Layout says what is missing."""
    assert read_tree(tmp_path) == ()


def test_links_fifos_and_sockets_are_named_and_never_opened(tmp_path: Path) -> None:
    """A FIFO would hang the run, a link would read another's file."""
    base = tmp_path / "services"
    base.mkdir()
    (base / "passwd").symlink_to("/etc/passwd")
    (base / "etc").symlink_to("/etc")
    os.mkfifo(base / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(base / "socket"))
        found = {file.path: (file.kind, file.content) for file in read_tree(tmp_path)}
    assert found == {
        "services/etc": ("symlink", b""),
        "services/fifo": ("special", b""),
        "services/passwd": ("symlink", b""),
        "services/socket": ("special", b""),
    }


def test_a_linked_services_directory_is_not_entered(tmp_path: Path) -> None:
    """Not even the roots may be links."""
    (tmp_path / "services").symlink_to("/etc")
    assert [file.kind for file in read_tree(tmp_path)] == ["symlink"]


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    """Ten sparse gigabytes cost nothing."""
    (tmp_path / "hosts").mkdir()
    with (tmp_path / "hosts/large").open("wb") as large:
        large.truncate(10 << 30)
    assert read_tree(tmp_path) == (TreeFile("hosts/large", b"", "oversize"),)


@pytest.mark.parametrize("name", [b"a b", b"\x1b[2J", b"\xff", b".git"])
def test_hostile_names_refuse_the_directory(tmp_path: Path, name: bytes) -> None:
    """By the same rule as in a commit."""
    (tmp_path / "hosts").mkdir()
    Path(os.fsdecode(bytes(tmp_path / "hosts") + b"/" + name)).touch()
    with pytest.raises(RefusedRevisionError) as refusal:
        read_tree(tmp_path)
    assert refusal.value.code == "bad-tree"
    assert refusal.value.message.isprintable()


@pytest.mark.parametrize("name", ["missing", "file"])
def test_something_else_than_a_directory_is_refused(tmp_path: Path, name: str) -> None:
    """With the exit status that scripts know."""
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryGivenError, match=name) as refusal:
        read_tree(tmp_path / name)
    assert refusal.value.exit_status == 64


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """Also through several levels."""
    (tmp_path / "hosts/a/b").mkdir(parents=True)
    (tmp_path / "hosts/a/b/c").write_text("x")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    read_tree(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
