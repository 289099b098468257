"""Who may make this host change, and that history only goes forward."""

import hashlib

import msgspec
import pytest

from core_ops.errors import RefusedRevisionError
from core_ops.reconcile import authority
from core_ops.reconcile.authority import EXPIRY_GRACE_S, MAX_NEW_COMMITS, Proof
from core_ops.reconcile.gitobject import object_id
from core_ops.reconcile.model import Anchor, TrustedRevision, UntrustedRevision
from core_ops.reconcile.signers import Signer

TREE, FIRST, OTHER = "1" * 40, "2" * 40, "3" * 40
T0 = 1_750_000_000
NOW = T0 + 1000
ALICE = Signer("alice", "SHA256:alice", "ssh-ed25519", ("git",), 0, 0, "/etc/keys", 3)
ANCHOR = Anchor(FIRST, TREE, "0" * 64, "alice", "SHA256:alice", T0)


def candidate(time_s: int = T0 + 60, parent: str = FIRST, ref: str = "refs/heads/main") -> UntrustedRevision:
    """Return an unsigned commit as a remote would serve it."""
    who = f"A <a@example.com> {time_s} +0000"
    raw = f"tree {TREE}\nparent {parent}\nauthor {who}\ncommitter {who}\n\nm\n".encode()
    commit = object_id("commit", raw)
    return UntrustedRevision("https://git/r", ref, commit, raw, parents={commit: (parent,)})


def tagged(name: str, ref: str, target: str = "") -> UntrustedRevision:
    """Return a candidate that is reached through a tag object."""
    bare = candidate(ref=ref)
    raw = f"object {target or bare.commit}\ntype commit\ntag {name}\ntagger A <a@b> {T0 + 90} +0000\n\nm\n".encode()
    return msgspec.structs.replace(bare, tag=object_id("tag", raw), tag_raw=raw)


def proof(of: UntrustedRevision, key: str = "SHA256:alice", namespace: str = "git") -> Proof:
    """Return what a fitting signature of this key would prove."""
    part = authority.signed_part(of)
    return Proof(key, "ssh-ed25519", part.tree, hashlib.sha256(part.payload).hexdigest(), part.time_s, namespace)


def accept(
    of: UntrustedRevision, *signers: Signer, anchor: Anchor | None = ANCHOR, introduction: str = "", now_s: int = NOW
) -> TrustedRevision:
    """Authenticate with a proof that fits."""
    return authority.authenticate(of, proof(of), signers or (ALICE,), anchor, introduction, now_s)


def refused(of: UntrustedRevision, *signers: Signer, anchor: Anchor | None = ANCHOR, now_s: int = NOW) -> str:
    """Return the code of the refusal, after a look at its words."""
    with pytest.raises(RefusedRevisionError) as refusal:
        accept(of, *signers, anchor=anchor, now_s=now_s)
    assert of.commit[:12] in refusal.value.message
    assert of.ref in refusal.value.message
    assert refusal.value.hint
    return refusal.value.code


def test_a_descendant_by_a_listed_key_is_trusted() -> None:
    """The everyday case, with all it carries on."""
    trusted = accept(candidate())
    assert (trusted.signer, trusted.key, trusted.tree, trusted.committer_time) == (
        "alice",
        "SHA256:alice",
        TREE,
        T0 + 60,
    )
    assert authority.anchored(trusted).commit == trusted.commit


def test_the_first_revision_needs_no_ancestor_unless_there_is_an_introduction() -> None:
    """An introduction may be the revision itself."""
    assert accept(candidate(parent=OTHER), anchor=None).tree == TREE
    assert accept(candidate(), anchor=None, introduction=FIRST).tree == TREE
    itself = candidate()
    assert accept(itself, anchor=None, introduction=itself.commit).tree == TREE
    with pytest.raises(RefusedRevisionError, match="introduction") as refusal:
        accept(candidate(parent=OTHER), anchor=None, introduction=FIRST)
    assert refusal.value.code == "not-a-descendant"


def test_the_accepted_revision_is_accepted_again() -> None:
    """Every run asks anew, also when nothing is new."""
    trusted = accept(candidate())
    assert accept(candidate(), anchor=authority.anchored(trusted)) == trusted


def test_a_revision_beside_the_anchor_is_refused() -> None:
    """A good signature does not make an old revision new."""
    assert refused(candidate(parent=OTHER)) == "not-a-descendant"


def test_a_history_without_end_is_refused() -> None:
    """The search has a limit, and reaching it is no descent."""
    long = msgspec.structs.replace(candidate(), parents={str(n): (str(n + 1),) for n in range(MAX_NEW_COMMITS)})
    assert refused(long) == "history-too-long"


def test_an_unlisted_key_or_one_under_another_type_is_unknown() -> None:
    """The message names the key, the hint the file."""
    assert refused(candidate(), msgspec.structs.replace(ALICE, key="SHA256:bob")) == "unknown-key"
    assert refused(candidate(), msgspec.structs.replace(ALICE, key_type="ssh-rsa")) == "unknown-key"
    with pytest.raises(RefusedRevisionError) as refusal:
        accept(candidate(), msgspec.structs.replace(ALICE, key="SHA256:bob"))
    assert "SHA256:alice" in refusal.value.message
    assert "/etc/keys" in refusal.value.hint


def test_nobody_listed_trusts_nobody() -> None:
    """An empty list is not a missing check."""
    of = candidate()
    with pytest.raises(RefusedRevisionError) as refusal:
        authority.authenticate(of, proof(of), (), ANCHOR, "", NOW)
    assert refusal.value.code == "unknown-key"


def test_a_key_that_may_not_sign_commits_is_refused() -> None:
    """Whether its line or its signature says so."""
    assert refused(candidate(), msgspec.structs.replace(ALICE, namespaces=("file",))) == "wrong-namespace"
    assert accept(candidate(), msgspec.structs.replace(ALICE, namespaces=())).signer == "alice"
    of = candidate()
    with pytest.raises(RefusedRevisionError) as refusal:
        authority.authenticate(of, proof(of, namespace="file"), (ALICE,), ANCHOR, "", NOW)
    assert refusal.value.code == "wrong-namespace"


def test_the_clock_may_differ_by_five_minutes() -> None:
    """To the second."""
    assert accept(candidate(NOW + 300)).tree == TREE
    assert refused(candidate(NOW + 301)) == "from-the-future"


def test_an_expired_key_is_refused_by_the_signed_time() -> None:
    """To the second."""
    limited = msgspec.structs.replace(ALICE, valid_before=T0 + 100)
    assert accept(candidate(T0 + 100), limited).tree == TREE
    assert refused(candidate(T0 + 101), limited) == "expired-key"


def test_backdating_below_the_anchor_is_useless() -> None:
    """Git accepts an expired key at whatever time its commit claims."""
    limited = msgspec.structs.replace(ALICE, valid_before=T0 - 100)
    assert refused(candidate(T0 - 200), limited) == "expired-key"
    assert accept(candidate(T0 - 200)).committer_time == T0


def test_an_expired_key_first_seen_after_the_grace_is_refused_whatever_it_claims() -> None:
    """What was accepted in time stays accepted."""
    limited = msgspec.structs.replace(ALICE, valid_before=T0 + 100)
    late = T0 + 100 + EXPIRY_GRACE_S
    assert accept(candidate(), limited, now_s=late).tree == TREE
    assert refused(candidate(), limited, now_s=late + 1) == "expired-key"
    known = authority.anchored(accept(candidate(), limited))
    assert accept(candidate(), limited, anchor=known, now_s=late + 1).tree == TREE


def test_a_key_from_later_cannot_have_signed_before() -> None:
    """To the second."""
    assert refused(candidate(), msgspec.structs.replace(ALICE, valid_after=T0 + 61)) == "key-not-yet-valid"


def test_a_proof_of_another_revision_proves_nothing() -> None:
    """Proof and candidate are bound by content."""
    of = candidate()
    for wrong in (
        msgspec.structs.replace(proof(of), tree=OTHER),
        msgspec.structs.replace(proof(of), payload_sha256="0" * 64),
        msgspec.structs.replace(proof(of), committer_time=T0),
    ):
        with pytest.raises(RefusedRevisionError) as refusal:
            authority.authenticate(of, wrong, (ALICE,), ANCHOR, "", NOW)
        assert refusal.value.code == "bad-signature"


def test_bytes_that_are_not_those_of_the_id_are_refused() -> None:
    """The id that is stored and shown is that of these bytes."""
    of = candidate()
    with pytest.raises(RefusedRevisionError) as refusal:
        authority.signed_part(msgspec.structs.replace(of, commit_raw=of.commit_raw + b"x"))
    assert refusal.value.code == "malformed-object"


def test_a_tag_signs_for_its_commit_under_its_own_name_only() -> None:
    """An older signed tag served under the new name would be a rollback."""
    trusted = accept(tagged("v1", "refs/tags/v1"))
    assert (trusted.tree, trusted.committer_time) == (TREE, T0 + 90)
    assert accept(tagged("release/v1", "refs/tags/release/v1")).tree == TREE
    for name, ref in (("v1", "refs/tags/v2"), ("v1", "refs/heads/v1"), ("v1", "refs/tags/release/v1")):
        with pytest.raises(RefusedRevisionError) as refusal:
            authority.signed_part(tagged(name, ref))
        assert refusal.value.code == "tag-name-mismatch"


def test_a_tag_of_another_commit_is_refused() -> None:
    """The signature would vouch for something else."""
    with pytest.raises(RefusedRevisionError) as refusal:
        authority.signed_part(tagged("v1", "refs/tags/v1", OTHER))
    assert refusal.value.code == "malformed-object"


def test_unsigned_revisions_are_taken_on_request_but_only_forward() -> None:
    """No signature is no reason to go back."""
    trusted = authority.accept_unsigned(candidate(), ANCHOR, "")
    assert (trusted.signer, trusted.key) == ("", "")
    with pytest.raises(RefusedRevisionError) as refusal:
        authority.accept_unsigned(candidate(parent=OTHER), ANCHOR, "")
    assert refusal.value.code == "not-a-descendant"
    with pytest.raises(RefusedRevisionError):
        authority.accept_unsigned(candidate(parent=OTHER), None, FIRST)


def test_the_refusal_of_an_unsigned_revision_says_how_to_sign() -> None:
    """For a commit and for a tag."""
    assert authority.unsigned(candidate()).code == "unsigned"
    assert "git commit -S" in authority.unsigned(tagged("v1", "refs/tags/v1")).hint
