"""Names of repositories and refs are refused before anything is asked over a network."""

import pytest

from core_ops.errors import RefusedRevisionError, SourceError
from core_ops.reconcile import remote

ID, OTHER = "1" * 40, "2" * 40


def test_https_urls_and_paths_are_repositories() -> None:
    """The parts that a request needs are told apart."""
    where = remote.parse_repository("https://me:s%20t@git.example.com:8443/ops/hosts.git/")
    assert (where.kind, where.host, where.port, where.path) == ("https", "git.example.com", 8443, "/ops/hosts.git")
    assert remote.parse_repository("https://[::1]/r").host == "::1"
    assert remote.parse_repository("file:///srv/r").location == "/srv/r"
    assert remote.parse_repository("/srv/a b").location == "/srv/a b"


@pytest.mark.parametrize(
    "repository",
    [
        "http://h/r",
        "git://h/r",
        "ssh://git@h/r",
        "git@h:r",
        "ext::sh -c x",
        "file://host/r",
        "relative/r",
        "https://h",
        "https://h/a b",
        "https:///r",
        "https://h/\x1b[2J",
        "/srv/\x1b[2J",
        "-oProxyCommand=x",
        "",
        "HTTPS://h/r",
        "https://h/" + "x" * 2000,
    ],
)
def test_every_other_transport_is_refused_by_name(repository: str) -> None:
    """No program is started and no host is asked for any of them."""
    with pytest.raises(SourceError) as refusal:
        remote.parse_repository(repository)
    assert refusal.value.code == "transport-refused"
    assert refusal.value.message.isprintable()


def test_credentials_are_not_in_a_refusal() -> None:
    """A URL that is refused may hold a password too."""
    with pytest.raises(SourceError) as refusal:
        remote.parse_repository("http://me:secret@h/r")
    assert "secret" not in refusal.value.message


def test_short_names_mean_a_branch_or_a_tag() -> None:
    """A full name means itself only."""
    assert remote.ref_names("main") == ("refs/heads/main", "refs/tags/main")
    assert remote.ref_names("refs/heads/main") == ("refs/heads/main",)


@pytest.mark.parametrize(
    "ref",
    ["", "a b", "a..b", "-x", ".x", "x.lock", "a/.b", "a//b", "/a", "a/", "a~1", "a^", "a:b", "a@{1}", "*", "\x1b"],
)
def test_names_git_would_not_take_are_refused(ref: str) -> None:
    """They could be read as options, refspecs or paths."""
    with pytest.raises(SourceError) as refusal:
        remote.ref_names(ref)
    assert refusal.value.code == "ref-invalid"


def test_a_commit_id_is_not_a_ref() -> None:
    """Servers hand out refs; the hint says so."""
    with pytest.raises(SourceError) as refusal:
        remote.ref_names(ID)
    assert refusal.value.code == "ref-is-a-commit"


def test_one_of_the_names_is_chosen() -> None:
    """Both there or none there is a question for a person."""
    names = remote.ref_names("main")
    assert remote.choose_ref(names, {"refs/heads/main": ID, "refs/heads/x": OTHER}) == "refs/heads/main"
    assert remote.choose_ref(names, {"refs/tags/main": ID}) == "refs/tags/main"
    with pytest.raises(SourceError) as both:
        remote.choose_ref(names, {"refs/heads/main": ID, "refs/tags/main": ID})
    assert (both.value.code, "refs/tags/main" in both.value.hint) == ("ref-ambiguous", True)
    with pytest.raises(SourceError) as neither:
        remote.choose_ref(names, {"refs/heads/master": ID})
    assert (neither.value.code, "refs/heads/master" in neither.value.hint) == ("ref-missing", True)


def test_ls_refs_is_gits_protocol() -> None:
    """An answer that is cut, padded or of another status is no answer."""
    assert remote.ls_refs_request(("refs/heads/main",)).endswith(b"0001001fref-prefix refs/heads/main\n0000")
    line = f"{ID} refs/heads/main\n".encode()
    packet = b"%04x" % (len(line) + 4) + line
    answer = b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n" + packet + b"0000"
    assert remote.parse_ls_refs_answer(answer) == {"refs/heads/main": ID}
    for broken in (answer[:-4], answer[:-5], answer.replace(b"200", b"500"), b"", answer.replace(b"003d", b"ffff")):
        assert remote.parse_ls_refs_answer(broken) == {}


def test_a_login_in_the_url_is_sent_as_basic_authorization() -> None:
    """Undone of its percent escapes, and only when there is one."""
    where = remote.parse_repository("https://me:s%20t@h/r")
    assert b"\r\nAuthorization: Basic bWU6cyB0\r\n" in remote.ls_refs_head(where, 3)
    assert b"Authorization" not in remote.ls_refs_head(remote.parse_repository("https://h/r"), 3)


def test_packed_refs_are_read_by_exact_name() -> None:
    """Neither a longer name nor a peeled tag is mistaken for it."""
    content = f"# pack-refs with: peeled\n{ID} refs/heads/main\n{OTHER} refs/heads/main2\n^{ID}\n".encode()
    assert remote.parse_packed_refs(content, ("refs/heads/main", "refs/tags/main")) == {"refs/heads/main": ID}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("the SSL certificate is invalid", "tls-failed"),
        ("remote authentication required but no callback set", "not-authorised"),
        ("unexpected http status code: 404", "not-a-repository"),
        ("Out of memory", "limit-exceeded"),
        ("failed to connect to h: Connection refused", "fetch-failed"),
    ],
)
def test_a_failure_is_named_by_what_a_person_can_do(text: str, code: str) -> None:
    """The code is stable, the hint is never empty and the password is hidden."""
    error = remote.failure("fetch https://me:secret@h/r", text)
    assert (error.code, "secret" in error.message, bool(error.hint)) == (code, False, True)


def test_errors_cross_a_process_boundary_unchanged() -> None:
    """What the child found out is what the operator reads."""
    for kind in (SourceError, RefusedRevisionError):
        error = remote.unpack_failure(remote.pack_failure(kind("m", code="c", hint="h")))
        assert (type(error), error.message, error.code, error.hint) == (kind, "m", "c", "h")
