"""Signatures and keys are taken apart by one grammar that is narrower than ssh-keygen's."""

import base64
import hashlib
import struct

import pytest

from core_ops.errors import RefusedRevisionError
from core_ops.reconcile import sshsig
from core_ops.reconcile.sshsig import EcdsaNumbers, Ed25519Numbers, RsaNumbers, parse_public_key, parse_signature

POINT = bytes(range(32))
VALUE = bytes(64)


def wire(*parts: bytes | str) -> bytes:
    """Return length-prefixed strings."""
    return b"".join(struct.pack(">I", len(p)) + (p if isinstance(p, bytes) else p.encode()) for p in parts)


def number(value: int) -> bytes:
    """Return a big number as SSH writes it."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


ED25519 = wire("ssh-ed25519", POINT)
SK = wire("sk-ssh-ed25519@openssh.com", POINT, "ssh:")
ECDSA = wire("ecdsa-sha2-nistp256", "nistp256", b"\4" + bytes(64))
RSA = wire("ssh-rsa", number(65537), number((1 << 3071) + 1))


def blob(
    key: bytes = ED25519,
    inner: bytes = wire("ssh-ed25519", VALUE),
    namespace: str = "git",
    hash_name: str = "sha512",
    *,
    version: int = 1,
    reserved: bytes = b"",
) -> bytes:
    """Return a signature blob."""
    return b"SSHSIG" + struct.pack(">I", version) + wire(key, namespace, reserved, hash_name, inner)


def armor(content: bytes, width: int = 70) -> bytes:
    """Return a blob in its armor."""
    text = base64.b64encode(content).decode()
    lines = [text[at : at + width] for at in range(0, len(text), width)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""]).encode()


def code(content: bytes) -> str:
    """Return the code a signature is refused with."""
    with pytest.raises(RefusedRevisionError) as refusal:
        parse_signature(content)
    return refusal.value.code


def test_ed25519_signature_is_taken_apart() -> None:
    """Every field is where the format says."""
    signature = parse_signature(armor(blob()))
    assert signature.key.numbers == Ed25519Numbers(POINT)
    assert (signature.namespace, signature.hash_name, signature.value) == ("git", "sha512", VALUE)


def test_ecdsa_rsa_and_security_keys_are_taken_apart() -> None:
    """The other accepted kinds, with what only they have."""
    pair = wire(number(5), number(7))
    ecdsa = parse_signature(armor(blob(ECDSA, wire("ecdsa-sha2-nistp256", pair))))
    assert isinstance(ecdsa.key.numbers, EcdsaNumbers)
    assert sshsig.ecdsa_scalars(ecdsa.value) == (5, 7)
    rsa = parse_signature(armor(blob(RSA, wire("rsa-sha2-512", bytes(384)))))
    assert rsa.key.numbers == RsaNumbers(b"\1\0\1", ((1 << 3071) + 1).to_bytes(384, "big"))
    sk = parse_signature(armor(blob(SK, wire("sk-ssh-ed25519@openssh.com", VALUE) + b"\1\0\0\0\7")))
    assert (sk.flags, sk.counter, sk.key.application) == (1, 7, b"ssh:")


def test_fingerprint_is_ssh_keygens_form() -> None:
    """So that people can compare it with `ssh-keygen -l`."""
    expected = base64.b64encode(hashlib.sha256(ED25519).digest()).decode().rstrip("=")
    assert parse_public_key(ED25519).fingerprint == f"SHA256:{expected}"


def test_signed_bytes_bind_namespace_and_hash() -> None:
    """The signature covers what it was made for."""
    signature = parse_signature(armor(blob()))
    digest = hashlib.sha512(b"message").digest()
    assert sshsig.signed_bytes(signature, b"message") == b"SSHSIG" + wire("git", b"", "sha512", digest)


def test_signed_bytes_of_a_security_key_bind_application_presence_and_counter() -> None:
    """As PROTOCOL.u2f lays them out."""
    signature = parse_signature(armor(blob(SK, wire("sk-ssh-ed25519@openssh.com", VALUE) + b"\5\0\0\0\7")))
    inner = b"SSHSIG" + wire("git", b"", "sha512", hashlib.sha512(b"m").digest())
    expected = hashlib.sha256(b"ssh:").digest() + b"\5\0\0\0\7" + hashlib.sha256(inner).digest()
    assert sshsig.signed_bytes(signature, b"m") == expected


def test_another_namespace_is_refused_by_name() -> None:
    """A signed file must not pass for a signed commit."""
    signature = parse_signature(armor(blob(namespace="file")))
    with pytest.raises(RefusedRevisionError, match="'file'") as refusal:
        sshsig.require_namespace(signature)
    assert refusal.value.code == "wrong-namespace"


@pytest.mark.parametrize(
    "content",
    [
        blob(version=0),
        blob(version=2),
        blob(reserved=b"x"),
        blob(hash_name="sha1"),
        blob(hash_name="sha384"),
        blob(namespace=""),
        blob(namespace="git\0"),
        blob() + b"\0",
        blob()[:-1],
        b"SSHSIX" + blob()[6:],
        blob(inner=wire("ssh-ed25519", VALUE) + b"\0"),
        blob(inner=wire("ssh-ed25519", VALUE[:-1])),
        blob(inner=wire("ssh-rsa", VALUE)),
        blob(wire("ssh-ed25519", POINT[:-1])),
        blob(wire("ssh-ed25519", POINT) + b"\0"),
        blob(RSA, wire("ssh-rsa", bytes(384))),
        blob(RSA, wire("rsa-sha2-512", bytes(383))),
        blob(RSA, wire("rsa-sha2-512", bytes(385))),
        blob(ECDSA, wire("ecdsa-sha2-nistp256", wire(number(5)))),
        blob(ECDSA, wire("ecdsa-sha2-nistp256", wire(number(5), b"\0\5"))),
        blob(ECDSA, wire("ecdsa-sha2-nistp256", wire(number(5), b"\x80"))),
        blob(ECDSA, wire("ecdsa-sha2-nistp256", wire(number(5), b""))),
        blob(ECDSA, wire("ecdsa-sha2-nistp384", wire(number(5), number(7)))),
        blob(wire("ecdsa-sha2-nistp256", "nistp384", b"\4" + bytes(64))),
        blob(wire("ecdsa-sha2-nistp256", "nistp256", b"\2" + bytes(32))),
        blob(wire("ssh-rsa", b"\0" + number(65537), number((1 << 3071) + 1))),
        blob(SK, wire("sk-ssh-ed25519@openssh.com", VALUE)),
        b"",
    ],
)
def test_any_other_blob_is_a_bad_signature(content: bytes) -> None:
    """One thing wrong with each, among them all that ssh-keygen lets pass."""
    assert code(armor(content)) == "bad-signature"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        armor(blob()).replace(b"\n", b"\r\n"),
        armor(blob()) + b"x",
        armor(blob()) + b"\n\n\n",
        b"\n" + armor(blob()),
        armor(blob()).replace(b"AAAA", b"AA AA", 1),
        armor(blob()).replace(b"-----END", b"\n-----END"),
        armor(blob(), 77),
        armor(blob()).replace(b"-----END", b"=\n-----END"),
        armor(blob()).removesuffix(b"-----END SSH SIGNATURE-----\n"),
        armor(b"x" * 20000),
        armor(blob() + b"x").replace(b"eA==\n", b"eB==\n"),
    ],
)
def test_only_one_spelling_of_armor_is_accepted(content: bytes) -> None:
    """Other text with the same meaning would give a commit a second id without the key."""
    assert code(content) == "bad-signature"


def test_armor_may_end_without_or_with_two_newlines() -> None:
    """Programs that write commits differ in this, and it is outside what is signed."""
    for end in (b"", b"\n", b"\n\n"):
        assert parse_signature(armor(blob()).rstrip(b"\n") + end).value == VALUE


@pytest.mark.parametrize(
    "key_type",
    ["ssh-dss", "ssh-ed25519-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com", "ecdsa-sha2-nistp192", "x" * 500],
)
def test_certificates_and_other_types_are_not_supported(key_type: str) -> None:
    """The authority behind a certificate is in no list."""
    assert code(armor(blob(wire(key_type, POINT)))) == "unsupported-key-type"


@pytest.mark.parametrize("bits", [1024, 2048, 3071, 16385])
def test_rsa_keys_outside_the_limits_are_weak(bits: int) -> None:
    """Short ones can be broken, long ones cost seconds."""
    assert code(armor(blob(wire("ssh-rsa", number(65537), number((1 << (bits - 1)) + 1))))) == "weak-key"


def test_an_untouched_security_key_proves_no_presence() -> None:
    """A stolen computer could sign with the key still plugged in."""
    assert code(armor(blob(SK, wire("sk-ssh-ed25519@openssh.com", VALUE) + b"\4\0\0\0\7"))) == "sk-no-presence"
