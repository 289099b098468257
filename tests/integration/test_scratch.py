"""Where a preflight lays files out: private, gone afterwards whatever happened, and swept after a kill."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core_ops.errors import HostError
from core_ops.host import process, scratch

HANG = """\
import sys, time
sys.path.insert(0, sys.argv[2])
from core_ops.host import scratch
with scratch.directory(sys.argv[1]) as top:
    scratch.write(top, [("a/b", b"x")])
    print(top, flush=True)
    time.sleep(60)
"""
AGENT = Path(__file__).parents[2] / "agent"


def test_the_directory_is_private_and_goes_away(tmp_path: Path) -> None:
    """Nobody else may look in, files keep their names, and nothing is left, also after an error."""
    with scratch.directory(str(tmp_path)) as top:
        assert Path(top).stat().st_mode & 0o777 == 0o700
        scratch.write(top, (("web.service.d/a.conf", b"1"), ("a.service", b"2"), ("a.service", b"3")))
        assert {p.name: p.read_bytes() for p in Path(top).rglob("*") if p.is_file()} == {
            "a.conf": b"1",
            "a.service": b"2",
        }
    with pytest.raises(ZeroDivisionError), scratch.directory(str(tmp_path)):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """A directory that is in use stays; once its owner was killed, the next run takes it away."""
    command = [sys.executable, "-c", HANG, str(tmp_path), str(AGENT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        left = Path(owner.stdout.readline().strip())
        with scratch.directory(str(tmp_path)):
            assert (left / "a" / "b").exists()
        owner.kill()
    assert left.exists()
    with scratch.directory(str(tmp_path)):
        assert not left.exists()
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_directory_of_ours_is_not_swept(tmp_path: Path) -> None:
    """A link or a file of such a name is left alone, and so is what it points to."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    (tmp_path / "core-ops-preflight-link").symlink_to(tmp_path / "precious")
    (tmp_path / "core-ops-preflight-file").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    with scratch.directory(str(tmp_path)):
        pass
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("parent", ["/nonexistent/run", "/proc", "/tmp/a:b"])  # noqa: S108 - none of them is used
def test_where_none_can_be_made_another_is_taken(parent: str) -> None:
    """A plan without root, and a path that would read as two, go where temporary files go."""
    with scratch.directory(parent) as top:
        assert not top.startswith(f"{parent}/")
        assert os.path.realpath(top) == top
    assert not Path(top).exists()


# --- programs ---------------------------------------------------------------------------------------------------------


def test_a_program_gets_its_variables_and_its_directory(tmp_path: Path) -> None:
    """What is given is added to the clean environment."""
    done = process.run(("sh", "-c", "pwd; echo $A; echo $LC_ALL"), 5, environment={"A": "x y"}, directory=str(tmp_path))
    assert (done.status, done.stdout, done.stderr) == (0, f"{tmp_path}\nx y\nC.UTF-8\n", "")


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("sleep 30 & echo $! > pid; wait", "timeout"),
        ("exec >&- 2>&-; echo $$ > pid; exec sleep 30", "timeout"),
        ("echo $$ > pid; exec yes", "output-too-large"),
        ("echo $$ > pid; exec yes >&2", "output-too-large"),
    ],
)
def test_a_program_that_does_not_end_is_ended(tmp_path: Path, script: str, code: str) -> None:
    """Neither time nor output is without bound, and what it started ends with it."""
    with pytest.raises(HostError) as raised:
        process.run(("sh", "-c", script), 0.5, directory=str(tmp_path), output_limit_bytes=1_000_000)
    assert raised.value.code == code
    pid = (tmp_path / "pid").read_text().strip()
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(pid)


def alive(pid: str) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_program_may_say_much_on_both_sides(tmp_path: Path) -> None:
    """Neither stream waits for the other."""
    script = "head -c 300000 /dev/zero | tr '\\\\0' a; head -c 300000 /dev/zero | tr '\\\\0' b >&2; exit 3"
    done = process.run(("sh", "-c", script), 10, directory=str(tmp_path))
    assert (done.status, len(done.stdout), len(done.stderr)) == (3, 300_000, 300_000)
