"""What may stand below `services/` and `hosts/`, wherever it is read from."""

import pytest

from core_ops.errors import RefusedRevisionError
from core_ops.reconcile import sourcetree
from core_ops.reconcile.model import TreeFile
from core_ops.reconcile.sourcetree import Child, Reader, collect

Tree = dict[bytes, "bytes | Tree"]


def read(tree: Tree) -> tuple[TreeFile, ...]:
    """Collect a tree that is held in memory."""

    def children(node: "bytes | Tree") -> list[Child["bytes | Tree"]]:
        assert isinstance(node, dict)
        return [Child(name, "directory" if isinstance(below, dict) else "file", below) for name, below in node.items()]

    def content(node: "bytes | Tree") -> bytes:
        assert isinstance(node, bytes)
        return node

    top: bytes | Tree = tree
    return collect("tree", top, Reader(children, len, content))


def refused(tree: Tree) -> RefusedRevisionError:
    """Return the refusal of a tree."""
    with pytest.raises(RefusedRevisionError) as refusal:
        read(tree)
    return refusal.value


def test_only_services_and_hosts_are_read_and_sorted() -> None:
    """Whatever else a repository holds is its own affair."""
    tree: Tree = {b"x\xff": b"", b"services": {b"b": b"2", b"a": {b"z": b"1"}}, b"hosts": {b"h": b"3"}, b"README": b""}
    assert [(file.path, file.content) for file in read(tree)] == [
        ("hosts/h", b"3"),
        ("services/a/z", b"1"),
        ("services/b", b"2"),
    ]
    assert read({}) == ()


def test_a_root_that_is_a_file_is_reported_as_one() -> None:
    """Layout refuses it, with its place."""
    assert read({b"services": b"x"}) == (TreeFile("services", b"x"),)


@pytest.mark.parametrize(
    "name",
    [
        b".",
        b"..",
        b".git",
        b".GIT",
        b"a b",
        b"a/b",
        b"/etc",
        b"",
        b"a\n",
        b"a\x1b[2J",
        b"\xff",
        "é".encode(),
        b"n" * 256,
    ],
)
def test_other_names_refuse_the_tree_and_cannot_drive_a_terminal(name: bytes) -> None:
    """They could leave their place or hide in a message."""
    refusal = refused({b"services": {b"web": {name: b""}}})
    assert refusal.code == "bad-tree"
    assert "services/web/" in refusal.message
    assert refusal.message.isprintable()


def test_names_that_differ_in_case_only_are_refused() -> None:
    """They would be one file on some machines of the people who edit them."""
    assert refused({b"hosts": {b"A": b"", b"a": b""}}).code == "bad-tree"


def test_a_large_file_is_named_but_not_read() -> None:
    """Layout refuses it, with its place."""
    (file,) = read({b"hosts": {b"a": bytes(sourcetree.MAX_FILE_BYTES + 1)}})
    assert (file.kind, file.content) == ("oversize", b"")


def test_a_file_that_grows_while_it_is_read_is_oversize() -> None:
    """The size asked first is not relied upon."""

    def children(node: bytes) -> list[Child[bytes]]:
        return [Child(b"hosts", "file", node)]

    def grown(node: bytes) -> bytes:
        return node + bytes(sourcetree.MAX_FILE_BYTES + 1)

    (file,) = collect("tree", b"", Reader(children, len, grown))
    assert (file.kind, file.content) == ("oversize", b"")


def test_entries_bytes_and_depth_are_limited() -> None:
    """Each limit is met and exceeded by one."""
    deep: Tree = {b"d": b""}
    for _ in range(sourcetree.MAX_DEPTH):
        deep = {b"d": deep}
    assert refused({b"hosts": deep}).code == "limit-exceeded"
    assert refused({b"hosts": {b"%d" % n: b"" for n in range(sourcetree.MAX_ENTRIES)}}).code == "limit-exceeded"
    assert refused({b"hosts": {b"%d" % n: bytes(1 << 20) for n in range(33)}}).code == "limit-exceeded"


def test_a_tree_that_unfolds_without_end_is_refused_early() -> None:
    """Ten objects can stand for ten thousand million files."""
    node: Tree = {b"%d" % n: b"x" for n in range(10)}
    for _ in range(9):
        node = {b"%d" % n: node for n in range(10)}
    assert refused({b"hosts": node}).code == "limit-exceeded"


def test_links_and_submodules_are_returned_with_their_kind() -> None:
    """Layout refuses them, with their place."""

    def children(node: str) -> list[Child[str]]:
        kinds: list[Child[str]] = [
            Child(b"link", "symlink", ""),
            Child(b"module", "submodule", ""),
            Child(b"f", "special", ""),
        ]
        return kinds if node else [Child(b"hosts", "directory", "hosts")]

    found = collect("tree", "", Reader(children, len, str.encode))
    assert [(file.path, file.kind) for file in found] == [
        ("hosts/f", "special"),
        ("hosts/link", "symlink"),
        ("hosts/module", "submodule"),
    ]
