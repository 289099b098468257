"""May this host apply this revision? Who signed it, may they, and does it follow what was accepted before.

A signature on the newest commit is not protection against old ones: a server could serve any revision that was ever
signed. So a revision must also descend from the newest one this host has authenticated, and a key is judged at the
later of the two times, which makes backdating useless. Nothing here knows how a signature is computed or where a commit
came from.
"""

import hashlib

from core_ops.errors import RefusedRevisionError
from core_ops.reconcile import gitobject
from core_ops.reconcile.model import Anchor, TrustedRevision, UntrustedRevision, Value
from core_ops.reconcile.signers import Signer
from core_ops.reconcile.sshsig import NAMESPACE

MAX_NEW_COMMITS = 5000  # between two accepted revisions; more is a rewritten history or another repository
MAX_CLOCK_SKEW_S = 300
EXPIRY_GRACE_S = 7 * 86400  # a host that was off for a week still takes what a key signed in its last days

_TAGS = "refs/tags/"
_DEFAULT_FILE = "/etc/core-ops/allowed_signers"


class SignedPart(Value, frozen=True):
    """What one signature covers, and what the revision says of itself."""

    payload: bytes
    signature: bytes
    tree: str
    time_s: int


class Proof(Value, frozen=True):
    """A signature that fits its bytes: this key signed this payload. Whether the key may do so is still open.

    `committer_time` is when the signer says it was signed: the committer's time of a commit, the tagger's time of a
    tag.
    """

    key: str
    key_type: str
    tree: str
    payload_sha256: str
    committer_time: int
    namespace: str


def signed_part(candidate: UntrustedRevision) -> SignedPart:
    """Return what has to be signed for this candidate: the tag where there is one, otherwise the commit.

    The bytes must hash to the ids that the remote gave, and a tag must be the tag that was asked for: a valid tag
    served under another name would be a rollback with a valid signature.

    Raises:
        RefusedRevisionError: `malformed-commit`, `malformed-object`, `tag-name-mismatch`.
    """
    if gitobject.object_id("commit", candidate.commit_raw) != candidate.commit:
        raise _refused(candidate, "its bytes are not those of its id", "malformed-object", _ASK_REPOSITORY)
    commit = gitobject.parse_commit(candidate.commit_raw)
    if not candidate.tag:
        return SignedPart(commit.payload, commit.signature, commit.tree, commit.committer_time)
    tag = gitobject.parse_tag(candidate.tag_raw)
    if gitobject.object_id("tag", candidate.tag_raw) != candidate.tag or tag.target != candidate.commit:
        raise _refused(candidate, "its tag is about another object", "malformed-object", _ASK_REPOSITORY)
    if candidate.ref != _TAGS + tag.name:
        why = f"the tag object calls itself {tag.name[:80]!r}"
        raise _refused(candidate, why, "tag-name-mismatch", "make the tag again under the name it is fetched by")
    return SignedPart(tag.payload, tag.signature, commit.tree, tag.tagger_time)


_ASK_REPOSITORY = "run `git fsck` in the repository and look at who can write to it"


def authenticate(
    candidate: UntrustedRevision,
    proof: Proof,
    signers: tuple[Signer, ...],
    anchor: Anchor | None,
    introduction: str,
    now_s: int,
) -> TrustedRevision:
    """Return the candidate as a revision this host may apply.

    Args:
        candidate: What the remote serves.
        proof: What `host.signatures.prove` found to be signed in it.
        signers: The keys this host accepts.
        anchor: The newest revision authenticated before, if any.
        introduction: Commit id that must be an ancestor when there is no anchor yet; empty trusts what is seen first.
        now_s: The one instant that all checks of a run use, in seconds since 1970.

    Returns:
        The trusted revision; its time never falls behind the anchor's.

    Raises:
        RefusedRevisionError: `unknown-key`, `wrong-namespace`, `expired-key`, `key-not-yet-valid`, `from-the-future`,
            `not-a-descendant`, `history-too-long`, `malformed-*`, `tag-name-mismatch`, `bad-signature`.
    """
    part = signed_part(candidate)
    if (proof.tree, proof.payload_sha256, proof.committer_time) != _identity(part):
        raise _refused(candidate, "its signature is about another revision", "bad-signature", _SIGN_AGAIN)
    _require_descent(candidate, anchor, introduction)
    if proof.committer_time > now_s + MAX_CLOCK_SKEW_S:
        ahead = proof.committer_time - now_s
        why = f"{proof.key} signed it {ahead} s ahead of this host's clock"
        raise _refused(candidate, why, "from-the-future", "set the clock of this host or of the signer's machine")
    signer = _accepted(candidate, proof, signers)
    time_s = max(proof.committer_time, anchor.committer_time if anchor else 0)
    _require_valid(candidate, signer, time_s, 0 if anchor and anchor.commit == candidate.commit else now_s)
    return _trusted(candidate, part, signer, time_s)


def accept_unsigned(candidate: UntrustedRevision, anchor: Anchor | None, introduction: str) -> TrustedRevision:
    """Return the candidate as a revision to apply without asking who signed it: what the operator chose.

    History must still go forward, so that a server cannot take the host back.

    Raises:
        RefusedRevisionError: `not-a-descendant`, `history-too-long`, `malformed-*`, `tag-name-mismatch`.
    """
    part = signed_part(candidate)
    _require_descent(candidate, anchor, introduction)
    return _trusted(candidate, part, None, max(part.time_s, anchor.committer_time if anchor else 0))


def anchored(revision: TrustedRevision) -> Anchor:
    """Return the anchor that later revisions must descend from.

    It moves when a revision is authenticated, not when it is applied: one that failed could be replayed otherwise.
    """
    return Anchor(
        commit=revision.commit,
        tree=revision.tree,
        payload_sha256=revision.payload_sha256,
        signer=revision.signer,
        key=revision.key,
        committer_time=revision.committer_time,
    )


def unsigned(candidate: UntrustedRevision) -> RefusedRevisionError:
    """Return the refusal of a revision that carries no SSH signature."""
    what = "tag" if candidate.tag else "commit"
    return _refused(candidate, f"the {what} carries no SSH signature", "unsigned", _SIGN_AGAIN)


_SIGN_AGAIN = "sign with `git commit -S` or `git tag -s` (gpg.format=ssh) and push"


def _identity(part: SignedPart) -> tuple[str, str, int]:
    return part.tree, hashlib.sha256(part.payload).hexdigest(), part.time_s


def _require_descent(candidate: UntrustedRevision, anchor: Anchor | None, introduction: str) -> None:
    floor = anchor.commit if anchor else introduction
    if not floor or gitobject.descends(candidate.commit, floor, candidate.parents):
        return
    if len(candidate.parents) >= MAX_NEW_COMMITS:
        why = f"{floor[:12]} is not among its last {MAX_NEW_COMMITS} commits"
        raise _refused(candidate, why, "history-too-long", "apply an intermediate revision first")
    what = "the revision accepted last" if anchor else "the introduction"
    why = f"it does not descend from {what}, {floor[:12]}"
    raise _refused(candidate, why, "not-a-descendant", "go back with `git revert`; find out who rewrote the history")


def _accepted(candidate: UntrustedRevision, proof: Proof, signers: tuple[Signer, ...]) -> Signer:
    """Return the signer whose key it is."""
    file = signers[0].file if signers else _DEFAULT_FILE
    signer = next((signer for signer in signers if signer.key == proof.key), None)
    if signer is None or signer.key_type != proof.key_type:
        why = f"it is signed by {proof.key} ({proof.key_type}), which this host does not accept"
        raise _refused(candidate, why, "unknown-key", f"add the key to {file}, if it is to be trusted")
    if proof.namespace != NAMESPACE or (signer.namespaces and NAMESPACE not in signer.namespaces):
        why = f"{proof.key} ({signer.label}) may not sign in the namespace {NAMESPACE!r}"
        raise _refused(candidate, why, "wrong-namespace", f"see namespaces= at {file}:{signer.line}")
    return signer


def _require_valid(candidate: UntrustedRevision, signer: Signer, time_s: int, first_seen_s: int) -> None:
    """Refuse a key outside its time, also one that claims a time inside but turns up long after."""
    who = f"{signer.key} ({signer.label})"
    if time_s < signer.valid_after:
        hint = f"see valid-after= at {signer.file}:{signer.line}"
        raise _refused(candidate, f"{who} signed before it was valid", "key-not-yet-valid", hint)
    if signer.valid_before and (time_s > signer.valid_before or first_seen_s > signer.valid_before + EXPIRY_GRACE_S):
        hint = f"sign with a current key; see valid-before= at {signer.file}:{signer.line}"
        raise _refused(candidate, f"{who} has expired", "expired-key", hint)


def _trusted(candidate: UntrustedRevision, part: SignedPart, signer: Signer | None, time_s: int) -> TrustedRevision:
    return TrustedRevision(
        repository=candidate.repository,
        ref=candidate.ref,
        commit=candidate.commit,
        tree=part.tree,
        payload_sha256=hashlib.sha256(part.payload).hexdigest(),
        signer=signer.label if signer else "",
        key=signer.key if signer else "",
        committer_time=time_s,
    )


def _refused(candidate: UntrustedRevision, why: str, code: str, hint: str) -> RefusedRevisionError:
    return RefusedRevisionError(
        f"authenticate revision {candidate.commit[:12]} of {candidate.ref}: {why}", code=code, hint=hint
    )
