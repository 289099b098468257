"""Check SSH signatures of commits and tags with `cryptography`, on the raw bytes that git stores.

Says which key signed which payload, nothing about whether that key is accepted. The library is imported when the first
signature is checked: a run that has none must not pay for it.
"""

import hashlib
from typing import TYPE_CHECKING

from core_ops.errors import RefusedRevisionError
from core_ops.reconcile import authority, sshsig
from core_ops.reconcile.authority import Proof
from core_ops.reconcile.model import UntrustedRevision
from core_ops.reconcile.sshsig import EcdsaNumbers, Ed25519Numbers, RsaNumbers, Signature

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hashes import HashAlgorithm


def prove(candidate: UntrustedRevision) -> Proof:
    """Return which key signed the candidate's tag, or its commit where it has none.

    Raises:
        RefusedRevisionError: `unsigned`, `bad-signature`, `wrong-namespace`, `unsupported-key-type`, `weak-key`,
            `sk-no-presence`, `malformed-commit`, `malformed-object`, `tag-name-mismatch`.
    """
    part = authority.signed_part(candidate)
    if not part.signature.startswith(b"-----BEGIN SSH SIGNATURE-----\n"):
        raise authority.unsigned(candidate)
    signature = sshsig.parse_signature(part.signature)
    sshsig.require_namespace(signature)
    if not fits(signature, part.payload):
        raise RefusedRevisionError(
            f"authenticate revision {candidate.commit[:12]} of {candidate.ref}: "
            f"the signature by {signature.key.fingerprint} does not fit its content",
            code="bad-signature",
            hint="sign the revision again and push it; find out who changed it",
        )
    return Proof(
        key=signature.key.fingerprint,
        key_type=signature.key.key_type,
        tree=part.tree,
        payload_sha256=hashlib.sha256(part.payload).hexdigest(),
        committer_time=part.time_s,
        namespace=signature.namespace,
    )


def fits(signature: Signature, message: bytes) -> bool:
    """Tell whether the signature's key made it over this message."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    content = sshsig.signed_bytes(signature, message)
    try:
        match signature.key.numbers:
            case Ed25519Numbers(point=point):
                _verify_ed25519(point, signature.value, content)
            case EcdsaNumbers() as numbers:
                _verify_ecdsa(numbers, signature.value, content)
            case RsaNumbers() as numbers:
                _verify_rsa(numbers, signature, content)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):  # ValueError: numbers that are no key at all
        return False
    return True


def _verify_ed25519(point: bytes, value: bytes, content: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric import ed25519

    ed25519.Ed25519PublicKey.from_public_bytes(point).verify(value, content)


def _verify_ecdsa(numbers: EcdsaNumbers, value: bytes, content: bytes) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    curves: dict[str, tuple[ec.EllipticCurve, HashAlgorithm]] = {
        "nistp256": (ec.SECP256R1(), hashes.SHA256()),
        "nistp384": (ec.SECP384R1(), hashes.SHA384()),
        "nistp521": (ec.SECP521R1(), hashes.SHA512()),
    }
    curve, digest = curves[numbers.curve]
    key = ec.EllipticCurvePublicKey.from_encoded_point(curve, numbers.point)
    key.verify(utils.encode_dss_signature(*sshsig.ecdsa_scalars(value)), content, ec.ECDSA(digest))


def _verify_rsa(numbers: RsaNumbers, signature: Signature, content: bytes) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    exponent, modulus = (int.from_bytes(number, "big") for number in (numbers.exponent, numbers.modulus))
    digest = hashes.SHA512() if signature.algorithm == "rsa-sha2-512" else hashes.SHA256()
    key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    key.verify(signature.value, content, padding.PKCS1v15(), digest)
