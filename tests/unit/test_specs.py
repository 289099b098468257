"""The specs say what the code does: codes, message ids, tests and links are compared with their sources."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from core_ops import errors
from core_ops.errors import CoreOpsError
from core_ops.reconcile.events import MESSAGE_IDS

ROOT = Path(__file__).parents[2]
SPECS = ROOT / "specs"
DOCUMENTS = sorted([*SPECS.rglob("*.md"), *(ROOT / "changes").glob("*.md"), *ROOT.glob("*.md")])
FEATURES = sorted(SPECS.glob("[0-9]*/spec.md"))
HEADINGS = [
    "Observable Behaviors",
    "Invariants",
    "Idempotency Expectations",
    "Failure Modes",
    "Upgrade Considerations",
    "Required Scenario Classes",
]
SOURCES = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "agent" / "core_ops").rglob("*.py"))}

_CODE = re.compile(r"[A-Za-z][A-Za-z_-]+")
_ROW = re.compile(r"^\| `([A-Za-z_-]+)` \| (.+) \|$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


# --- codes in the source ----------------------------------------------------------------------------------------------


def constants(node: ast.expr | None) -> Iterator[str]:
    """Yield the texts that an expression can be, as far as its own words tell."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from constants(body)
            yield from constants(orelse)
        case _:
            pass


def code_places(tree: ast.Module) -> dict[str, int]:
    """Where functions of a module take a code by position; `Finding` takes it third."""
    places = {"Finding": 2}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = [a.arg for a in node.args.args if a.arg != "self"]
            if "code" in names:
                places[node.name] = names.index("code")
    return places


def name_of(call: ast.Call) -> str:
    """What is called, without what it is looked up in."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def codes_in_call(call: ast.Call, places: dict[str, int]) -> Iterator[str]:
    """Yield the codes that a call passes on."""
    for keyword in call.keywords:
        if keyword.arg == "code":
            yield from constants(keyword.value)
    place = places.get(name_of(call), len(call.args))
    if place < len(call.args):
        yield from constants(call.args[place])


def codes_in_table(loop: ast.For, tree: ast.Module) -> Iterator[str]:
    """Yield the codes of a table that a loop reads row by row, where one of its variables is named `code`."""
    match loop:
        case ast.For(target=ast.Tuple(elts=columns), iter=ast.Name(id=table)):
            names = [c.id if isinstance(c, ast.Name) else "" for c in columns]
        case _:
            return
    for node in tree.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Tuple(elts=rows)) if name == table:
                for row in rows:
                    if isinstance(row, ast.Tuple) and "code" in names:
                        yield from constants(row.elts[names.index("code")])
            case _:
                pass


def codes_of(tree: ast.Module) -> Iterator[str]:
    """Yield every code that a module can raise or report."""
    places = code_places(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                yield from codes_in_call(node, places)
            case ast.Assign(targets=[ast.Name(id="code")], value=value):
                yield from constants(value)
            case ast.For():
                yield from codes_in_table(node, tree)
            case _:
                pass


def raised() -> set[str]:
    """Every code of the agent."""
    return {code for tree in SOURCES.values() for code in codes_of(tree) if _CODE.fullmatch(code)}


def classes() -> dict[str, set[type[CoreOpsError]]]:
    """The error classes that each code is raised with, where the call says so itself."""
    found: dict[str, set[type[CoreOpsError]]] = {}
    for tree in SOURCES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                kind: object = getattr(errors, name_of(node), None)
                if isinstance(kind, type) and issubclass(kind, CoreOpsError):
                    for code in codes_in_call(node, {}):
                        found.setdefault(code, set()).add(kind)
    return found


# --- what the documents say -------------------------------------------------------------------------------------------


def error_table() -> dict[str, list[str]]:
    """The cells of the error table by code."""
    _, _, text = (SPECS / "README.md").read_text().partition("\n## Error table\n")
    rows: list[tuple[str, str]] = _ROW.findall(text)
    assert len(rows) == len({code for code, _ in rows}), "a code stands there twice"
    return {code: cells.split(" | ") for code, cells in rows}


def slugs(document: Path) -> set[str]:
    """The names by which headings of a document can be linked to."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_source_is_read_right() -> None:
    """Each way in which the source names a code is found; a silent reader would prove nothing."""
    assert {"locked", "unsigned", "tls-failed", "read-failed", "invalid", "BadUnit", "WrongKind"} <= raised()
    assert len(raised()) > 80


def test_every_code_has_a_row_and_every_row_a_code() -> None:
    """The error table lists exactly the codes that the agent can raise."""
    assert sorted(error_table()) == sorted(raised())


def test_rows_name_the_class_the_disposition_and_the_exit_status() -> None:
    """Who acts and what a script sees is what the error's class says."""
    table = error_table()
    wrong = {
        code: kind.__name__
        for code, kinds in classes().items()
        for kind in kinds
        if kind.word not in table[code][0]
        or kind.disposition.value not in table[code][1]
        or str(kind.exit_status) != table[code][2]
    }
    assert wrong == {}


def test_every_row_says_what_it_means_and_what_to_do() -> None:
    """Five cells follow a code, none of them empty, the last two a sentence."""
    short = {
        code
        for code, cells in error_table().items()
        if len(cells) != 5 or not all(cells) or not all(c.endswith((".", "`.")) for c in cells[3:])
    }
    assert short == set()


def test_the_layout_lists_every_finding() -> None:
    """The findings of a source tree are the codes in capital letters, in both places."""
    rows: list[tuple[str, str]] = _ROW.findall((SPECS / "001-desired-state/contracts/layout.md").read_text())
    assert [code for code, _ in rows] == sorted(code for code in raised() if code[0].isupper())


def test_the_trust_files_list_every_refusal() -> None:
    """The codes under the heading of signatures are those of the trust contract."""
    _, _, contract = (SPECS / "003-trust/contracts/trust-files.md").read_text().partition("\n## Refusals\n")
    _, _, table = (SPECS / "README.md").read_text().partition("\n### Who signed, and may they\n")
    listed = {code for code, _ in _ROW.findall(contract)}
    section = {code for code, _ in _ROW.findall(table.partition("\n### ")[0])}
    assert section
    assert section <= listed <= raised()


def test_journal_ids_are_those_of_the_code() -> None:
    """Whoever filters by MESSAGE_ID finds what the document promises."""
    text = (SPECS / "002-reconcile/contracts/journal.md").read_text()
    listed = dict(re.findall(r"^\| `(\w+)` \| `([0-9a-f]{32})` \|", text, re.MULTILINE))
    assert listed == {event.__name__: message_id for event, message_id in MESSAGE_IDS.items()}


@pytest.mark.parametrize("spec", FEATURES, ids=lambda p: p.parent.name)
def test_a_spec_ends_with_verification_guidance(spec: Path) -> None:
    """Its last section has the six headings, in order, and something below each."""
    _, _, guidance = spec.read_text().partition("\n## Verification Guidance\n")
    assert re.findall(r"^### (.+)$", guidance, re.MULTILINE) == HEADINGS
    assert "\n## " not in guidance
    assert all(part.strip() for part in re.split(r"^### .+$", guidance, flags=re.MULTILINE)[1:])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_tests_that_a_document_names_exist(document: Path) -> None:
    """Every relative link leads to a file, and its fragment to a heading; every test named is a test."""
    text = _FENCED.sub("", document.read_text())
    for link in _LINK.findall(text):
        if ":" not in link:
            path, _, fragment = link.partition("#")
            target = document.parent / path if path else document
            assert target.exists(), link
            assert not fragment or fragment in slugs(target), link
    tests = {name for p in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", p.read_text())}
    assert set(re.findall(r"`(test_\w+)`", text)) <= tests
