"""Laws of reading manifests: any bytes are understood or refused in time, and TOML means what tomllib says."""

import datetime as dt
import time
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_ops.reconcile.manifest import read_host_manifest, read_service_manifest
from core_ops.reconcile.model import Finding
from core_ops.reconcile.nodes import DEPTH_LIMIT, SIZE_LIMIT_BYTES, List, Map, Node, Refused, Scalar
from core_ops.reconcile.tomlnodes import toml_node

_PIECES = st.sampled_from(
    [
        *(
            'host = "h1"',
            'services = ["web"]',
            "[files]",
            '[files."a"]',
            "[[a]]",
            "a.b.c = 1",
            "mode = 0o640",
            "exclusive",
        ),
        *(
            "=",
            "[",
            "]",
            "{",
            "}",
            ",",
            ".",
            '"',
            '"""',
            "'",
            "'''",
            "#",
            "\\",
            "\n",
            "\r\n",
            " ",
            "\t",
            "\0",
            "é",
            "\ufeff",
        ),
        *(
            "a",
            "1",
            "0x_",
            "+inf",
            "1979-05-27",
            "07:32:00",
            "\\u0041",
            "\\UFFFFFFFF",
            "true",
            "files",
            "\ud7ff",
            "\x85",
        ),
    ]
)
_TEXTS = st.lists(_PIECES, max_size=40).map(lambda pieces: "".join(pieces).encode())


@given(st.one_of(st.binary(max_size=200), _TEXTS), st.sampled_from(["x.toml", "x.yaml"]))
@settings(max_examples=1500, deadline=None)
def test_any_bytes_are_a_manifest_or_a_finding_with_a_hint(content: bytes, name: str) -> None:
    """No reader lets a foreign exception out, and a line that is named is one of the file."""
    for result in (read_host_manifest(content, name, "h1"), read_service_manifest(content, name, "web")):
        if isinstance(result, Finding):
            assert result.message
            assert result.hint
            text = content.decode(errors="replace")
            assert 0 <= result.line <= len(text.splitlines()) + 1


# --- TOML as somebody could write it ------------------------------------------------------------------------------------

_BARE = st.text("abC01_-", min_size=1, max_size=4)
_QUOTED = st.text(st.sampled_from('a".\\#[]= é\t\U0001f600'), max_size=4)
_INDENT = st.sampled_from(["", " ", "\t", "\n", " # ]}\n"])


def _string(text: str) -> str:
    inner = "".join({'"': '\\"', "\\": "\\\\", "\t": "\\t"}.get(c, c) for c in text)
    return f'"{inner}"'


_KEY = st.one_of(_BARE, _QUOTED.map(_string), st.text("a#[ ", max_size=3).map("'{}'".format))
_DOTTED = st.lists(_KEY, min_size=1, max_size=3).map(" . ".join)
_LEAF = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(
        ["true", "false", "0o17", "0xF_F", "1979-05-27", "1979-05-27 07:32:00Z", "07:32:00.5", "-inf", "'a\\'"]
    ),
    _QUOTED.map(_string),
    st.text(st.sampled_from("a'#\n[ "), max_size=6).map(lambda t: f'"""{t}"""'),
    st.text(st.sampled_from('a"#\n[ '), max_size=6).map(lambda t: f"'''{t}'''"),
)


def _array(values: list[str], blank: str) -> str:
    return f"[{blank}{f',{blank}'.join(values)}{blank}]"


def _inline(pairs: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key} = {value}" for key, value in pairs.items()) + "}"


_VALUE = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.builds(_array, st.lists(inner, max_size=3), _INDENT), st.dictionaries(_KEY, inner, max_size=3).map(_inline)
    ),
    max_leaves=6,
)
_STATEMENT = st.one_of(
    st.builds("{} = {}".format, _DOTTED, _VALUE),
    _DOTTED.map("[{}]".format),
    _DOTTED.map("[ {} ] # a table".format),
    _DOTTED.map("[[{}]]".format),
    st.sampled_from(["", "# [no] = table"]),
)
_DOCUMENT = st.lists(_STATEMENT, min_size=1, max_size=6).map(lambda lines: "\n".join(lines) + "\n")


Said = dict[str, "Said"] | list["Said"] | str | int | float | dt.date | dt.time


def _same(node: Node, value: Said) -> bool:
    """Whether nodes hold what tomllib read; what is no string, table or array is compared by reading its text again."""
    match node:
        case Map():
            keys = [key.text for key, _ in node.pairs]
            return (
                isinstance(value, dict) and keys == list(value) and all(_same(v, value[k.text]) for k, v in node.pairs)
            )
        case List():
            return isinstance(value, list) and len(value) == len(node.nodes) and all(map(_same, node.nodes, value))
        case Scalar():
            return node.text == value if isinstance(value, str) else tomllib.loads(f"v = {node.text}") == {"v": value}


@given(_DOCUMENT)
@settings(max_examples=1500, deadline=None)
def test_toml_means_what_tomllib_says(text: str) -> None:
    """Whatever tomllib accepts is understood and means the same; whatever it refuses is refused."""
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(Refused):
            toml_node(text.encode())
        return
    if value:
        node = toml_node(text.encode())
        assert _same(node, value)
        assert all(1 <= line <= text.count("\n") for line in _lines(node))


def _lines(node: Node) -> list[int]:
    match node:
        case Scalar():
            return [node.line]
        case List():
            return [node.line, *(line for inner in node.nodes for line in _lines(inner))]
        case Map():
            return [node.line, *(line for key, inner in node.pairs for line in (key.line, *_lines(inner)))]


# --- limits ---------------------------------------------------------------------------------------------------------------

_TOML = (
    *((b"a=", shape) for shape in (b"[", b"{a=", b"'", b'"', b"1", b"a.")),
    *((b"", shape) for shape in (b"a.", b"[a]\n", b"[[a]]\n", b"[[a.b]]\n", b"# x\n", b"\n", b"\r", b"\0", b" ")),
    *((b"a=[", shape) for shape in (b"1,", b'"",', b"{b=1},", b"#\n", b"\n")),
    *((b'a="', shape) for shape in (b"\\\\", b"\\u0041", b"x")),
    *((b'a="""', shape) for shape in (b'""x', b"\\\n", b'\\"')),
    (b"a='''", b"''x"),
)
_YAML = (
    *((b"", shape) for shape in (b"- a\n", b"- ", b"? ", b"a:", b"{", b"# x\n", b"\n", b"%a b\n", b"'")),
    *((b"a: [", shape) for shape in (b"a,", b"a: b,")),
    *((b"a: ", shape) for shape in (b"x\n  ", b"&a ")),
    (b'a: "', b"\\x41"),
    (b"a: |\n", b" x\n"),
)


@pytest.mark.parametrize(
    ("name", "begin", "shape"), [*(("x.toml", *c) for c in _TOML), *(("x.yaml", *c) for c in _YAML)]
)
def test_the_largest_manifest_of_anything_is_read_in_seconds(name: str, begin: bytes, shape: bytes) -> None:
    """256 KiB of what trips parsers takes seconds and no deep stack, in either form."""
    content = begin + shape * ((SIZE_LIMIT_BYTES - len(begin)) // len(shape))
    began = time.process_time()
    assert isinstance(read_host_manifest(content, name, "h1"), Finding)
    assert time.process_time() - began < 10.0


@pytest.mark.parametrize("template", ["a = {open}{close}", "a = {tables}1{ends}", "{dotted} = 1", "[{dotted}]"])
def test_depth_is_limited_where_nobody_needs_more(template: str) -> None:
    """A little less than the limit is read, twice as much is refused for its depth, a thousand times as much too."""
    for depth in (DEPTH_LIMIT - 2, DEPTH_LIMIT * 2, DEPTH_LIMIT * 1000):
        dotted = ".".join("a" * depth)
        text = template.format(
            open="[" * depth, close="]" * depth, tables="{a=" * depth, ends="}" * depth, dotted=dotted
        )
        if depth < DEPTH_LIMIT:
            toml_node(text.encode())
        else:
            with pytest.raises(Refused, match="is nested deeper than 32"):
                toml_node(text.encode())
