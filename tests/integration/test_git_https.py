"""The store against a real https server on this machine, a good one and several bad ones."""

import fcntl
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from core_ops.errors import CoreOpsError, RefusedRevisionError, SourceError
from core_ops.host.directory import read_tree
from core_ops.host.git import GitStore
from gitserver import CertificateAuthority, HttpsGitServer
from repos import Key, Repo, make_key


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    """The key that signs."""
    return make_key(tmp_path_factory.mktemp("key"), "alice")


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """The CA that the host trusts."""
    return CertificateAuthority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def certificate(ca: CertificateAuthority) -> tuple[Path, Path]:
    """The server's certificate."""
    return ca.issue("127.0.0.1")


@pytest.fixture
def repo(tmp_path: Path, key: Key) -> Repo:
    """A repository with one signed commit."""
    repo = Repo(tmp_path / "srv/hosts")
    repo.write("services/web/web.container", "[Container]\nImage=web\n")
    repo.commit("one", key)
    return repo


@pytest.fixture
def server(repo: Repo, certificate: tuple[Path, Path]) -> Iterator[HttpsGitServer]:
    """A server of that repository."""
    with HttpsGitServer(repo.path.parent, certificate) as server:
        yield server


@pytest.fixture
def store(tmp_path: Path, ca: CertificateAuthority) -> GitStore:
    """An empty store that trusts the CA."""
    return GitStore(tmp_path / "store", ca.file, 20)


def failure(store: GitStore, url: str, anchor: str = "") -> CoreOpsError:
    """Return how a fetch fails."""
    with pytest.raises(CoreOpsError) as failed:
        store.fetch(url, "main", anchor)
    assert isinstance(failed.value, SourceError)
    assert failed.value.hint
    return failed.value


@contextmanager
def listening(answer: bytes, pause_s: float = 0.0, port: int = 0) -> Generator[str]:
    """Serve these bytes to whoever connects, slowly if asked, and yield the URL; no bytes at all is a stall."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with connection:
            try:
                for at in range(len(answer)):
                    connection.sendall(answer[at : at + 1])
                    time.sleep(pause_s)
                while not answer:
                    time.sleep(0.1)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", port)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/hosts/.git"


def fetched_once(tmp_path: Path, certificate: tuple[Path, Path], ca: CertificateAuthority) -> tuple[str, int]:
    """Fetch from a server that is gone afterwards; return what it served and the port it had."""
    with HttpsGitServer(tmp_path / "srv", certificate) as server:
        tip = GitStore(tmp_path / "store", ca.file, 20).fetch(f"{server.url}/hosts/.git", "main", "").commit
        return tip, int(server.url.rpartition(":")[2])


def test_a_branch_is_fetched_and_followed(store: GitStore, repo: Repo, server: HttpsGitServer, key: Key) -> None:
    """First the whole, then what is new."""
    url = f"{server.url}/hosts/.git"
    first = store.fetch(url, "main", "")
    assert store.tree(first.commit) == read_tree(repo.path)
    repo.write("services/web/web.container", "[Container]\nImage=two\n")
    second = repo.commit("two", key)
    revision = store.fetch(url, "main", first.commit)
    assert (revision.commit, revision.parents) == (second, {second: (first.commit,)})
    assert store.tree(second) == read_tree(repo.path)


def test_a_signed_tag_is_fetched(store: GitStore, repo: Repo, server: HttpsGitServer, key: Key) -> None:
    """Also when it is unchanged, with the same bytes."""
    tag = repo.tag("v1", key)
    revision = store.fetch(f"{server.url}/hosts/.git", "v1", "")
    assert (revision.ref, revision.tag, revision.commit) == ("refs/tags/v1", tag, repo.head())
    again = store.fetch(f"{server.url}/hosts/.git", "v1", revision.commit)
    assert (again.tag_raw, again.commit_raw) == (revision.tag_raw, revision.commit_raw)


def test_an_unchanged_remote_is_one_request_and_no_library(
    store: GitStore, repo: Repo, server: HttpsGitServer, ca: CertificateAuthority, tmp_path: Path
) -> None:
    """The everyday run pays for neither libgit2 nor, in its own process, for TLS."""
    url = f"{server.url}/hosts/.git"
    tip = store.fetch(url, "main", "").commit
    repo.git("branch", "main-too")
    before = len(server.log)
    script = (
        "import sys, pathlib; from core_ops.host.git import GitStore\n"
        "r = GitStore(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[4])).fetch(sys.argv[2], 'main', sys.argv[3])\n"
        "assert r.commit == sys.argv[3] and 'pygit2' not in sys.modules and 'ssl' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "store", url, tip, ca.file], check=True)
    assert len(server.log) == before + 1


def test_a_ref_or_repository_that_is_not_there(store: GitStore, server: HttpsGitServer) -> None:
    """The hint names the branches that are there."""
    with pytest.raises(SourceError) as missing:
        store.fetch(f"{server.url}/hosts/.git", "gone", "")
    assert (missing.value.code, "refs/heads/main" in missing.value.hint) == ("ref-missing", True)
    assert failure(store, f"{server.url}/nothing").code == "not-a-repository"


def test_a_branch_that_was_removed_is_missed(store: GitStore, repo: Repo, server: HttpsGitServer) -> None:
    """What was fetched before does not hide it."""
    url = f"{server.url}/hosts/.git"
    tip = store.fetch(url, "main", "").commit
    repo.git("checkout", "-q", "--detach")
    repo.git("branch", "-D", "main")
    assert failure(store, url, tip).code == "ref-missing"


def test_a_server_of_another_ca_is_refused(tmp_path: Path, server: HttpsGitServer) -> None:
    """With a CA file of one's own and with the usual ones; nothing is stored."""
    other = CertificateAuthority(tmp_path / "other", "other-ca")
    for file in (other.file, None):
        error = failure(GitStore(tmp_path / "store", file, 20), f"{server.url}/hosts/.git")
        assert error.code == "tls-failed"
    assert not list((tmp_path / "store/objects/pack").iterdir())


def test_a_ca_file_replaces_the_usual_ones_even_if_the_environment_names_more(
    tmp_path: Path, server: HttpsGitServer, ca: CertificateAuthority
) -> None:
    """Only the named file decides."""
    other = CertificateAuthority(tmp_path / "other", "other-ca")
    script = (
        "import sys, pathlib; from core_ops.host.git import GitStore\n"
        "GitStore(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[3])).fetch(sys.argv[2], 'main', '')"
    )
    command: list[str | Path] = [
        sys.executable,
        "-c",
        script,
        tmp_path / "store",
        f"{server.url}/hosts/.git",
        other.file,
    ]
    done = subprocess.run(command, env={"SSL_CERT_FILE": str(ca.file)}, capture_output=True, text=True, check=False)
    assert "is not accepted" in done.stderr


@pytest.mark.parametrize(("host", "days"), [("git.example.com", 30), ("127.0.0.1", -1)])
@pytest.mark.usefixtures("repo")
def test_a_wrong_name_or_an_expired_certificate_is_refused(
    store: GitStore, tmp_path: Path, ca: CertificateAuthority, host: str, days: int
) -> None:
    """The CA alone does not make a server the right one."""
    with HttpsGitServer(tmp_path / "srv", ca.issue(host, days)) as server:
        assert failure(store, f"{server.url}/hosts/.git").code == "tls-failed"


def test_an_unchanged_remote_with_a_bad_certificate_is_not_recognised(
    store: GitStore, tmp_path: Path, server: HttpsGitServer
) -> None:
    """The quick look checks the server as the long one does."""
    url = f"{server.url}/hosts/.git"
    tip = store.fetch(url, "main", "").commit
    wary = GitStore(tmp_path / "store", CertificateAuthority(tmp_path / "other", "other-ca").file, 20)
    assert failure(wary, url, tip).code == "tls-failed"


def test_a_missing_ca_file_is_named(tmp_path: Path, server: HttpsGitServer) -> None:
    """Instead of trusting something else."""
    error = failure(GitStore(tmp_path / "store", tmp_path / "gone.pem", 20), f"{server.url}/hosts/.git")
    assert (error.code, "gone.pem" in error.message) == ("tls-failed", True)


def test_a_server_that_is_down_fails_at_once(store: GitStore) -> None:
    """On the first fetch."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    started = time.monotonic()
    assert failure(store, f"https://127.0.0.1:{port}/hosts/.git").code == "fetch-failed"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(("answer", "pause_s"), [(b"", 0.0), (b"\x16\x03\x03\x20\x00" + bytes(8192), 0.1)])
@pytest.mark.usefixtures("repo")
def test_a_server_that_stalls_or_drips_is_left_at_the_deadline(
    tmp_path: Path, certificate: tuple[Path, Path], ca: CertificateAuthority, answer: bytes, pause_s: float
) -> None:
    """Both when it is looked at and when it is fetched from; libgit2's own limits are per read."""
    tip, port = fetched_once(tmp_path, certificate, ca)
    with listening(answer, pause_s, port) as url:
        for anchor in ("", tip):
            started = time.monotonic()
            error = failure(GitStore(tmp_path / "store", ca.file, 2), url, anchor)
            assert (error.code, "in time" in error.message) == ("fetch-failed", True)
            assert time.monotonic() - started < 4


def test_a_server_that_speaks_something_else_is_refused(store: GitStore) -> None:
    """No answer of it is believed."""
    with listening(b"HTTP/1.0 200 OK\r\n\r\nhello") as url:
        assert failure(store, url).code in {"fetch-failed", "tls-failed"}


def test_an_unchanged_remote_that_goes_down_is_an_error_and_the_store_stays(
    store: GitStore, tmp_path: Path, repo: Repo, certificate: tuple[Path, Path]
) -> None:
    """What was fetched can still be read."""
    with HttpsGitServer(tmp_path / "srv", certificate) as server:
        url = f"{server.url}/hosts/.git"
        tip = store.fetch(url, "main", "").commit
    assert failure(store, url, tip).code == "fetch-failed"
    assert store.tree(tip) == read_tree(repo.path)


def test_a_login_works_from_the_url_and_is_never_shown(
    store: GitStore, tmp_path: Path, repo: Repo, certificate: tuple[Path, Path]
) -> None:
    """Neither errors nor files of the store hold the password."""
    with HttpsGitServer(tmp_path / "srv", certificate, login="me:s3cret t0ken") as server:
        bare = f"{server.url}/hosts/.git"
        url = bare.replace("https://", "https://me:s3cret%20t0ken@")
        tip = store.fetch(url, "main", "").commit
        assert store.fetch(url, "main", tip).commit == repo.head()
        assert any("HTTP/1.0" in line and " 200 " in line for line in server.log)
        assert failure(store, bare).code == "not-authorised"
        wrong = failure(store, url.replace("s3cret", "wr0ng"))
        assert "wr0ng" not in wrong.message + wrong.hint + str(wrong)
    down = failure(store, url, tip)
    assert "s3cret" not in down.message + down.hint + str(down)
    kept = [path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert not any(b"s3cret" in content for content in kept)


def test_proxies_of_the_environment_are_not_asked(
    store: GitStore, repo: Repo, server: HttpsGitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sets them would see what is fetched; a proxy is a setting of its own."""
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    tip = store.fetch(f"{server.url}/hosts/.git", "main", "").commit
    assert store.fetch(f"{server.url}/hosts/.git", "main", tip).commit == repo.head()


def test_a_redirect_to_plain_http_is_not_followed(store: GitStore, certificate: tuple[Path, Path]) -> None:
    """Not a byte goes out unencrypted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    asked: list[bytes] = []

    def redirect() -> None:
        with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
            connection.recv(65536)
            place = f"http://127.0.0.1:{plain.getsockname()[1]}/hosts/.git/info/refs?service=git-upload-pack"
            connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode())

    def overhear() -> None:
        try:
            asked.append(plain.accept()[0].recv(65536))
        except OSError:
            return

    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as plain:
        for target in (redirect, overhear):
            threading.Thread(target=target, daemon=True).start()
        error = failure(store, f"https://127.0.0.1:{listener.getsockname()[1]}/hosts/.git")
    assert (error.code, asked) == ("fetch-failed", [])


_FETCH = """\
import sys
from pathlib import Path
from core_ops.errors import CoreOpsError
from core_ops.host.git import GitStore, child
child.MAX_CHILD_BYTES = 40 << 20
try:
    GitStore(Path(sys.argv[1]), Path(sys.argv[2]), 20).fetch(sys.argv[3], "main", "")
except CoreOpsError as error:
    print(error.code)
"""


def test_an_unfolding_pack_ends_at_the_memory_limit(
    store: GitStore, tmp_path: Path, repo: Repo, server: HttpsGitServer, ca: CertificateAuthority
) -> None:
    """The child ends, the store stays clean, and the next good revision is fetched.

    A process of its own fetches: this one may have given back so much memory that nothing beyond the limit is needed.
    """
    for end in (b"x", b"y"):  # two that git stores as one and a small difference: both are unfolded to index them
        repo.write("large", bytes(60 << 20) + end)
        repo.commit("large")
    repo.git("repack", "-q", "-a", "-d", "-f")
    url, where = f"{server.url}/hosts/.git", {"PYTHONPATH": ":".join(p for p in sys.path if p)}
    argv = [sys.executable, "-c", _FETCH, str(tmp_path / "store"), str(ca.file), url]
    assert subprocess.run(argv, env=where, capture_output=True, text=True, check=True).stdout == "limit-exceeded\n"
    assert [path.name for path in (tmp_path / "store/objects/pack").iterdir() if path.suffix == ".pack"] == []
    repo.git("reset", "-q", "--hard", "HEAD~2")
    assert store.fetch(url, "main", "").commit == repo.head()


def test_a_download_above_the_cap_is_refused(
    store: GitStore, server: HttpsGitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is coming in, not after."""
    monkeypatch.setattr("core_ops.host.git.download.MAX_DOWNLOAD_OBJECTS", 2)
    with pytest.raises(RefusedRevisionError) as refusal:
        store.fetch(f"{server.url}/hosts/.git", "main", "")
    assert refusal.value.code == "limit-exceeded"


# --- a killed agent ---------------------------------------------------------------------------------------------------

AGENT = """
import fcntl, sys, time
from pathlib import Path
from core_ops.host.git import GitStore, child

store, ca_file, url, anchor, lock, late = sys.argv[1:]
held = open(lock, "w")
fcntl.flock(held, fcntl.LOCK_EX)


class Slow:
    def __init__(self, libc):
        self.libc = libc

    def prctl(self, *arguments):
        time.sleep(1)
        return self.libc.prctl(*arguments)


if late:
    libc = Slow(child._libc())
    child._libc = lambda: libc
GitStore(Path(store), Path(ca_file), 60).fetch(url, "main", anchor)
"""


def can_lock(path: Path) -> bool:
    """Tell whether nobody holds the lock."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def alive(pid: int) -> bool:
    """Tell whether a process still runs; one that nobody waited for has ended too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def soon(what: Callable[[], bool], within_s: float) -> bool:
    """Tell whether something comes true in time."""
    until = time.monotonic() + within_s
    while not what() and time.monotonic() < until:
        time.sleep(0.01)
    return what()


def child_of(pid: int) -> int:
    """Wait for the process that an agent fetches with."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    assert soon(lambda: bool(children.read_text().split()), 10)
    (child,) = children.read_text().split()
    return int(child)


def open_in(pid: int) -> list[str]:
    """Return the kinds and paths of what a process has open, but for its output and what leads nowhere."""
    found: list[str] = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed by now
            found.append("" if link.name in {"1", "2"} else str(link.readlink()).partition(":")[0])
    return sorted(kind for kind in found if kind not in {"", "/dev/null"})


@contextmanager
def stalled(
    tmp_path: Path, certificate: tuple[Path, Path], ca: CertificateAuthority, moment: str
) -> Generator[tuple[subprocess.Popen[bytes], int]]:
    """Yield an agent that holds `lock` and waits for a server with a minute to go, and its child's process id."""
    tip, port = fetched_once(tmp_path, certificate, ca)
    late = "late" if moment == "before it is bound" else ""
    with listening(b"", port=port) as url:
        anchor = tip if moment == "looking" else ""
        command = [sys.executable, "-c", AGENT, str(tmp_path / "store"), str(ca.file), url, anchor]
        with subprocess.Popen([*command, str(tmp_path / "lock"), late]) as agent:
            try:
                child = child_of(agent.pid)
                assert late or soon(lambda: "socket" in open_in(child), 10)
                yield agent, child
            finally:
                agent.kill()


@pytest.mark.parametrize("moment", ["looking", "fetching", "before it is bound"])
@pytest.mark.usefixtures("repo")
def test_a_killed_agent_leaves_neither_its_lock_nor_a_process(
    tmp_path: Path, certificate: tuple[Path, Path], ca: CertificateAuthority, moment: str
) -> None:
    """SIGKILL runs no code of the agent's; the kernel ends the child, or the child sees that it is alone."""
    with stalled(tmp_path, certificate, ca, moment) as (agent, child):
        assert not can_lock(tmp_path / "lock")
        assert alive(child)
        agent.kill()
        agent.wait()
        assert soon(lambda: can_lock(tmp_path / "lock") and not alive(child), 2)


@pytest.mark.parametrize("moment", ["looking", "fetching"])
@pytest.mark.usefixtures("repo")
def test_a_child_has_nothing_of_the_agent_open(
    tmp_path: Path, certificate: tuple[Path, Path], ca: CertificateAuthority, moment: str
) -> None:
    """Only the way back and its connection: a lock that it held could outlast the agent."""
    with stalled(tmp_path, certificate, ca, moment) as (_, child):
        assert soon(lambda: open_in(child) == ["pipe", "socket"], 2), open_in(child)
