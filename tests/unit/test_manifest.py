"""Manifests in both forms: what they mean, on which line they are wrong, and that every key is documented."""

from collections.abc import Callable
from pathlib import Path

import pytest

from core_ops.reconcile.filerules import FileRule
from core_ops.reconcile.manifest import (
    KEYS,
    HostManifest,
    ServiceManifest,
    read_host_manifest,
    read_service_manifest,
)
from core_ops.reconcile.model import Desired, Finding, TreeFile
from core_ops.reconcile.nodes import DEPTH_LIMIT, List, Map, Node, Refused, Scalar
from core_ops.reconcile.tomlnodes import toml_node
from core_ops.reconcile.yamlnodes import yaml_node
from trees import outcome, spoken

LAYOUT = Path(__file__).parents[2] / "specs/001-desired-state/contracts/layout.md"
LINES = """\
# one
host = "h1" # two
[files."a/b"]
mode = 0o640
[files]
"c\\u0064".owner . name = 'x'
list = [ # seven
  1, "]", ["# no comment"],

  { x = 1979-05-27 07:32:00, "y.z" = true },
  '''
[not.a.header]
''', -1.5e3,
]
[[tables]]
[tables.inner]
[[tables]]
inner.x = \"\"\"a \\"\"\" b\"\"\"\"\"
"""
YAML_HOST, TOML_HOST = "host: h1\nservices: [web]\n", 'host = "h1"\nservices = ["web"]\n'


def lines(node: Node, way: str = "") -> dict[str, tuple[int, str]]:
    """Line and text of everything below a node, by the keys and places that lead to it."""
    match node:
        case Scalar():
            return {way: (node.line, node.text)}
        case List():
            found = {way: (node.line, "[]")}
            for place, inner in enumerate(node.nodes):
                found |= lines(inner, f"{way}/{place}")
            return found
        case Map():
            found = {way: (node.line, "{}")}
            for key, inner in node.pairs:
                assert key.line <= lines(inner)[""][0]
                found |= lines(inner, f"{way}/{key.text}")
            return found


def test_everything_in_toml_has_the_line_it_stands_on() -> None:
    """Headers, dotted and quoted keys, long strings, arrays over many lines, tables in arrays."""
    assert lines(toml_node(LINES.encode())) == {
        "": (2, "{}"),
        "/host": (2, "h1"),
        "/files": (3, "{}"),
        "/files/a/b": (3, "{}"),
        "/files/a/b/mode": (4, "0o640"),
        "/files/cd": (6, "{}"),
        "/files/cd/owner": (6, "{}"),
        "/files/cd/owner/name": (6, "x"),
        "/files/list": (7, "[]"),
        "/files/list/0": (8, "1"),
        "/files/list/1": (8, "]"),
        "/files/list/2": (8, "[]"),
        "/files/list/2/0": (8, "# no comment"),
        "/files/list/3": (10, "{}"),
        "/files/list/3/x": (10, "1979-05-27 07:32:00"),
        "/files/list/3/y.z": (10, "true"),
        "/files/list/4": (11, "[not.a.header]\n"),
        "/files/list/5": (13, "-1.5e3"),
        "/tables": (15, "[]"),
        "/tables/0": (15, "{}"),
        "/tables/0/inner": (16, "{}"),
        "/tables/1": (17, "{}"),
        "/tables/1/inner": (18, "{}"),
        "/tables/1/inner/x": (18, 'a """ b""'),
    }


def test_both_forms_say_the_same() -> None:
    """A host and a service mean the same in YAML and in TOML."""
    hosts = (
        read_host_manifest(b"host: h1\nservices: [a, b]\n", "x.yaml", "h1"),
        read_host_manifest(b'host = "h1"\nservices = ["a", "b"]\n', "x.toml", "h1"),
    )
    assert hosts == tuple(HostManifest("h1", (("a", 2), ("b", 2)), path) for path in ("x.yaml", "x.toml"))
    yaml = b"config-root: r\nexclusive: true\nfiles:\n  a: {mode: 0640, owner: app, group: 7}\n"
    toml = b'config-root = "r"\nexclusive = true\n[files]\na = {mode = 0o640, owner = "app", group = 7}\n'
    rules = (FileRule("a", 4, 0o640, "app", "7"),)
    services = (read_service_manifest(yaml, "x.yaml", "s"), read_service_manifest(toml, "x.toml", "s"))
    assert services == tuple(ServiceManifest("r", 1, True, 2, rules, path) for path in ("x.yaml", "x.toml"))  # noqa: FBT003


@pytest.mark.parametrize(
    ("text", "mode"),
    [("0640", 0o640), ("0o640", 0o640), ("0o0640", 0o640), ("0000", 0), ("0775", 0o775), ("0770", 0o770)],
)
def test_a_mode_is_octal_however_it_is_written(text: str, mode: int) -> None:
    """Four digits, or `0o` and three; YAML's own idea of a number plays no part."""
    for content, name in (
        (f"files: {{a: {{mode: {text}}}}}", "x.yaml"),
        (f"files: {{a: {{mode: '{text}'}}}}", "x.yaml"),
        (f'files.a.mode = "{text}"', "x.toml"),
    ):
        assert read_service_manifest(content.encode(), name, "s") == ServiceManifest(
            "s", files=(FileRule("a", 1, mode),), path=name
        )


@pytest.mark.parametrize("name", ["host.yaml", "host.toml"])
def test_a_message_names_the_file_that_is_there(name: str) -> None:
    """Neither the other form's name nor its way of writing appears."""
    toml = name.endswith(".toml")
    contents = ("a = 1\n", 'host = "h2"\n', 'host = "h1"\n', 'host = "h1"\nservices = "x"\n', 'services = ["x"]\n')
    other, sign = ("host.yaml", " = ") if toml else ("host.toml", ": ")
    for content in contents:
        text = content if toml else content.replace(" = ", ": ")
        found = read_host_manifest(text.encode(), f"hosts/h1/{name}", "h1")
        assert isinstance(found, Finding)
        assert other not in found.message + found.hint
        assert sign in found.hint or name in found.hint


def test_two_manifests_in_one_place_are_refused_naming_both() -> None:
    """Nobody can tell which of them counts."""
    files = (
        TreeFile("hosts/h1/host.toml", b'host = "h1"\nservices = []\n'),
        TreeFile("hosts/h1/host.yaml", b"host: h1\nservices: []\n"),
    )
    found = outcome(files)
    assert isinstance(found, tuple)
    assert [f.code for f in found] == ["HostManifestParse"]
    assert "host.toml" in found[0].message + found[0].hint
    assert "host.yaml" in found[0].path


@pytest.mark.parametrize(("begin", "read"), [("a: ", yaml_node), ("a = ", toml_node)], ids=["yaml", "toml"])
def test_depth_is_refused_one_level_past_the_limit(begin: str, read: Callable[[bytes], Node]) -> None:
    """The mapping itself is the first level, and 31 lists in it are the others."""
    deepest = DEPTH_LIMIT - 1
    text = f"{begin}{'[' * deepest}1{']' * deepest}\n"
    assert isinstance(read(text.encode()), Map)
    with pytest.raises(Refused, match="is nested deeper than 32 levels") as refused:
        read(text.replace("1", "[1]").encode())
    assert refused.value.line == 1


@pytest.mark.parametrize(("name", "text"), [("host.yaml", YAML_HOST), ("host.toml", TOML_HOST)])
def test_a_manifest_may_be_as_large_as_the_limit_and_no_byte_larger(name: str, text: str) -> None:
    """Exactly 256 KiB deploy; with one byte more the whole file is refused."""
    files = (TreeFile("services/web/web.service", b"[Service]\nExecStart=/bin/true\n"),)
    path = f"hosts/h1/{name}"
    largest = f"{text}#".encode().ljust(256 * 1024, b"x")
    assert isinstance(outcome((*files, TreeFile(path, largest))), Desired)
    found = outcome((*files, TreeFile(path, largest + b"x")))
    assert isinstance(found, tuple)
    assert [spoken(f) for f in found] == [f"{path}: HostManifestParse: is larger than 256 KiB"]


def test_a_long_name_does_not_fill_the_message() -> None:
    """A finding is read by people, whatever was written."""
    found = read_host_manifest(b"x" * 200_000 + b": 1\n", "host.yaml", "h1")
    assert isinstance(found, Finding)
    assert len(found.message) < 400


def test_every_key_is_documented_with_what_it_means() -> None:
    """The table is complete: each key stands in the layout, each sentence ends, and no key stands there twice."""
    text = LAYOUT.read_text()
    assert len({(key.manifest, key.name) for key in KEYS}) == len(KEYS)
    for key in KEYS:
        assert f"{key.name.rpartition('.')[2]}:" in text
        assert key.text.endswith(".")
