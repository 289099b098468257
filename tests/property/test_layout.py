"""Laws of reading a source tree, on trees that nobody would write."""

import json
import random
import re
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_ops.host.directory import read_tree
from core_ops.reconcile.configs import FORBIDDEN_ROOTS
from core_ops.reconcile.guide import FORMS
from core_ops.reconcile.kinds import KINDS
from core_ops.reconcile.layout import read_layout
from core_ops.reconcile.manifest import read_host_manifest, read_service_manifest
from core_ops.reconcile.model import Desired, Directories, Finding, Source, TreeFile
from core_ops.reconcile.render import render
from core_ops.reconcile.unitfile import UnitText, parse
from trees import HOST, outcome, tree, worlds

VALID = sorted((Path(__file__).parents[2] / "fixtures" / "valid").iterdir())

_WORDS = """
    services hosts h1 web .. . config quadlet systemd overrides web.container web.container.d x.conf host.yaml service.yaml
    a@.service a@1.service a@.service.d -.mount srv.mount core-ops.service core-ops core-ops.d systemd-networkd.service
    dbus.service .hidden _note README.md ... ..x x.. ~ $HOME %E %2e%2e ..%2f * ? { \\ ..\\.. -rf --help ssh sudoers.d
"""
_PART = st.one_of(
    st.sampled_from([*_WORDS.split(), "", "\x1b[2J", "é", "a b", "a\nb", "a\0b", "\u202e", "\uff0e\uff0e", "a" * 300]),
    st.text(max_size=4),
)
_ANYWHERE = st.lists(_PART, min_size=1, max_size=7).map("/".join)
_UNITS = ["web", "web.container", "a@.service", "core-ops.service", "web.pod", "../web.container", "system.slice"]


@st.composite
def _almost_right(draw: st.DrawFn) -> str:
    """A path of one of the documented forms, with anything in its places."""
    path = draw(st.sampled_from([form for form, _ in FORMS]))
    for place in re.findall(r"<\w+>", path):
        usual = {"<service>": ["web"], "<host>": [HOST], "<unit>": _UNITS, "<name>": ["a"], "<path>": ["a", "b/c"]}
        path = path.replace(place, draw(st.one_of(st.sampled_from(usual[place]), _PART)), 1)
    return path


_PATHS = st.one_of(_ANYWHERE, _almost_right()).filter(bool)
_ROOTS = [
    "../..",
    "a/b",
    "a//b",
    "/etc",
    ".",
    "./a",
    "a/..",
    "systemd/system",
    "containers/systemd",
    "core-ops",
    "ssh",
    "~",
]
_CONTENT = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"host: h1\nservices: [web]\n",
            b"[Container]\nImage=x\n",
            b"[Container]\nImage=x\nServiceName=../../x\n",
            b"[Service]\nExecStart=/bin/true\n",
            b"[Pod]\n",
        ]
    ),
    st.one_of(st.sampled_from(_ROOTS), _PART).map(lambda root: f"config-root: {root}\n".encode(errors="replace")),
)
_KINDS = st.sampled_from(["file", "file", "file", "symlink", "submodule", "oversize", "special"])
_FILES = st.lists(
    st.builds(TreeFile, path=_PATHS, content=_CONTENT, kind=_KINDS), max_size=12, unique_by=lambda f: f.path
)
_MANIFEST = TreeFile(f"hosts/{HOST}/host.yaml", b"host: h1\nservices: [web]\n")


_BASE = (_MANIFEST, TreeFile("services/web/web.service", b"[Service]\nExecStart=/bin/true\n"))


@st.composite
def _sound_files(draw: st.DrawFn) -> tuple[TreeFile, ...]:
    """A tree with a few odd paths whose contents are in order, so that only their places can be refused."""
    paths = draw(st.sets(st.one_of(_almost_right(), _almost_right(), _ANYWHERE).filter(bool), min_size=1, max_size=2))
    root = draw(st.one_of(st.sampled_from(_ROOTS), st.just("web.d"), _PART))
    files = [*_BASE, *(TreeFile(path, _sound(path)) for path in sorted(paths - {f.path for f in _BASE}))]
    if draw(st.booleans()) and "services/web/service.yaml" not in paths:
        files.append(TreeFile("services/web/service.yaml", f"config-root: {root}\n".encode(errors="replace")))
    return tuple(files)


def _sound(path: str) -> bytes:
    name = path.rpartition("/")[2]
    kind = KINDS.get(name.rpartition(".")[2])
    if name == "service.yaml":
        return b"config-root: web.d\n"
    if kind is None or not kind.section:
        return b"[Unit]\n"
    return f"[{kind.section}]\nImage=x\nYaml=/x\nImageTag=x\nFile=/x\nExecStart=/bin/true\n".encode()


_ODD = """
    a a/b a.d/b.conf .hidden/a ~/a $HOME %E é \u202e a\\b -rf ... a/.../b %2e%2e/a \uff0e\uff0e/a
    ../a a/../../b a//b /a a/ . .. ./a a/. systemd/system/a containers/systemd/a ssh/a pam.d core-ops/a udev/rules.d web.d
"""
_PLACES = st.one_of(
    st.sampled_from([*_ODD.split(), "a b", "a\nb", ""]), st.lists(_PART, min_size=1, max_size=4).map("/".join)
)
_NAMES = st.one_of(
    st.sampled_from(["web", "web-a", "web-"]),  # what drop-ins are for
    _PLACES.filter(lambda place: "\0" not in place),  # git and the kernel end a path there
)
_OTHER_DIRECTORIES = Directories("/run/q", "/usr/lib/systemd/system", "/srv/etc")
_SERVICE = b"[Service]\nExecStart=/bin/true\n"

# Where in a tree something odd may stand: the path of a file, and what is in it.
_ODD_PATHS = {
    "config path": ("services/web/config/{}", b"a"),
    "config of a host": (f"hosts/{HOST}/web/config/{{}}", b"a"),
    "drop-in of a host": (f"hosts/{HOST}/overrides/web.service.d/{{}}.conf", b"[Unit]\n"),
    "drop-in for others": ("services/web/{}.service.d/a.conf", b"[Unit]\n"),
    "unit": ("services/web/{}.service", _SERVICE),
}


class Hostile(NamedTuple):
    """A right tree of one service with something odd in one place, and where it is to go."""

    place: str
    files: tuple[TreeFile, ...]
    directories: Directories


@st.composite
def _hostile(draw: st.DrawFn) -> Hostile:
    place = draw(st.sampled_from([*_ODD_PATHS, "config-root", "ServiceName="]))
    extra: tuple[TreeFile, ...]
    if place in _ODD_PATHS:
        path, content = _ODD_PATHS[place]
        extra = (TreeFile(path.format(draw(_NAMES)), content),)
    elif place == "config-root":
        manifest = f"config-root: {json.dumps(draw(_PLACES))}\nexclusive: {draw(st.sampled_from(['true', 'false']))}\n"
        config = TreeFile("services/web/config/a", b"a")
        extra = (config, TreeFile("services/web/service.yaml", manifest.encode()))
    else:
        container = f"[Container]\nImage=x\nServiceName={draw(_PLACES)}\n".encode(errors="replace")
        extra = (TreeFile("services/web/other.container", container),)
    own = {f.path for f in extra}
    directories = draw(st.sampled_from([Directories(), Directories(), _OTHER_DIRECTORIES]))
    base = (*_BASE, TreeFile("services/web/web-a.service", _SERVICE))
    return Hostile(place, (*(f for f in base if f.path not in own), *extra), directories)


def _stays_below(result: Desired, directories: Directories) -> None:
    units = (f"{directories.quadlet}/", f"{directories.systemd}/")
    for item in result.items:
        of_config = item.object.resource_type == "config"
        assert item.path.startswith(f"{directories.config}/" if of_config else units)
        assert not (of_config and item.path.startswith(units))
        assert not of_config or item.object.name.split("/")[1] not in FORBIDDEN_ROOTS
        assert not {"", ".", ".."} & set(item.path.split("/")[1:])
        assert "\0" not in item.path
        assert "/" not in item.unit
    for root in result.exclusive:
        assert root.startswith(f"{directories.config}/")
        assert not {"", ".", ".."} & set(root.split("/")[1:])


@given(st.one_of(_sound_files(), _FILES.map(tuple)))
@settings(max_examples=600, deadline=None)
def test_no_rendered_path_leaves_its_root(files: tuple[TreeFile, ...]) -> None:
    """Whatever the tree, every target lies below one of the three roots, and no component climbs."""
    result = outcome((_MANIFEST, *(f for f in files if f.path != _MANIFEST.path)))
    if isinstance(result, Desired):
        _stays_below(result, Directories())


@pytest.mark.parametrize("name", ["a/b", "../../x", "/x"])
def test_a_service_name_is_no_path(name: str) -> None:
    """The generator would write its unit at another place, and no command of systemd would find it."""
    unit = f"[Container]\nImage=x\nServiceName={name}\n".encode()
    result = outcome((*_BASE, TreeFile("services/web/other.container", unit)))
    assert not isinstance(result, Desired)
    assert [(f.path, f.line, f.code) for f in result] == [("services/web/other.container", 3, "BadUnit")]


def test_no_odd_part_of_a_right_tree_leaves_its_root() -> None:
    """One hostile path, root, name or set of directories at a time; enough of them are taken to prove something."""
    taken: Counter[str] = Counter()
    refused: Counter[str] = Counter()

    @given(_hostile())
    @settings(max_examples=1000, deadline=None)
    def look(hostile: Hostile) -> None:
        result = outcome(hostile.files, directories=hostile.directories)
        if isinstance(result, Desired):
            _stays_below(result, hostile.directories)
        (taken if isinstance(result, Desired) else refused)[hostile.place] += 1

    look()
    assert taken.total() > 200
    assert set(taken) == set(refused) == {*_ODD_PATHS, "config-root", "ServiceName="}


@pytest.mark.parametrize("case", VALID, ids=lambda p: p.name)
def test_directory_order_never_changes_a_byte_of_a_valid_tree(case: Path) -> None:
    """Pods, kube units, templates, instances, overlays of several hosts: each host gets the same bytes from any order."""
    files = list(read_tree(case / "tree"))
    expected = _everything(files)
    assert expected
    for seed in range(12):
        random.Random(seed).shuffle(files)  # noqa: S311 - a test's order
        assert _everything(files) == expected


def _everything(files: list[TreeFile]) -> list[bytes]:
    layout = read_layout(files)
    source = Source("1" * 40)
    return [msgspec.json.encode(render(layout, host.name, source, Directories())) for host in layout.hosts]


def test_every_kind_occurs_in_a_valid_tree() -> None:
    """What no tree holds no order could change."""
    found = {f.path.rpartition(".")[2] for case in VALID for f in read_tree(case / "tree")}
    assert set(KINDS) <= found


@given(worlds(), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_directory_order_never_changes_a_byte(files: Mapping[str, str], shuffle: random.Random) -> None:
    """The same tree in any order gives the same encoding."""
    whole = list(tree(files))
    first = msgspec.json.encode(outcome(tuple(whole)))
    shuffle.shuffle(whole)
    assert msgspec.json.encode(outcome(tuple(whole))) == first


@given(_FILES)
@settings(max_examples=200, deadline=None)
def test_every_refusal_has_a_place_and_a_next_step(files: list[TreeFile]) -> None:
    """No finding leaves a person alone."""
    for finding in read_layout(files).findings:
        assert finding.path
        assert finding.message
        assert finding.hint


@given(st.one_of(st.binary(max_size=400), st.text(alphabet="[]=\\#; \nabZ", max_size=400).map(str.encode)))
@settings(max_examples=3000, deadline=None)
def test_any_bytes_are_a_unit_or_findings(content: bytes) -> None:
    """The parser never raises, and what it accepts it keeps in order."""
    parsed = parse(content, "x.service")
    if isinstance(parsed, UnitText):
        lines = [a.line for a in parsed.assignments]
        assert lines == sorted(lines)
    else:
        assert parsed


_YAML = st.text(alphabet="ab:-[]{}&*!<>|'\"?#, \n\t\x00é", max_size=200).map(str.encode)


@given(st.one_of(st.binary(max_size=200), _YAML))
@settings(max_examples=2000, deadline=None)
def test_any_bytes_are_a_manifest_or_a_finding(content: bytes) -> None:
    """Neither manifest reader lets a foreign exception out."""
    for result in (read_host_manifest(content, "p", HOST), read_service_manifest(content, "p", "web")):
        assert not isinstance(result, Finding) or result.hint


def test_a_yaml_bomb_is_refused_at_once() -> None:
    """Aliases, merge keys and depth end the reading where they appear, in time and memory of the file's size."""
    bomb = b"a: &a [x]\n" + b"".join(b"b%d: [*a, *a]\n" % i for i in range(1000))
    began = time.process_time()
    for content in (bomb, b"[" * 200_000, b"host: h1\n<<: {services: []}\n", b"- " * 100_000):
        assert isinstance(read_host_manifest(content, "p", HOST), Finding)
    assert time.process_time() - began < 2.0


def test_a_megabyte_of_anything_is_parsed_in_linear_time() -> None:
    """Twice the input takes about twice the time, for the shapes that trip parsers."""
    for shape in (b"\\\n", b"[", b"a=b\n", b"# \\\n", b"=\n"):
        small, large = (_seconds(b"[Unit]\n" + shape * (size // len(shape))) for size in (100_000, 800_000))
        assert large < 40 * max(small, 0.002), shape


def _seconds(content: bytes) -> float:
    began = time.process_time()
    parse(content, "x.service")
    return time.process_time() - began
