"""Every refusal of a source tree, as folders: a tree, and what must be said of it, word by word."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from core_ops import cli
from core_ops.host.directory import read_tree
from core_ops.reconcile.model import Desired, TreeFile
from messages import Template, templates, unread
from trees import outcome, spoken

ROOT = Path(__file__).parents[2]
CASES = sorted(p for p in (ROOT / "fixtures" / "refused").iterdir() if p.is_dir())
RECONCILE = ROOT / "agent" / "core_ops" / "reconcile"
REFUSING = (
    *(
        "layout",
        "kinds",
        "render",
        "dropins",
        "configs",
        "claims",
        "references",
        "unitfile",
        "unitbytes",
        "taken",
        "cycles",
    ),
    *(
        "quoting",
        "manifest",
        "nodes",
        "yamlnodes",
        "tomlnodes",
        "tomlplaces",
        "filerules",
        "mounts",
        "roots",
        "check",
        "flood",
    ),
)
# No tree alone brings these to speak: one judges commits, the other what programs say, for which it has folders of its own.
OTHERS = ("authority", "preflight")
HOST = TreeFile("hosts/h1/host.yaml", b"host: h1\nservices: [web]\n")
# Said if the two readings of a TOML file ever disagreed on its keys; no input is known that makes them.
UNREACHED = "says “{...}” in a way that cannot be followed"
TEMPLATES = [t for name in REFUSING for t in templates(RECONCILE / f"{name}.py") if t.text != UNREACHED]

NO_HOST = "hosts: MissingHost: no host is described here"

# What a folder cannot hold, because git or a file system would not keep it.
INVENTED = {
    "link": (TreeFile("services/web/web.container", b"", "symlink"), "SymlinkEscape: is a symbolic link"),
    "submodule": (TreeFile("services/web/src", b"", "submodule"), "WrongKind: is a git submodule"),
    "fifo": (TreeFile("services/web/config/log", b"", "special"), "WrongKind: is not a regular file"),
    "huge": (TreeFile("services/web/config/data", b"", "oversize"), "Oversize: is larger than 1 MiB"),
    "huge-unit": (TreeFile("services/web/a.service", b"#" * (1024 * 1024 + 1)), "BadUnit: is larger than 1 MiB"),
    "huge-manifest": (
        TreeFile("services/web/service.yaml", b"#" * (256 * 1024 + 1)),
        "ServiceManifestParse: is larger than 256 KiB",
    ),
    "elsewhere": (TreeFile("etc/passwd", b""), "ConfigEscape: lies outside services/ and hosts/"),
    "climbing": (
        TreeFile("services/web/config/../../../etc/shadow", b"x"),
        "ConfigEscape: lies outside services/ and hosts/",
    ),
    "control-character": (
        TreeFile("services/web/service.yaml", b'config-root: "\\x07"\n'),
        "ConfigEscape: config-root “\x07” has an empty, . or .. component, or one that can't be printed",
    ),
    "300-byte-name": (
        TreeFile(f"services/web/{'a' * 290}.container", b"[Container]\n"),
        "WrongKind: the name is 300 characters long",
    ),
}


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_a_bad_tree_is_refused_with_its_places(case: Path) -> None:
    """Exactly the expected refusals come, all at once and sorted, each with a next step."""
    result = outcome(read_tree(case / "tree"))
    assert not isinstance(result, Desired)
    assert [spoken(f) for f in result] == (case / "expected").read_text().splitlines()
    assert all(f.message and f.hint for f in result)


@pytest.mark.parametrize("hosts", [("--host", "h1"), ("--all-hosts",)], ids=" ".join)
@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_the_command_says_exactly_what_is_expected(
    case: Path, hosts: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """`core-ops check` ends with 1, and its errors are those of the folder and no others."""
    # Nobody asks for a host that is not there unless by its name: the other host of that tree is in order.
    good = case.name == "host-missing" and hosts == ("--all-hosts",)
    expected = [] if good else (case / "expected").read_text().splitlines()
    assert cli.main(["check", str(case / "tree"), *hosts, "--json"]) == (0 if good else 1)
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [_line(f) for f in findings if f["level"] == "error"] == expected
    assert all(f["hint"] for f in findings)


def _line(finding: Mapping[str, str | int]) -> str:
    line = f":{finding['line']}" if "line" in finding else ""
    return f"{finding['path']}{line}: {finding['code']}: {finding['message']}"


def test_a_tree_without_hosts_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A check of all hosts that finds none has looked at nothing, and says so."""
    (tmp_path / "services" / "web").mkdir(parents=True)
    (tmp_path / "services" / "web" / "web.service").write_text("[Service]\nExecStart=/bin/true\n")
    assert cli.main(["check", str(tmp_path), "--all-hosts", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [_line(f) for f in findings if f["level"] == "error"] == [NO_HOST]


@pytest.mark.parametrize("name", sorted(INVENTED))
def test_what_no_folder_can_hold_is_refused(name: str) -> None:
    """Links, huge files, submodules, devices, endless names and climbing paths are named, whatever they would have been."""
    bad, expected = INVENTED[name]
    result = outcome((HOST, TreeFile("services/web/note.service", b"[Service]\n"), bad))
    assert not isinstance(result, Desired)
    (finding,) = result
    assert spoken(finding).endswith(expected)
    assert finding.path == bad.path


@pytest.mark.parametrize("template", TEMPLATES, ids=str)
def test_every_refusal_is_shown_by_a_case(template: Template) -> None:
    """Whatever the code can say of a tree is said by a folder or an invented file, so that somebody has read it."""
    shown = [line for case in CASES for line in (case / "expected").read_text().splitlines()]
    shown += [NO_HOST, *(line for _, line in INVENTED.values())]
    assert any(template.fits(line) for line in shown), template


def test_the_source_is_read_right() -> None:
    """Messages are found in each of the modules that refuse, and all of them; a silent reader would prove nothing."""
    sources = sorted(RECONCILE.glob("*.py"))
    assert {source.stem for source in sources if templates(source)} == {*REFUSING, *OTHERS}
    assert [message for source in sources for message in unread(source)] == []
    assert {t.module for t in TEMPLATES} == set(REFUSING)
    assert len(TEMPLATES) > 120


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
        HOST,
        TreeFile("services/web/a.slice", b"[Slice]\n"),
        TreeFile("services/web/config/../../../etc/shadow", b"x"),
    )
    result = outcome(files)
    assert not isinstance(result, Desired)
    assert [f.code for f in result] == ["ConfigEscape"]


def test_the_fixtures_are_all_there() -> None:
    """The folder is not empty by accident."""
    assert len(CASES) >= 160
