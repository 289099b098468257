"""`core-ops skill install` as a person meets it: where the guide goes, and what is never touched."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core_ops.reconcile.guide import guide
from core_ops.reconcile.guidewords import MARKER, PLACE


def install(*arguments: str, here: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the verb in a directory, with an environment of its own."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(here), "LC_ALL": "C.UTF-8", **environment}
    command = [sys.executable, "-m", "core_ops", "skill", "install", *arguments]
    done = subprocess.run(command, env=clean, cwd=here, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def files(top: Path) -> list[str]:
    """Every file below a directory."""
    return sorted(str(p.relative_to(top)) for p in top.rglob("*") if p.is_file() and ".git" not in p.parts)


def test_the_guide_is_written_once_and_kept_up_to_date(tmp_path: Path) -> None:
    """Created, unchanged, and updated when it is another version of ours; as words and as JSON."""
    path = tmp_path / PLACE
    assert install(here=tmp_path).stdout == f"created {path}\n"
    assert path.read_text() == guide()
    assert path.stat().st_mode & 0o777 == 0o644
    before = path.stat()
    assert install(here=tmp_path).stdout == f"unchanged {path}\n"
    assert path.stat() == before
    path.write_text(f"---\nname: x\n---\n{MARKER}\nan older guide\n")
    view = json.loads(install("--json", here=tmp_path).stdout)
    assert view == {"view_kind": "skill_install", "path": str(path), "outcome": "updated"}
    assert path.read_text() == guide()
    assert files(tmp_path) == [PLACE]


@pytest.mark.parametrize("mark", ["directory", "file"])
def test_the_guide_goes_to_the_top_of_the_work_tree(tmp_path: Path, mark: str) -> None:
    """From any directory of a work tree, also of a linked one, where `.git` is a file."""
    top, below = tmp_path / "repository", tmp_path / "repository" / "services" / "web"
    below.mkdir(parents=True)
    if mark == "directory":
        subprocess.run(["git", "init", "-q", str(top)], check=True)
    else:
        (top / ".git").write_text("gitdir: /elsewhere\n")
    assert install(here=below).stdout == f"created {top / PLACE}\n"
    assert files(top / "services") == []


def test_global_is_below_the_home_directory(tmp_path: Path) -> None:
    """Also when the current directory is a work tree."""
    here, home = tmp_path / "here", tmp_path / "home"
    (here / ".git").mkdir(parents=True)
    home.mkdir()
    assert install("--global", here=here, HOME=str(home)).stdout == f"created {home / PLACE}\n"
    assert files(here) == []


def test_print_writes_nothing(tmp_path: Path) -> None:
    """The same text, and no file."""
    assert install("--print", here=tmp_path).stdout == guide()
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (("--global", "--print"), {}),
        (("--print", "--json"), {}),
        (("--global",), {"HOME": "relative"}),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    """Exit status 2, a reason, and no file."""
    done = install(*arguments, here=tmp_path, **environment)
    assert done.returncode == 2
    assert done.stderr
    assert done.stdout == ""
    assert files(tmp_path) == []


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """Without our mark it is not ours, whatever its name; the error says what to do."""
    path = tmp_path / PLACE
    path.parent.mkdir(parents=True)
    path.write_text("---\nname: core-ops-source-repo\n---\nmy own words\n")
    done = install(here=tmp_path)
    assert done.returncode == 1
    assert "(blocked)" in done.stderr
    assert "next: move it away" in done.stderr
    assert path.read_text().endswith("my own words\n")
    assert files(tmp_path) == [PLACE]


@pytest.mark.parametrize("place", [PLACE, str(Path(PLACE).parent), ".agents"])
def test_no_link_is_followed(tmp_path: Path, place: str) -> None:
    """Neither the file nor a directory above it; what it leads to stays as it was."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    (elsewhere / "SKILL.md").write_text(MARKER)
    link = here / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere / "SKILL.md" if place == PLACE else elsewhere)
    done = install(here=here)
    assert done.returncode == 1
    assert "is a symbolic link (blocked)" in done.stderr
    assert files(elsewhere) == ["SKILL.md"]
    assert (elsewhere / "SKILL.md").read_text() == MARKER


def test_a_work_tree_behind_a_link_is_used(tmp_path: Path) -> None:
    """A home directory is often reached through one; only what lies below it is not."""
    real = tmp_path / "var" / "home"
    real.mkdir(parents=True)
    (tmp_path / "home").symlink_to(real)
    assert install("--global", here=tmp_path, HOME=str(tmp_path / "home")).stdout == f"created {real / PLACE}\n"


def test_a_directory_in_its_place_is_an_error(tmp_path: Path) -> None:
    """And so is a file where a directory should be; nothing is left behind."""
    (tmp_path / "one" / PLACE).mkdir(parents=True)
    done = install(here=tmp_path / "one")
    assert (done.returncode, "(blocked)" in done.stderr) == (1, True)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / ".agents").write_text("")
    done = install(here=tmp_path / "two")
    assert done.returncode == 1
    assert "next: " in done.stderr
    assert files(tmp_path / "two") == [".agents"]


def test_a_directory_that_is_gone_is_an_error(tmp_path: Path) -> None:
    """The current directory may have been removed by somebody else."""
    script = f"rm -r {tmp_path / 'gone'}; exec {sys.executable} -m core_ops skill install"
    (tmp_path / "gone").mkdir()
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path / "gone", capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "find the current directory" in done.stderr
    assert "Traceback" not in done.stderr
