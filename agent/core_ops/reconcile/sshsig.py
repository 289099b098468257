"""Take SSH signatures and public keys apart, strictly (PROTOCOL.sshsig of OpenSSH).

Bytes in, values out: the arithmetic that says whether a signature fits its bytes is the host's. The grammar accepts
less than ssh-keygen does, never more: one spelling per value, so that a signature cannot be bent without its key.
"""

import base64
import binascii
import hashlib
import re
from typing import Literal

from core_ops.errors import RefusedRevisionError
from core_ops.reconcile.model import Value

NAMESPACE = "git"
MIN_RSA_BITS = 3072  # NIST SP 800-57: 128-bit strength; shorter keys are within reach of patient attackers
MAX_RSA_BITS = 16384  # what OpenSSH accepts; beyond it a check costs seconds
MAX_ARMOR_BYTES = 16 * 1024
MAX_ARMOR_LINE = 76
ED25519_BYTES = 32

_ARMOR = re.compile(rb"-----BEGIN SSH SIGNATURE-----\n((?:[A-Za-z0-9+/=]{1,76}\n)+)-----END SSH SIGNATURE-----\n{0,2}")
_ED25519_SIGNATURE_BYTES = 64
_SK_PRESENT = 1
_RSA_ALGORITHMS = frozenset({"rsa-sha2-256", "rsa-sha2-512"})
_POINT_BYTES = {"nistp256": 65, "nistp384": 97, "nistp521": 133}

Curve = Literal["nistp256", "nistp384", "nistp521"]
HashName = Literal["sha256", "sha512"]

_CURVES: dict[str, Curve] = {
    "ecdsa-sha2-nistp256": "nistp256",
    "ecdsa-sha2-nistp384": "nistp384",
    "ecdsa-sha2-nistp521": "nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com": "nistp256",
}
_HASHES: dict[str, HashName] = {"sha256": "sha256", "sha512": "sha512"}
_ED25519 = frozenset({"ssh-ed25519", "sk-ssh-ed25519@openssh.com"})


class Ed25519Numbers(Value, frozen=True, tag="ed25519"):
    """A point of Ed25519."""

    point: bytes


class EcdsaNumbers(Value, frozen=True, tag="ecdsa"):
    """An uncompressed point of a NIST curve."""

    curve: Curve
    point: bytes


class RsaNumbers(Value, frozen=True, tag="rsa"):
    """Exponent and modulus, big-endian: a modulus does not fit the integers that values are encoded with."""

    exponent: bytes
    modulus: bytes


class PublicKey(Value, frozen=True):
    """An SSH public key. `blob` is its whole encoding; `application` is set for security keys only."""

    key_type: str
    blob: bytes
    numbers: Ed25519Numbers | EcdsaNumbers | RsaNumbers
    application: bytes = b""

    @property
    def on_security_key(self) -> bool:
        """Whether the private key lives in a device that must be touched."""
        return self.key_type.startswith("sk-")

    @property
    def fingerprint(self) -> str:
        """The name people know the key by."""
        return fingerprint(self.blob)


class Signature(Value, frozen=True):
    """A parsed signature that nobody has checked against its bytes yet."""

    key: PublicKey
    namespace: str
    hash_name: HashName
    algorithm: str
    value: bytes
    flags: int = 0
    counter: int = 0


class _Reader:
    """Reads SSH wire types from bytes and refuses to read past their end."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        if self._at + count > len(self._content):
            raise _bad("it is cut short")
        self._at += count
        return self._content[self._at - count : self._at]

    def number(self) -> int:
        """Return a 32-bit number."""
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        """Return a length-prefixed string."""
        return self.take(self.number())

    def word(self) -> str:
        """Return a string of printable ASCII: names of types, hashes and namespaces are nothing else."""
        text = self.string().decode("latin-1")
        if not text or not text.isascii() or not text.isprintable():
            raise _bad("a name in it is empty or not printable")
        return text

    def scalar(self) -> bytes:
        """Return a positive big number in its shortest spelling; a longer one would be a second name for it."""
        content = self.string()
        shortest = content.lstrip(b"\0")
        if not shortest or content != (b"\0" + shortest if shortest[0] & 0x80 else shortest):
            raise _bad("a number in it is negative, zero or padded")
        return shortest

    def end(self) -> None:
        """Refuse bytes that nothing has read."""
        if self._at != len(self._content):
            raise _bad("bytes follow its end")


def fingerprint(blob: bytes) -> str:
    """Return a key's fingerprint as `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).rstrip(b"=").decode()


def decode_base64(text: bytes) -> bytes:
    """Decode base64 that has exactly one spelling: no other characters, no stray bits at the end.

    Raises:
        RefusedRevisionError: `bad-signature`.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise _bad("it is not base64") from None
    if base64.b64encode(content) != text:
        raise _bad("its base64 has stray bits")
    return content


def parse_public_key(blob: bytes) -> PublicKey:
    """Take a public key apart. Certificates are refused: their signer would be a second, unlisted authority.

    Raises:
        RefusedRevisionError: `unsupported-key-type`, `weak-key` or `bad-signature` for a blob that is no key at all.
    """
    reader = _Reader(blob)
    key_type = reader.word()
    numbers: Ed25519Numbers | EcdsaNumbers | RsaNumbers
    if key_type in _ED25519:
        numbers = Ed25519Numbers(reader.string())
        if len(numbers.point) != ED25519_BYTES:
            raise _bad("its Ed25519 key has a wrong length")
    elif key_type in _CURVES:
        numbers = _ecdsa(reader, _CURVES[key_type])
    elif key_type == "ssh-rsa":
        numbers = _rsa(reader)
    else:
        raise RefusedRevisionError(
            f"read public key: keys of type {key_type[:80]} are not accepted",
            code="unsupported-key-type",
            hint="sign with an ssh-ed25519, ecdsa, rsa or security key that is not a certificate",
        )
    application = reader.string() if key_type.startswith("sk-") else b""
    reader.end()
    return PublicKey(key_type, blob, numbers, application)


def _ecdsa(reader: _Reader, curve: Curve) -> EcdsaNumbers:
    named, point = reader.word(), reader.string()
    if named != curve or len(point) != _POINT_BYTES[curve] or point[0] != 4:  # noqa: PLR2004  SEC 1: 4 = uncompressed
        raise _bad("its ECDSA key names another curve or is not an uncompressed point")
    return EcdsaNumbers(curve, point)


def _rsa(reader: _Reader) -> RsaNumbers:
    numbers = RsaNumbers(reader.scalar(), reader.scalar())
    bits = int.from_bytes(numbers.modulus, "big").bit_length()
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise RefusedRevisionError(
            f"read public key: an RSA key of {bits} bits is not accepted",
            code="weak-key",
            hint=f"use a key of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, or ed25519",
        )
    return numbers


def parse_signature(armor: bytes) -> Signature:
    """Take an armored SSH signature apart.

    Args:
        armor: The text between and with its BEGIN and END lines, nothing before and nothing after.

    Returns:
        The signature; `namespace` is what the signer meant it for and is compared by `require_namespace`.

    Raises:
        RefusedRevisionError: `bad-signature`, `unsupported-key-type`, `weak-key` or `sk-no-presence`.

    Source:
        OpenSSH PROTOCOL.sshsig, PROTOCOL.u2f. ssh-keygen also takes version 0, other line ends and padded numbers.
    """
    match = _ARMOR.fullmatch(armor) if len(armor) <= MAX_ARMOR_BYTES else None
    if match is None:
        raise _bad("it is not an armored SSH signature")
    reader = _Reader(decode_base64(match[1].replace(b"\n", b"")))
    if reader.take(6) != b"SSHSIG" or reader.number() != 1:
        raise _bad("it is not a version 1 SSH signature")
    key = parse_public_key(reader.string())
    namespace, reserved, hash_name = reader.word(), reader.string(), _HASHES.get(reader.word())
    if reserved or hash_name is None:
        raise _bad("it uses a reserved field or an unknown hash")
    inner = _Reader(reader.string())
    reader.end()
    return _inner(inner, key, namespace, hash_name)


def _inner(reader: _Reader, key: PublicKey, namespace: str, hash_name: HashName) -> Signature:
    algorithm, value = reader.word(), reader.string()
    flags, counter = (reader.take(1)[0], reader.number()) if key.on_security_key else (0, 0)
    reader.end()
    match key.numbers:
        case Ed25519Numbers():
            fits = algorithm == key.key_type and len(value) == _ED25519_SIGNATURE_BYTES
        case EcdsaNumbers():
            fits = algorithm == key.key_type and bool(ecdsa_scalars(value))
        case RsaNumbers(modulus=modulus):
            fits = algorithm in _RSA_ALGORITHMS and len(value) == len(modulus)
    if not fits:
        raise _bad("its algorithm or length does not belong to its key")
    if key.on_security_key and not flags & _SK_PRESENT:
        raise RefusedRevisionError(
            f"read signature: security key {key.fingerprint} was not touched",
            code="sk-no-presence",
            hint="sign again with a security key that asks to be touched",
        )
    return Signature(key, namespace, hash_name, algorithm, value, flags, counter)


def ecdsa_scalars(value: bytes) -> tuple[int, int]:
    """Return the two numbers of an ECDSA signature.

    Raises:
        RefusedRevisionError: `bad-signature`.
    """
    reader = _Reader(value)
    first, second = reader.scalar(), reader.scalar()
    reader.end()
    return int.from_bytes(first, "big"), int.from_bytes(second, "big")


def require_namespace(signature: Signature, namespace: str = NAMESPACE) -> None:
    """Refuse a signature that was made for something else: a signed file must not pass for a signed commit.

    Raises:
        RefusedRevisionError: `wrong-namespace`.
    """
    if signature.namespace != namespace:
        raise RefusedRevisionError(
            f"read signature: {signature.key.fingerprint} signed for {signature.namespace[:80]!r}, not {namespace!r}",
            code="wrong-namespace",
            hint="sign with `git commit -S` or `git tag -s` and gpg.format=ssh",
        )


def signed_bytes(signature: Signature, message: bytes) -> bytes:
    """Return the bytes that the key's own algorithm signed, for this message."""
    digest = hashlib.new(signature.hash_name, message).digest()
    parts = (signature.namespace.encode(), b"", signature.hash_name.encode(), digest)
    content = b"SSHSIG" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    if not signature.key.on_security_key:
        return content
    application = hashlib.sha256(signature.key.application).digest()
    presence = bytes([signature.flags]) + signature.counter.to_bytes(4, "big")
    return application + presence + hashlib.sha256(content).digest()


def _bad(why: str) -> RefusedRevisionError:
    return RefusedRevisionError(
        f"read signature: {why}", code="bad-signature", hint="sign the revision again and push it"
    )
