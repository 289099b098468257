"""Parts are named by what went into them, and a directory that exists is whole."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from core_ops_verify.guest.cache import built, digest, digest_of_tree, locked, prune
from core_ops_verify.guest.recipe import Recipe, arguments


def test_equal_recipes_share_a_digest_and_others_do_not() -> None:
    """Every field of a recipe decides what is built."""
    recipe = Recipe()
    assert recipe.digest == Recipe().digest
    changed = (
        replace(recipe, suite="sid"),
        replace(recipe, machine="riscv64"),
        replace(recipe, packages=(*recipe.packages, "less")),
        replace(recipe, beside=()),
        replace(recipe, left_out=()),
        replace(recipe, revision=recipe.revision + 1),
    )
    assert len({recipe.digest, *(other.digest for other in changed)}) == len(changed) + 1


def test_recipe_installs_no_python() -> None:
    """Fedora CoreOS has none, so the interpreter stays beside the tree."""
    included = next(word for word in arguments(Recipe()) if word.startswith("--include="))
    assert "python" not in included
    assert any("python3" in package for package in Recipe().beside)


def test_digest_tells_parts_apart() -> None:
    """Where one part ends and the next begins matters."""
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(("a",)) == digest(["a"])


def test_tree_digest_follows_names_and_bytes_only(tmp_path: Path) -> None:
    """Compiled leftovers and times change nothing; names, contents and further parts do."""
    (tmp_path / "a.py").write_text("x = 1\n")
    before = digest_of_tree(tmp_path, "v1")
    os.utime(tmp_path / "a.py", (1, 1))
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/a.pyc").write_bytes(b"old")
    assert digest_of_tree(tmp_path, "v1") == before
    assert digest_of_tree(tmp_path, "v2") != before
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert digest_of_tree(tmp_path, "v1") != before


def test_a_part_is_built_once(tmp_path: Path) -> None:
    """The second request finds the first's result."""
    calls = list[Path]()

    def build(work: Path) -> None:
        calls.append(work)
        (work / "file").write_text("x")

    target = tmp_path / "part-1"
    assert built(target, build) == built(target, build) == target
    assert len(calls) == 1
    assert (target / "file").read_text() == "x"


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    """What exists is whole; what failed is gone."""

    def fail(work: Path) -> None:
        (work / "half").write_text("x")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        built(tmp_path / "part-1", fail)
    assert list(tmp_path.iterdir()) == []


def test_builders_take_turns_and_sweep_after_the_dead(tmp_path: Path) -> None:
    """A second builder waits for the first, and leftovers of a killed one are removed."""
    (tmp_path / ".building-dead").mkdir()
    code = (
        "import fcntl, sys; f = open(sys.argv[1], 'w')\n"
        "try: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError: print('waits')\n"
    )
    waited = list[bool]()
    with locked(tmp_path, waiting=lambda: waited.append(True)):
        other = [sys.executable, "-c", code, str(tmp_path / "lock")]
        assert subprocess.run(other, check=True, capture_output=True, text=True).stdout == "waits\n"
        assert not (tmp_path / ".building-dead").exists()
    assert waited == []


def test_prune_spares_the_kept_the_fresh_and_other_kinds(tmp_path: Path) -> None:
    """Only what is old, unused and of the named kind goes."""
    for name in ("payload-old", "payload-kept", "payload-fresh", "base-old"):
        (tmp_path / name).mkdir()
        if not name.endswith("fresh"):
            os.utime(tmp_path / name, (1, 1))
    prune(tmp_path, "payload", keep=frozenset({tmp_path / "payload-kept"}), idle_s=60)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base-old", "payload-fresh", "payload-kept"]
