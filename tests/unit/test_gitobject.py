"""Raw commits, tags and trees: one grammar decides what is signed and what is believed."""

import hashlib

import pytest

from core_ops.errors import RefusedRevisionError
from core_ops.reconcile.gitobject import (
    MAX_OBJECT_BYTES,
    TreeEntry,
    descends,
    object_id,
    parse_commit,
    parse_tag,
    parse_tree,
)

TREE, PARENT, OTHER = "1" * 40, "2" * 40, "3" * 40
WHO = "A U Thor <a@example.com> 1750000000 +0000"
ARMOR = "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n"
FOLDED = "gpgsig " + ARMOR.rstrip("\n").replace("\n", "\n ") + "\n"
PLAIN = f"tree {TREE}\nparent {PARENT}\nauthor {WHO}\ncommitter {WHO}\n\nmessage\n"
SIGNED = PLAIN.replace("\n\n", "\n" + FOLDED + "\n", 1)
TAG = f"object {PARENT}\ntype commit\ntag v1\ntagger {WHO}\n\nmessage\n"


def test_unsigned_commit_is_its_own_payload() -> None:
    """Nothing is added or lost."""
    commit = parse_commit(PLAIN.encode())
    assert (commit.tree, commit.parents, commit.committer_time) == (TREE, (PARENT,), 1750000000)
    assert (commit.payload, commit.signature) == (PLAIN.encode(), b"")


def test_signature_is_taken_out_and_the_rest_stays_byte_for_byte() -> None:
    """What remains is exactly what the key signed."""
    commit = parse_commit(SIGNED.encode())
    assert commit.payload == PLAIN.encode()
    assert commit.signature == ARMOR.encode()


def test_further_headers_around_the_signature_belong_to_the_payload() -> None:
    """Also those that run over several lines."""
    extra = "encoding ISO-8859-1\nmergetag object x\n continued\n"
    signed = PLAIN.replace("\n\n", "\n" + extra + FOLDED + "x-note y\n\n", 1)
    assert parse_commit(signed.encode()).payload == PLAIN.replace("\n\n", "\n" + extra + "x-note y\n\n", 1).encode()


def test_nul_in_the_message_is_part_of_what_is_signed() -> None:
    """libgit2's accessor stops there, which let text be added after signing."""
    raw = SIGNED.encode() + b"\0anything"
    assert parse_commit(raw).payload.endswith(b"message\n\0anything")


def test_root_and_merge_commits_have_their_parents_in_order() -> None:
    """None, one or several."""
    root = PLAIN.replace(f"parent {PARENT}\n", "")
    merge = PLAIN.replace(f"parent {PARENT}\n", f"parent {PARENT}\nparent {OTHER}\n")
    assert parse_commit(root.encode()).parents == ()
    assert parse_commit(merge.encode()).parents == (PARENT, OTHER)


def test_empty_message_is_allowed() -> None:
    """Git can make such commits."""
    assert parse_commit(PLAIN.removesuffix("message\n").encode()).payload.endswith(b"\n\n")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"tree " + b"1" * 40,
        PLAIN.replace("\n\n", "\n", 1).encode(),
        PLAIN.replace("author", "auth\0r").encode(),
        PLAIN.replace("A U Thor", "A\0U").encode(),
        PLAIN.replace(f"tree {TREE}\n", "").encode(),
        PLAIN.replace(f"tree {TREE}", f"tree {TREE}\ntree {OTHER}").encode(),
        PLAIN.replace(TREE, TREE.upper().replace("1", "A")).encode(),
        PLAIN.replace(TREE, TREE[:-1]).encode(),
        PLAIN.replace(f"author {WHO}\n", "").encode(),
        PLAIN.replace(f"committer {WHO}\n", "").encode(),
        PLAIN.replace(f"author {WHO}\ncommitter {WHO}", f"committer {WHO}\nauthor {WHO}").encode(),
        PLAIN.replace(f"committer {WHO}\n", f"committer {WHO}\nparent {OTHER}\n").encode(),
        PLAIN.replace(f"committer {WHO}\n", f"committer {WHO}\ncommitter {WHO}\n").encode(),
        PLAIN.replace(f"committer {WHO}\n", f"committer {WHO}\ntree {OTHER}\n").encode(),
        PLAIN.replace(f"committer {WHO}\n", f"committer {WHO}\n continued\n").encode(),
        PLAIN.replace("1750000000", "175000000000000").encode(),
        PLAIN.replace("1750000000", "-1").encode(),
        PLAIN.replace("+0000", "+00").encode(),
        SIGNED.replace(FOLDED, FOLDED + FOLDED).encode(),
        SIGNED.replace(FOLDED, FOLDED + "x y\n" + FOLDED).encode(),
        SIGNED.replace(FOLDED, FOLDED + FOLDED.replace("gpgsig", "gpgsig-sha256")).encode(),
        SIGNED.replace("gpgsig ", "gpgsig-sha256 ").encode(),
        SIGNED.replace(FOLDED, FOLDED.replace("gpgsig ", "gpgsigx ")).encode(),
        PLAIN.replace(f"parent {PARENT}\n", f"parent {PARENT}\n" * 65).encode(),
        PLAIN.encode() + b"x" * MAX_OBJECT_BYTES,
    ],
)
def test_any_other_commit_is_malformed(raw: bytes) -> None:
    """Each could be read in two ways by two programs."""
    with pytest.raises(RefusedRevisionError) as refusal:
        parse_commit(raw)
    assert refusal.value.code == "malformed-commit"


def test_tag_is_split_before_its_last_signature() -> None:
    """An armored block quoted in the message belongs to the message."""
    tag = parse_tag((TAG + ARMOR + "\n" + ARMOR).encode())
    assert (tag.target, tag.name, tag.tagger_time) == (PARENT, "v1", 1750000000)
    assert tag.payload == (TAG + ARMOR + "\n").encode()
    assert tag.signature == ARMOR.encode()


def test_unsigned_tag_is_its_own_payload() -> None:
    """Nothing is added or lost."""
    assert parse_tag(TAG.encode()).payload == TAG.encode()
    assert parse_tag(TAG.encode()).signature == b""


def test_tag_with_an_empty_message_can_be_signed() -> None:
    """The signature then follows the header at once."""
    bare = TAG.removesuffix("message\n")
    assert parse_tag((bare + ARMOR).encode()).payload == bare.encode()


def test_armor_that_does_not_start_a_line_is_message() -> None:
    """Git does not see a signature there either."""
    assert parse_tag((TAG + "x" + ARMOR).encode()).signature == b""


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        TAG.replace("type commit", "type tag").encode(),
        TAG.replace("type commit", "type tree").encode(),
        TAG.replace("type commit", "type blob").encode(),
        TAG.replace("tag v1", "tag v 1").encode(),
        TAG.replace("tag v1\n", "").encode(),
        TAG.replace("tag v1\n", "tag v1\ntag v2\n").encode(),
        TAG.replace(f"tagger {WHO}\n", "").encode(),
        TAG.replace(f"tagger {WHO}\n", f"tagger {WHO}\n" + FOLDED).encode(),
        TAG.replace("A U Thor", "A\0Thor").encode(),
        TAG.replace("object", "objects").encode(),
        TAG.encode() + b"x" * MAX_OBJECT_BYTES,
    ],
)
def test_any_other_tag_is_malformed(raw: bytes) -> None:
    """Also tags of other things than commits."""
    with pytest.raises(RefusedRevisionError) as refusal:
        parse_tag(raw)
    assert refusal.value.code == "malformed-object"


def _tree(*entries: tuple[bytes, bytes]) -> bytes:
    return b"".join(mode + b" " + name + b"\0" + b"\x11" * 20 for mode, name in entries)


def test_tree_entries_come_in_the_order_git_sorts_them() -> None:
    """A directory sorts as if its name ended in a slash."""
    raw = _tree((b"100644", b"a.b"), (b"40000", b"a"), (b"100755", b"b"))
    assert parse_tree(raw) == tuple(
        TreeEntry(mode, name, "11" * 20) for mode, name in ((b"100644", b"a.b"), (b"40000", b"a"), (b"100755", b"b"))
    )
    assert parse_tree(b"") == ()


@pytest.mark.parametrize(
    "raw",
    [
        _tree((b"100644", b"b"), (b"100644", b"a")),
        _tree((b"100644", b"a"), (b"100644", b"a")),
        _tree((b"40000", b"a"), (b"100644", b"a.b")),
        _tree((b"100644", b"")),
        _tree((b"100644", b"a/b")),
        _tree((b"100644", b"a"))[:-1],
        b"100644 a",
        b"100644a\0" + b"\x11" * 20,
        b"x" * 100,
    ],
)
def test_a_tree_that_can_be_read_two_ways_is_refused(raw: bytes) -> None:
    """Repeated, unsorted, empty or cut entries."""
    with pytest.raises(RefusedRevisionError) as refusal:
        parse_tree(raw)
    assert refusal.value.code == "bad-tree"


def test_object_id_is_gits() -> None:
    """The hash is over kind, size and content."""
    assert object_id("blob", b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert object_id("tree", b"") == hashlib.sha1(b"tree 0\0", usedforsecurity=False).hexdigest()


def test_descent_is_followed_through_every_parent() -> None:
    """Merges are followed on all sides."""
    parents = {"d": ("b", "c"), "c": ("a",), "b": ("root",), "a": ("root",)}
    assert all(descends("d", commit, parents) for commit in ("d", "b", "c", "a", "root"))
    assert not descends("d", "elsewhere", parents)
    assert not descends("b", "a", parents)
    assert descends("x", "x", {})


def test_descent_ends_where_parents_form_a_ring() -> None:
    """A map of parents may be a lie; the search still ends."""
    assert not descends("a", "x", {"a": ("b",), "b": ("a",)})
