"""Read raw git objects strictly: commits, annotated tags and trees as bytes, never as a library shows them.

A signature covers bytes, so what is authenticated and what is believed must be split from the same bytes by one
grammar. libgit2's own accessors stop at a NUL and follow grafts; this module knows neither libraries nor repositories.
Anything that git itself would not write is refused instead of interpreted.
"""

import hashlib
import re
from collections.abc import Mapping

from core_ops.errors import RefusedRevisionError
from core_ops.reconcile.model import Value

MAX_OBJECT_BYTES = 1 << 20  # a commit, tag or tree above this is not configuration of a host
MAX_PARENTS = 64  # git's own octopus merges stay far below

_COMMIT_ID = r"[0-9a-f]{40}"
_ID = re.compile(_COMMIT_ID)
_ID_BYTES = 20
_WHO = rb"[^\n\0]*> (\d{1,12}) [+-]\d{4}"
_COMMIT_HEAD = re.compile(
    rb"tree ([0-9a-f]{40})\n((?:parent [0-9a-f]{40}\n)*)author " + _WHO + rb"\ncommitter " + _WHO + rb"(?:\n|\Z)"
)
_ONCE = frozenset({b"tree", b"parent", b"author", b"committer"})
_TAG_HEAD = re.compile(
    rb"object ([0-9a-f]{40})\ntype ([a-z]+)\ntag ([!-~]+)\ntagger " + _WHO + rb"\n\n",
)
_ARMOR_BEGIN = b"-----BEGIN SSH SIGNATURE-----\n"


class Commit(Value, frozen=True):
    """One commit. `payload` is the body without its signature header: the bytes that were signed."""

    tree: str
    parents: tuple[str, ...]
    committer_time: int
    payload: bytes
    signature: bytes


class Tag(Value, frozen=True):
    """One annotated tag of a commit; `name` is what the signer called it, whatever ref it is served under."""

    target: str
    name: str
    tagger_time: int
    payload: bytes
    signature: bytes


class TreeEntry(Value, frozen=True):
    """One line of a tree object."""

    mode: bytes
    name: bytes
    id: str


def is_commit_id(text: str) -> bool:
    """Tell whether the text is a full SHA-1 object id in git's own spelling."""
    return _ID.fullmatch(text) is not None


def object_id(kind: str, raw: bytes) -> str:
    """Return the id git gives these bytes; the fetching library already refuses crafted SHA-1 collisions."""
    return hashlib.sha1(f"{kind} {len(raw)}\0".encode() + raw, usedforsecurity=False).hexdigest()


def parse_commit(raw: bytes) -> Commit:
    """Split a commit into its fields, its signature and what was signed.

    A NUL may stand in the message, where it is part of the payload as git sees it; in the header it would let two
    readers disagree. Two signatures, a signature of another hash, a late parent or a second tree would too.

    Args:
        raw: The object body, without git's `commit <size>` prefix.

    Returns:
        The commit; `signature` is empty when it is not signed.

    Raises:
        RefusedRevisionError: `malformed-commit`.

    Source:
        git's `parse_buffer_signed_by_header` (commit.c), gitformat-signature(5).
    """
    if len(raw) > MAX_OBJECT_BYTES:
        raise _malformed_commit(f"it has more than {MAX_OBJECT_BYTES} bytes")
    header, separator, message = raw.partition(b"\n\n")
    if not separator or b"\0" in header:
        raise _malformed_commit("its header holds a NUL or has no end")
    match = _COMMIT_HEAD.match(header)
    if match is None:
        raise _malformed_commit("its header does not start with tree, parents, author and committer")
    parents = tuple(line[7:].decode() for line in match[2].splitlines())
    if len(parents) > MAX_PARENTS:
        raise _malformed_commit(f"it names more than {MAX_PARENTS} parents")
    rest, signature = _split_signature(header[match.end() :])
    payload = header[: match.end()].removesuffix(b"\n") + rest + b"\n\n" + message
    return Commit(match[1].decode(), parents, int(match[4]), payload, signature)


def _split_signature(extra: bytes) -> tuple[bytes, bytes]:
    """Return the further header lines without the signature, each led by a newline, and the signature's own text."""
    kept = b""
    signature: list[bytes] = []
    inside = b""
    for line in extra.split(b"\n") if extra else ():
        word, _, value = line.partition(b" ")
        if not word and not inside:
            raise _malformed_commit("its header has a continuation of nothing")
        if word in _ONCE or (word.startswith(b"gpgsig") and (word != b"gpgsig" or signature)):
            raise _malformed_commit("its header repeats a field or carries a second signature")
        inside = word or inside
        if inside == b"gpgsig":
            signature.append(value)
        else:
            kept += b"\n" + line
    return kept, b"\n".join([*signature, b""]) if signature else b""


def parse_tag(raw: bytes) -> Tag:
    r"""Split an annotated tag of a commit into its fields, its signature and what was signed.

    The signature is the last armored block of the body and nothing may follow it, which the strict armor grammar holds.

    Args:
        raw: The object body, without git's `tag <size>` prefix.

    Returns:
        The tag; `signature` is empty when it is not signed.

    Raises:
        RefusedRevisionError: `malformed-object`, also for a tag of a tag, a tree or a blob.

    Source:
        git's `parse_signed_buffer` (gpg-interface.c).
    """
    match = _TAG_HEAD.match(raw) if len(raw) <= MAX_OBJECT_BYTES else None
    if match is None:
        raise _malformed("read tag: its header is not exactly object, type, tag and tagger")
    if match[2] != b"commit":
        raise _malformed(f"read tag: it names a {match[2].decode()}, not a commit")
    begin = raw.rfind(b"\n" + _ARMOR_BEGIN, match.end() - 1) + 1
    payload, signature = (raw[:begin], raw[begin:]) if begin else (raw, b"")
    return Tag(match[1].decode(), match[3].decode(), int(match[4]), payload, signature)


def parse_tree(raw: bytes) -> tuple[TreeEntry, ...]:
    """Split a tree object into its entries; names are the caller's to judge.

    Entries out of git's order or twice the same name are refused: two readers could see different files.

    Raises:
        RefusedRevisionError: `bad-tree`.
    """
    entries: list[TreeEntry] = []
    at, last = 0, b""
    while at < len(raw):
        space = raw.find(b" ", at, at + 8)
        end = raw.find(b"\0", space + 1)
        following = end + 1 + _ID_BYTES
        if space < 0 or end < 0 or following > len(raw):
            raise _bad_tree("an entry is cut short")
        mode, name = raw[at:space], raw[space + 1 : end]
        key = name + (b"/" if mode == b"40000" else b"")
        if not name or b"/" in name or key <= last:
            raise _bad_tree("its entries are empty, repeated or out of order")
        entries.append(TreeEntry(mode, name, raw[end + 1 : following].hex()))
        at, last = following, key
    return tuple(entries)


def descends(tip: str, anchor: str, parents: Mapping[str, tuple[str, ...]]) -> bool:
    """Tell whether `anchor` is `tip` or one of its ancestors, as far as `parents` tells; unknown ids lead nowhere."""
    waiting, seen = [tip], {tip}
    while waiting:
        commit = waiting.pop()
        if commit == anchor:
            return True
        new = [parent for parent in parents.get(commit, ()) if parent not in seen]
        seen.update(new)
        waiting.extend(new)
    return False


def _malformed_commit(why: str) -> RefusedRevisionError:
    return RefusedRevisionError(
        f"read commit: {why}", code="malformed-commit", hint="write the commit again with git itself"
    )


def _malformed(message: str) -> RefusedRevisionError:
    return RefusedRevisionError(message, code="malformed-object", hint="tag the commit again with `git tag -s`")


def _bad_tree(why: str) -> RefusedRevisionError:
    return RefusedRevisionError(f"read tree: {why}", code="bad-tree", hint="run `git fsck` in the repository")
