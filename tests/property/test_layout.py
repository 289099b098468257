"""Laws of reading a source tree, on trees that nobody would write."""

import random
import time
from collections.abc import Mapping

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from core_ops.reconcile.layout import read_layout
from core_ops.reconcile.manifest import read_host_manifest, read_service_manifest
from core_ops.reconcile.model import Desired, Finding, TreeFile
from core_ops.reconcile.unitfile import UnitText, parse
from trees import HOST, outcome, tree, worlds

_PART = st.sampled_from(
    [
        *(
            "services",
            "hosts",
            HOST,
            "web",
            "..",
            ".",
            "",
            "config",
            "quadlet",
            "systemd",
            "overrides",
            "web.container",
        ),
        *(
            "web.container.d",
            "x.conf",
            "host.yaml",
            "service.yaml",
            "a@.service",
            "-.mount",
            "\x1b[2J",
            "é",
            "a b",
            "core-ops.service",
        ),
    ]
)
_PATHS = st.lists(_PART, min_size=1, max_size=7).map("/".join).filter(bool)
_CONTENT = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"host: h1\nservices: [web]\n", b"[Container]\nImage=x\n", b"config-root: ../..\n", b"config-root: a/b\n"]
    ),
)
_KINDS = st.sampled_from(["file", "file", "file", "symlink", "submodule", "oversize", "special"])
_FILES = st.lists(
    st.builds(TreeFile, path=_PATHS, content=_CONTENT, kind=_KINDS), max_size=12, unique_by=lambda f: f.path
)
_MANIFEST = TreeFile(f"hosts/{HOST}/host.yaml", b"host: h1\nservices: [web]\n")


@given(_FILES)
@settings(max_examples=1500, deadline=None)
def test_no_rendered_path_leaves_its_root(files: list[TreeFile]) -> None:
    """Whatever the tree, every target lies below one of the three roots, and no component climbs."""
    others = tuple(f for f in files if f.path != _MANIFEST.path)
    result = outcome((_MANIFEST, *others))
    items = result.items if isinstance(result, Desired) else ()
    for item in items:
        in_unit_directory = item.path.startswith(("/etc/containers/systemd/", "/etc/systemd/system/"))
        assert item.path.startswith("/etc/")
        assert in_unit_directory == (item.object.resource_type != "config")
        assert ".." not in item.path.split("/")
        assert not item.path.startswith("/etc/core-ops")


@given(worlds(), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_directory_order_never_changes_a_byte(files: Mapping[str, str], shuffle: random.Random) -> None:
    """The same tree in any order gives the same encoding."""
    whole = list(tree(files))
    first = msgspec.json.encode(outcome(tuple(whole)))
    shuffle.shuffle(whole)
    assert msgspec.json.encode(outcome(tuple(whole))) == first


@given(_FILES)
@settings(max_examples=500, deadline=None)
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
