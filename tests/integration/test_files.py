"""Files on a real file system: exact, atomic, and never through a link."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from core_ops.errors import HostError, LockedError
from core_ops.host import accounts, files
from core_ops.host.lock import held
from core_ops.reconcile.model import Account, Directories, FileState, Obj, Source
from core_ops.reconcile.planned import Plan, RemoveFile, WriteFile
from core_ops.wiring import LocalHost

OBJECT = Obj("config", "etc/x")


def effect(path: Path, content: bytes = b"new", mode: int = 0o640) -> WriteFile:
    return WriteFile(OBJECT, str(path), content, mode, files.observe(str(path)))


def removal(path: str) -> RemoveFile:
    return RemoveFile(OBJECT, path, files.observe(path))


OWN = os.geteuid(), os.getegid()


def write(path: Path, content: bytes = b"new", mode: int = 0o640) -> None:
    _both(effect(path, content, mode))


def _both(planned: WriteFile) -> None:
    files.stage(planned, OWN)
    files.commit(planned)


def test_a_file_is_written_exactly_with_its_directories(tmp_path: Path) -> None:
    """Content and mode are as asked whatever the umask, and nothing else is left."""
    old = os.umask(0o077)
    try:
        write(tmp_path / "a/b/c.conf")
    finally:
        os.umask(old)
    path = str(tmp_path / "a/b/c.conf")
    assert files.observe(path) == FileState(path, "file", b"new", 0o640, *OWN)
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o755
    assert [p.name for p in (tmp_path / "a/b").iterdir()] == ["c.conf"]


def test_staging_replaces_nothing(tmp_path: Path) -> None:
    """Until it is committed the old file is there whole; sweeping forgets the new one."""
    target = tmp_path / "c.conf"
    target.write_bytes(b"old")
    files.stage(effect(target), OWN)
    assert target.read_bytes() == b"old"
    files.sweep((str(target),))
    assert [p.name for p in tmp_path.iterdir()] == ["c.conf"]


def test_a_failed_stage_leaves_no_directory(tmp_path: Path) -> None:
    """What was made on the way to a file that could not be written is gone again."""
    planned = WriteFile(OBJECT, f"{tmp_path}/a/b/{'x' * 250}", b"", 0o644, FileState("", "absent"))
    with pytest.raises(HostError):  # with its prefix and suffix the temporary name is longer than a name may be
        files.stage(planned, OWN)
    assert list(tmp_path.iterdir()) == []


def test_a_leftover_of_a_killed_run_is_no_obstacle(tmp_path: Path) -> None:
    """The temporary file of an earlier run is replaced."""
    (tmp_path / files.temporary_name("c.conf")).write_bytes(b"half")
    write(tmp_path / "c.conf")
    assert [p.name for p in tmp_path.iterdir()] == ["c.conf"]


def test_directories_that_a_cut_removal_left_go_too(tmp_path: Path) -> None:
    """The file and its directory are gone already; the empty one above is still removed, what is kept stays."""
    (tmp_path / "etc/a").mkdir(parents=True)
    files.remove(removal(str(tmp_path / "etc/a/sub/c.conf")), frozenset({str(tmp_path / "etc")}))
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")] == ["etc"]


def test_a_file_that_changed_after_planning_is_not_overwritten(tmp_path: Path) -> None:
    """The plan binds to what it saw."""
    target = tmp_path / "c.conf"
    target.write_bytes(b"old")
    planned = effect(target)
    files.stage(planned, OWN)
    target.write_bytes(b"somebody else's")
    with pytest.raises(HostError) as caught:
        files.commit(planned)
    assert caught.value.code == "changed-under-us"
    assert target.read_bytes() == b"somebody else's"


@pytest.mark.parametrize("how", ["content", "mode", "link", "again"])
def test_a_file_that_changed_after_planning_is_not_removed(tmp_path: Path, how: str) -> None:
    """Nor one that came to stand where there was none; what is done is told and nothing is gone."""
    target = tmp_path / "top/c.conf"
    target.parent.mkdir()
    if how != "again":
        target.write_bytes(b"old")
    planned = removal(str(target))
    if how in {"content", "again"}:
        target.write_bytes(b"somebody else's")
    elif how == "mode":
        target.chmod(0o600)
    elif how == "link":
        target.rename(tmp_path / "moved")
        target.symlink_to(tmp_path / "moved")
    before = below(tmp_path)
    with pytest.raises(HostError, match="changed after the plan") as caught:
        files.remove(planned, frozenset())
    assert caught.value.code == "changed-under-us"
    assert below(tmp_path) == before


def test_a_file_that_went_after_planning_is_as_good_as_removed(tmp_path: Path) -> None:
    """Its empty directory goes, too."""
    write(tmp_path / "top/c.conf")
    planned = removal(str(tmp_path / "top/c.conf"))
    (tmp_path / "top/c.conf").unlink()
    files.remove(planned, frozenset({str(tmp_path)}))
    assert list(tmp_path.iterdir()) == []


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
        files.stage(planned, OWN)
        files.commit(planned)
    else:
        with pytest.raises(HostError):
            _both(planned)
    assert (outside / "c.conf").read_bytes() == b"secret"
    assert [p.name for p in outside.iterdir()] == ["c.conf"]


@pytest.fixture
def canary(tmp_path: Path) -> Generator[Path]:
    """A directory that `a` leads to, with every name that the agent may have below `a`; none may go, come or change."""
    canary = tmp_path / "canary"
    (canary / "b/empty").mkdir(parents=True)
    for name in ("c.conf", files.temporary_name("c.conf")):
        (canary / "b" / name).write_bytes(b"theirs")
    (canary / "lone/empty").mkdir(parents=True)
    before = below(canary)
    (tmp_path / "a").symlink_to(canary)
    yield tmp_path / "a"
    assert below(canary) == before


def below(directory: Path) -> dict[Path, bytes | None]:
    return {p: p.read_bytes() if p.is_file() else None for p in directory.rglob("*")}


def test_nothing_is_written_behind_a_link(canary: Path) -> None:
    """Neither a file nor a directory on the way to it, and the link is named as the cause."""
    for path in (canary / "b/c.conf", canary / "b/new/c.conf", canary / "new/c.conf"):
        planned = WriteFile(OBJECT, str(path), b"new", 0o644, FileState(str(path), "absent"))
        with pytest.raises(HostError) as staged:
            files.stage(planned, OWN)
        with pytest.raises(HostError) as committed:
            files.commit(planned)
        for caught in (staged, committed):
            assert caught.value.code == "write-failed"
            assert "is a symbolic link" in caught.value.hint


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "safe"),
    [
        (0o755, None, None, True),
        (0o777, None, None, False),
        (0o1777, None, None, True),
        (0o775, None, None, True),
        (0o775, None, 54321, False),
        (0o755, 12345, None, False),
        (0o1777, 12345, None, False),
    ],
)
def test_nothing_is_staged_where_somebody_else_could_replace_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, uid: int | None, gid: int | None, *, safe: bool
) -> None:
    """Neither a file nor a directory is made there; what is above the place where files go is the host's own affair."""
    top = tmp_path / "above/top"
    (top / "a").mkdir(parents=True)
    top.parent.chmod(0o777)
    other = -1 if uid is None else uid, -1 if gid is None else gid
    if os.geteuid() == 0:
        os.chown(top / "a", *other)
    else:  # only root gives directories away; that the agent is somebody else comes to the same
        for name, number in zip(("geteuid", "getegid"), other, strict=True):
            if number >= 0:
                monkeypatch.setattr(os, name, lambda number=number: number)
    (top / "a").chmod(mode)
    planned = effect(top / "a/b/c.conf")
    files.unmake(files.stage(effect(top / "c.conf"), OWN, {str(top), str(tmp_path), str(top / "other")}))
    files.sweep((str(top / "c.conf"),))
    if safe:
        files.stage(planned, OWN, {str(top), "/"})
        files.commit(planned)
        return
    with pytest.raises(HostError, match=f"write below {top}/a: ") as caught:
        files.stage(planned, OWN, {str(top), "/"})
    assert caught.value.code == "write-failed"
    assert f"{top}/a`" in caught.value.hint
    assert [p.name for p in top.rglob("*")] == ["a"]


@pytest.mark.parametrize("place", ["quadlet", "systemd", "config"])
def test_a_host_guards_all_that_files_go_to(tmp_path: Path, place: str) -> None:
    """One file that could be replaced keeps all from being staged."""
    for name in ("quadlet", "systemd", "config"):
        (tmp_path / name).mkdir()
    (tmp_path / place).chmod(0o777)
    host = LocalHost(Directories(*(f"{tmp_path}/{n}" for n in ("quadlet", "systemd", "config"))), f"{tmp_path}/run")
    writes = tuple(effect(tmp_path / n / "x/c") for n in ("quadlet", "systemd", "config"))
    with pytest.raises(HostError, match=f"write below {tmp_path}/{place}: "):
        host.stage(Plan(Source("x"), None, "h", (), writes, (), (), (), (), ()))
    assert {p.name for p in tmp_path.rglob("*")} == {"quadlet", "systemd", "config"}


def test_nothing_is_removed_behind_a_link(canary: Path) -> None:
    """A file is refused with its cause; what is only tidied up is left alone."""
    for path in (canary / "b/c.conf", canary / "lone/empty/gone.conf"):
        with pytest.raises(HostError) as caught:
            files.remove(RemoveFile(OBJECT, str(path), FileState(str(path), "other")), frozenset())
        assert caught.value.code == "write-failed"
        assert "is a symbolic link" in caught.value.hint
    files.sweep((f"{canary}/b/c.conf",))
    files.unmake((f"{canary}/lone", f"{canary}/lone/empty", f"{canary}/b/empty"))
    assert canary.is_symlink()


def test_a_file_behind_a_link_is_none_of_ours(canary: Path) -> None:
    """Whatever it says, it is not taken for the file that is meant, nor is anything that is not there."""
    for name in ("b/c.conf", "b/none", "none/none"):
        assert files.observe(f"{canary}/{name}") == FileState(f"{canary}/{name}", "other")
    assert files.observe(f"{canary.parent}/canary/b/c.conf").content == b"theirs"


def test_a_directory_that_becomes_a_link_meanwhile_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a file and the empty directories above it somebody may put a link there."""
    (tmp_path / "top/a/b").mkdir(parents=True)
    (tmp_path / "top/a/b/c.conf").write_bytes(b"x")
    (tmp_path / "canary/b").mkdir(parents=True)
    real = os.fsync

    def swap(descriptor: int) -> None:
        real(descriptor)
        if not (tmp_path / "moved").exists():
            (tmp_path / "top/a").rename(tmp_path / "moved")
            (tmp_path / "top/a").symlink_to(tmp_path / "canary")

    monkeypatch.setattr(os, "fsync", swap)
    files.remove(removal(str(tmp_path / "top/a/b/c.conf")), frozenset())
    assert [p.name for p in (tmp_path / "canary").iterdir()] == ["b"]
    assert (tmp_path / "top/a").is_symlink()


def test_many_ways_are_told_as_each_alone(tmp_path: Path) -> None:
    """Paths share what they have in common of the way, and nothing else, in whatever order they come."""
    for name in ("a/b/c/one", "a/b/two", "a/three", "d/b/four"):
        write(tmp_path / name, name.encode())
    names = ["a/b/c/one", "a/b/two", "a/x/y", "a/three", "d/b/c/one", "d/b/four", "a/b/c/one", "none/b/two", "a/b/two"]
    paths = [str(tmp_path / name) for name in names]
    seen = files.observe_all(paths)
    assert seen == tuple(map(files.observe, paths))
    assert [s.content.decode() for s in seen] == [n if (tmp_path / n).exists() else "" for n in names]


def descriptors() -> list[str]:
    return sorted(p.name for p in Path("/proc/self/fd").iterdir())


def test_no_descriptor_stays_open(tmp_path: Path, canary: Path) -> None:
    """After success, refusal and nothing to do alike."""
    before = descriptors()
    write(tmp_path / "e/f/c.conf")
    with pytest.raises(HostError):
        write(canary / "b/c.conf")
    files.observe_all((f"{tmp_path}/e/f/c.conf", f"{canary}/x", f"{tmp_path}/none/x", "/x"))
    files.sweep((f"{tmp_path}/e/f/c.conf", f"{canary}/x"))
    files.remove(removal(f"{tmp_path}/e/f/c.conf"), frozenset({str(tmp_path)}))
    assert descriptors() == before


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


@contextlib.contextmanager
def nobody() -> Generator[Path]:
    """Have no privileges for a while, and a directory below one that may be passed through but not read."""
    own = os.geteuid()
    with tempfile.TemporaryDirectory() as top:
        home = Path(top) / "home"
        home.mkdir()
        Path(top).chmod(0o311)
        if own == 0:
            os.chown(home, 65534, -1)
            os.seteuid(65534)
        try:
            yield home
        finally:
            os.seteuid(own)
            Path(top).chmod(0o700)


def test_a_directory_on_the_way_need_not_be_readable() -> None:
    """As a home directory below one of mode 0711: who may pass through may write further down, and remove it again."""
    with nobody() as home:
        with pytest.raises(PermissionError):
            list(home.parent.iterdir())
        planned = effect(home / "a/b/c.conf")
        files.stage(planned, (os.geteuid(), os.getegid()))
        files.commit(planned)
        assert files.observe(planned.path).content == b"new"
        files.remove(removal(planned.path), frozenset({str(home)}))
        assert list(home.iterdir()) == []


def test_removing_leaves_no_empty_directories_but_the_roots(tmp_path: Path) -> None:
    """Directories that are empty then go too, up to a root; others stay."""
    write(tmp_path / "etc/app/conf.d/c.conf")
    write(tmp_path / "etc/app/other.conf")
    keep = frozenset({str(tmp_path / "etc")})
    files.remove(removal(str(tmp_path / "etc/app/conf.d/c.conf")), keep)
    assert [p.name for p in (tmp_path / "etc/app").iterdir()] == ["other.conf"]
    files.remove(removal(str(tmp_path / "etc/app/other.conf")), keep)
    files.remove(removal(str(tmp_path / "etc/app/other.conf")), keep)
    assert list((tmp_path / "etc").iterdir()) == []


def test_a_staged_file_has_its_owners_and_mode_before_it_takes_its_place(tmp_path: Path) -> None:
    """The temporary file is complete, so that a rename is all that is left; without the right nothing is left behind."""
    target = tmp_path / "c.conf"
    planned = effect(target, b"secret", 0o440)
    owners = (12345, 54321) if os.geteuid() == 0 else (os.geteuid(), 54321)
    if os.geteuid() == 0:
        files.stage(planned, owners)
        facts = (tmp_path / files.temporary_name("c.conf")).stat()
        assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o7777) == (*owners, 0o440)
        files.commit(planned)
        assert files.observe(str(target)) == FileState(str(target), "file", b"secret", 0o440, *owners)
    else:
        with pytest.raises(HostError, match="not permitted"):
            files.stage(planned, owners)
        assert list(tmp_path.iterdir()) == []


def test_the_group_of_the_directory_is_not_inherited(tmp_path: Path) -> None:
    """A directory that hands down its group does not decide whose a file is."""
    inside = tmp_path / "shared"
    inside.mkdir()
    other = 54321 if os.geteuid() == 0 else max({*os.getgroups(), os.getegid()})  # any group that we may give it
    os.chown(inside, -1, other)
    inside.chmod(0o2775)
    write(inside / "c.conf")
    facts = (inside / "c.conf").stat()
    assert (facts.st_uid, facts.st_gid) == OWN


def test_a_file_that_changed_hands_after_planning_is_not_overwritten(tmp_path: Path) -> None:
    """Mode and owners are part of what the plan saw."""
    target = tmp_path / "c.conf"
    target.write_bytes(b"old")
    planned = effect(target)
    files.stage(planned, OWN)
    target.chmod(0o600)
    with pytest.raises(HostError) as caught:
        files.commit(planned)
    assert caught.value.code == "changed-under-us"


def test_accounts_are_found_by_name_and_by_number() -> None:
    """Names that are asked for, and names of the numbers that files belong to; one that does not exist is left out."""
    seen = (FileState("/x", "file", uid=0, gid=0), FileState("/y", "file", uid=3_999_999_999, gid=3_999_999_999))
    known = accounts.observe(("root", "no-such-user"), ("no-such-group",), seen)
    assert (known.uid, known.gid) == OWN
    assert Account("root", 0) in known.users
    assert Account("root", 0) in known.groups
    assert "no-such" not in str(known)
    assert 3_999_999_999 not in {a.number for a in (*known.users, *known.groups)}


def test_owners_of_a_write_are_numbers_or_a_refusal_with_the_name() -> None:
    """A decimal number needs no account; a name needs one, and the refusal says which and for what."""
    planned = WriteFile(OBJECT, "/etc/x", b"", 0o644, FileState("/etc/x", "absent"), "root", "4294967294")
    assert accounts.owners(planned) == (0, 4_294_967_294)
    assert accounts.owners(WriteFile(OBJECT, "/etc/x", b"", 0o644, planned.expected)) == OWN
    for user, group, name in (("no-such-user", "", "no-such-user"), ("", "no-such-group", "no-such-group")):
        unknown = WriteFile(OBJECT, "/etc/x", b"", 0o644, planned.expected, user, group)
        with pytest.raises(HostError, match=name) as caught:
            accounts.owners(unknown)
        assert caught.value.code == "unknown-owner"
        assert "/etc/x" in caught.value.message
        assert caught.value.hint


def test_the_lock_is_held_once_and_freed_by_the_end(tmp_path: Path) -> None:
    """A second holder is told so; a lock file that is left behind means nothing."""
    path = tmp_path / "run/lock"
    with held(path), pytest.raises(LockedError), held(path):
        pass
    assert path.exists()
    with held(path):
        pass
