"""The port: fetch what a remote serves, read trees of it, keep the store on disk clean.

The store is a cache that belongs to the agent alone. Everything in it that could bend what is read is removed before
each use; a damaged one is replaced by a new one, and only when that one works. What an unchanged remote needs is here
or in `glance`: no library is imported for it.
"""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from core_ops.errors import CoreOpsError, RefusedRevisionError, SourceError
from core_ops.host.git.download import download_capped
from core_ops.host.git.glance import Tip, asked_sha256, glance
from core_ops.host.git.objects import Objects, work_tree_revision
from core_ops.reconcile import gitread, remote
from core_ops.reconcile.model import Source, TreeFile, UntrustedRevision
from core_ops.reconcile.remote import Remote

MAX_PACKS = 64  # every fetch adds one, libgit2 never joins them: beyond this, start a new store
GLANCE_S = 10

_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
_OURS = frozenset({"HEAD", "config", "objects", "refs", "tip.json"})

_T = TypeVar("_T")


class GitStore:
    """The agent's own store of git objects at `path`.

    Attributes:
        warnings: Part of the port, `core_ops.ports.Source`: what a person may want to know of the calls so far, oldest
            first, each a code and a sentence (`store-rebuilt: ...`). The store only adds to it; whoever runs reports it.
    """

    def __init__(self, path: Path, ca_file: Path | None = None, deadline_s: int = 120) -> None:
        self._path = path
        self._ca_file = ca_file
        self._deadline_s = deadline_s
        self._again: Callable[[Path, float], dict[str, str]] | None = None
        self.warnings: list[str] = []

    def fetch(self, repository: str, ref: str, anchor: str) -> UntrustedRevision:
        """Return what a remote serves under a ref now.

        Args:
            repository: An https:// URL, a file:// URL or an absolute path.
            ref: A full `refs/...` name, or the short name of exactly one branch or tag.
            anchor: Commit id that the history is followed back to: the accepted one, or the introduction; may be empty.

        Returns:
            The revision with the parents of every commit that was met on the way back, newest first, the tip's alone
            when there is no anchor or it is the anchor itself.

        Raises:
            SourceError: `transport-refused`, `ref-is-a-commit`, `ref-invalid`, `ref-missing`, `ref-ambiguous`,
                `not-a-repository`, `unsupported-repository`, `not-authorised`, `tls-failed`, `fetch-failed`,
                `limit-exceeded`, `disk-full`, `store-unusable`.
            RefusedRevisionError: `malformed-commit`, `malformed-object`, `missing-object`, `limit-exceeded`.
        """
        where, names = remote.parse_repository(repository), remote.ref_names(ref)
        until = time.monotonic() + self._deadline_s
        known = self._unchanged(where, names, (repository, ref, anchor), until)
        self._again = partial(download_capped, where, names, self._ca_file)
        if known is not None:
            return known

        def take(store: Path) -> UntrustedRevision:
            served, object_id = download_capped(where, names, self._ca_file, store, until).popitem()
            return gitread.revision(repository, served, object_id, anchor, Objects(store))

        revision = self._taken(take)
        tip = revision.commit
        nameless = msgspec.structs.replace(revision, repository="", parents={tip: revision.parents[tip]})
        _write(self._path / "tip.json", msgspec.json.encode(Tip(asked_sha256(repository, ref), nameless)))
        return revision

    def tree(self, commit: str) -> tuple[TreeFile, ...]:
        """Return the files below `services/` and `hosts/` of a commit in the store, sorted by path.

        Raises:
            RefusedRevisionError: `bad-tree`, `limit-exceeded`, `missing-object`, `malformed-commit`.
            SourceError: As `fetch`, when a damaged store has to be fetched again.
        """
        again, until = self._again, time.monotonic() + self._deadline_s
        _prepare(self._path)
        try:
            return gitread.tree(commit, Objects(self._path))
        except RefusedRevisionError as error:
            if error.code != "missing-object" or again is None:
                raise
            why = error.message

        def take(store: Path) -> tuple[TreeFile, ...]:
            again(store, until)
            return gitread.tree(commit, Objects(store))

        return self._rebuilt(take, why)

    def provenance(self, directory: Path) -> Source:
        """Return what a plain directory holds: a commit, when it is the top of a work tree without any change.

        Raises:
            SourceError: `not-a-repository` when its `.git` is there but broken.
        """
        revision = work_tree_revision(directory) if os.path.lexists(directory / ".git") else "(stateless)"
        return Source(revision, str(directory))

    def _unchanged(
        self, where: Remote, names: tuple[str, ...], asked: tuple[str, str, str], until: float
    ) -> UntrustedRevision | None:
        """Return the accepted revision when the remote still serves it: the everyday case, and the cheap one."""
        repository, ref, anchor = asked
        try:
            tip = msgspec.json.decode((self._path / "tip.json").read_bytes(), type=Tip)
        except (OSError, msgspec.DecodeError):
            return None
        known = msgspec.structs.replace(tip.revision, repository=repository)
        if (tip.asked_sha256, known.commit) != (asked_sha256(repository, ref), anchor):
            return None
        served = glance(where, names, self._ca_file, min(until, time.monotonic() + GLANCE_S))
        served = {name: served[name] for name in names if name in served}
        return known if served == {known.ref: known.tag or known.commit} else None

    def _taken(self, take: Callable[[Path], _T]) -> _T:
        """Take something in to the store, or to a new one when it is damaged or has too many packs."""
        packs, why = _prepare(self._path), ""
        if packs <= MAX_PACKS:
            try:
                return take(self._path)
            except CoreOpsError as error:
                if error.code not in {"store-damaged", "missing-object"} or not packs:
                    raise
                why = error.message
        return self._rebuilt(take, why)

    def _rebuilt(self, take: Callable[[Path], _T], why: str) -> _T:
        """Take something in to a new store, which replaces the old one only when that works."""
        import shutil

        new, old = (self._path.with_name(self._path.name + end) for end in (".new", ".old"))
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
        _prepare(new)
        taken = take(new)
        try:
            self._path.rename(old)
            new.rename(self._path)
        except OSError as error:
            raise _unusable(self._path, error) from error
        shutil.rmtree(old, ignore_errors=True)
        if why:
            self.warnings.append(f"store-rebuilt: {why}")
        return taken


# --- the store on disk ------------------------------------------------------------------------------------------------


def _prepare(store: Path) -> int:
    """Make the store what libgit2 may open and return its number of packs.

    Everything that could bend what is read is removed: settings, grafts, alternates, shallow marks, and the temporary
    packs that a killed fetch leaves behind for ever.
    """
    import shutil

    try:
        for directory in ("objects/info", "objects/pack", "refs"):
            (store / directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        for entry in [*store.iterdir(), *(store / "objects/info").iterdir()]:
            if entry.name not in _OURS:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        for lock in (store / "refs").rglob("*.lock"):  # of a fetch that was killed; nobody else will take it away
            lock.unlink()
        packs = 0
        for entry in (store / "objects/pack").iterdir():
            if not entry.name.startswith("pack-"):
                entry.unlink()
            packs += entry.suffix == ".pack"
        _write(store / "HEAD", b"ref: refs/heads/none\n")
        _write(store / "config", _CONFIG.encode())
    except OSError as error:
        raise _unusable(store, error) from error
    return packs


def _write(path: Path, content: bytes) -> None:
    """Put a small file in place, whole or not at all, if it is not there already."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
            return
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> SourceError:
    return SourceError(
        f"prepare git store at {path}: {error.strerror}",
        code="store-unusable",
        hint="check the owner, the mode and the free space of the directory",
    )
