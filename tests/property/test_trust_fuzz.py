"""Whatever bytes come in, the answer is a value or one of our own errors, and nothing is forged."""

import base64
import functools
import hashlib
import string
from collections.abc import Callable

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from core_ops.errors import CoreOpsError
from core_ops.reconcile import authority, gitobject, remote, sshsig
from core_ops.reconcile.authority import Proof
from core_ops.reconcile.model import Anchor, UntrustedRevision
from core_ops.reconcile.signers import Signer, parse_allowed_signers

WHO = b"A <a@example.com> 1750000000 +0000"
SIGNATURE = b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ==\n-----END SSH SIGNATURE-----"
PIECES = [
    b"tree " + b"1" * 40 + b"\n",
    b"parent " + b"2" * 40 + b"\n",
    b"author " + WHO + b"\n",
    b"committer " + WHO + b"\n",
    b"gpgsig " + SIGNATURE.replace(b"\n", b"\n ") + b"\n",
    b"gpgsig-sha256 x\n",
    b" continued\n",
    b"encoding x\n",
    b"object " + b"1" * 40 + b"\n",
    b"type commit\n",
    b"tag v1\n",
    b"tagger " + WHO + b"\n",
    b"\n",
    b"\0",
    SIGNATURE + b"\n",
    b"message\n",
]
HONEST = b"".join(PIECES[:4]) + b"\n" + b"message\n"
objects = st.one_of(
    st.binary(max_size=400),
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=5)), max_size=12).map(b"".join),
)
wires = st.recursive(
    st.one_of(
        st.binary(max_size=80),
        st.sampled_from(
            [b"ssh-ed25519", b"ssh-rsa", b"ecdsa-sha2-nistp256", b"nistp256", b"git", b"sha512", b"", b"ssh:"]
        ),
    ),
    lambda inner: st.lists(inner, max_size=6).map(
        lambda parts: b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    ),
    max_leaves=12,
)


def answers(parse: Callable[[], object]) -> bool:
    """Tell whether the input was understood; any error but our own escapes, and so does one without words."""
    try:
        parse()
    except CoreOpsError as error:
        if error.message.isprintable() and error.code:
            return False
        raise
    return True


@given(objects)
def test_commits_tags_and_trees_of_any_bytes(raw: bytes) -> None:
    """What is understood of a commit can be put together again."""
    answers(functools.partial(gitobject.parse_tag, raw))
    answers(functools.partial(gitobject.parse_tree, raw))
    if answers(functools.partial(gitobject.parse_commit, raw)):
        commit = gitobject.parse_commit(raw)
        assert raw.startswith(b"tree " + commit.tree.encode())
        signature = b"gpgsig " + commit.signature.removesuffix(b"\n").replace(b"\n", b"\n ") + b"\n"
        whole = raw if not commit.signature else raw.replace(signature, b"", 1)
        assert whole.rstrip(b"\n") == commit.payload.rstrip(b"\n") or not commit.signature


@given(st.data())
def test_a_signature_can_be_put_in_and_taken_out(data: st.DataObject) -> None:
    """Taking it out gives back exactly what was signed."""
    extra = data.draw(st.lists(st.sampled_from([b"encoding x\n", b"x y\n z\n"]), max_size=3).map(b"".join))
    message = data.draw(st.binary(max_size=100))
    payload = b"".join(PIECES[:4]) + extra + b"\n" + message
    signed = b"".join(PIECES[:4]) + extra + PIECES[4] + b"\n" + message
    commit = gitobject.parse_commit(signed)
    assert (commit.payload, commit.signature) == (payload, SIGNATURE + b"\n")


@given(st.one_of(st.binary(max_size=300), wires, wires.map(lambda wire: b"SSHSIG\0\0\0\1" + wire)))
def test_signatures_and_keys_of_any_bytes(content: bytes) -> None:
    """Raw, armored, and built from well-formed pieces."""
    answers(functools.partial(sshsig.parse_public_key, content))
    answers(functools.partial(sshsig.parse_signature, content))
    text = base64.b64encode(content)
    lines = [text[at : at + 70] for at in range(0, len(text), 70)]
    armor = b"\n".join([b"-----BEGIN SSH SIGNATURE-----", *lines, b"-----END SSH SIGNATURE-----", b""])
    answers(functools.partial(sshsig.parse_signature, armor))


KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(32)).decode()
words = st.sampled_from(
    [
        "alice",
        KEY,
        KEY[:-4],
        'namespaces="git"',
        "valid-before=20270101Z",
        "valid-after=1Z",
        ",",
        " ",
        "\t",
        "\n",
        "#",
        '"',
        "\r",
    ]
)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(st.one_of(words, st.text(max_size=4)), max_size=10).map(lambda w: " ".join(w).encode()),
    )
)
def test_lists_of_signers_of_any_bytes(text: bytes) -> None:
    """A list that is understood names each key once."""
    if answers(functools.partial(parse_allowed_signers, text, "/etc/x")):
        signers = parse_allowed_signers(text, "/etc/x")
        assert signers
        assert len({signer.key for signer in signers}) == len(signers)


@given(st.text(max_size=60), st.binary(max_size=200))
def test_names_and_answers_of_any_text(name: str, content: bytes) -> None:
    """Names of repositories and refs, answers of servers, files of repositories."""
    answers(functools.partial(remote.parse_repository, name))
    answers(functools.partial(remote.ref_names, name))
    remote.parse_ls_refs_answer(b"HTTP/1.1 200 OK\r\n\r\n" + content)
    remote.parse_packed_refs(content, ("refs/heads/main",))


@given(st.text(alphabet=string.printable, max_size=40))
def test_a_ref_that_is_taken_is_one_git_can_have(name: str) -> None:
    """Nothing that is taken can be read as an option, a refspec or a pattern."""
    if answers(functools.partial(remote.ref_names, name)):
        assert not set(name) & set(" ~^:?*[\\\n\t\0")
        assert ".." not in name
        assert not name.startswith(("-", "/", "."))


COMMIT = gitobject.object_id("commit", HONEST)
CANDIDATE = UntrustedRevision("r", "refs/heads/main", COMMIT, HONEST, parents={COMMIT: ("2" * 40,)})
PART = authority.signed_part(CANDIDATE)
SIGNER = Signer("alice", "SHA256:alice", "ssh-ed25519", ("git",), 0, 0, "x", 1)
ANCHOR = Anchor("2" * 40, "1" * 40, "0" * 64, "alice", "SHA256:alice", 1_750_000_000)
PROOF = Proof("SHA256:alice", "ssh-ed25519", PART.tree, hashlib.sha256(PART.payload).hexdigest(), PART.time_s, "git")


def trusted(candidate: UntrustedRevision, proof: Proof, signer: Signer, anchor: Anchor) -> bool:
    """Tell whether the parts together make a trusted revision."""
    return answers(functools.partial(authority.authenticate, candidate, proof, (signer,), anchor, "", 1_750_000_100))


def test_the_honest_parts_are_trusted() -> None:
    """Otherwise the two laws below would hold for nothing."""
    assert trusted(CANDIDATE, PROOF, SIGNER, ANCHOR)


@given(st.integers(0, len(HONEST) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_commit_is_trusted(at: int, change: int) -> None:
    """Neither under the old id nor under its own."""
    raw = bytearray(HONEST)
    raw[at] ^= change
    commit = gitobject.object_id("commit", bytes(raw))
    for named in (COMMIT, commit):
        forged = UntrustedRevision("r", "refs/heads/main", named, bytes(raw), parents={named: ("2" * 40,)})
        assert not trusted(forged, PROOF, SIGNER, ANCHOR)


@given(st.data())
@settings(max_examples=200)
def test_no_changed_proof_key_or_parent_is_trusted(data: st.DataObject) -> None:
    """Every part of the decision counts."""
    text = st.text(alphabet=string.ascii_letters + string.digits + ":", min_size=1, max_size=64)
    which = data.draw(st.sampled_from(["key", "key_type", "tree", "payload_sha256", "namespace", "signer", "parents"]))
    other = data.draw(text.filter(lambda t: t not in {"git", "SHA256:alice", "ssh-ed25519", "2" * 40}))
    match which:
        case "signer":
            assert not trusted(CANDIDATE, PROOF, msgspec.structs.replace(SIGNER, key=other), ANCHOR)
        case "parents":
            beside = msgspec.structs.replace(CANDIDATE, parents={COMMIT: (other,)})
            assert not trusted(beside, PROOF, SIGNER, ANCHOR)
        case _:
            assert not trusted(CANDIDATE, msgspec.structs.replace(PROOF, **{which: other}), SIGNER, ANCHOR)
