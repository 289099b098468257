"""Checking a whole tree: every host, each place once, and lints with file and line."""

import json
import random
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from core_ops import cli
from core_ops.host.directory import read_tree
from core_ops.reconcile.check import Checked, check
from core_ops.reconcile.checkview import check_lines, check_view
from core_ops.reconcile.lints import LINTS
from core_ops.reconcile.model import Desired, TreeFile
from core_ops.reconcile.rules import REFUSALS, rules
from core_ops.reconcile.sarif import sarif
from trees import outcome, spoken, tree

ROOT = Path(__file__).parents[2]
REFUSED = sorted((ROOT / "fixtures" / "refused").iterdir())
VALID = sorted((ROOT / "fixtures" / "valid").iterdir())
EXAMPLES = sorted(p for p in (ROOT / "examples").iterdir() if (p / "hosts").is_dir())
CONTRACTS = ROOT / "specs/001-desired-state/contracts"
INSTALL = "[Install]\nWantedBy=multi-user.target\n"


def places(checked: Checked, level: str) -> list[str]:
    """Where something of this level was said, as in the fixtures."""
    return [f"{f.path}{f':{f.line}' if f.line else ''}: {f.code}" for f in checked.findings if f.level == level]


def lints(files: Mapping[str, str]) -> list[str]:
    """What is said of a tree that nothing is wrong with."""
    checked = check(tree(files))
    assert not places(checked, "error")
    return places(checked, "warning")


# --- fixtures and examples --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", REFUSED, ids=lambda p: p.name)
def test_a_check_names_exactly_the_refused_places(case: Path) -> None:
    """A check of the host finds what rendering refuses, no more and no less."""
    checked = check(read_tree(case / "tree"), ("h1",))
    assert checked.refused
    assert [spoken(f) for f in checked.findings if f.level == "error"] == (case / "expected").read_text().splitlines()
    assert [h.objects for h in checked.hosts] == [0]


@pytest.mark.parametrize("case", REFUSED, ids=lambda p: p.name)
def test_a_check_of_all_hosts_misses_nothing(case: Path) -> None:
    """Without a host everything is still said, if only as a warning where no host selects it."""
    expected = set((case / "expected").read_text().splitlines())
    checked = check(read_tree(case / "tree"))
    said = {spoken(f) for f in checked.findings}
    assert {line for line in expected if ": MissingHost: " not in line} <= said


@pytest.mark.parametrize("case", [*(v / "tree" for v in VALID), *EXAMPLES], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_valid_tree_is_accepted_without_errors(case: Path) -> None:
    """What must not be refused is not."""
    checked = check(read_tree(case))
    assert places(checked, "error") == []
    assert checked.hosts


@pytest.mark.parametrize("case", [*(v / "tree" for v in VALID), *EXAMPLES], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_valid_tree_is_not_doubted(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`core-ops check` ends with 0 and has nothing to say of what a host gets; only the unselected may be wrong."""
    assert cli.main(["check", str(case), "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [f for f in findings if f["hosts"]] == []


def test_the_fixtures_are_all_there() -> None:
    """The folders are not empty by accident."""
    assert len(REFUSED) >= 160
    assert len(VALID) >= 25
    assert EXAMPLES


# --- the whole tree ---------------------------------------------------------------------------------------------------

TWO_HOSTS = {
    "hosts/h1/host.yaml": b"host: h1\nservices: [web, bad]\n",
    "hosts/h2/host.yaml": b"host: h2\nservices: [bad]\n",
    "hosts/h3/host.yaml": b"oops\n",
    "services/web/web.container": b"[Container]\nImage=x\n[Install]\nWantedBy=multi-user.target\n",
    "services/bad/bad.service": b"[Service]\nExecStart\n",
    "services/idle/notes.txt": b"",
    "services/idle/idle.service": b"[Unit]\n",
    "services/idle/idle.service.d/a.conf": b"x",
    "services/stray.service": b"",
}


def two_hosts() -> tuple[TreeFile, ...]:
    """A tree with something wrong in every corner."""
    return tuple(TreeFile(path, content) for path, content in TWO_HOSTS.items())


def test_each_place_is_said_once_with_its_hosts() -> None:
    """A broken service is one finding that names the hosts it stops; what no host selects is a warning."""
    checked = check(two_hosts())
    assert [(f.path, f.level, f.hosts) for f in checked.findings] == [
        ("hosts/h3/host.yaml", "error", ("h3",)),
        ("services/bad/bad.service", "error", ("h1", "h2")),
        ("services/idle/idle.service", "warning", ()),
        ("services/idle/idle.service.d/a.conf", "warning", ()),
        ("services/idle/notes.txt", "warning", ()),
        ("services/stray.service", "error", ("h1", "h2")),
        ("services/web/web.container", "warning", ("h1",)),
    ]
    assert [(h.host, h.objects, h.errors) for h in checked.hosts] == [("h1", 0, 2), ("h2", 0, 2), ("h3", 0, 1)]


def test_one_host_is_told_what_concerns_it() -> None:
    """Nobody else's mistakes are in the way."""
    checked = check(two_hosts(), ("h3",))
    assert [f.path for f in checked.findings] == ["hosts/h3/host.yaml"]
    assert [h.host for h in checked.hosts] == ["h3"]


def test_a_tree_without_hosts_is_an_error() -> None:
    """A check of the wrong directory does not pass."""
    assert places(check(()), "error") == ["hosts: MissingHost"]


def test_a_check_does_not_depend_on_the_order_of_files() -> None:
    """Whatever order files come in, view, words and SARIF are the same bytes."""
    files = [*two_hosts(), *read_tree(EXAMPLES[0])]
    expected = check(files)
    for seed in range(5):
        random.Random(seed).shuffle(files)  # noqa: S311 - a test's order
        again = check(files)
        assert again == expected
        assert sarif(again, "1") == sarif(expected, "1")


def test_findings_are_sorted_by_place() -> None:
    """Editors and diffs rely on it."""
    found = [(f.path, f.line, f.code) for f in check(two_hosts()).findings]
    assert found == sorted(found)


# --- lints ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("web.container", f"[Container]\nImage=x\n{INSTALL}", [":2: ImageWithoutDigest"]),
        ("web.container", f"[Container]\nImage=r:5000/x:latest\n{INSTALL}", [":2: ImageWithoutDigest"]),
        ("web.container", f"[Container]\nImage=r:5000/x\n{INSTALL}", [":2: ImageWithoutDigest"]),
        ("web.container", f"[Container]\nImage=r:5000/x:1\n{INSTALL}", []),
        ("web.container", f"[Container]\nImage=x@sha256:00\n{INSTALL}", []),
        ("web.container", f"[Container]\nImage=x\nImage=x:1\n{INSTALL}", []),
        (
            "web.container",
            f"[Container]\nImage=x:1\nRequiresMountsFor=/a\n{INSTALL}",
            [":3: MisplacedRequiresMountsFor"],
        ),
        ("web.container", f"[Unit]\nRequiresMountsFor=/a\n[Container]\nImage=x:1\n{INSTALL}", []),
        ("web.container", f"[Container]\nImage=x:1\n[Service]\nRestart=always\n{INSTALL}", [":4: NoHealth"]),
        ("web.container", f"[Container]\nImage=x:1\n[Service]\nRestart=no\n{INSTALL}", []),
        ("web.container", f"[Container]\nImage=x:1\nHealthCmd=a\n[Service]\nRestart=always\n{INSTALL}", []),
        (
            "web.container",
            f"[Container]\nImage=x:1\nHealthCmd=none\n[Service]\nRestart=always\n{INSTALL}",
            [],
        ),
        ("web.container", f"[Container]\nImage=x:1\nNotify=healthy\n[Service]\nRestart=always\n{INSTALL}", []),
        ("web.container", f"[Container]\nImage=x:1\n[Service]\nType=oneshot\nRestart=on-failure\n{INSTALL}", []),
        ("web.container", "[Container]\nImage=x:1\n", [": NothingStarts"]),
        ("web.service", "[Service]\nExecStart=/bin/true\n", [": NothingStarts"]),
        ("web.service", "[Service]\nBusName=org.x\nExecStart=/bin/true\n", []),
        ("web@.service", "[Service]\nExecStart=/bin/true\n", []),
        ("web.network", "[Network]\n", [": NothingStarts"]),
    ],
)
def test_a_lint_names_its_line(path: str, text: str, expected: list[str]) -> None:
    """Each lint finds what it is for and leaves alone what is right."""
    assert lints({f"services/web/{path}": text}) == [f"services/web/{path}{e}" for e in expected]


def test_a_lint_looks_at_the_layered_unit() -> None:
    """A drop-in can mend or make what a lint says; the place is the line that counts."""
    base = f"[Container]\nImage=x\n{INSTALL}"
    mended = {
        "services/web/web.container": base,
        "hosts/h1/overrides/web.container.d/a.conf": "[Container]\nImage=x:1\n",
    }
    assert lints(mended) == []
    made = {
        "services/web/web.container": base.replace("=x", "=x:1"),
        "services/web/web.container.d/a.conf": "[Container]\nImage=x\n",
    }
    assert lints(made) == ["services/web/web.container.d/a.conf:2: ImageWithoutDigest"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.timer", f"[Timer]\nOnBootSec=1\nUnit=job.service\n{INSTALL}"),
        ("job.socket", f"[Socket]\nListenStream=7\n{INSTALL}"),
        ("a.service", f"[Unit]\nWants=job.service\n[Service]\nExecStart=/bin/true\n{INSTALL}"),
        ("a.service", f"[Unit]\nOnFailure=job.service\n[Service]\nExecStart=/bin/true\n{INSTALL}"),
    ],
)
def test_a_unit_that_something_starts_is_left_alone(path: str, text: str) -> None:
    """Timers, sockets, wishes and failures are reasons to start."""
    assert lints({"services/web/job.service": "[Service]\nExecStart=/bin/true\n", f"services/web/{path}": text}) == []


def test_a_config_file_that_no_unit_names_is_said() -> None:
    """A directory above it is enough; a service without units configures the system."""
    unit = f"[Service]\nExecStart=/bin/a -c /etc/web/conf.d\n{INSTALL}"
    files = {
        "services/web/web.service": unit,
        "services/web/config/conf.d/a": "",
        "services/web/config/b": "",
        "services/sysctl/config/c": "",
        "hosts/h1/web/config/d": "",
    }
    assert lints(files) == ["hosts/h1/web/config/d: UnusedConfig", "services/web/config/b: UnusedConfig"]


def test_the_lints_of_the_document_are_those_of_the_table() -> None:
    """Both ways, with levels, what they need, and paragraphs."""
    text = (CONTRACTS / "lints.md").read_text()
    rows: list[tuple[str, ...]] = re.findall(r"^\| `(\w+)` \| (\w+) \| (\w+) \|", text, re.MULTILINE)
    assert rows == [(row.code, row.level, row.needs) for row in LINTS]
    sections = {s.partition("\n")[0]: " ".join(s.partition("\n")[2].split()) for s in text.split("\n## ")[1:]}
    assert set(sections) == {row.code for row in LINTS}
    assert all(sections[row.code].startswith(row.paragraph) for row in LINTS)


def test_every_refusal_has_a_rule_and_every_rule_a_refusal() -> None:
    """The texts shown beside findings are for exactly the codes that the layout lists."""
    listed = re.findall(r"^\| `([A-Za-z-]+)` \|", (CONTRACTS / "layout.md").read_text(), re.MULTILINE)
    assert sorted(REFUSALS) == sorted([*listed, "bad-tree", "limit-exceeded"])
    assert not {row.code for row in LINTS} & set(REFUSALS)


# --- lints beside refusals --------------------------------------------------------------------------------------------

# Something for every lint. What needs the whole host is on the units b and c, the rest on a.
DOUBTFUL = {
    "services/web/a.container": "[Unit]\n[Container]\nImage=x\nAutoUpdate=registry\nWantsMountsFor=/a\n[Other]\nA=1\n"
    f"[Service]\nType=oneshot\nRestart=always\n{INSTALL}",
    "services/web/b.container": f"[Container]\nImage=x:1\n[Service]\nRestart=always\n{INSTALL}",
    "services/web/c.service": "[Service]\nExecStart=/bin/true\n",
    "services/web/d.service": "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multiuser.target\n",
    "services/web/config/x": "",
}
OF_FILES = {"MisplacedRequiresMountsFor", "UnknownSection"}
OF_UNITS = {"AutoUpdate", "ImageWithoutDigest", "NoHealth", "RefusedBySystemd"}
OF_HOSTS = {"NothingStarts", "UnknownInstallTarget", "UnusedConfig"}


def doubts(more: Mapping[str, str], *services: str) -> set[str]:
    """The codes of what is doubted of a tree that has something for every lint."""
    checked = check(tree({**DOUBTFUL, **more}, *services))
    assert checked.refused == bool(more)
    return {f.code for f in checked.findings if f.level == "warning"}


def test_every_lint_has_something_to_say_of_a_host_that_is_not_refused() -> None:
    """Otherwise its silence below would mean nothing."""
    assert doubts({}) == OF_FILES | OF_UNITS | OF_HOSTS == {row.code for row in LINTS}
    assert {row.code for row in LINTS if row.needs == "host"} == OF_HOSTS


@pytest.mark.parametrize(
    "more",
    [
        {"services/web/e.service": "oops\n"},
        {"services/web/e.container": f"[Container]\nImage=x:1\nNetwork=no.network\n{INSTALL}"},
        {"services/web/e.service": "[Unit]\nAfter=f.service\n[Service]\nExecStart=/bin/e\n[X-CoreOps]\nA=1\n"},
        {"services/web/e.service": "oops\n", "services/web/e.service.d/a.conf": "oops\n"},
        {"services/web/c.service.d/a.conf": "oops\n"},
        {"services/web/a.container.d/a.conf": "[Container]\nNetwork=no.network\n"},
        {"services/web/config/conf.d/a": "", "services/web/service.yaml": "config-root: ../etc\n"},
        {"services/web/service.yaml": "oops: 1\n"},
    ],
)
def test_what_is_true_of_a_unit_is_said_beside_refusals(more: Mapping[str, str]) -> None:
    """An author sees both at once; only what depends on the rest of the host waits for it."""
    assert doubts(more) == OF_FILES | OF_UNITS


@pytest.mark.parametrize(
    "more",
    [
        {"services/web/container.d/a.conf": "oops\n"},
        {"services/web/a.container.d/a.conf": "oops\n", "hosts/h1/overrides/b.container.d/a": ""},
        {"services/web/aa.container.d/a.conf": "[Container]\nImage=x:1\n"},  # of which unit, nobody knows
    ],
)
def test_a_unit_is_not_doubted_for_a_drop_in_that_is_refused(more: Mapping[str, str]) -> None:
    """It may say just what is missing."""
    assert doubts(more) == OF_FILES


def test_no_unit_is_doubted_while_a_service_is_missing() -> None:
    """Its drop-ins might be for any of them."""
    checked = check(tree(DOUBTFUL, "web", "gone"))
    assert places(checked, "error") == ["hosts/h1/host.yaml:2: MissingService"]
    assert {f.code for f in checked.findings if f.level == "warning"} == OF_FILES


def test_only_the_unit_of_a_refused_drop_in_is_left_alone() -> None:
    """The others are as whole as ever."""
    more = {"services/web/a.container.d/a.conf": "oops\n"}
    assert doubts(more) == OF_FILES | {"NoHealth"}


# --- views ------------------------------------------------------------------------------------------------------------


def test_words_json_and_sarif_name_the_same_places() -> None:
    """Three forms of one check."""
    checked = check(two_hosts())
    view = check_view(checked)
    words = list(check_lines(view))
    log = msgspec.json.decode(sarif(checked, "1"))
    results = log["runs"][0]["results"]
    for place, finding in enumerate(view.findings):
        line = finding.line or ""
        shown = f"{finding.path}{f':{line}' if line else ''}: {finding.level} {finding.code}: {finding.message}"
        assert words[2 * place].startswith(shown)
        assert words[2 * place + 1] == f"    next: {finding.hint}"
        location = results[place]["locations"][0]["physicalLocation"]
        assert location["artifactLocation"]["uri"] == finding.path
        assert location.get("region", {}).get("startLine", "") == line
        assert (results[place]["ruleId"], results[place]["level"]) == (finding.code, finding.level)
    assert words[-1] == "3 hosts: 3 errors, 4 warnings"
    assert (view.summary.error_count, view.summary.warning_count) == (3, 4)
    assert words[-4:-1] == [
        "h1: 0 objects, 2 errors, 1 warning",
        "h2: 0 objects, 2 errors, 0 warnings",
        "h3: 0 objects, 1 error, 0 warnings",
    ]


def test_many_hosts_are_counted_not_listed() -> None:
    """A line stays a line."""
    files = [TreeFile(f"hosts/h{n}/host.yaml", f"host: h{n}\nservices: [no]\n".encode()) for n in range(5)]
    files.append(TreeFile("services/a.service", b""))
    words = list(check_lines(check_view(check(files))))
    assert any(line.endswith("[h0, h1, h2 and 2 more]") for line in words)


def test_a_sarif_log_has_what_the_standard_requires() -> None:
    """SARIF 2.1.0: version, tool name, unique rule ids, results that point at them, relative URIs, lines from 1."""
    files = (*two_hosts(), TreeFile("hosts/h1/web/config/a#b%c?d", b"", "symlink"))
    log = msgspec.json.decode(sarif(check(files), "1.2"))
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("core-ops", "1.2")
    ids = [rule["id"] for rule in driver["rules"]]
    assert ids == [rule.code for rule in rules()] == sorted(set(ids))
    for rule in driver["rules"]:
        assert rule["help"]["text"]
        assert rule["shortDescription"]["text"].endswith((".", "`."))
        assert rule["defaultConfiguration"]["level"] in {"error", "warning", "note"}
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note"}
        assert result["message"]["text"]
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        assert re.fullmatch(r"([A-Za-z0-9._~/-]|%[0-9A-F]{2})+", physical["artifactLocation"]["uri"])
        assert physical.get("region", {"startLine": 1})["startLine"] >= 1
    assert "hosts/h1/web/config/a%23b%25c%3Fd" in sarif(check(files), "1").decode()


# --- floods -----------------------------------------------------------------------------------------------------------

MIB = 1024 * 1024
CONTAINER = "[Container]\nImage=quay.io/x/web:1\n"
# By what a mebibyte is full of: the file, its text up to there, one line of it.
FLOODS = {
    "unknown-fields": ("srv-d.mount", "[Mount]\nWhat=h:/d\nWhere=/srv/d\nType=nfs\n[X-CoreOps]\n", "A=\n", "error"),
    "dangling": ("web.container", f"{INSTALL}{CONTAINER}", "Network={number}.network\n", "error"),
    "no-target": ("web.container", f"{CONTAINER}{INSTALL}", "WantedBy=x\n", "warning"),
    "prose": ("web.service", "[Service]\n", "x\n", "error"),
    "sections": ("web.container", f"{INSTALL}{CONTAINER}", "[S{number}]\nA=1\n", "warning"),
    "misplaced": ("web.container", f"{INSTALL}{CONTAINER}", "RequiresMountsFor=/x\n", "warning"),
}


@pytest.mark.parametrize("flood", sorted(FLOODS))
def test_a_file_of_faults_does_not_bury_the_rest(flood: str) -> None:
    """Twenty are listed, one says how many more there are and for which hosts, and the other file is still there."""
    name, start, line, level = FLOODS[flood]
    count = (MIB - len(start)) // len(line.format(number="000000"))
    content = start + "".join(line.format(number=number) for number in range(count))
    files = tree({f"services/web/{name}": content, "services/web/z.service": "[Service]\nExecStart\n"}, "web")
    if level == "warning":
        files = tuple(f for f in files if not f.path.endswith("z.service"))
    checked = check(files)
    said = [f for f in checked.findings if f.path.endswith(name) and f.level == level]
    assert len(said) == 21
    assert said[-1].message == f"has {count - 20} more findings than are listed, from this one on"
    assert said[-1].hosts == ("h1",)
    assert len([f for f in checked.findings if f.level == level]) == 21 + (level == "error")
    refused = outcome(files)
    assert isinstance(refused, Desired) == (level == "warning")
    assert isinstance(refused, Desired) or len(refused) == 22
    assert checked.hosts[0].errors == (22 if level == "error" else 0)


@pytest.mark.parametrize("flood", ["prose", "unknown-fields"])
def test_whoever_finds_it_stops_at_the_same_number(flood: str) -> None:
    """One more than twenty is said in full; of two more, the reader of lines and everybody else say the same."""
    name, start, line, _ = FLOODS[flood]
    for count, last in ((21, ""), (22, "has 2 more findings than are listed, from this one on")):
        refused = outcome(tree({f"services/web/{name}": start + line * count}, "web"))
        assert not isinstance(refused, Desired)
        first = start.count("\n") + 1
        assert [f.line for f in refused] == list(range(first, first + 21))
        assert last in refused[-1].message
        assert ("more findings" in refused[-1].message) == bool(last)


def test_a_host_keeps_a_finding_of_those_that_are_not_listed() -> None:
    """A host whose faults all come after the twenty of another is refused with a reason."""
    many = "".join(f"A{number}=1\n" for number in range(30))
    files = {
        "hosts/h1/host.yaml": "host: h1\nservices: [web, net]\n",
        "hosts/h2/host.yaml": "host: h2\nservices: [web]\n",
        "services/net/n.network": "[Network]\n",
        "services/web/web.container": f"{CONTAINER}[X-CoreOps]\n{many}[Container]\nNetwork=n.network\n{INSTALL}",
    }
    checked = check(tuple(TreeFile(path, text.encode()) for path, text in files.items()))
    assert [(f.line, f.hosts) for f in checked.findings if f.level == "error"][-1] == (24, ("h1", "h2"))
    assert [h.errors for h in checked.hosts] == [21, 21]
