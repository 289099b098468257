"""A look at a remote that needs no library: does it still serve what it served last?

The everyday run ends here. A repository in a directory is looked at through its files; an https server is asked in a
child process, since what it answers is as hostile as a pack. Whatever cannot be told cheaply is left to a real fetch:
no answer is always a right answer.
"""

from functools import partial
from pathlib import Path

from core_ops.errors import SourceError
from core_ops.host.git.child import in_child
from core_ops.host.git.library import CONNECT_TIMEOUT_S, ca_bundle
from core_ops.reconcile import remote
from core_ops.reconcile.model import UntrustedRevision, Value, sha256_hex
from core_ops.reconcile.remote import Remote

MAX_ANSWER_BYTES = 1 << 16


class Tip(Value, frozen=True):
    """What a fetch returned last, so that an unchanged remote needs no library to be recognised."""

    asked_sha256: str  # of repository and ref: the URL may hold a password, which is not written here
    revision: UntrustedRevision


def asked_sha256(repository: str, ref: str) -> str:
    """Return what stands for a question in the store."""
    return sha256_hex(f"{repository}\n{ref}".encode())


def glance(where: Remote, names: tuple[str, ...], ca_file: Path | None, until: float) -> dict[str, str]:
    """Return which of the names the remote serves now, or nothing when that cannot be told cheaply."""
    if where.kind == "file":
        return _local_refs(Path(where.location), names)
    try:
        return in_child(partial(_https_refs, where, names, ca_file), until)
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
    import socket
    import ssl

    body = remote.ls_refs_request(names)
    head = remote.ls_refs_head(where, len(body))
    try:
        context = ssl.create_default_context(cafile=ca_bundle(ca_file))
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
