"""Our verifier against ssh-keygen and git: it accepts what they accept of the documented kinds, and never more."""

import base64
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from core_ops.errors import RefusedRevisionError
from core_ops.host.signatures import fits, prove
from core_ops.reconcile import authority, sshsig
from core_ops.reconcile.gitobject import object_id, parse_commit
from core_ops.reconcile.model import UntrustedRevision
from core_ops.reconcile.signers import parse_allowed_signers
from repos import NOW_S, Key, Repo, make_key, run, succeeds

KINDS = {"ed25519": 0, "ecdsa256": 256, "ecdsa384": 384, "ecdsa521": 521, "rsa3072": 3072, "rsa4096": 4096}
MUTATIONS = 2400


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Key]:
    """One key of each kind."""
    directory = tmp_path_factory.mktemp("keys")
    return {
        name: make_key(directory, name, name.rstrip("0123456789") if bits else name, bits)
        for name, bits in KINDS.items()
    }


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """A repository to sign in."""
    repo = Repo(tmp_path_factory.mktemp("repo"))
    repo.write("services/web/web.container", "[Container]\n")
    return repo


def candidate(repo: Repo, commit: str, ref: str = "refs/heads/main", tag: str = "") -> UntrustedRevision:
    """Return what a remote would serve."""
    tag_raw = repo.raw("tag", tag) if tag else b""
    return UntrustedRevision(str(repo.path), ref, commit, repo.raw("commit", commit), tag, tag_raw)


def rewritten(raw: bytes) -> UntrustedRevision:
    """Return a candidate of these bytes, under the id they have."""
    return UntrustedRevision("r", "refs/heads/main", object_id("commit", raw), raw)


def code(of: UntrustedRevision) -> str:
    """Return the code a candidate is refused with."""
    with pytest.raises(RefusedRevisionError) as refusal:
        prove(of)
    return refusal.value.code


def sign(key: Key, message: bytes, namespace: str = "git", *options: str) -> bytes:
    """Sign a message with ssh-keygen."""
    source = key.path.with_suffix(".message")
    source.write_bytes(message)
    Path(f"{source}.sig").unlink(missing_ok=True)
    run("ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", key.path, *options, source)
    return Path(f"{source}.sig").read_bytes()


def armor(content: bytes) -> bytes:
    """Return a signature blob in its armor."""
    text = base64.b64encode(content).decode()
    lines = [text[at : at + 70] for at in range(0, len(text), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""]).encode()


def blob_of(signature: bytes) -> bytes:
    """Return the blob inside an armor."""
    return base64.b64decode(b"".join(signature.split(b"\n")[1:-2]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_commit_signed_by_git_is_proved_as_git_says(keys: dict[str, Key], repo: Repo, kind: str) -> None:
    """Real keys, real commits, every accepted kind."""
    commit = repo.commit(kind, keys[kind])
    proof = prove(candidate(repo, commit))
    assert proof.key == keys[kind].fingerprint
    assert proof.tree == repo.git("rev-parse", f"{commit}^{{tree}}")
    assert proof.namespace == "git"
    signers = parse_allowed_signers(keys[kind].allowed().encode(), "x")
    assert authority.authenticate(candidate(repo, commit), proof, signers, None, "", NOW_S).signer == kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_tag_signed_by_git_is_proved_though_its_commit_is_not(keys: dict[str, Key], repo: Repo, kind: str) -> None:
    """The tag's signer vouches for the commit."""
    commit = repo.commit("unsigned")
    tag = repo.tag(f"v-{kind}", keys[kind])
    proof = prove(candidate(repo, commit, f"refs/tags/v-{kind}", tag))
    assert (proof.key, proof.committer_time) == (keys[kind].fingerprint, repo.time_s)


def test_an_unsigned_commit_or_tag_is_unsigned_even_beside_a_signed_one(keys: dict[str, Key], repo: Repo) -> None:
    """A signed commit does not sign the tag it is reached by."""
    assert code(candidate(repo, repo.commit("unsigned"))) == "unsigned"
    signed = repo.commit("signed", keys["ed25519"])
    assert code(candidate(repo, signed, "refs/tags/plain", repo.tag("plain"))) == "unsigned"


def test_a_tag_under_another_name_is_refused(keys: dict[str, Key], repo: Repo) -> None:
    """Git's own verify-tag accepts this."""
    commit = repo.commit("for a tag")
    tag = repo.tag("v1", keys["ed25519"])
    assert code(candidate(repo, commit, "refs/tags/v2", tag)) == "tag-name-mismatch"


def test_a_tag_of_a_tag_is_refused(keys: dict[str, Key], repo: Repo) -> None:
    """Which of the two is meant would be a guess."""
    commit = repo.commit("for a nested tag")
    repo.tag("inner", keys["ed25519"])
    outer = repo.tag("outer", keys["ed25519"], "refs/tags/inner")
    assert code(candidate(repo, commit, "refs/tags/outer", outer)) == "malformed-object"


def test_a_signature_moved_to_another_commit_does_not_fit(keys: dict[str, Key], repo: Repo) -> None:
    """By the same key."""
    one, two = (repo.raw("commit", repo.commit(text, keys["ed25519"])) for text in ("one", "two"))
    begin, end = b"gpgsig ", b"-----END SSH SIGNATURE-----\n"
    moved = one[one.index(begin) : one.index(end)]
    assert code(rewritten(two.replace(two[two.index(begin) : two.index(end)], moved))) == "bad-signature"


def test_a_tag_signature_does_not_fit_its_commit(keys: dict[str, Key], repo: Repo) -> None:
    """Though both are in the same namespace."""
    commit = repo.raw("commit", repo.commit("target", keys["ed25519"]))
    tag = repo.raw("tag", repo.tag("moved", keys["ed25519"]))
    signature = tag[tag.index(b"-----BEGIN") :].rstrip(b"\n").replace(b"\n", b"\n ")
    begin, end = commit.index(b"gpgsig ") + 7, commit.index(b"-----END SSH SIGNATURE-----") + 27
    assert code(rewritten(commit[:begin] + signature + commit[end:])) == "bad-signature"


def test_no_byte_of_a_signed_commit_can_change(keys: dict[str, Key], repo: Repo) -> None:
    """Every byte, three bits each, under the id that the changed bytes have."""
    raw = repo.raw("commit", repo.commit("every byte counts", keys["ed25519"]))
    assert prove(rewritten(raw)).key == keys["ed25519"].fingerprint
    for at in range(len(raw)):
        for bit in (1, 0x20, 0x80):
            changed = bytearray(raw)
            changed[at] ^= bit
            assert code(rewritten(bytes(changed))), f"byte {at}"


@pytest.mark.parametrize("namespace", ["file", "core-ops-policy", "git2"])
def test_a_signature_for_another_purpose_is_refused(keys: dict[str, Key], repo: Repo, namespace: str) -> None:
    """Real signatures by an accepted key."""
    payload = repo.raw("commit", repo.commit("unsigned"))
    signature = sign(keys["ed25519"], payload, namespace).rstrip(b"\n").replace(b"\n", b"\n ")
    assert code(rewritten(payload.replace(b"\n\n", b"\ngpgsig " + signature + b"\n\n", 1))) == "wrong-namespace"


def test_an_openpgp_signature_counts_as_none(repo: Repo) -> None:
    """The message then says what to do."""
    payload = repo.raw("commit", repo.commit("unsigned"))
    foreign = b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----\n"
    assert code(rewritten(payload.replace(b"\n\n", b"\n" + foreign + b"\n", 1))) == "unsigned"


def test_a_weak_rsa_key_is_refused_though_git_takes_it(tmp_path: Path, repo: Repo) -> None:
    """One of the ways in which we are stricter."""
    weak = make_key(tmp_path, "weak", "rsa", 2048)
    assert code(candidate(repo, repo.commit("weak", weak))) == "weak-key"


def test_a_certificate_is_refused(tmp_path: Path, keys: dict[str, Key], repo: Repo) -> None:
    """Signed by a key that is accepted by itself."""
    leaf = make_key(tmp_path, "leaf")
    run("ssh-keygen", "-q", "-s", keys["ed25519"].path, "-I", "leaf", "-n", "leaf", f"{leaf.path}.pub")
    certified = Key("leaf", Path(f"{leaf.path}-cert.pub"))
    assert code(candidate(repo, repo.commit("certified", certified))) == "unsupported-key-type"


def test_git_verifies_what_we_prove(tmp_path: Path, keys: dict[str, Key], repo: Repo) -> None:
    """And we refuse the two ways to bend a commit that git accepts without the key."""
    allowed = tmp_path / "allowed"
    allowed.write_text("".join(key.allowed('namespaces="git"') for key in keys.values()))
    for kind, key in keys.items():
        commit = repo.commit(f"both: {kind}", key)
        assert succeeds("git", "-C", repo.path, "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit", commit)
        raw = repo.raw("commit", commit)
        inside = raw.index(b"BEGIN SSH SIGNATURE-----\n ") + 40
        bent = (raw.replace(b"SIGNATURE-----\n\n", b"SIGNATURE-----\n x\n\n"), raw[:inside] + b" " + raw[inside:])
        for variant in bent:  # git accepts both: another id, the same content
            assert variant != raw
            assert code(rewritten(variant)) == "bad-signature"


def _security_key_blob(private: ec.EllipticCurvePrivateKey, message: bytes, *, application: bytes, flags: int) -> bytes:
    """Sign as a security key would, in software."""

    def wire(*parts: bytes) -> bytes:
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)

    numbers = private.public_key().public_numbers()
    point = b"\4" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    kind = b"sk-ecdsa-sha2-nistp256@openssh.com"
    key = wire(kind, b"nistp256", point, b"ssh:")
    digest = hashes.Hash(hashes.SHA512())
    digest.update(message)
    content = b"SSHSIG" + wire(b"git", b"", b"sha512", digest.finalize())
    inner = (hashes.Hash(hashes.SHA256()), hashes.Hash(hashes.SHA256()))
    inner[0].update(application)
    inner[1].update(content)
    presence = bytes([flags]) + b"\0\0\0\7"
    signed = inner[0].finalize() + presence + inner[1].finalize()
    r, s = utils.decode_dss_signature(private.sign(signed, ec.ECDSA(hashes.SHA256())))
    value = wire(r.to_bytes(r.bit_length() // 8 + 1, "big"), s.to_bytes(s.bit_length() // 8 + 1, "big"))
    return b"SSHSIG\0\0\0\1" + wire(key, b"git", b"", b"sha512", wire(kind, value) + presence)


def test_a_security_key_counts_when_touched_and_for_its_own_application() -> None:
    """As PROTOCOL.u2f says, with a key in software."""
    private = ec.generate_private_key(ec.SECP256R1())
    touched = sshsig.parse_signature(armor(_security_key_blob(private, b"m", application=b"ssh:", flags=1)))
    assert fits(touched, b"m")
    assert not fits(touched, b"n")
    other = sshsig.parse_signature(armor(_security_key_blob(private, b"m", application=b"ssh:web", flags=1)))
    assert not fits(other, b"m")
    with pytest.raises(RefusedRevisionError) as refusal:
        sshsig.parse_signature(armor(_security_key_blob(private, b"m", application=b"ssh:", flags=0)))
    assert refusal.value.code == "sk-no-presence"


def test_numbers_that_are_no_key_do_not_fit(keys: dict[str, Key]) -> None:
    """A point off the curve and an even exponent are an answer, not a crash."""
    signature = sshsig.parse_signature(sign(keys["ecdsa256"], b"m"))
    assert fits(signature, b"m")
    nowhere = sshsig.EcdsaNumbers("nistp256", b"\4" + b"\1" * 64)
    assert not fits(
        msgspec.structs.replace(signature, key=msgspec.structs.replace(signature.key, numbers=nowhere)), b"m"
    )
    even = sshsig.RsaNumbers(b"\2", b"\xff" * 384)
    rsa = sshsig.parse_signature(sign(keys["rsa3072"], b"m"))
    assert fits(rsa, b"m")
    assert not fits(msgspec.structs.replace(rsa, key=msgspec.structs.replace(rsa.key, numbers=even)), b"m")


def _mutated(source: random.Random, blobs: list[bytes]) -> bytes:
    """Return a signature blob with one thing wrong with it, or two."""
    content = bytearray(source.choice(blobs))
    for _ in range(1 + (source.random() < 0.25)):
        at = source.randrange(len(content) or 1)
        match source.randrange(7):
            case 0:
                content[at : at + 1] = bytes([content[at] ^ 1 << source.randrange(8)]) if content else b""
            case 1:
                del content[at : at + source.randrange(1, 5)]
            case 2:
                content[at:at] = source.randbytes(source.randrange(1, 5))
            case 3:
                del content[at:]
            case 4:
                size = source.choice([0, 1, 2, 32, 64, 0x7FFFFFFF, 0xFFFFFFFF, len(content)])
                content[at : at + 4] = size.to_bytes(4, "big")
            case 5:
                content += source.randbytes(source.randrange(1, 40))
            case _:
                content[at:] = source.choice(blobs)[at:]
    return bytes(content)


def test_no_mutated_signature_passes_that_ssh_keygen_refuses(tmp_path: Path, keys: dict[str, Key], repo: Repo) -> None:
    """Thousands of them, the same ones every time."""
    payload = parse_commit(repo.raw("commit", repo.commit("payload", keys["ed25519"]))).payload
    used = [keys[kind] for kind in ("ed25519", "ecdsa256", "ecdsa384", "ecdsa521", "rsa3072")]
    blobs = [blob_of(sign(key, payload, "git", *options)) for key in used for options in ((), ("-O", "hashalg=sha256"))]
    allowed = tmp_path / "allowed"
    allowed.write_text("".join(f'everybody namespaces="git" {key.public}\n' for key in used))
    source = random.Random(20260101)  # noqa: S311  the same cases every time
    cases = [armor(content) for content in blobs] + [armor(_mutated(source, blobs)) for _ in range(MUTATIONS)]

    def ours(case: bytes) -> bool:
        try:
            signature = sshsig.parse_signature(case)
            sshsig.require_namespace(signature)
        except RefusedRevisionError:
            return False
        return signature.key.fingerprint in fingerprints and fits(signature, payload)

    def theirs(numbered: tuple[int, bytes]) -> bool:
        file = tmp_path / f"{numbered[0]}.sig"
        file.write_bytes(numbered[1])
        verify = ("ssh-keygen", "-Y", "verify", "-n", "git", "-f", allowed, "-I", "everybody", "-s", file)
        return succeeds(*verify, given=payload)

    fingerprints = {key.fingerprint for key in used}
    accepted = [case for case in enumerate(cases) if ours(case[1])]
    with ThreadPoolExecutor(4) as pool:
        verdicts = dict(
            zip((number for number, _ in enumerate(cases)), pool.map(theirs, enumerate(cases)), strict=True)
        )
    assert len(accepted) >= len(blobs)
    assert [number for number, _ in accepted if not verdicts[number]] == []
    assert sum(verdicts.values()) < len(cases) / 2, "the mutations change nothing"
