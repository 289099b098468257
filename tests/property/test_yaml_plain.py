"""The quick reader of plain manifests answers as the real one does, or not at all."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_ops.reconcile import yamlplain
from core_ops.reconcile.nodes import List
from core_ops.reconcile.yamlnodes import any_node
from core_ops.reconcile.yamlplain import plain_node

_LINE = st.sampled_from(
    [
        *(
            "host: h1",
            "services: [a, b-c]",
            "services:",
            "- a",
            "  - b.c",
            "  - b",
            " - d",
            "# note",
            "",
            "  ",
            "images: tag",
        ),
        *(
            "services: []",
            "services: [a,b , c ]",
            "services: [a b]",
            "services: [a,]",
            "host:",
            "host: yes",
            "host: 1",
            "- 1",
        ),
        *(
            "host: a b",
            "host: a # x",
            "host: a#x",
            "host : a",
            " host: a",
            "a: b: c",
            "- a: b",
            "-  a",
            "-",
            "x: -",
            "...",
            "---",
        ),
        *(
            "services: [a, , b]",
            "services: [ ]",
            "services: [a",
            "e: null",
            "e: ~",
            "\thost: a",
            "host: a\t",
            "host:\ta",
            "é: a",
        ),
        *(
            "host: h1 # é",
            "services:  # below",
            "- a # x",
            "- a #x",
            "-a",
            "?: x",
            "k: [a-]",
            "k: [-a]",
            "k: a-",
            "k: a.",
            "k:a",
        ),
    ]
)


@given(st.one_of(st.lists(_LINE, max_size=8).map("\n".join), st.text(alphabet="ab:-[], #\n\t.", max_size=40)))
@settings(max_examples=4000, deadline=None)
def test_a_plain_manifest_says_the_same_to_both_readers(text: str) -> None:
    """Wherever the quick reader answers, YAML has the same nodes on the same lines."""
    quick = plain_node(text)
    if quick is not None:
        assert quick == any_node(text)


def test_ordinary_manifests_are_plain() -> None:
    """The quick reader is there for the manifests of the examples."""
    manifests = sorted(Path(__file__).parents[2].glob("examples/*/hosts/*/host.yaml"))
    assert manifests
    for path in manifests:
        assert plain_node(path.read_text()) is not None


def test_a_long_list_is_put_together_once() -> None:
    """The largest manifest that is read takes no longer for each of its lines than a small one."""
    lengths: list[int] = []

    class Counted(List, frozen=True):
        def __post_init__(self) -> None:
            lengths.append(len(self.nodes))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yamlplain, "List", Counted)
        assert plain_node("services:\n" + "- a\n" * 1000 + "images: tag\n") is not None
    assert lengths == [1000]


@pytest.mark.parametrize("text", ["", "# only a note\n", "host:\n", "- a\n", "host: h1\nhost: h2\n", "host: 'h1'\n"])
def test_what_is_not_plain_is_left_to_the_real_reader(text: str) -> None:
    """Empty values, repeated keys, quotes and whatever else may be refused get their words from one place."""
    assert plain_node(text) is None
