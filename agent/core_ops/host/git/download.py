"""What the child does: fetch one ref into the store, within limits that are checked while it comes in."""

from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from core_ops.errors import RefusedRevisionError, SourceError
from core_ops.host.git.child import in_child
from core_ops.host.git.library import libgit2, tame
from core_ops.reconcile import remote
from core_ops.reconcile.remote import Remote

if TYPE_CHECKING:
    import pygit2
    from pygit2.remotes import TransferProgress

MAX_DOWNLOAD_BYTES = 256 << 20
MAX_DOWNLOAD_OBJECTS = 500_000

_CANDIDATE = "refs/core-ops/candidate"
_STORE_ERRORS = frozenset({2, 4, 5, 6, 9, 11, 19})  # libgit2: os, reference, zlib, repository, odb, object, indexer


def download_capped(
    where: Remote, names: tuple[str, ...], ca_file: Path | None, store: Path, until: float
) -> dict[str, str]:
    """Fetch what the remote serves under one of the names into the store; return its full name and object id.

    Raises:
        SourceError: `store-damaged` when the store is what failed, otherwise as `GitStore.fetch`.
        RefusedRevisionError: `limit-exceeded`.
    """
    if where.kind == "file":
        try:
            Path(where.location).stat()
        except OSError as error:
            raise remote.failure(f"open {where.location}", f"not a repository: {error.strerror}") from error
    libgit2()  # before the fork, so that both processes have it for one price
    return in_child(partial(_download, where, names, ca_file, store), until)


def _download(where: Remote, names: tuple[str, ...], ca_file: Path | None, store: Path) -> dict[str, str]:
    """Fetch one ref into the store and return which one it was."""
    library = libgit2()
    try:
        repository = library.Repository(str(store), library.enums.RepositoryOpenFlag.NO_SEARCH)
        tame(library, where, ca_file)
        connection = repository.remotes.create_anonymous(where.location)
        callbacks = _callbacks(library)
        connection.connect(callbacks=callbacks, proxy=None)
        served = {head.name or "": str(head.oid) for head in connection.list_heads(connect=False)}
        ref = remote.choose_ref(names, served)
        connection.fetch([f"+{ref}:{_CANDIDATE}"], callbacks=callbacks, proxy=None)
        (store / "FETCH_HEAD").unlink(missing_ok=True)  # it holds the URL, and the password in it
        fetched = str(repository.references[_CANDIDATE].target)
    except (library.GitError, KeyError, ValueError, OSError) as error:
        raise _translate(where, store, error) from error
    if fetched != served[ref]:
        raise SourceError(
            f"fetch {where.location}: the server named {served[ref][:12]} but sent {fetched[:12]}",
            code="fetch-failed",
            hint="the ref moved while it was fetched; the next run tries again",
        )
    return {ref: fetched}


def _translate(where: Remote, store: Path, error: Exception) -> SourceError:
    """Return what a library failure means; one about files is about the store when the remote has none."""
    meaning = remote.failure(f"fetch {where.location}", str(error.args[0]) if error.args else type(error).__name__)
    about_files = getattr(error, "error_class", 0) in _STORE_ERRORS
    unclear = {"fetch-failed", "not-a-repository"} if where.kind == "https" else {"fetch-failed"}
    if about_files and meaning.code in unclear and any((store / "objects/pack").iterdir()):
        return SourceError(
            meaning.message, code="store-damaged", hint="see whether the file system below the store is sound"
        )
    return meaning


def _callbacks(library: ModuleType) -> "pygit2.RemoteCallbacks":
    class Callbacks(library.RemoteCallbacks):  # type: ignore[name-defined,misc]
        def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:  # noqa: ARG002, FBT001 - as pygit2 calls it
            if not valid:
                raise SourceError(
                    f"fetch: the certificate of {host.decode(errors='replace')} is not accepted",
                    code="tls-failed",
                    hint="check the server's certificate, the CA file and this host's clock",
                )
            return valid  # the default answer would leave it to libgit2, which accepts any SSH host key

        def transfer_progress(self, stats: "TransferProgress") -> None:
            if stats.received_bytes > MAX_DOWNLOAD_BYTES or stats.total_objects > MAX_DOWNLOAD_OBJECTS:
                raise RefusedRevisionError(
                    f"fetch: more than {MAX_DOWNLOAD_BYTES >> 20} MiB or {MAX_DOWNLOAD_OBJECTS} objects",
                    code="limit-exceeded",
                    hint="use a repository that holds host configuration only",
                )

    return Callbacks()
