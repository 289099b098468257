"""Every refusal of a source tree, as folders: a tree and the places that must be named."""

from pathlib import Path

import pytest

from core_ops.host.directory import read_tree
from core_ops.reconcile.model import Desired, Finding, TreeFile
from trees import outcome

CASES = sorted(p for p in (Path(__file__).parents[2] / "fixtures" / "refused").iterdir() if p.is_dir())


def _place(finding: Finding) -> str:
    line = f":{finding.line}" if finding.line else ""
    return f"{finding.path}{line}: {finding.code}"


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_a_bad_tree_is_refused_with_its_places(case: Path) -> None:
    """Exactly the expected refusals come, all at once and sorted, each with a next step."""
    result = outcome(read_tree(case / "tree"))
    assert not isinstance(result, Desired)
    assert [_place(f) for f in result] == (case / "expected").read_text().splitlines()
    assert all(f.message and f.hint for f in result)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("symlink", "SymlinkEscape"), ("oversize", "Oversize"), ("submodule", "WrongKind"), ("special", "WrongKind")],
)
def test_what_is_no_plain_file_is_refused(kind: str, code: str) -> None:
    """Links, huge files, submodules and devices are named, whatever they would have been."""
    files = (
        TreeFile("hosts/h1/host.yaml", b"host: h1\nservices: [web]\n"),
        TreeFile("services/web/web.container", b"", kind=kind),  # type: ignore[arg-type]  # parametrised literals
    )
    result = outcome(files)
    assert not isinstance(result, Desired)
    assert [f.code for f in result] == [code]


def test_a_mistake_on_another_host_does_not_matter_here() -> None:
    """A refusal concerns the hosts that select the broken service, and no others."""
    files = (
        TreeFile("hosts/h1/host.yaml", b"host: h1\nservices: []\n"),
        TreeFile("hosts/h2/host.yaml", b"oops"),
        TreeFile("services/web/notes.txt", b""),
    )
    assert isinstance(outcome(files), Desired)


def test_a_path_that_climbs_out_is_refused() -> None:
    """Even a tree that nobody could have committed renders to nothing outside its roots."""
    files = (
        TreeFile("hosts/h1/host.yaml", b"host: h1\nservices: [web]\n"),
        TreeFile("services/web/config/../../../etc/shadow", b"x"),
    )
    result = outcome(files)
    assert not isinstance(result, Desired) or not any(".." in i.path for i in result.items)


def test_the_fixtures_are_all_there() -> None:
    """The folder is not empty by accident."""
    assert len(CASES) >= 40
