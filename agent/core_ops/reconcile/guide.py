"""The authoring guide: what a person or a coding assistant has to know to write a source repository.

Its tables are those that the program works by, so the guide can't fall behind the code: a new kind, key, code or limit is in it
by being in its table. The words between the tables stand in `guidewords`, the worked example in `guideexample`.
"""

from collections.abc import Iterable, Iterator

from core_ops.errors import (
    EXIT_FAILED,
    EXIT_LOCKED,
    EXIT_NO_SOURCE_DIR,
    EXIT_OK,
    EXIT_PENDING,
    EXIT_SOURCE_REFUSED,
    EXIT_USAGE,
)
from core_ops.reconcile import manifest, nodes, sourcetree
from core_ops.reconcile.check import check
from core_ops.reconcile.checkview import check_lines, check_view
from core_ops.reconcile.configs import FORBIDDEN_ROOTS
from core_ops.reconcile.dropins import BASE_PREFIX, HOST_PREFIX
from core_ops.reconcile.guideexample import EXAMPLE
from core_ops.reconcile.guidewords import (
    CHECKING,
    EXAMPLE_NOTE,
    HEAD,
    KINDS_NOTE,
    LAYERING_NOTE,
    PLACES_NOTE,
    REFERENCES_NOTE,
    STARTS,
    YAML_NOTE,
)
from core_ops.reconcile.kinds import KINDS, NAME, NAME_LIMIT, RESERVED, UNIT_STEM, UnitName
from core_ops.reconcile.layout import RESERVED_NAMES
from core_ops.reconcile.model import Directories, TreeFile
from core_ops.reconcile.quadlet import runtime_unit
from core_ops.reconcile.references import REFERENCES
from core_ops.reconcile.rules import rules
from core_ops.reconcile.unitfile import UnitText

# Every place a file may have, and what it is there; the same table stands in the layout contract.
FORMS: tuple[tuple[str, str], ...] = (
    ("services/<service>/<unit>", "flat form: any kind of unit"),
    ("services/<service>/quadlet/<unit>", "typed form: Quadlet files"),
    ("services/<service>/systemd/<unit>", "typed form: native units"),
    ("services/<service>/<unit>.d/<name>.conf", "base drop-in, in either form beside its unit"),
    ("services/<service>/config/<path>", "config file"),
    ("services/<service>/service.yaml", "optional"),
    ("hosts/<host>/host.yaml", "required"),
    ("hosts/<host>/overrides/<unit>.d/<name>.conf", "host drop-in, flat form"),
    ("hosts/<host>/<service>/quadlet/<unit>.d/<name>.conf", "host drop-in, typed form"),
    ("hosts/<host>/<service>/systemd/<unit>.d/<name>.conf", "host drop-in, typed form"),
    ("hosts/<host>/<service>/config/<path>", "replaces or adds one whole config file"),
)
# What the verbs of an author end with.
STATUSES: tuple[tuple[int, str], ...] = (
    (EXIT_OK, "no error (`check`: perhaps warnings), or nothing to do"),
    (EXIT_FAILED, "`check` found an error, or something failed"),
    (EXIT_USAGE, "the command line makes no sense"),
    (EXIT_PENDING, "`plan --exit-code`: there is something to change"),
    (EXIT_NO_SOURCE_DIR, "the given path is no directory"),
    (EXIT_SOURCE_REFUSED, "`plan` and `explain --source-repo`: the tree is refused; every finding is printed"),
    (EXIT_LOCKED, "`apply`: another run holds the lock"),
)


def guide() -> str:
    """Return the guide as Markdown, with the front matter that skill files have."""
    parts = (HEAD, _places(), _kinds(), _names(), _manifests(), _layering(), _references(), STARTS, _limits())
    return "\n".join((*parts, _findings(), _statuses(), _example(), CHECKING))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for cells in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(cells)} |\n"


def _section(title: str, *parts: str | Iterable[str]) -> str:
    texts = (part if isinstance(part, str) else "".join(part) for part in parts)
    return f"## {title}\n\n" + "\n".join(texts)


def _places() -> str:
    rows = ((f"`{form}`", meaning) for form, meaning in FORMS)
    return _section("Where files go", _table(("path", "what it is"), rows), PLACES_NOTE)


def _kinds() -> str:
    rows: list[tuple[str, ...]] = []
    for suffix, kind in sorted(KINDS.items()):
        directory = Directories().unit_path("", kind.form)
        section = f"`[{kind.section}]`" if kind.section else "none"
        unit = runtime_unit(UnitName("x", suffix), UnitText())
        form = "Quadlet" if kind.form == "quadlet" else "native"
        rows.append((f"`x.{suffix}`", form, section, f"`{directory}`", f"`{unit}`"))
    head = ("file", "form", "section it must have", "goes to", "unit that systemd knows")
    return _section("Kinds of units", _table(head, rows), KINDS_NOTE)


def _names() -> str:
    reserved = ", ".join(f"`{name}`" for name in RESERVED_NAMES)
    rows = (
        ("service, host", f"`{_shown(NAME.pattern)}`; not {reserved}. A leading `.` or `_` hides the directory."),
        ("stem of a unit", f"`{_shown(UNIT_STEM.pattern)}`, at most {NAME_LIMIT} characters with its suffix"),
        ("drop-in", f"`{_shown(NAME.pattern)}` that ends in `.conf`, at most {NAME_LIMIT} characters"),
        ("reserved units", f"names that begin with `{_shown(RESERVED.pattern)}`"),
        ("config root", f"relative to /etc, not below {', '.join(f'`{root}`' for root in FORBIDDEN_ROOTS)}"),
        ("any name", "printable ASCII without spaces; two names in a directory differ in more than case"),
    )
    return _section("Names", _table(("of", "rule"), rows))


def _shown(pattern: str) -> str:
    return pattern.replace("\\Z", "").replace("|", "\\|")  # a bar would end the cell


def _manifests() -> str:
    host = ((f"`{key}`", meaning) for key, meaning in manifest.meanings("host"))
    service = ((f"`{key}`", meaning) for key, meaning in manifest.meanings("service"))
    head = ("key", "means")
    return _section(
        "Manifests",
        "`host.yaml`, or `host.toml` with the same keys:\n",
        _table(head, host),
        "`service.yaml`, or `service.toml` with the same keys:\n",
        _table(head, service),
        YAML_NOTE,
    )


def _layering() -> str:
    rows = (
        ("`services/<service>/.../<unit>.d/<name>.conf`", f"`<unit>.d/{BASE_PREFIX}-<name>.conf`"),
        ("`hosts/<host>/.../<unit>.d/<name>.conf`", f"`<unit>.d/{HOST_PREFIX}-<name>.conf`"),
    )
    return _section("Layering", _table(("drop-in", "installed as"), rows), LAYERING_NOTE)


def _references() -> str:
    return _section("References", _table(("in", "setting", "names"), REFERENCES), REFERENCES_NOTE)


def _limits() -> str:
    rows = (
        ("one file", f"{sourcetree.MAX_FILE_BYTES >> 20} MiB"),
        ("all files below `services/` and `hosts/`", f"{sourcetree.MAX_TOTAL_BYTES >> 20} MiB"),
        ("files and directories", f"{sourcetree.MAX_ENTRIES}"),
        ("levels of directories", f"{sourcetree.MAX_DEPTH}"),
        ("one name", f"{sourcetree.MAX_NAME_BYTES} bytes; of a unit or drop-in {NAME_LIMIT} characters"),
        ("a manifest", f"{nodes.SIZE_LIMIT_BYTES >> 10} KiB, nested {nodes.DEPTH_LIMIT} levels deep"),
    )
    return _section("Limits", _table(("what", "limit"), rows))


def _findings() -> str:
    errors = ((f"`{rule.code}`", rule.text) for rule in rules() if rule.level == "error")
    doubts = ((f"`{rule.code}`", rule.text) for rule in rules() if rule.level != "error")
    head = ("code", "means")
    return _section(
        "What a check says",
        "Errors. A host that is concerned by one keeps what it has:\n",
        _table(head, errors),
        "Warnings. The host takes the revision; each is worth mending:\n",
        _table(head, doubts),
    )


def _statuses() -> str:
    return _section("Exit status", _table(("status", "means"), ((f"{status}", text) for status, text in STATUSES)))


def _example() -> str:
    files = (f"`{path}`\n\n```{_language(path)}\n{text}```\n" for path, text in sorted(EXAMPLE.items()))
    checked = check(TreeFile(path, text.encode()) for path, text in EXAMPLE.items())
    said = "\n".join(check_lines(check_view(checked)))
    return _section("A whole repository", EXAMPLE_NOTE, *files, f"```console\n$ core-ops check .\n{said}\n```\n")


def _language(path: str) -> str:
    return {"yaml": "yaml", "html": "html"}.get(path.rpartition(".")[2], "ini")
