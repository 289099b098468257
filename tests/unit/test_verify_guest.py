"""The harness's rules that need no guest: names, paths, records, images, arguments."""

import argparse
import io
import tarfile
from pathlib import Path

import pytest

from core_ops_verify import cli
from core_ops_verify.errors import CommandError, GuestError
from core_ops_verify.guest.box import Bind
from core_ops_verify.guest.commands import Place, bind, place, size
from core_ops_verify.guest.record import Record, all_names, check_name, parts_in_use, read_record
from core_ops_verify.guest.seeds import IMAGES, archive
from core_ops_verify.guest.tree import resolve


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a tree whose links could lead out of it."""
    root = tmp_path / "tree"
    (root / "var/opt").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "opt").symlink_to("var/opt")
    (root / "etc/absolute").symlink_to("/etc/real")
    (root / "etc/out").symlink_to("../../../outside")
    (root / "etc/loop").symlink_to("loop")
    return root


@pytest.mark.parametrize(
    ("inside", "found"),
    [
        ("/etc/plain", "etc/plain"),
        ("/opt/core-ops/x", "var/opt/core-ops/x"),
        ("/etc/absolute", "etc/real"),
        ("/etc/out", "outside"),
        ("/../../etc/x", "etc/x"),
        ("/", "."),
    ],
)
def test_paths_resolve_as_in_the_guest(tree: Path, inside: str, found: str) -> None:
    """Links and dots lead where the guest's own root would take them, never onto this machine."""
    assert resolve(tree, inside, mounted={}) == tree / found


def test_paths_follow_mounts(tree: Path, tmp_path: Path) -> None:
    """A directory mounted in the guest is found where it really lies, its links included."""
    usr = tmp_path / "usr"
    usr.mkdir()
    (usr / "local").symlink_to("../var/usrlocal")
    assert resolve(tree, "/usr/bin/x", mounted={"usr": usr}) == usr / "bin/x"
    assert resolve(tree, "/usr/local/bin", mounted={"usr": usr}) == tree / "var/usrlocal/bin"


@pytest.mark.parametrize("inside", ["etc/x", "", "/etc/loop"])
def test_bad_paths_are_refused(tree: Path, inside: str) -> None:
    """A relative path and a loop of links have no place."""
    with pytest.raises(GuestError):
        resolve(tree, inside, mounted={})


@pytest.mark.parametrize("name", ["", "A", "1a", "a/b", "..", "a.b", "a" * 41, "a\n"])
def test_names_that_are_no_host_names_are_refused(name: str) -> None:
    """A name becomes a directory, a control group and a host name."""
    with pytest.raises(GuestError, match="name a guest"):
        check_name(name)


def test_record_comes_back_as_written(tmp_path: Path) -> None:
    """Another process finds the same guest."""
    record = Record("web", "/c/usr", ("/c/base",), "net", netns_made=True, binds=(("/a", "/b", True),))
    (tmp_path / "web").mkdir()
    record.write(tmp_path)
    assert read_record(tmp_path, "web") == record
    assert all_names(tmp_path) == ("web",)
    assert parts_in_use(tmp_path) == {Path("/c/base")}
    assert record.box(tmp_path).netns == Path("/run/netns/net")
    with pytest.raises(GuestError, match="find guest other"):
        read_record(tmp_path, "other")


def test_bind_quotes_what_would_be_syntax() -> None:
    """A colon in a path is not the end of it."""
    assert Bind(Path("/a:b"), "/c").option() == "--bind-ro=/a\\:b:/c"
    assert Bind(Path("/a"), "/c", writable=True).option() == "--bind=/a:/c"


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.reference)
def test_images_hold_a_program_that_stops_when_told(image: object, tmp_path: Path) -> None:
    """PID 1 of a container dies of SIGTERM only with a handler; each image's program sets one."""
    chosen = next(known for known in IMAGES if known is image)
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"static program")
    with tarfile.open(fileobj=io.BytesIO(archive(chosen, busybox))) as tar:
        start = tar.extractfile("bin/start")
        assert start is not None
        assert b"trap 'kill $!" in start.read()
        assert tar.getmember("bin/start").mode & 0o111
        assert tar.getmember("bin/sh").linkname == "busybox"
        assert ("www/index.html" in tar.getnames()) == bool(chosen.page)


def test_sizes_and_binds_and_places_are_read() -> None:
    """Arguments become values once, at the border."""
    assert [size("12"), size("2K"), size("64M"), size("1G")] == [12, 2048, 64 * 1024**2, 1024**3]
    assert bind("/a:/b") == Bind(Path("/a"), "/b")
    assert bind("/a:/b:rw") == Bind(Path("/a"), "/b", writable=True)
    assert place("web:/etc/x") == Place("web", "/etc/x")
    assert place("./web:/x") == Place("", "./web:/x")


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5G", "1T"])
def test_odd_sizes_are_refused(text: str) -> None:
    """A size is a whole number with at most one unit."""
    with pytest.raises(argparse.ArgumentTypeError):
        size(text)


@pytest.mark.parametrize("text", ["/a", "a:/b", "/a:b", "/a:/b:no"])
def test_odd_binds_are_refused(text: str) -> None:
    """Both ends are absolute, and only rw may follow."""
    with pytest.raises(argparse.ArgumentTypeError):
        bind(text)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["guest"],
        ["guest", "no-such-verb"],
        ["guest", "exec", "web"],
        ["guest", "down"],
        ["guest", "down", "a", "--all"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing happens on a misspelt command."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_help_shows_examples_and_version_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    """A person learns the verbs from the program itself."""
    for arguments, word in ((["guest", "--help"], "examples:"), (["--version"], "core-ops-verify 0.")):
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        assert stopped.value.code == 0
        assert word in capsys.readouterr().out


def test_without_root_a_guest_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One line names the reason and the way out, and the status is 1."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert cli.main(["guest", "kill", "web"]) == 1
    said = capsys.readouterr().err
    assert "needs root" in said
    assert "sudo" in said
    assert said.count("\n") == 1


def test_failed_command_shows_its_words() -> None:
    """A test report has to say what the guest said."""
    error = CommandError("run x in guest web: ended with 3", status=3, output="no such unit\n")
    assert str(error) == "run x in guest web: ended with 3\nno such unit"
