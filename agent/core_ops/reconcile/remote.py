"""Names of repositories and refs, and what a failing remote means.

A repository is an https URL or an absolute path; a ref is a full `refs/...` name or a short one that exactly one branch
or tag has. Everything else is refused by name with the next step, before anything touches the network.
"""

import base64
import re
from collections.abc import Mapping
from typing import Literal

from core_ops.errors import CoreOpsError, RefusedRevisionError, SourceError, printable
from core_ops.reconcile import gitobject
from core_ops.reconcile.model import Value

MAX_NAME = 1024
_HTTPS = re.compile(r"https://(?:([!-~]+)@)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::(\d{1,5}))?(/[!-~]*)")
_REF = re.compile(r"(?!.*(?://|\.\.|@\{|/\.|\.lock(?:/|$)|[~^:?*\[\\]))(?![./-])[!-~]+(?<![./])")
_PKT_HEAD = 4


class Remote(Value, frozen=True):
    """Where to fetch from: `location` is what libgit2 is given, an https URL or an absolute path."""

    kind: Literal["https", "file"]
    location: str
    userinfo: str = ""
    host: str = ""
    port: int = 0
    path: str = ""


def parse_repository(repository: str) -> Remote:
    """Read the name of a repository.

    Raises:
        SourceError: `transport-refused`; plain http and git:// carry no server identity, ssh is not offered.
    """
    match = _HTTPS.fullmatch(repository) if len(repository) <= MAX_NAME else None
    if match:
        port = int(match[3] or 443)
        return Remote("https", repository, match[1] or "", match[2].strip("[]"), port, match[4].rstrip("/"))
    path = repository.removeprefix("file://")
    if path.startswith("/") and path.isprintable() and len(path) <= MAX_NAME:
        return Remote("file", path)
    shown = printable(repository[:200])
    raise SourceError(
        f"fetch {shown}: the agent fetches over https:// and from local directories only",
        code="transport-refused",
        hint="give an https:// URL, a file:// URL or an absolute path",
    )


def ref_names(ref: str) -> tuple[str, ...]:
    """Return the full names that a requested ref may mean: itself, or the branch and the tag of that name.

    Raises:
        SourceError: `ref-is-a-commit`, `ref-invalid`.
    """
    if gitobject.is_commit_id(ref):
        raise SourceError(
            f"fetch {ref}: a commit id is not a ref",
            code="ref-is-a-commit",
            hint="name a branch or a tag that points at the commit; git servers hand out refs",
        )
    if len(ref) > MAX_NAME or not _REF.fullmatch(ref):
        raise SourceError(
            f"fetch {printable(ref[:200])!r}: not the name of a ref",
            code="ref-invalid",
            hint="name a branch or a tag, for example main or refs/heads/main",
        )
    return (ref,) if ref.startswith("refs/") else (f"refs/heads/{ref}", f"refs/tags/{ref}")


def choose_ref(names: tuple[str, ...], served: Mapping[str, str]) -> str:
    """Return the one name of `names` that the remote serves.

    Raises:
        SourceError: `ref-missing`, `ref-ambiguous`.
    """
    found = [name for name in names if name in served]
    if len(found) == 1:
        return found[0]
    if found:
        raise SourceError(
            f"fetch {names[0].removeprefix('refs/heads/')}: a branch and a tag have this name",
            code="ref-ambiguous",
            hint=f"name one of them in full: {' or '.join(found)}",
        )
    known = ", ".join(sorted(name for name in served if name.startswith("refs/heads/"))[:5])
    raise SourceError(
        f"fetch {' or '.join(names)}: the repository has no such ref",
        code="ref-missing",
        hint=f"push it first; branches there: {printable(known) or 'none'}",
    )


def ls_refs_request(names: tuple[str, ...]) -> bytes:
    """Return the body of git's `ls-refs` request for these names (gitprotocol-v2)."""
    wanted = [b"ref-prefix " + name.encode() + b"\n" for name in names]
    head = [b"command=ls-refs\n", b"agent=core-ops\n", b"object-format=sha1\n"]
    return b"".join(_packet(line) for line in head) + b"0001" + b"".join(_packet(line) for line in wanted) + b"0000"


def _packet(line: bytes) -> bytes:
    return b"%04x" % (len(line) + _PKT_HEAD) + line


def parse_ls_refs(body: bytes) -> dict[str, str]:
    """Return name and object id of each ref in an `ls-refs` answer; nothing of an answer that is not one."""
    served: dict[str, str] = {}
    at = 0
    while body[at : at + _PKT_HEAD] != b"0000":
        size = re.fullmatch(rb"[0-9a-f]{4}", body[at : at + _PKT_HEAD])
        length = int(size[0], 16) if size else 0
        line = body[at + _PKT_HEAD : at + length]
        match = re.fullmatch(rb"([0-9a-f]{40}) (refs/[!-~]+)(?: [!-~ ]*)?\n?", line)
        if match is None or len(line) != length - _PKT_HEAD:
            return {}
        served[match[2].decode()] = match[1].decode()
        at += length
    return served


def ls_refs_head(where: Remote, length: int) -> bytes:
    """Return the head of the HTTP request that carries `ls_refs_request`; a login goes to the host of its URL only."""
    login = base64.b64encode(unquote_to_bytes(where.userinfo)).decode()
    lines = [
        f"POST {where.path}/git-upload-pack HTTP/1.0",
        f"Host: {f'[{where.host}]' if ':' in where.host else where.host}:{where.port}",
        "User-Agent: git/core-ops",
        "Git-Protocol: version=2",
        "Content-Type: application/x-git-upload-pack-request",
        "Accept: application/x-git-upload-pack-result",
        f"Content-Length: {length}",
        *([f"Authorization: Basic {login}"] if where.userinfo else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def parse_ls_refs_answer(answer: bytes) -> dict[str, str]:
    """Return the refs of a whole HTTP answer to `ls_refs_request`; nothing of one that is not 200."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return parse_ls_refs(body) if re.match(rb"HTTP/1\.[01] 200 ", head) else {}


def unquote_to_bytes(text: str) -> bytes:
    """Return the text with its percent escapes undone."""
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), text.encode())


def parse_packed_refs(content: bytes, names: tuple[str, ...]) -> dict[str, str]:
    """Return name and object id of those of `names` that a packed-refs file holds (gitrepository-layout(5))."""
    served: dict[str, str] = {}
    for name in names:
        match = re.search(rb"^([0-9a-f]{40}) " + re.escape(name.encode()) + rb"$", content, re.MULTILINE)
        if match:
            served[name] = match[1].decode()
    return served


_MEANINGS: tuple[tuple[str, str, str], ...] = (
    ("certificate", "tls-failed", "check the server's certificate, the CA file and this host's clock"),
    ("ssl error", "tls-failed", "check the server's certificate, the CA file and this host's clock"),
    ("authentication", "not-authorised", "the repository asks for a login: check the credentials in its URL"),
    ("status code: 401", "not-authorised", "the repository asks for a login: check the credentials in its URL"),
    ("status code: 403", "not-authorised", "the login may not read this repository"),
    ("status code: 404", "not-a-repository", "check the URL: the server knows no repository there"),
    ("could not find repository", "not-a-repository", "check the path: no git repository is there"),
    ("not a repository", "not-a-repository", "check the path: no git repository is there"),
    ("object format", "unsupported-repository", "the repository uses SHA-256; only SHA-1 repositories can be fetched"),
    ("is not owned by", "store-unusable", "give the store back to the user that the agent runs as, or remove it"),
    ("out of memory", "limit-exceeded", "the repository is larger than a fetch may be; remove large files from it"),
    ("file too large", "limit-exceeded", "the repository is larger than a fetch may be; remove large files from it"),
    ("no space left", "disk-full", "make room where the agent keeps its state"),
    ("failed to parse", "malformed-object", "run `git fsck` in the repository; one of its refs names a broken object"),
    ("timed out", "fetch-failed", "check the network and the server; the next run tries again"),
)


def failure(doing: str, text: str) -> SourceError:
    """Return what a libgit2 failure means to an operator, by the words libgit2 uses for it.

    Args:
        doing: What was being attempted.
        text: The library's own message.
    """
    lowered = text.lower()
    for words, code, hint in _MEANINGS:
        if words in lowered:
            return SourceError(f"{doing}: {printable(text)}", code=code, hint=hint)
    hint = "check the network and the server; the next run tries again"
    return SourceError(f"{doing}: {printable(text)}", code="fetch-failed", hint=hint)


class Failed(Value, frozen=True, tag=True):
    """A failure that crosses a process boundary."""

    refused: bool
    message: str
    code: str
    hint: str


def pack_failure(error: CoreOpsError) -> Failed:
    """Return an error as a value."""
    return Failed(isinstance(error, RefusedRevisionError), error.message, error.code, error.hint)


def unpack_failure(failed: Failed) -> CoreOpsError:
    """Return the error that a value stands for."""
    kind = RefusedRevisionError if failed.refused else SourceError
    return kind(failed.message, code=failed.code, hint=failed.hint)
