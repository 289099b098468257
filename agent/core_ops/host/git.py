"""Fetch revisions with libgit2 into a store that belongs to the agent, and read them as bytes.

Nothing here is believed: what comes out is untrusted until `reconcile.authority` says otherwise. Whatever a remote
sends is taken in by a child process with a deadline and a memory limit, because libgit2's own timeouts hold per read
and a small pack can unfold to gigabytes. The store is a cache: it is cleaned before use and rebuilt when it is damaged.

libgit2 is imported when it is needed. A remote that still serves the accepted revision is recognised without it.
"""

import os
import resource
import select
import signal
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn, TypeVar

import msgspec

from core_ops.errors import CoreOpsError, RefusedRevisionError, SourceError
from core_ops.reconcile import gitread, remote
from core_ops.reconcile.model import Source, TreeFile, UntrustedRevision, Value, sha256_hex
from core_ops.reconcile.remote import Failed, Remote

if TYPE_CHECKING:
    import pygit2
    from pygit2.remotes import TransferProgress

MAX_DOWNLOAD_BYTES = 256 << 20
MAX_DOWNLOAD_OBJECTS = 500_000
MAX_CHILD_BYTES = 256 << 20  # on top of what the agent itself maps
MAX_PACKS = 64  # every fetch adds one, libgit2 never joins them: beyond this, start a new store
CONNECT_TIMEOUT_S = 20
GLANCE_S = 10
MAX_ANSWER_BYTES = 1 << 16

_CA_BUNDLES = (
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_CANDIDATE = "refs/core-ops/candidate"
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
_OURS = frozenset({"HEAD", "config", "objects", "refs", "tip.json"})
_STORE_ERRORS = frozenset({2, 4, 5, 6, 9, 11, 19})  # libgit2: os, reference, zlib, repository, odb, object, indexer

_T = TypeVar("_T")


class Served(Value, frozen=True, tag=True):
    """Refs and the objects they name, as a child found them."""

    refs: dict[str, str]


class Tip(Value, frozen=True):
    """What a fetch returned last, so that an unchanged remote needs no library to be recognised."""

    asked_sha256: str  # of repository and ref: the URL may hold a password, which is not written here
    revision: UntrustedRevision


class GitStore:
    """The agent's own store of git objects at `path`; `warnings` collects what a person may want to know."""

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
        self._again = partial(_download_capped, where, names, self._ca_file)
        if known is not None:
            return known

        def take(store: Path) -> UntrustedRevision:
            served, object_id = _download_capped(where, names, self._ca_file, store, until).popitem()
            return gitread.revision(repository, served, object_id, anchor, _Objects(store))

        revision = self._taken(take)
        tip = revision.commit
        nameless = msgspec.structs.replace(revision, repository="", parents={tip: revision.parents[tip]})
        _write(self._path / "tip.json", msgspec.json.encode(Tip(_asked(repository, ref), nameless)))
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
            return gitread.tree(commit, _Objects(self._path))
        except RefusedRevisionError as error:
            if error.code != "missing-object" or again is None:
                raise
            why = error.message

        def take(store: Path) -> tuple[TreeFile, ...]:
            again(store, until)
            return gitread.tree(commit, _Objects(store))

        return self._rebuilt(take, why)

    def provenance(self, directory: Path) -> Source:
        """Return what a plain directory holds: a commit, when it is the top of a work tree without any change.

        Raises:
            SourceError: `not-a-repository` when its `.git` is there but broken.
        """
        revision = _work_tree_revision(directory) if os.path.lexists(directory / ".git") else "(stateless)"
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
        if (tip.asked_sha256, known.commit) != (_asked(repository, ref), anchor):
            return None
        served = _glance(where, names, self._ca_file, min(until, time.monotonic() + GLANCE_S))
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
        import shutil  # noqa: PLC0415

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


def _asked(repository: str, ref: str) -> str:
    return sha256_hex(f"{repository}\n{ref}".encode())


# --- the store on disk ------------------------------------------------------------------------------------------------


def _prepare(store: Path) -> int:
    """Make the store what libgit2 may open and return its number of packs.

    Everything that could bend what is read is removed: settings, grafts, alternates, shallow marks, and the temporary
    packs that a killed fetch leaves behind for ever.
    """
    import shutil  # noqa: PLC0415

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


# --- a look that needs no library -------------------------------------------------------------------------------------


def _glance(where: Remote, names: tuple[str, ...], ca_file: Path | None, until: float) -> dict[str, str]:
    """Return which of the names the remote serves now, or nothing when that cannot be told cheaply."""
    if where.kind == "file":
        return _local_refs(Path(where.location), names)
    try:
        return _in_child(partial(_https_refs, where, names, ca_file), until)
    except SourceError:
        return {}


def _local_refs(path: Path, names: tuple[str, ...]) -> dict[str, str]:
    git = path / ".git" if _small(path / ".git/HEAD") else path
    if _small(git / "HEAD") in {b"", b"ref: refs/heads/.invalid\n"}:  # no repository here, or one with reftables
        return {}
    loose = {name: _small(git / name) for name in names}
    served = remote.parse_packed_refs(_small(git / "packed-refs"), names)
    served.update({name: content.decode("latin-1").rstrip("\n") for name, content in loose.items() if content})
    return served


def _small(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _https_refs(where: Remote, names: tuple[str, ...], ca_file: Path | None) -> dict[str, str]:
    """Ask the server for the names in one request of git's protocol 2; any surprise is no answer.

    HTTP/1.0 keeps the answer in one piece that ends with the connection.
    """
    import socket  # noqa: PLC0415
    import ssl  # noqa: PLC0415

    body = remote.ls_refs_request(names)
    head = remote.ls_refs_head(where, len(body))
    try:
        context = ssl.create_default_context(cafile=_ca_bundle(ca_file))
        with (
            socket.create_connection((where.host, where.port), CONNECT_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=where.host) as secured,
        ):
            secured.sendall(head + body)
            answer = b""
            while len(answer) < MAX_ANSWER_BYTES and (more := secured.recv(1 << 16)):
                answer += more
    except (OSError, ValueError):
        return {}
    return remote.parse_ls_refs_answer(answer)


# --- the child that takes in what a remote sends ----------------------------------------------------------------------


def _download_capped(
    where: Remote, names: tuple[str, ...], ca_file: Path | None, store: Path, until: float
) -> dict[str, str]:
    if where.kind == "file":
        try:
            Path(where.location).stat()
        except OSError as error:
            raise remote.failure(f"open {where.location}", f"not a repository: {error.strerror}") from error
    _libgit2()  # before the fork, so that both processes have it for one price
    return _in_child(partial(_download, where, names, ca_file, store), until)


def _in_child(work: Callable[[], dict[str, str]], until: float) -> dict[str, str]:
    """Run `work` in a forked process with limits and return its answer, or raise what it raised."""
    try:
        reader, writer = os.pipe()
        pid = os.fork()
    except OSError as error:
        raise remote.failure("start a process to fetch with", str(error.strerror)) from error
    if pid == 0:
        _be_child(work, writer, until)
    os.close(writer)
    try:
        content = _read_all(reader, until)
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    if not content:
        late = time.monotonic() >= until
        why = "it did not end in time" if late else f"its process died ({os.waitstatus_to_exitcode(status)})"
        hint = "check the network and the server; the next run tries again"
        raise SourceError(f"fetch: {why}", code="fetch-failed", hint=hint)
    try:
        answer = msgspec.json.decode(content, type=Served | Failed)
    except msgspec.DecodeError as error:
        raise remote.failure("fetch", "its process answered nonsense") from error
    if isinstance(answer, Failed):
        raise remote.unpack_failure(answer)
    return answer.refs


def _read_all(reader: int, until: float) -> bytes:
    """Return what the child wrote before it closed its end; nothing when the time was up first."""
    content = b""
    while select.select([reader], [], [], max(0.0, until - time.monotonic()))[0]:
        more = os.read(reader, 1 << 16)
        if not more:
            return content
        content += more
    return b""


def _be_child(work: Callable[[], dict[str, str]], writer: int, until: float) -> NoReturn:
    """Do the work and leave; the kernel ends a child whose parent is gone and cannot end it any more."""
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, max(0.001, until - time.monotonic() + 1))
        mapped = int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
        for limit, wanted in (
            (resource.RLIMIT_AS, mapped + MAX_CHILD_BYTES),
            (resource.RLIMIT_FSIZE, 2 * MAX_DOWNLOAD_BYTES),
            (resource.RLIMIT_CORE, 0),
        ):
            hardest = resource.getrlimit(limit)[1]
            size = wanted if hardest == resource.RLIM_INFINITY else min(wanted, hardest)
            resource.setrlimit(limit, (size, size))
        answer = msgspec.json.encode(_answer(work))
        while answer:
            answer = answer[os.write(writer, answer) :]
    finally:
        os._exit(0)


def _answer(work: Callable[[], dict[str, str]]) -> Served | Failed:
    try:
        return Served(work())
    except CoreOpsError as error:
        return remote.pack_failure(error)
    except MemoryError:
        return remote.pack_failure(remote.failure("fetch", "Out of memory"))


def _download(where: Remote, names: tuple[str, ...], ca_file: Path | None, store: Path) -> dict[str, str]:
    """Fetch one ref into the store and return which one it was."""
    library = _libgit2()
    try:
        repository = library.Repository(str(store), library.enums.RepositoryOpenFlag.NO_SEARCH)
        _tame(library, where, ca_file)
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
        return SourceError(meaning.message, code="store-damaged")
    return meaning


def _tame(library: ModuleType, where: Remote, ca_file: Path | None) -> None:
    """Set what libgit2 keeps for a whole process; the child is thrown away after one use."""
    options = library.enums.Option
    library.option(options.SET_SERVER_CONNECT_TIMEOUT, CONNECT_TIMEOUT_S * 1000)
    library.option(options.SET_SERVER_TIMEOUT, CONNECT_TIMEOUT_S * 1000)
    library.option(options.SET_MWINDOW_SIZE, 8 << 20)  # the default maps packs in gigabytes
    library.option(options.SET_MWINDOW_MAPPED_LIMIT, 64 << 20)
    if where.kind == "https":
        library.option(options.SET_SSL_CERT_LOCATIONS, _ca_bundle(ca_file), None)
    else:  # a repository of another user is only read: nothing in it is run and its content is not believed
        library.option(options.SET_OWNER_VALIDATION, 0)


def _callbacks(library: ModuleType) -> "pygit2.RemoteCallbacks":
    class Callbacks(library.RemoteCallbacks):  # type: ignore[name-defined,misc]
        def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:  # noqa: ARG002, FBT001
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


def _ca_bundle(ca_file: Path | None) -> str:
    for bundle in [str(ca_file)] if ca_file else _CA_BUNDLES:
        if Path(bundle).is_file():
            return bundle
    raise SourceError(
        f"find CA certificates: {ca_file or 'none of the usual bundles'} is not there",
        code="tls-failed",
        hint="install ca-certificates or name a CA file in the settings",
    )


@cache
def _libgit2() -> ModuleType:
    """Import pygit2 so that it finds no certificates and reads nobody's settings.

    It looks for OpenSSL's default certificates when imported and fails where there are none, as on Fedora with an
    interpreter built elsewhere; a child that speaks TLS names its bundle itself.
    """
    saved = {name: os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")}
    os.environ.update(SSL_CERT_FILE="/dev/null", SSL_CERT_DIR="/proc")
    try:
        import pygit2  # noqa: PLC0415
    finally:
        for name, value in saved.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    for level in (
        pygit2.enums.ConfigLevel.SYSTEM,
        pygit2.enums.ConfigLevel.GLOBAL,
        pygit2.enums.ConfigLevel.XDG,
        pygit2.enums.ConfigLevel.PROGRAMDATA,
    ):
        pygit2.option(pygit2.enums.Option.SET_SEARCH_PATH, level, "/nonexistent")
    pygit2.option(pygit2.enums.Option.SET_HOMEDIR, "/nonexistent")
    return pygit2


# --- reading what is there --------------------------------------------------------------------------------------------


class _Objects:
    """The objects of a store. The size of each is asked before it is unfolded."""

    def __init__(self, store: Path) -> None:
        self._library = _libgit2()
        self._odb: pygit2.Odb = self._library.Odb(str(store / "objects"))

    def header(self, object_id: str) -> tuple[str, int]:
        """Return kind and size."""
        try:
            kind, size = self._odb.read_header(object_id)
        except (self._library.GitError, KeyError, ValueError, OSError) as error:
            raise self._missing(object_id, error) from error
        return kind.name.lower(), size

    def read(self, object_id: str) -> bytes:
        """Return the raw content."""
        try:
            return self._odb.read(object_id)[1]
        except (self._library.GitError, KeyError, ValueError, OSError) as error:
            raise self._missing(object_id, error) from error

    def _missing(self, object_id: str, error: Exception) -> RefusedRevisionError:
        return RefusedRevisionError(
            f"read object {object_id[:12]}: {error.args[0] if error.args else 'not there'}",
            code="missing-object",
            hint="run `git fsck` in the repository; a shallow or damaged one cannot be used",
        )


def _work_tree_revision(directory: Path) -> str:
    """Return the commit a work tree stands at, or that it holds something else."""
    library = _libgit2()
    library.option(library.enums.Option.SET_OWNER_VALIDATION, 0)
    try:
        repository = library.Repository(str(directory), library.enums.RepositoryOpenFlag.NO_SEARCH)
        if repository.head_is_unborn or repository.is_bare:
            return "(stateless+dirty)"
        commit = str(repository.head.peel(library.Commit).id)
        changed = repository.status(untracked_files="all", ignored=True)
    except (library.GitError, KeyError, ValueError, OSError) as error:
        raise SourceError(
            f"read git work tree {directory}: {remote.failure('', str(error)).message.removeprefix(': ')}",
            code="not-a-repository",
            hint="repair it, or remove its .git to use it as a plain directory",
        ) from error
    finally:
        library.option(library.enums.Option.SET_OWNER_VALIDATION, 1)
    ignored = library.enums.FileStatus.IGNORED
    dirty = any(flags != ignored or path.startswith(("services/", "hosts/")) for path, flags in changed.items())
    return "(stateless+dirty)" if dirty else commit
