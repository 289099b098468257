"""Read revisions and trees from a store of git objects, whichever way the store hands out its bytes.

The size of an object is asked before its content, the way back is walked over raw commit bytes, and nothing is
recursive: what a remote sends decides neither memory nor stack. libgit2's own walk believes files that lie beside the
    objects.
"""

from heapq import heappop, heappush
from typing import Literal, Protocol

from core_ops.errors import RefusedRevisionError
from core_ops.reconcile import gitobject, sourcetree
from core_ops.reconcile.authority import MAX_NEW_COMMITS
from core_ops.reconcile.gitobject import Commit
from core_ops.reconcile.model import TreeFile, UntrustedRevision
from core_ops.reconcile.sourcetree import Child, Reader

_MODES: dict[bytes, Literal["directory", "file", "symlink", "submodule"]] = {
    b"100644": "file",
    b"100755": "file",
    b"40000": "directory",
    b"120000": "symlink",
    b"160000": "submodule",
}


class Objects(Protocol):
    """A store of git objects; both raise RefusedRevisionError `missing-object` for one that is absent or damaged."""

    def header(self, object_id: str) -> tuple[str, int]:
        """Return an object's kind and size."""
        ...

    def read(self, object_id: str) -> bytes:
        """Return an object's raw content."""
        ...


def revision(repository: str, ref: str, object_id: str, anchor: str, objects: Objects) -> UntrustedRevision:
    """Return what a ref names: a commit, or an annotated tag and the commit it is about.

    Raises:
        RefusedRevisionError: `malformed-object`, `malformed-commit`, `missing-object`, `limit-exceeded`.
    """
    tag, tag_raw, commit = "", b"", object_id
    if objects.header(object_id)[0] == "tag":
        tag, tag_raw = object_id, _read(objects, "tag", object_id)
        commit = gitobject.parse_tag(tag_raw).target
    raw = _read(objects, "commit", commit)
    return UntrustedRevision(repository, ref, commit, raw, tag, tag_raw, ancestry(commit, anchor, objects))


def ancestry(tip: str, anchor: str, objects: Objects) -> dict[str, tuple[str, ...]]:
    """Return the parents of the commits on the way from a tip back to the anchor, at most `MAX_NEW_COMMITS`.

    The latest committer time is followed first, so that the anchor is met soon in an honest history; a lie about times
    makes the search longer, never the answer different. Without an anchor only the tip's own parents are of use.
    """
    newest = _commit(objects, tip)
    parents: dict[str, tuple[str, ...]] = {}
    waiting = [(-newest.committer_time, tip, newest.parents)]
    seen = {tip}
    while waiting and len(parents) < MAX_NEW_COMMITS:
        _, commit, parents[commit] = heappop(waiting)
        if not anchor or anchor in (commit, *parents[commit]):
            break
        for parent in parents[commit]:
            if parent not in seen:
                seen.add(parent)
                older = _commit(objects, parent)
                heappush(waiting, (-older.committer_time, parent, older.parents))
    return parents


def tree(commit: str, objects: Objects) -> tuple[TreeFile, ...]:
    """Return the entries below `services/` and `hosts/` of a commit.

    Raises:
        RefusedRevisionError: As `sourcetree.collect`, and `malformed-commit`, `malformed-object`, `missing-object`.
    """

    def children(tree_id: str) -> list[Child[str]]:
        return [
            Child(entry.name, _MODES.get(entry.mode, "special"), entry.id, entry.mode == b"100755")
            for entry in gitobject.parse_tree(_read(objects, "tree", tree_id))
        ]

    def size(blob_id: str) -> int:
        return objects.header(blob_id)[1]

    def content(blob_id: str) -> bytes:
        return _read(objects, "blob", blob_id)

    return sourcetree.collect(f"revision {commit[:12]}", _commit(objects, commit).tree, Reader(children, size, content))


def _commit(objects: Objects, commit: str) -> Commit:
    return gitobject.parse_commit(_read(objects, "commit", commit))


def _read(objects: Objects, kind: str, object_id: str) -> bytes:
    """Return the content of an object that must be of this kind and of ordinary size."""
    found, size = objects.header(object_id)
    if found != kind:
        raise RefusedRevisionError(
            f"read {kind} {object_id[:12]}: it is a {found}",
            code="malformed-object",
            hint="name a branch, or a tag of a commit",
        )
    if size > gitobject.MAX_OBJECT_BYTES:
        raise RefusedRevisionError(
            f"read {kind} {object_id[:12]}: it has {size} bytes, at most {gitobject.MAX_OBJECT_BYTES} are read",
            code="limit-exceeded",
            hint="keep commit messages and directories to an ordinary size",
        )
    return objects.read(object_id)
