"""The host's own word on whom it trusts: `/etc/core-ops/trust.json`, which no repository can change."""

from typing import Literal

import msgspec

from core_ops.errors import SettingsError
from core_ops.reconcile.model import Value
from core_ops.reconcile.signers import Signer

SIZE_LIMIT_BYTES = 64 * 1024
_COMMIT_DIGITS = 40


class Pin(Value, frozen=True):
    """The file as it stands.

    `mode` is `simple` (keys in `signers` may sign) or `unsigned` (nothing is authenticated; spelled out by whoever chose
    it). `introduction` is the commit that the first accepted revision must descend from, or `first-use`.
    """

    repository: str
    ref: str
    schema: Literal[1] = 1
    mode: Literal["simple", "unsigned"] = "simple"
    signers: str = "/etc/core-ops/allowed_signers"
    introduction: str = "first-use"


class Trust(Value, frozen=True):
    """What authentication needs: the mode, the keys, and the commit to start from (empty for first use)."""

    mode: Literal["simple", "unsigned"]
    signers: tuple[Signer, ...]
    introduction: str


def read_pin(content: bytes, path: str) -> Pin:
    """Return the decoded pin.

    Raises:
        SettingsError: anything in it is unknown or out of range; a pin that is half understood is no pin.
    """
    if len(content) > SIZE_LIMIT_BYTES:
        raise _unusable(path, f"larger than {SIZE_LIMIT_BYTES} bytes")
    try:
        pin = msgspec.json.decode(content, type=Pin)
    except msgspec.MsgspecError as error:
        raise _unusable(path, str(error)) from error
    introduction = pin.introduction
    if introduction != "first-use" and not is_commit(introduction):
        raise _unusable(path, "introduction is neither a full commit id nor first-use")
    return pin


def is_commit(text: str) -> bool:
    """Whether the text is a full commit id."""
    return len(text) == _COMMIT_DIGITS and all(c in "0123456789abcdef" for c in text)


def _unusable(path: str, why: str) -> SettingsError:
    return SettingsError(
        f"read {path}: {why}", code="pin-invalid", hint="mend it, or write it anew with `core-ops init ... --force`"
    )
