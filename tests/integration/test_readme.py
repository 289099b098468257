"""What the README shows is what the program prints."""

from pathlib import Path

import msgspec

from core_ops.host.directory import read_tree
from core_ops.reconcile.compare import subjects
from core_ops.reconcile.contract import plan_view
from core_ops.reconcile.layout import read_layout
from core_ops.reconcile.model import Desired, Directories, LastApplied, Source, TreeFile
from core_ops.reconcile.plan import plan
from core_ops.reconcile.render import render
from core_ops.reconcile.words import plan_lines
from fakes import FakeHost

ROOT = Path(__file__).parents[2]
PAGE = "services/caddy/config/site/index.html"


def desired(files: tuple[TreeFile, ...], revision: str) -> Desired:
    """What the example's host should have."""
    source = Source(revision.ljust(40, "0"), "https://git.example.com/hosts.git", "refs/heads/main", "alice")
    found = render(read_layout(files), "example", source, Directories())
    assert isinstance(found, Desired)
    return found


def test_the_readme_shows_what_the_program_prints() -> None:
    """Its plan is that of the example with one changed page, line by line."""
    files = read_tree(ROOT / "examples" / "01-caddy-whoami")
    before = desired(files, "3f2a91c0")
    host = FakeHost()
    for effect in plan(before, LastApplied(), host.observe(subjects(before, LastApplied()))).effects:
        host.carry_out((effect,))
    first = plan(before, LastApplied(), FakeHost().observe(subjects(before, LastApplied())))
    last = LastApplied(before, first.owned_after, first.started_after)
    page = b"<h1>Hello again</h1>\n"
    changed = tuple(msgspec.structs.replace(f, content=page) if f.path == PAGE else f for f in files)
    after = desired(changed, "8be04d17")
    shown = "\n".join(plan_lines(plan_view(plan(after, last, host.observe(subjects(after, last))))))
    assert f"# core-ops plan\n{shown}\n# " in (ROOT / "README.md").read_text(), shown
