"""What the agent predicts of Quadlet files is what Podman's own generator makes of them, case by case."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from core_ops.host.directory import read_tree
from core_ops.reconcile.graph import build
from core_ops.reconcile.kinds import KINDS
from core_ops.reconcile.layout import read_layout
from core_ops.reconcile.model import Desired, Directories, Source, TreeFile
from core_ops.reconcile.preflight import staged
from core_ops.reconcile.render import render
from core_ops.reconcile.unitfile import UnitText, parse
from core_ops_verify.guest.assets import prepare_without_agent
from trees import outcome

pytestmark = pytest.mark.e2e  # the generator is that of the guests

CASES = sorted(p for p in (Path(__file__).parents[2] / "fixtures" / "quadlet").iterdir() if p.is_dir())
KEYS = {
    "after": ("After",),
    "before": ("Before",),
    "strong": ("Requires", "BindsTo", "PartOf", "Requisite"),
    "wants": ("Wants", "Requires", "BindsTo", "Upholds"),
}
_SERVICE = "services/s/"
_REJECTED = re.compile(r'(?:converting|error loading) "(?:[^"]*/)?([^"/]+)"')


class Outcome(NamedTuple):
    """Runtime units by file, edges between them as (what, from, to), and the files that no unit is made of."""

    units: Mapping[str, str]
    edges: frozenset[tuple[str, str, str]]
    rejected: frozenset[str]


def command(tree: Path) -> tuple[str, ...]:
    """How the generator of a guest's packages is run on this machine."""
    loader = next((tree / "usr").glob("lib*/ld-linux-*.so.*"))
    libraries = ":".join(str(p.parent) for p in sorted((tree / "usr/lib").glob("*/libc.so.6")))
    quadlet = next(p for p in (tree / "usr/libexec/podman/quadlet", tree / "usr/lib/podman/quadlet") if p.exists())
    return str(loader), "--library-path", libraries, str(quadlet)


class Generator:
    """Podman's generator out of the guests' packages, run with their own C library and without booting one."""

    def __init__(self, tree: Path) -> None:
        self._command = [*command(tree), "-dryrun", "-no-kmsg-log"]

    def __call__(self, directory: Path) -> Outcome:
        """What it says of a directory of Quadlet files."""
        environment = {**os.environ, "QUADLET_UNIT_DIRS": str(directory)}
        done = subprocess.run(self._command, env=environment, capture_output=True, text=True, check=False)
        assert "panic:" not in done.stderr
        texts = dict(_generated(done.stdout))
        units = {text.last("Unit", "SourcePath").rpartition("/")[2]: unit for unit, text in texts.items()}
        units |= {p.name: p.name for p in directory.iterdir() if not p.is_dir() and _is_native(p)}
        # Podman after 5.4 names the units itself; 5.4 leaves the files' names, which systemd ignores.
        edges = (
            (what, unit, units.get(word, word))
            for unit, text in texts.items()
            for what, keys in KEYS.items()
            for key in keys
            for word in text.words("Unit", key)
        )
        both = (*edges, *_mount_edges(texts, directory))
        return Outcome(units, _between(both, units), frozenset(_REJECTED.findall(done.stderr)))


def _mount_edges(texts: Mapping[str, UnitText], directory: Path) -> Iterator[tuple[str, str, str]]:
    """What systemd adds for the paths that the generator wrote down, with its own word on which path a mount is for."""
    for mount in sorted(directory.glob("*.mount")):
        unescape = ("systemd-escape", "--unescape", "--path", mount.stem)
        where = Path(subprocess.run(unescape, capture_output=True, text=True, check=True).stdout.rstrip("\n"))
        for unit, text in texts.items():
            required = {*text.words("Unit", "RequiresMountsFor"), *text.words("Service", "WorkingDirectory")}
            wanted = text.words("Unit", "WantsMountsFor")
            if any(where in (Path(p), *Path(p).parents) for p in required):
                yield from ((what, unit, mount.name) for what in ("after", "strong", "wants"))
            if any(where in (Path(p), *Path(p).parents) for p in wanted):
                yield from ((what, unit, mount.name) for what in ("after", "wants"))


def _is_native(path: Path) -> bool:
    return KINDS[path.suffix[1:]].form == "systemd"


def _generated(stdout: str) -> Iterator[tuple[str, UnitText]]:
    _, *parts = re.split(r"^---(.+)---$", stdout, flags=re.MULTILINE)
    for unit, content in zip(parts[::2], parts[1::2], strict=True):
        text = parse(content.encode(), unit)
        assert isinstance(text, UnitText), text
        yield unit, text


def _between(edges: Iterable[tuple[str, str, str]], units: Mapping[str, str]) -> frozenset[tuple[str, str, str]]:
    known = set(units.values())
    return frozenset((what, one, other) for what, one, other in edges if one != other and {one, other} <= known)


def predicted(directory: Path) -> Outcome:
    """What the agent says of the same files."""
    files = [
        TreeFile(f"{_SERVICE}{p.relative_to(directory)}", p.read_bytes()) for p in directory.rglob("*.*") if p.is_file()
    ]
    desired = outcome((TreeFile("hosts/h1/host.yaml", b"host: h1\nservices: [s]\n"), *files))
    if not isinstance(desired, Desired):
        places = (f.path.removeprefix(_SERVICE).partition("/")[0].removesuffix(".d") for f in desired)
        return Outcome({}, frozenset(), frozenset(places))
    nodes = build(desired).nodes
    units = {n.item.path.rpartition("/")[2]: unit for unit, n in nodes.items()}
    generated = {unit: n for unit, n in nodes.items() if not n.native}  # of native units the generator says nothing
    edges = (
        (what, unit, other) for unit, n in generated.items() for what in KEYS for other in getattr(n.relations, what)
    )
    return Outcome(units, _between(edges, units), frozenset())


@pytest.fixture(scope="module")
def generator() -> Generator:
    """Return the real generator."""
    return Generator(prepare_without_agent().base / "tree")


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_the_generator_agrees(case: Path, generator: Generator, tmp_path: Path) -> None:
    """The same runtime units and the same edges between them, or the same files refused."""
    shutil.copytree(case, tmp_path / "units")
    real, ours = generator(tmp_path / "units"), predicted(case)
    assert ours.rejected == real.rejected
    if not real.rejected:
        assert ours == real


def hosts() -> Iterator[tuple[Path, str]]:
    """Every host of every tree that is said to be right."""
    root = Path(__file__).parents[2]
    trees = [*(root / "fixtures" / "valid").glob("*/tree"), *(p.parent for p in (root / "examples").glob("*/hosts"))]
    for tree in sorted(trees):
        for host in read_layout(read_tree(tree)).hosts:
            yield tree, host.name


@pytest.mark.parametrize(("tree", "host"), tuple(hosts()), ids=lambda p: p if isinstance(p, str) else str(p)[-40:])
def test_the_generator_takes_what_is_accepted(tree: Path, host: str, generator: Generator, tmp_path: Path) -> None:
    """Of each host's Quadlet files it makes exactly the units that are predicted, and drops none."""
    desired = render(read_layout(read_tree(tree)), host, Source("x"), Directories())
    assert isinstance(desired, Desired), desired
    files = staged(desired).quadlet
    for name, content in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    real = generator(tmp_path)
    assert not real.rejected
    nodes = build(desired).nodes.values()
    assert real.units == {n.item.path.rpartition("/")[2]: n.unit for n in nodes if not n.native}


def test_there_are_cases_of_every_kind() -> None:
    """The folder is not empty by accident, and no kind is left out."""
    suffixes = {p.suffix[1:] for p in CASES[0].parent.rglob("*.*") if p.is_file()}
    assert len(CASES) >= 120
    kinds = {s for s, k in KINDS.items() if k.form == "quadlet"}
    assert kinds <= suffixes
    wide = {p.name for p in CASES[0].parent.rglob("*.d")}
    assert {f"{kind}.d" for kind in kinds} <= wide
    assert kinds <= {name.split(".")[1] for name in wide if "-." in name}
