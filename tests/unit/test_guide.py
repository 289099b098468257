"""The authoring guide: everything the program knows is in it, and what it says is so."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from core_ops import errors
from core_ops.reconcile import manifest, sourcetree
from core_ops.reconcile.check import check
from core_ops.reconcile.configs import FORBIDDEN_ROOTS
from core_ops.reconcile.guide import FORMS, STATUSES, guide
from core_ops.reconcile.guideexample import EXAMPLE
from core_ops.reconcile.guidewords import MARKER
from core_ops.reconcile.kinds import KINDS, RESERVED
from core_ops.reconcile.layout import RESERVED_NAMES
from core_ops.reconcile.model import Desired, TreeFile
from core_ops.reconcile.references import REFERENCES
from core_ops.reconcile.rules import rules
from trees import outcome, rendered

ROOT = Path(__file__).parents[2]
LAYOUT = (ROOT / "specs/001-desired-state/contracts/layout.md").read_text()
GUIDE = guide()
UNIT = "[Container]\nImage=x:1\n[Install]\nWantedBy=multi-user.target\n"


def words() -> Iterable[str]:
    """Everything that stands in a table of the program."""
    yield from (f"| `x.{suffix}` |" for suffix in KINDS)
    yield from (f"`[{kind.section}]`" for kind in KINDS.values() if kind.section)
    yield from (f"| `{rule.code}` | {rule.text} |" for rule in rules())
    yield from (f"| `{key}` | {text} |" for key, text in (*manifest.meanings("host"), *manifest.meanings("service")))
    yield from (f"| `{form}` | {meaning} |" for form, meaning in FORMS)
    yield from (f"| {files} | {setting} | {names} |" for files, setting, names in REFERENCES)
    yield from (f"| {status} | {text} |" for status, text in STATUSES)
    yield from (f"`{name}`" for name in (*RESERVED_NAMES, *FORBIDDEN_ROOTS, *manifest.IMAGES))
    yield RESERVED.pattern.replace("|", "\\|")
    yield from (f"| {number}" for number in (sourcetree.MAX_ENTRIES, sourcetree.MAX_DEPTH, sourcetree.MAX_NAME_BYTES))


@pytest.mark.parametrize("word", sorted(set(words())))
def test_the_guide_names_everything_in_the_tables(word: str) -> None:
    """Every kind, key, code, place, limit, reference and exit status."""
    assert word in GUIDE


def test_the_guide_begins_as_skill_files_do() -> None:
    """Front matter with a name and a description, then the mark that makes the file ours."""
    _, front, text = GUIDE.split("---\n", 2)
    assert re.search(r"^name: core-ops-source-repo$", front, re.MULTILINE)
    assert re.search(r"^description: >-\n( {2}\S.*\n)+", front, re.MULTILINE)
    assert text.startswith(MARKER)


def test_the_example_of_the_guide_has_no_findings() -> None:
    """What is shown to be copied is accepted without a doubt, and more than one thing is made of it."""
    checked = check(TreeFile(path, text.encode()) for path, text in EXAMPLE.items())
    assert checked.findings == ()
    assert [h.objects for h in checked.hosts] == [7]
    assert all(text in GUIDE for text in EXAMPLE.values())


def test_every_exit_status_is_explained() -> None:
    """Each status that the program can end with stands in the guide and in the specs."""
    statuses = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert {status for status, _ in STATUSES} == statuses
    table = (ROOT / "specs/README.md").read_text()
    assert all(f"\n| {status} | " in table for status in statuses)


def test_places_and_references_are_those_of_the_layout() -> None:
    """The document and the guide have the same rows."""
    tree = LAYOUT.partition("## Tree\n\n```\n")[2].partition("```")[0]
    assert [line.split()[0] for line in tree.splitlines()] == [form for form, _ in FORMS]
    table = LAYOUT.partition("## References\n")[2].partition("\n## ")[0]
    rows = [tuple(line.strip("| ").split(" | ")) for line in table.splitlines() if line.startswith("| `")]
    rows += [tuple(line.strip("| ").split(" | ")) for line in table.splitlines() if line.startswith("| any")]
    assert rows == list(REFERENCES)


@pytest.mark.parametrize("form", [form for form, _ in FORMS])
def test_each_place_of_the_guide_takes_a_file(form: str) -> None:
    """A file at each of the places is accepted."""
    files = {"hosts/h1/host.yaml": "host: h1\nservices: [web]\n", "services/web/web.container": UNIT}
    native = "systemd" in form
    unit = "job.service" if native else "web.container"
    if native:
        files["services/web/job.service"] = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
    path = form.replace("<service>", "web").replace("<host>", "h1").replace("<unit>", unit)
    path = path.replace("<name>", "a").replace("<path>", "a/b")
    whole = path.endswith(unit)
    if whole:
        del files[f"services/web/{unit}"]
    texts = {"host.yaml": files["hosts/h1/host.yaml"], "service.yaml": "config-root: web\n", "web.container": UNIT}
    body = texts.get(path.rpartition("/")[2], "[Service]\nExecStart=\nExecStart=/bin/true\n")
    others = tuple(TreeFile(p, text.encode()) for p, text in files.items() if p != path)
    result = outcome((*others, TreeFile(path, body.encode())))
    assert isinstance(result, Desired), result
    manifests = path.endswith((".yaml",))
    assert manifests or any(path in item.sources for item in result.items)


def test_the_layering_of_the_guide_is_that_of_rendering() -> None:
    """The names under which drop-ins are installed are those that the guide shows."""
    files = {
        "services/web/web.container": UNIT,
        "services/web/web.container.d/a.conf": "[Container]\nPull=never\n",
        "hosts/h1/overrides/web.container.d/a.conf": "[Container]\nPull=never\n",
    }
    names = [i.path.rpartition("/")[2] for i in rendered(files).items if i.object.resource_type == "dropin"]
    assert len(names) == 2
    assert all(f"`<unit>.d/{name.removesuffix('a.conf')}<name>.conf`" in GUIDE for name in names)
